//! Sessions that travel in their tokens, and the list that ends them.

mod life;
mod support;
