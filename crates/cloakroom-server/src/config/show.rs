//! The effective configuration, key by key, with the place each value comes from.

use std::collections::BTreeMap;
use std::time::Duration;

use cloakroom_core::Timeouts;
use cloakroom_http::ForwardingHeader;

use super::Loaded;
use super::error::Place;
use super::keys::KEYS;
use super::model::Config;
use super::session::{on_limit_word, preset_word};
use super::units::{format_bytes, format_duration};

/// One key of the effective configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct EffectiveKey {
    path: Vec<String>,
    value: Option<toml::Value>,
    source: Source,
}

impl EffectiveKey {
    /// The key, part by part: its sections, then its name.
    #[must_use]
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// The key, dotted.
    #[must_use]
    pub fn key(&self) -> String {
        self.path.join(".")
    }

    /// Its value; `None` where it is not set and has no default.
    #[must_use]
    pub fn value(&self) -> Option<&toml::Value> {
        self.value.as_ref()
    }

    /// Where the value comes from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }
}

/// Where an effective value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// Built in.
    Default,
    /// Follows from another key.
    DerivedFrom(&'static str),
    /// Was set.
    Set(Place),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::DerivedFrom(key) => write!(f, "from {key}"),
            Self::Set(place) => place.fmt(f),
        }
    }
}

impl Loaded {
    /// Every key with its effective value, secrets masked, sections together.
    #[must_use]
    pub fn effective(&self) -> Vec<EffectiveKey> {
        let values = values(&self.config);
        let mut keys = Vec::new();
        for pattern in KEYS {
            for path in self.paths_of(pattern) {
                let refs: Vec<&str> = path.iter().map(String::as_str).collect();
                let source = match self.layers.place(&refs) {
                    Some(place) => Source::Set(place.clone()),
                    None => self.source_of_unset(pattern, &path),
                };
                let value = self.masked(pattern, values.get(&path).cloned());
                keys.push(EffectiveKey { path, value, source });
            }
        }
        // Keys of several roles come key by key: a section is written once.
        let mut sections: Vec<Vec<String>> = Vec::new();
        for key in &keys {
            let section = section_of(key);
            if !sections.iter().any(|known| known == section) {
                sections.push(section.to_vec());
            }
        }
        keys.sort_by_key(|key| sections.iter().position(|known| known == section_of(key)));
        keys
    }

    /// The effective configuration as TOML that reads back (where nothing is masked), each value with its source.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut section: &[String] = &[];
        let effective = self.effective();
        for key in &effective {
            let Some((name, parents)) = key.path.split_last() else { continue };
            if parents != section {
                section = parents;
                let quoted: Vec<String> = parents.iter().map(|part| quote_key(part)).collect();
                text.push_str(&format!("\n[{}]\n", quoted.join(".")));
            }
            match &key.value {
                Some(value) => {
                    let assignment = format!("{name} = {value}");
                    text.push_str(&format!("{assignment:<48} # {}\n", key.source));
                }
                None => text.push_str(&format!("# {name} is not set\n")),
            }
        }
        text
    }

    fn paths_of(&self, pattern: &str) -> Vec<Vec<String>> {
        let split = |path: &str| path.split('.').map(str::to_owned).collect::<Vec<_>>();
        match pattern.split_once(".*.") {
            None => vec![split(pattern)],
            Some((section, key)) => {
                let names = self.config.policy.roles().keys().map(|role| role.as_str().to_owned());
                names.map(|name| [split(section), vec![name], vec![key.to_owned()]].concat()).collect()
            }
        }
    }

    fn source_of_unset(&self, pattern: &str, path: &[String]) -> Source {
        match pattern {
            "public_url" => Source::DerivedFrom("listen"),
            "store" if self.layers.value(&["store_file"]).is_some() => Source::DerivedFrom("store_file"),
            "store_moving_from" if self.layers.value(&["store_moving_from_file"]).is_some() => {
                Source::DerivedFrom("store_moving_from_file")
            }
            "accounts" if self.layers.value(&["accounts_file"]).is_some() => {
                Source::DerivedFrom("accounts_file")
            }
            // Of an administrator's own default and what holds for everybody, the shorter one.
            "session.roles.*.idle_timeout" => self.source_of_role(path, |t| t.idle, "session.idle_timeout"),
            "session.roles.*.absolute_timeout" => {
                self.source_of_role(path, |t| t.absolute, "session.absolute_timeout")
            }
            key if key.starts_with("session.") && self.layers.value(&["session", "preset"]).is_some() => {
                Source::DerivedFrom("session.preset")
            }
            _ => Source::Default,
        }
    }

    fn source_of_role(
        &self,
        path: &[String],
        of: fn(&Timeouts) -> Duration,
        everybody: &'static str,
    ) -> Source {
        let own = path.get(2).and_then(|name| self.config.policy.roles().get(name.as_str())).map(of);
        if own == Some(of(&self.config.policy.timeouts())) {
            Source::DerivedFrom(everybody)
        } else {
            Source::Default
        }
    }

    fn masked(&self, pattern: &str, value: Option<toml::Value>) -> Option<toml::Value> {
        match pattern {
            // Whoever put the address into a file of its own treats it as a secret.
            "store" if self.layers.value(&["store_file"]).is_some() => Some(toml::Value::from(MASK)),
            "store_moving_from" if self.layers.value(&["store_moving_from_file"]).is_some() => {
                Some(toml::Value::from(MASK))
            }
            "accounts" if self.layers.value(&["accounts_file"]).is_some() => Some(toml::Value::from(MASK)),
            "store_file" | "store_moving_from_file" | "accounts_file" => {
                self.layers.value(&[pattern])?.as_str().map(toml::Value::from)
            }
            _ => value,
        }
    }
}

fn section_of(key: &EffectiveKey) -> &[String] {
    key.path.split_last().map_or(&[], |(_, section)| section)
}

/// What stands for a secret.
const MASK: &str = "********";

fn values(config: &Config) -> BTreeMap<Vec<String>, toml::Value> {
    let mut values = BTreeMap::new();
    let mut put = |key: &str, value: toml::Value| {
        values.insert(key.split('.').map(str::to_owned).collect::<Vec<_>>(), value);
    };
    put("listen", config.listen.to_string().into());
    put("public_url", config.public_url.to_string().into());
    put("data_dir", config.data_dir.display().to_string().into());
    put("store", config.store.to_string().into());
    if let Some(from) = &config.store_moving_from {
        put("store_moving_from", from.to_string().into());
    }
    put("accounts", config.accounts.to_string().into());
    put("dangerously_insecure_http", config.dangerously_insecure_http.into());
    if let Some(address) = config.metrics_listen {
        put("metrics_listen", address.to_string().into());
    }
    put("cookie.name", config.cookie.name().into());
    put("cookie.same_site", config.cookie.same_site().as_str().to_ascii_lowercase().into());
    if let Some(domain) = config.cookie.domain() {
        put("cookie.domain", domain.into());
    }
    put("near_cache.max_bytes", format_bytes(config.near_cache.max_bytes()).into());
    put("near_cache.lease", duration(config.near_cache.lease()));
    let sealed = &config.sealed;
    put("sealed.application", sealed.application.as_str().into());
    if let Some(path) = &sealed.keys_file {
        put("sealed.keys_file", path.display().to_string().into());
    }
    if sealed.keys.is_some() {
        put("sealed.keys", MASK.into());
    }
    put("sealed.dangerously_open_when_unreachable", sealed.dangerously_open_when_unreachable.into());
    put("sealed.replay", sealed.replay.as_str().into());
    put("sign_in.attempts_per_account", i64::from(config.sign_in.attempts_per_account).into());
    put("sign_in.attempts_per_address", i64::from(config.sign_in.attempts_per_address).into());
    put("sign_in.window", duration(config.sign_in.window));
    put("console.fresh_within", duration(config.console.fresh_within));
    put("console.support_sees_addresses", config.console.support_sees_addresses.into());
    for (key, value) in config.detection.values() {
        put(&key, value);
    }
    put("trust.proxies", list(config.trust.proxies.iter().map(ToString::to_string)));
    put("trust.forwarding_header", forwarding_header_word(config.trust.forwarding_header).into());
    put("trust.origins", list(config.trust.origins.iter().map(ToString::to_string)));
    put("trust.return_hosts", list(config.trust.return_hosts.iter().cloned()));
    if let Some(tls) = &config.tls {
        put("tls.cert_file", tls.cert_file.display().to_string().into());
        put("tls.key_file", tls.key_file.display().to_string().into());
        if let Some(address) = tls.redirect_listen {
            put("tls.redirect_listen", address.to_string().into());
        }
    }
    put("log.format", config.log.format.as_str().into());
    put("log.level", config.log.level.as_str().into());
    if let Some(endpoint) = &config.telemetry.endpoint {
        put("telemetry.otlp_endpoint", endpoint.to_string().into());
    }
    if let Some(file) = &config.telemetry.headers_file {
        put("telemetry.otlp_headers_file", file.display().to_string().into());
    }
    put("telemetry.traces_sample_ratio", config.telemetry.sample_ratio.as_f64().into());
    put("telemetry.metrics_interval", duration(config.telemetry.metrics_interval));
    put("telemetry.service_name", config.telemetry.service_name.as_str().into());
    put("telemetry.traceparent", config.telemetry.traceparent.as_str().into());
    put_session(config, &mut values);
    put_audit(config, &mut values);
    values
}

fn put_session(config: &Config, values: &mut BTreeMap<Vec<String>, toml::Value>) {
    let policy = &config.policy;
    let mut put = |path: &[&str], value: toml::Value| {
        let path = ["session"].iter().chain(path).map(|&part| part.to_owned()).collect();
        values.insert(path, value);
    };
    put(&["preset"], preset_word(config.preset).into());
    put(&["idle_timeout"], duration(policy.timeouts().idle));
    put(&["absolute_timeout"], duration(policy.timeouts().absolute));
    put(&["touch_interval"], duration(policy.touch_interval()));
    put(&["tombstone_retention"], duration(policy.tombstone_retention()));
    if let Some(interval) = policy.rotate_every() {
        put(&["rotate_every"], duration(interval));
    }
    put(&["per_principal_max"], i64::from(policy.limit().map_or(0, |limit| limit.max.get())).into());
    put(&["on_limit"], on_limit_word(policy.limit().map(|limit| limit.on_limit).unwrap_or_default()).into());
    put(
        &["attributes_max_bytes"],
        format_bytes(policy.attributes_max_bytes().try_into().unwrap_or(u64::MAX)).into(),
    );
    put(&["remember_me", "enabled"], policy.remember_me().is_some().into());
    if let Some(timeouts) = policy.remember_me() {
        put(&["remember_me", "idle_timeout"], duration(timeouts.idle));
        put(&["remember_me", "absolute_timeout"], duration(timeouts.absolute));
    }
    for (role, timeouts) in policy.roles() {
        put(&["roles", role.as_str(), "idle_timeout"], duration(timeouts.idle));
        put(&["roles", role.as_str(), "absolute_timeout"], duration(timeouts.absolute));
    }
}

fn put_audit(config: &Config, values: &mut BTreeMap<Vec<String>, toml::Value>) {
    let audit = &config.audit;
    let mut put = |key: &str, value: toml::Value| {
        values.insert(vec!["audit".to_owned(), key.to_owned()], value);
    };
    put("on_full", audit.on_full.as_str().into());
    put("queue", i64::try_from(audit.queue).unwrap_or(i64::MAX).into());
    put("wait", duration(audit.wait));
    put("retention", duration(audit.retention));
    put("events_max", i64::try_from(audit.events_max).unwrap_or(i64::MAX).into());
    put("trusted_keys", list(audit.trusted_keys.iter().map(ToString::to_string)));
    for (key, path) in [("key_file", &audit.key_file), ("file", &audit.file), ("journald", &audit.journald)] {
        if let Some(path) = path {
            put(key, path.display().to_string().into());
        }
    }
    if let Some(syslog) = &audit.syslog {
        put("syslog", syslog.to_string().into());
    }
}

fn forwarding_header_word(header: ForwardingHeader) -> &'static str {
    match header {
        ForwardingHeader::XForwardedFor => "x-forwarded-for",
        ForwardingHeader::Forwarded => "forwarded",
    }
}

fn duration(duration: Duration) -> toml::Value {
    format_duration(duration).into()
}

fn list(items: impl Iterator<Item = String>) -> toml::Value {
    toml::Value::Array(items.map(toml::Value::from).collect())
}

fn quote_key(part: &str) -> String {
    let bare = !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare { part.to_owned() } else { toml::Value::from(part).to_string() }
}
