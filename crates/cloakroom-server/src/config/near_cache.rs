//! `[near_cache]`: how much of a shared store is kept in memory, and for how long it is believed.

use std::time::Duration;

use cloakroom::{InvalidNearCache, NearCachePolicy};

use super::read::{ByteSize, Reader};
use super::units::{format_bytes, format_duration};

/// Reads the section. `max_bytes = 0` switches the near cache off; the lease is then that of the store's other servers.
pub(super) fn read_near_cache(r: &mut Reader<'_>) -> NearCachePolicy {
    let default = NearCachePolicy::default();
    let max_bytes = r.get("near_cache.max_bytes").map_or(default.max_bytes(), |ByteSize(bytes)| bytes);
    let lease: Duration = r.get("near_cache.lease").unwrap_or(default.lease());
    let policy = match max_bytes {
        0 => NearCachePolicy::off_beside(lease),
        _ => NearCachePolicy::new(max_bytes, lease),
    };
    policy.unwrap_or_else(|error| {
        report(r, error);
        default
    })
}

fn report(r: &mut Reader<'_>, error: InvalidNearCache) {
    match error {
        InvalidNearCache::MaxBytes(bytes) => {
            let least = format_bytes(NearCachePolicy::MIN_BYTES);
            let cause = format!("`near_cache.max_bytes` is {}: too few to be worth it", format_bytes(bytes));
            let remedy = format!("write at least \"{least}\", or 0 to ask the store each time");
            r.problem("near_cache.max_bytes", cause, remedy);
        }
        _ => {
            let (least, most) = (NearCachePolicy::MIN_LEASE, NearCachePolicy::MAX_LEASE);
            let cause = format!(
                "`near_cache.lease` is outside of {} to {}",
                format_duration(least),
                format_duration(most)
            );
            r.problem("near_cache.lease", cause, "the default is \"1s\"");
        }
    }
}
