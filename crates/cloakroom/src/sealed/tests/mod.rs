//! The mirror, explored and broken on purpose.

mod merging;
mod model;
mod sabotaged;
