//! Session-based authentication: the server keeps the login state, the client carries one secret token, and whoever
//! runs the server sees and ends any login at once.
//!
//! ```
//! use cloakroom::{
//!     Activity, Attribute, AuthLevel, Authentication, Carry, Changes, Issue, Issued, Method, Policy, Principal,
//!     PrincipalId, Revocation, Selector, Sessions, Validation,
//! };
//! use cloakroom_memory::MemoryStore;
//!
//! const CART: Attribute<Vec<String>> = Attribute::new("cart");
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let sessions = Sessions::builder(MemoryStore::default()).policy(Policy::default()).build()?;
//!
//! // Before sign-in: an anonymous session holds a cart.
//! let visit = sessions.issue(Issue::anonymous()).await?.expect_issued();
//! let changes = Changes::new().update(&CART, |cart| cart.push("umbrella".into()));
//! sessions.apply(&visit.session, changes).await?;
//!
//! // Sign-in: another session, another token; the cart comes along, the anonymous session is over.
//! let Validation::Active(anonymous) = sessions.validate(&visit.token, Activity::Counts).await? else { return Ok(()) };
//! let proof = Authentication::new(AuthLevel::One, Method::password(), sessions.now());
//! let alice = Principal::new(PrincipalId::new("alice")?);
//! let issue = Issue::signed_in(alice, proof).replacing(&anonymous, &Carry::All);
//! let Issued { token, session, .. } = sessions.issue(issue).await?.expect_issued();
//! assert_eq!(session.get(&CART)?.unwrap(), ["umbrella"]);
//!
//! // Log this person out, now, everywhere.
//! let everywhere = Selector::Principal { principal: PrincipalId::new("alice")?, except: None };
//! sessions.revoke(&everywhere, Revocation::by_system(cloakroom::EndReason::Compromised)).settled().await?;
//! assert!(matches!(sessions.validate(&token, Activity::Counts).await?, Validation::Ended(_)));
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
//! ```
//!
//! [`Sessions`] is the engine; a [`Store`](cloakroom_store::Store) keeps the records. The words are explained in
//! [`cloakroom_core`]. For axum, see `cloakroom-axum`.

mod active;
mod builder;
mod change;
mod environment;
mod error;
mod event;
mod guard;
mod hub;
mod issue;
mod moving;
mod near;
mod observe;
mod reach;
mod repeats;
mod retired;
mod revoke;
mod sealed;
mod search;
mod sessions;
mod streams;
mod system;
mod touch;
mod upkeep;
mod validate;
mod watch;
mod write;

pub use active::ActiveSession;
pub use builder::SessionsBuilder;
pub use change::Changes;
pub use environment::{Clock, ManualClock, Random, RandomError};
pub use error::SessionError;
pub use event::{Actor, Event, EventKind, EventSink};
pub use guard::{BreakerState, GuardPolicy, GuardedStore, Refused};
pub use issue::{Carry, Issue, IssueOutcome, Issued};
pub use moving::{Beginning, Carried, CarriedPage, MovingStore};
#[cfg(any(test, feature = "sabotage"))]
pub use near::Sabotage;
pub use near::{InvalidNearCache, NearCachePolicy};
pub use observe::describe_metrics;
pub use reach::{Because, ListState, NearCacheState, Reach, SealedState};
pub use retired::RetiredToken;
pub use revoke::{Revocation, Revoked, Revoking};
pub use sealed::{Replay, SealedPolicy, WhenUnreachable};
pub use search::{Found, SEARCH_READS, Search, TakenFor};
pub use sessions::Sessions;
pub use streams::{SessionWatch, StreamEnd, StreamPolicy};
pub use system::{OsRandom, SystemClock};
pub use upkeep::SweepSummary;
pub use validate::{Activity, Presenter, Validation};
pub use write::{Renewal, Renewed, Written};

pub use cloakroom_core::{
    AalPreset, Attribute, AttributeError, AttributeKey, Attributes, AuthLevel, Authentication, Device,
    EndReason, FreshnessDemand, Method, MethodUse, OnLimit, Persistence, Policy, PolicyError, Principal,
    PrincipalId, Role, SessionId, SessionLimit, SessionToken, Timeouts, Timestamp, Tombstone,
};
pub use cloakroom_store::{
    Counts, Cursor, Ended, ErrorKind, ListFilter, ListItem, ListOrder, ListPage, ListQuery, ListStanding,
    Retired, RevocationList, SealError, Sealing, Selector, StateFilter, Store, StoreError,
};
