//! The words of Cloakroom as types: what a session is, and when it is over.
//!
//! Everything here is pure. There is no async, no I/O, no clock, no source of randomness and no HTTP in this crate:
//! edges fetch facts, this crate judges, edges act. Time arrives as an argument ([`Timestamp`]), random bytes arrive
//! as an argument ([`SessionToken::from_random`]).
//!
//! | word | type |
//! |---|---|
//! | the secret a client presents (OWASP's "session ID") | [`SessionToken`] |
//! | what stores file a record under | [`TokenDigest`] |
//! | the public name of a session; grants nothing | [`SessionId`] |
//! | what a store keeps | [`SessionRecord`] |
//! | what is left of an ended session | [`Tombstone`] |
//! | for how long, how many, how large | [`Policy`] |
//! | alive or over, and since when | [`judge`] |

mod attribute;
mod authentication;
mod device;
mod end;
mod id;
mod judgement;
mod name;
mod policy;
mod principal;
mod record;
mod route;
mod time;
mod token;

pub use attribute::{Attribute, AttributeError, AttributeKey, Attributes, InvalidAttributeKey};
pub use authentication::{AuthLevel, Authentication, FreshnessDemand, Method, MethodUse};
pub use device::Device;
pub use end::{EndReason, Tombstone, UnknownEndReason};
pub use id::{MalformedSessionId, SessionId};
pub use judgement::{Verdict, idle_expires_at, judge, rotation_due, touch_due};
pub use policy::{
    AalPreset, DEFAULT_ATTRIBUTES_MAX_BYTES, OnLimit, Persistence, Policy, PolicyError, SessionLimit,
    Timeouts,
};
pub use principal::{InvalidName, Principal, PrincipalId, Role};
pub use record::{Lifetime, SessionRecord};
pub use route::Route;
pub use time::{MalformedTimestamp, Timestamp};
pub use token::{MalformedToken, SessionToken, TokenCore, TokenDigest, TokenText};
