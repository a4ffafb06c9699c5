//! Signals that a session, or an account, may be in other hands.
//!
//! Facts and instants go in, [`Finding`]s come out: no clock, no input or output but lookups in a database that is handed
//! over in memory. Who acts on them, and how, is the application's business.
//!
//! A [`Signal`] is given by what ordinary traffic does not do: phones change networks and browsers are updated, but no
//! browser becomes another one, and no token that was exchanged is used again. What is done about each is its [`Grade`].

mod bounded;
mod bursts;
mod detector;
mod finding;
mod geography;
mod grade;
mod place;
mod program;
mod rules;
mod signal;
mod told;
mod track;

pub use detector::{Detector, Sighting};
pub use finding::{Finding, Replay, Seen, What};
pub use grade::{Grade, UnknownGrade};
pub use place::{Country, MaxMindPlaces, Place, Places, Position, UnreadablePlaces};
pub use program::Kinship;
pub use rules::{
    Burst, Failures, Grace, Guessing, NetworkRule, ParallelRule, Repeats, Roaming, Rules, SignIns, TravelRule,
};
pub use signal::{Grades, Pointless, Signal};
