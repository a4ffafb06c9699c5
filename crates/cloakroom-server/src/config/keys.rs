//! Every key a configuration may have, and which one was meant by a key it may not have.

/// Every key, dotted; `*` stands for a name that the operator chooses.
///
/// A key belongs here from the day it does something, not before: a setting that is accepted and ignored misleads.
pub(super) const KEYS: &[&str] = &[
    "listen",
    "public_url",
    "data_dir",
    "store",
    "store_file",
    "store_moving_from",
    "store_moving_from_file",
    "accounts",
    "accounts_file",
    "metrics_listen",
    "dangerously_insecure_http",
    "session.preset",
    "session.idle_timeout",
    "session.absolute_timeout",
    "session.touch_interval",
    "session.tombstone_retention",
    "session.rotate_every",
    "session.per_principal_max",
    "session.on_limit",
    "session.attributes_max_bytes",
    "session.remember_me.enabled",
    "session.remember_me.idle_timeout",
    "session.remember_me.absolute_timeout",
    "session.roles.*.idle_timeout",
    "session.roles.*.absolute_timeout",
    "cookie.name",
    "cookie.same_site",
    "cookie.domain",
    "near_cache.max_bytes",
    "near_cache.lease",
    "sealed.application",
    "sealed.keys_file",
    "sealed.keys",
    "sealed.dangerously_open_when_unreachable",
    "sealed.replay",
    "sign_in.attempts_per_account",
    "sign_in.attempts_per_address",
    "sign_in.window",
    "trust.proxies",
    "trust.forwarding_header",
    "trust.origins",
    "trust.return_hosts",
    "tls.cert_file",
    "tls.key_file",
    "tls.redirect_listen",
    "audit.on_full",
    "audit.queue",
    "audit.wait",
    "audit.retention",
    "audit.events_max",
    "audit.key_file",
    "audit.trusted_keys",
    "audit.file",
    "audit.syslog",
    "audit.journald",
    "console.fresh_within",
    "console.support_sees_addresses",
    "detection.repeat_window",
    "detection.geo_database",
    "detection.user_agent_changed.grade",
    "detection.network_changed.grade",
    "detection.network_changed.prefix_v4",
    "detection.network_changed.prefix_v6",
    "detection.network_changed.roaming",
    "detection.impossible_travel.grade",
    "detection.impossible_travel.speed_kmh",
    "detection.impossible_travel.distance_km",
    "detection.parallel_use.grade",
    "detection.parallel_use.returns",
    "detection.parallel_use.window",
    "detection.used_after_end.grade",
    "detection.used_after_end.grace",
    "detection.token_replayed.grade",
    "detection.token_replayed.grace",
    "detection.token_guessing.grade",
    "detection.token_guessing.count",
    "detection.token_guessing.window",
    "detection.sign_in_failures.grade",
    "detection.sign_in_failures.count",
    "detection.sign_in_failures.window",
    "detection.sign_in_burst.grade",
    "detection.sign_in_burst.count",
    "detection.sign_in_burst.window",
    "detection.webhook.url",
    "detection.webhook.secret_file",
    "detection.webhook.events",
    "detection.webhook.timeout",
    "log.format",
    "log.level",
    "telemetry.otlp_endpoint",
    "telemetry.otlp_headers_file",
    "telemetry.traces_sample_ratio",
    "telemetry.metrics_interval",
    "telemetry.service_name",
    "telemetry.traceparent",
];

/// What a path in a configuration is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Known {
    /// A key with a value.
    Key,
    /// A section that holds keys.
    Section,
    /// Nothing of ours.
    No,
}

/// Looks up what `path` is.
pub(super) fn lookup(path: &[String]) -> Known {
    let mut found = Known::No;
    for key in KEYS {
        match compare(key, path) {
            Known::Key => return Known::Key,
            Known::Section => found = Known::Section,
            Known::No => {}
        }
    }
    found
}

/// The known key nearest to the unknown `path`, with its wildcards filled in; `None` where nothing is near.
pub(super) fn nearest(path: &[String]) -> Option<String> {
    let written = path.join(".");
    let last = path.last()?;
    KEYS.iter()
        .map(|key| fill(key, path))
        .filter_map(|key| {
            let whole = strsim::damerau_levenshtein(&key, &written);
            // The right name in the wrong section is the likeliest mistake after a typing error.
            let misplaced =
                key.rsplit('.').next().map_or(usize::MAX, |name| strsim::damerau_levenshtein(name, last) + 1);
            let distance = whole.min(misplaced);
            (distance <= tolerance(last)).then_some((distance, whole, key))
        })
        .min()
        .map(|(_, _, key)| key)
}

/// Typing errors forgiven: one in every three characters.
fn tolerance(name: &str) -> usize {
    (name.chars().count() / 3).max(1)
}

fn compare(key: &str, path: &[String]) -> Known {
    let mut parts = key.split('.');
    for written in path {
        match parts.next() {
            Some(part) if part == "*" || part == written => {}
            _ => return Known::No,
        }
    }
    if parts.next().is_none() { Known::Key } else { Known::Section }
}

/// `key` with each `*` replaced by what `path` has in that position.
fn fill(key: &str, path: &[String]) -> String {
    let parts: Vec<&str> = key
        .split('.')
        .enumerate()
        .map(|(index, part)| if part == "*" { path.get(index).map_or("NAME", String::as_str) } else { part })
        .collect();
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(dotted: &str) -> Vec<String> {
        dotted.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn keys_sections_and_strangers_are_told_apart() {
        for (dotted, known) in [
            ("listen", Known::Key),
            ("session", Known::Section),
            ("session.roles", Known::Section),
            ("session.roles.admin", Known::Section),
            ("session.roles.admin.idle_timeout", Known::Key),
            ("session.roles.admin.idle", Known::No),
            ("listen.on", Known::No),
            ("audit.chain", Known::No),
        ] {
            assert_eq!(lookup(&path(dotted)), known, "{dotted}");
        }
    }

    #[test]
    fn the_nearest_key_is_the_one_that_was_meant() {
        for (written, meant) in [
            ("session.idle_timout", Some("session.idle_timeout")),
            ("sesion.idle_timeout", Some("session.idle_timeout")),
            ("idle_timeout", Some("session.idle_timeout")),
            ("listn", Some("listen")),
            ("session.same_site", Some("cookie.same_site")),
            ("session.roles.admin.idle_timeut", Some("session.roles.admin.idle_timeout")),
            ("cookie.http_only", None),
            ("x", None),
        ] {
            assert_eq!(nearest(&path(written)).as_deref(), meant, "{written}");
        }
    }
}
