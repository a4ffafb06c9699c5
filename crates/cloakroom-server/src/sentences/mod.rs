//! What the configuration and the store mean, in sentences: `doctor` prints them, the console's settings show them.

mod audit;
mod detection;
mod policy;
mod reach;
mod sealed;
mod store;
mod telemetry;

pub(crate) use self::policy::of_policy;
pub(crate) use self::reach::of_reach;
pub(crate) use self::store::of_store;
