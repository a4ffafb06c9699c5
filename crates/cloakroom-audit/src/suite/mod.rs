//! The one suite that every backend of the log passes.
//!
//! ```
//! # async fn passes() -> Result<(), String> {
//! use std::sync::Arc;
//!
//! for case in cloakroom_audit::suite::CASES {
//!     let empty = Arc::new(cloakroom_audit::MemoryAudit::default());
//!     (case.run)(empty).await.map_err(|why| format!("{}: {why}", case.name))?;
//! }
//! # Ok(())
//! # }
//! # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! # runtime.block_on(passes()).unwrap();
//! ```

mod chain;
mod keeping;
mod walking;

use std::fmt::Debug;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::Arc;

use cloakroom::Actor;
use cloakroom_core::{Device, PrincipalId, SessionId, Timestamp};

use crate::{Along, AuditRow, AuditStore, Batch, Draft, Order, SealingKey, Span, Walk, WriterId};

/// One thing that a backend has to do.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it has to do, as a sentence.
    pub name: &'static str,
    /// Tries it with a store that is empty; the error says what was wrong.
    pub run: fn(Arc<dyn AuditStore>) -> Outcome,
}

/// What became of a case.
pub type Outcome = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Everything that a backend has to do.
pub const CASES: &[Case] = &[
    Case { name: "events_are_numbered_and_linked_in_their_order", run: |s| Box::pin(chain::numbered(s)) },
    Case { name: "every_field_comes_back_as_it_was_written", run: |s| Box::pin(chain::every_field(s)) },
    Case { name: "a_batch_handed_in_twice_is_appended_once", run: |s| Box::pin(chain::twice(s)) },
    Case { name: "writers_at_the_same_time_make_one_chain", run: |s| Box::pin(chain::together(s)) },
    Case { name: "the_head_is_the_last_event", run: |s| Box::pin(chain::head(s)) },
    Case { name: "a_walk_follows_its_index_and_no_other_text", run: |s| Box::pin(walking::indexes(s)) },
    Case { name: "a_walk_keeps_to_its_span_order_and_limit", run: |s| Box::pin(walking::bounds(s)) },
    Case { name: "a_period_leads_to_the_numbers_of_its_events", run: |s| Box::pin(walking::periods(s)) },
    Case { name: "counts_equal_the_log", run: |s| Box::pin(keeping::counts(s)) },
    Case { name: "the_last_sample_of_a_minute_and_node_is_kept", run: |s| Box::pin(keeping::samples(s)) },
    Case { name: "the_latest_seals_of_each_key_are_kept", run: |s| Box::pin(keeping::seals(s)) },
    Case { name: "a_prune_removes_a_beginning_and_leaves_a_chain", run: |s| Box::pin(keeping::prune(s)) },
    Case { name: "a_prune_behind_another_prune_does_nothing", run: |s| Box::pin(keeping::stale_prune(s)) },
    Case { name: "everything_can_be_pruned_and_the_chain_goes_on", run: |s| Box::pin(keeping::prune_all(s)) },
    Case { name: "what_is_forgotten_is_what_is_older", run: |s| Box::pin(keeping::forget(s)) },
];

type Tried<T = ()> = Result<T, String>;

/// Begins every case: an instant at the beginning of a minute.
const NOON: Timestamp = Timestamp::from_millis(1_767_268_800_000);
const WRITER: WriterId = WriterId::from_random([7; WriterId::LENGTH]);

fn at(seconds: u64) -> Timestamp {
    NOON.plus(std::time::Duration::from_secs(seconds))
}

fn batch(number: u64, drafts: Vec<Draft>) -> Arc<Batch> {
    Arc::new(Batch { writer: WRITER, number, at: NOON, drafts })
}

async fn append(store: &dyn AuditStore, number: u64, drafts: Vec<Draft>) -> Tried<Vec<AuditRow>> {
    told(store.append(batch(number, drafts)).await)
}

async fn all(store: &dyn AuditStore) -> Tried<Vec<AuditRow>> {
    walk(store, Along::Log, Span::ALL, Order::OldestFirst, u16::MAX).await
}

async fn walk(
    store: &dyn AuditStore,
    along: Along,
    span: Span,
    order: Order,
    limit: u16,
) -> Tried<Vec<AuditRow>> {
    let limit = NonZeroU16::new(limit).ok_or("a walk of no rows")?;
    told(store.walk(Walk { along, span, order, limit }).await)
}

fn principal(name: &str) -> Tried<PrincipalId> {
    PrincipalId::new(name).map_err(|error| error.to_string())
}

/// An event with something in every field.
fn full(name: &str) -> Tried<Draft> {
    let device = Device::new()
        .with_ip(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)))
        .with_user_agent("Möbius/1.0 (\"quoted\"; 'x'; \u{1f980}; a\\b%_) \u{202e}reversed");
    Ok(Draft::new("session_revoked", at(61))
        .about(Some(principal(name)?))
        .of_session(SessionId::from_bytes([3; SessionId::LENGTH]))
        .by(Actor::Admin(principal("root")?))
        .because("revoked_by_admin")
        .from_device(Some(device))
        .with("note", "=1+1 <b>\u{0}\n\ttext")
        .with("count", u64::from(u32::MAX)))
}

fn key() -> Tried<SealingKey> {
    SealingKey::from_seed(&[9; crate::SEED_BYTES]).map_err(|error| error.to_string())
}

fn told<T>(answer: Result<T, crate::AuditError>) -> Tried<T> {
    answer.map_err(|error| match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })
}

fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Tried {
    if found == expected { Ok(()) } else { Err(format!("{what}: found {found:?} instead of {expected:?}")) }
}

#[cfg(test)]
mod tests;
