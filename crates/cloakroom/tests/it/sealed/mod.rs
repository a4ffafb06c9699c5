//! Sessions that travel in their tokens, and the list that ends them.

mod bounds;
mod doubts;
mod histories;
mod keys;
mod life;
mod nodes;
mod outages;
mod replay;
mod shares;
mod streams;
mod support;
mod upkeep;
