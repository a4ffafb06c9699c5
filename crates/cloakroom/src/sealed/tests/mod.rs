//! The mirror, explored and broken on purpose.

mod before;
mod crossing;
mod forgetting;
mod merging;
mod model;
mod reading;
mod sabotaged;
