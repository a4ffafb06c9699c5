//! What a store keeps of a session.

use std::sync::Arc;
use std::time::Duration;

use crate::name::Name;
use crate::{
    AttributeKey, Attributes, Authentication, Device, MethodUse, Persistence, Principal, Role, SessionId,
    Timestamp,
};

/// What a store keeps of a live session.
///
/// The instant of the last activity is no part of it: it changes on its own path (`touch`), so that activity never
/// conflicts with a change of the record and never disturbs a cache of it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SessionRecord {
    /// The session's public name; never changes.
    pub id: SessionId,
    /// Whom it speaks for; `None` while anonymous. Never changes: signing in issues another session.
    pub principal: Option<Arc<Principal>>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When its present token was handed out.
    pub rotated_at: Timestamp,
    /// The limits in force, fixed at issue.
    pub lifetime: Lifetime,
    /// What it was issued to, or identity was last proved with: the device last proven.
    pub device: Option<Box<Device>>,
    /// How its principal proved who they are; `None` while anonymous.
    pub authentication: Option<Box<Authentication>>,
    /// The application's data.
    pub attributes: Attributes,
}

impl SessionRecord {
    /// An anonymous session without data, issued at `created_at`.
    #[must_use]
    pub fn new(id: SessionId, created_at: Timestamp, lifetime: Lifetime) -> Self {
        Self {
            id,
            principal: None,
            created_at,
            rotated_at: created_at,
            lifetime,
            device: None,
            authentication: None,
            attributes: Attributes::new(),
        }
    }

    /// Whether nobody is signed in.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.principal.is_none()
    }

    /// Bytes this record takes in memory, what it points to included (an estimate that errs upwards).
    #[must_use]
    pub fn memory_size(&self) -> usize {
        let principal = self.principal.as_ref().map_or(0, |principal| {
            let roles: usize =
                principal.roles().iter().map(|role| size_of::<Role>() + beyond_place(role.as_str())).sum();
            size_of::<Principal>() + beyond_place(principal.id().as_str()) + roles + 2 * ALLOCATION
        });
        let device = self.device.as_ref().map_or(0, |device| {
            let text = device.user_agent().map_or(0, str::len) + device.label().map_or(0, str::len);
            size_of::<Device>() + text + 3 * ALLOCATION
        });
        let authentication = self.authentication.as_ref().map_or(0, |authentication| {
            let names = authentication.methods().iter().map(|used| beyond_place(used.method.as_str()));
            let methods = match authentication.methods().len() {
                1 => 0,
                count => count * 2 * size_of::<MethodUse>() + ALLOCATION,
            };
            size_of::<Authentication>() + names.sum::<usize>() + methods + ALLOCATION
        });
        let attributes = match self.attributes.len() {
            0 => 0,
            // A B-tree node has room for eleven entries of key and value.
            count => {
                const ENTRY: usize = size_of::<AttributeKey>() + size_of::<Box<[u8]>>();
                self.attributes.size()
                    + count * 2 * ALLOCATION
                    + count.div_ceil(6) * (11 * ENTRY + ALLOCATION)
            }
        };
        size_of::<Self>() + ALLOCATION + principal + device + authentication + attributes
    }
}

/// How long a session may live, fixed when it is issued: the policy in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Lifetime {
    /// Longest silence.
    pub idle_timeout: Duration,
    /// The instant at which it ends whatever happens.
    pub absolute_expires_at: Timestamp,
    /// For how long its tombstone is kept.
    pub tombstone_retention: Duration,
    /// Whether its cookie outlives the browser.
    pub persistence: Persistence,
}

impl Lifetime {
    /// A lifetime with these limits, of a session whose cookie ends with the browser.
    #[must_use]
    pub fn new(
        idle_timeout: Duration,
        absolute_expires_at: Timestamp,
        tombstone_retention: Duration,
    ) -> Self {
        Self { idle_timeout, absolute_expires_at, tombstone_retention, persistence: Persistence::Browser }
    }

    /// The same, with this persistence.
    #[must_use]
    pub fn with_persistence(self, persistence: Persistence) -> Self {
        Self { persistence, ..self }
    }
}

/// Bytes of a name that is too long to be in place, its counters included.
fn beyond_place(name: &str) -> usize {
    if name.len() > Name::INLINE { name.len() + 2 * ALLOCATION } else { 0 }
}

/// What an allocator adds to a small allocation, or an `Arc` to its content.
const ALLOCATION: usize = 16;
