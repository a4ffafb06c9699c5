//! The mirror, explored and broken on purpose.

mod before;
mod crossing;
mod merging;
mod model;
mod sabotaged;
