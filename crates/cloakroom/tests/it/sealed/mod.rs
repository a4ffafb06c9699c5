//! Sessions that travel in their tokens, and the list that ends them.

mod histories;
mod keys;
mod life;
mod nodes;
mod outages;
mod replay;
mod support;
