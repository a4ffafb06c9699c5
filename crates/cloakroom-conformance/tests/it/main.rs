//! The suite tested: it passes what is right and finds what is wrong.

mod reference;
mod sabotage;
