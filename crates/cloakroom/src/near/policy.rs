//! How much a node remembers, and for how long it may believe it.

use std::time::Duration;

/// How much of a shared store's sessions an engine keeps in memory, and how long after its end a session may still be
/// accepted by another node.
///
/// Used where the store can be shared and tells of changes ([`Capabilities`](cloakroom_store::Capabilities)); a store in this
/// process alone is as fast as any memory of it.
///
/// ```
/// use std::time::Duration;
/// use cloakroom::NearCachePolicy;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let policy = NearCachePolicy::default();
/// assert_eq!((policy.max_bytes(), policy.lease()), (64 << 20, Duration::from_secs(1)));
/// let strict = NearCachePolicy::new(16 << 20, Duration::from_millis(250))?;
/// let none = NearCachePolicy::off();
/// # Ok(())
/// # }
/// ```
///
/// # Security
/// A session that was ended is refused by every node when the lease of that node has passed since the end was acknowledged
/// (G5), whatever happens to nodes, links and the store. The bound of a whole installation is its longest lease: give all nodes
/// of one store the same. A node without upkeep ([`Sessions::upkeep`](crate::Sessions::upkeep)) believes nothing, and asks
/// the store each time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NearCachePolicy {
    max_bytes: u64,
    lease: Duration,
}

impl NearCachePolicy {
    /// Shortest lease. A proof has to make its way to the store and back several times in one.
    pub const MIN_LEASE: Duration = Duration::from_millis(100);
    /// Longest lease. Who can wait a minute for the end of a session needs no such machinery.
    pub const MAX_LEASE: Duration = Duration::from_secs(60);
    /// Fewest bytes: about a thousand sessions. Fewer are not worth their proofs.
    pub const MIN_BYTES: u64 = 1 << 20;

    /// Keeps at most `max_bytes` of sessions, and believes them for at most `lease` without hearing from the store.
    ///
    /// # Errors
    /// [`InvalidNearCache`] where either is out of bounds.
    pub fn new(max_bytes: u64, lease: Duration) -> Result<Self, InvalidNearCache> {
        if max_bytes < Self::MIN_BYTES {
            return Err(InvalidNearCache::MaxBytes(max_bytes));
        }
        Ok(Self { max_bytes, ..Self::off_beside(lease)? })
    }

    /// Keeps nothing: every validation asks the store. Other nodes of it may have a near cache with the default lease.
    #[must_use]
    pub fn off() -> Self {
        Self { max_bytes: 0, lease: DEFAULT_LEASE }
    }

    /// Keeps nothing, beside other nodes of the store that believe what they keep for at most `lease`: for so long
    /// [`settled`](crate::Revoking::settled) waits.
    ///
    /// # Errors
    /// [`InvalidNearCache`] where the lease is out of bounds.
    pub fn off_beside(lease: Duration) -> Result<Self, InvalidNearCache> {
        if !(Self::MIN_LEASE..=Self::MAX_LEASE).contains(&lease) {
            return Err(InvalidNearCache::Lease(lease));
        }
        Ok(Self { max_bytes: 0, lease })
    }

    /// Whether anything is kept.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.max_bytes > 0
    }

    /// Most bytes that sessions in memory may take; zero where nothing is kept.
    #[must_use]
    pub const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// For how long what is kept may be believed without hearing from the store.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        self.lease
    }
}

impl Default for NearCachePolicy {
    /// 64 MiB, about a hundred thousand sessions; a second.
    fn default() -> Self {
        Self { max_bytes: DEFAULT_MAX_BYTES, lease: DEFAULT_LEASE }
    }
}

/// A near cache cannot be like this.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNearCache {
    /// Too few bytes.
    #[error("{0} bytes are too few for a near cache: at least {min}, or none at all", min = NearCachePolicy::MIN_BYTES)]
    MaxBytes(u64),
    /// Too short or too long a lease.
    #[error(
        "a lease of {0:?} is out of bounds: {min:?} to {max:?}",
        min = NearCachePolicy::MIN_LEASE,
        max = NearCachePolicy::MAX_LEASE
    )]
    Lease(Duration),
}

const DEFAULT_MAX_BYTES: u64 = 64 << 20;
const DEFAULT_LEASE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_holds_at_its_bounds_and_not_beyond() {
        let new = NearCachePolicy::new;
        let (bytes, lease) = (NearCachePolicy::MIN_BYTES, Duration::from_secs(1));
        let milli = Duration::from_millis(1);
        assert!(new(bytes, lease).unwrap().is_on());
        assert_eq!(new(bytes - 1, lease), Err(InvalidNearCache::MaxBytes(bytes - 1)));
        for (lease, valid) in [
            (NearCachePolicy::MIN_LEASE, true),
            (NearCachePolicy::MIN_LEASE - milli, false),
            (NearCachePolicy::MAX_LEASE, true),
            (NearCachePolicy::MAX_LEASE + milli, false),
        ] {
            assert_eq!(new(bytes, lease).is_ok(), valid, "{lease:?}");
        }
        assert!(!NearCachePolicy::off().is_on());
        assert_eq!(
            new(0, lease).unwrap_err().to_string(),
            "0 bytes are too few for a near cache: at least 1048576, or none at all"
        );
        assert_eq!(
            new(bytes, Duration::ZERO).unwrap_err().to_string(),
            "a lease of 0ns is out of bounds: 100ms to 60s"
        );
    }
}
