//! `[detection]`: by which rules signs of stolen sessions are told from ordinary traffic, what is done about each, and whom
//! to call.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use cloakroom_detection::{
    Burst, Failures, Grade, Guessing, NetworkRule, Roaming, Rules, SignIns, Signal, TravelRule,
};
use url::{Host, Url};

use super::read::{Reader, Setting};
use super::units::format_duration;

/// How stolen sessions are noticed, and what is done about them.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct DetectionConfig {
    /// The rules, and what is done about each signal.
    pub rules: Rules,
    /// Databases in MaxMind's format that know where addresses are.
    pub geo_database: Vec<PathBuf>,
    /// Whom to call.
    pub webhook: Option<WebhookConfig>,
}

/// Whom to call.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookConfig {
    /// Where to.
    pub url: Url,
    /// The file with the secret that signs the calls.
    pub secret_file: PathBuf,
    /// Of which signals.
    pub events: Vec<Signal>,
    /// How long an answer may take.
    pub timeout: Duration,
}

impl std::fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A path or a query may be a secret of the receiver's.
        f.debug_struct("WebhookConfig").field("url", &self.masked_url()).finish_non_exhaustive()
    }
}

impl WebhookConfig {
    /// The receiver without what may be a secret in its address.
    #[must_use]
    pub fn masked_url(&self) -> String {
        let origin = self.url.origin().ascii_serialization();
        if self.url.path() == "/" && self.url.query().is_none() {
            origin
        } else {
            format!("{origin}/********")
        }
    }
}

/// Reads the section.
pub(super) fn read_detection(r: &mut Reader<'_>) -> DetectionConfig {
    DetectionConfig {
        rules: read_rules(r),
        geo_database: r.get("detection.geo_database").unwrap_or_default(),
        webhook: read_webhook(r),
    }
}

fn read_rules(r: &mut Reader<'_>) -> Rules {
    let mut rules = Rules::default();
    for signal in Signal::ALL {
        let key = format!("detection.{signal}.grade");
        let Some(grade) = r.get::<Grade>(&key) else { continue };
        match rules.grades.with(signal, grade) {
            Ok(grades) => rules.grades = grades,
            Err(pointless) => {
                let sensible: Vec<String> = Grade::ALL
                    .into_iter()
                    .filter(|grade| signal.objection(*grade).is_none())
                    .map(|grade| format!("\"{grade}\""))
                    .collect();
                let cause = format!("`{key}` is \"{grade}\": {}", pointless.because);
                r.problem(&key, cause, format!("write {}", sensible.join(", ")));
            }
        }
    }
    let network: NetworkRule = rules.network;
    rules.network = NetworkRule {
        v4_prefix: bits(r, "detection.network_changed.prefix_v4", network.v4_prefix, 8..=32),
        v6_prefix: bits(r, "detection.network_changed.prefix_v6", network.v6_prefix, 16..=128),
        roaming: match r.get("detection.network_changed.roaming") {
            Some(false) => Roaming::Signal,
            Some(true) | None => network.roaming,
        },
    };
    rules.travel = TravelRule {
        speed_kmh: number(r, "detection.impossible_travel.speed_kmh", rules.travel.speed_kmh),
        distance_km: number(r, "detection.impossible_travel.distance_km", rules.travel.distance_km),
    };
    rules.parallel.returns = number(r, "detection.parallel_use.returns", rules.parallel.returns);
    rules.parallel.window = time(r, "detection.parallel_use.window", rules.parallel.window, WINDOWS);
    let (after_end, after_exchange) = ("detection.used_after_end.grace", "detection.token_replayed.grace");
    rules.grace.after_end = time(r, after_end, rules.grace.after_end, GRACES);
    rules.grace.after_exchange = time(r, after_exchange, rules.grace.after_exchange, GRACES);
    rules.guessing = Guessing(burst(r, Signal::TokenGuessing, rules.guessing.0));
    rules.failures = Failures(burst(r, Signal::SignInFailures, rules.failures.0));
    rules.sign_ins = SignIns(burst(r, Signal::SignInBurst, rules.sign_ins.0));
    rules.repeats.0 = time(r, "detection.repeat_window", rules.repeats.0, REPEATS);
    rules
}

fn burst(r: &mut Reader<'_>, signal: Signal, default: Burst) -> Burst {
    Burst {
        count: number(r, &format!("detection.{signal}.count"), default.count),
        window: time(r, &format!("detection.{signal}.window"), default.window, WINDOWS),
    }
}

fn number(r: &mut Reader<'_>, key: &str, default: u32) -> u32 {
    match r.get(key) {
        Some(0) => {
            r.problem(key, format!("`{key}` is 0: everything would be a signal"), "write at least 1");
            default
        }
        Some(number) => number,
        None => default,
    }
}

fn bits(r: &mut Reader<'_>, key: &str, default: u8, allowed: RangeInclusive<u8>) -> u8 {
    let Some(written) = r.get::<u32>(key) else { return default };
    let bits = u8::try_from(written).ok().filter(|bits| allowed.contains(bits));
    bits.unwrap_or_else(|| {
        let (least, most) = (allowed.start(), allowed.end());
        r.problem(
            key,
            format!("`{key}` is {written}, which is no network's prefix"),
            format!("write {least} to {most}"),
        );
        default
    })
}

fn time(r: &mut Reader<'_>, key: &str, default: Duration, allowed: RangeInclusive<Duration>) -> Duration {
    let Some(written) = r.get::<Duration>(key) else { return default };
    if allowed.contains(&written) {
        return written;
    }
    let (least, most) = (format_duration(*allowed.start()), format_duration(*allowed.end()));
    let default_word = format_duration(default);
    r.problem(
        key,
        format!("`{key}` is outside of {least} to {most}"),
        format!("the default is \"{default_word}\""),
    );
    default
}

fn read_webhook(r: &mut Reader<'_>) -> Option<WebhookConfig> {
    let url: Option<Receiver> = r.get("detection.webhook.url");
    let secret_file: Option<PathBuf> = r.get("detection.webhook.secret_file");
    let events = r.get::<Vec<Signal>>("detection.webhook.events").unwrap_or_else(|| Signal::ALL.to_vec());
    let timeout = time(r, "detection.webhook.timeout", DEFAULT_TIMEOUT, TIMEOUTS);
    match (url, secret_file) {
        (Some(Receiver(url)), Some(secret_file)) => Some(WebhookConfig { url, secret_file, events, timeout }),
        (Some(_), None) => {
            let cause = "the webhook has no secret: its receiver could not tell its calls from anybody's";
            r.problem("detection.webhook.url", cause, "set `detection.webhook.secret_file` too");
            None
        }
        (None, Some(_)) if r.place("detection.webhook.url").is_none() => {
            let cause = "the webhook has a secret but no receiver";
            r.problem("detection.webhook.secret_file", cause, "set `detection.webhook.url` too");
            None
        }
        (None, _) => None,
    }
}

/// Where calls go: over TLS, or to this machine.
struct Receiver(Url);

impl Setting for Receiver {
    const EXPECTED: &'static str = "an address such as \"https://hooks.example.org/cloakroom\"";

    fn read(value: &figment::value::Value) -> Result<Self, String> {
        let url = Url::parse(&String::read(value)?).map_err(|_| "is no address".to_owned())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has credentials in it, which would end up in logs".to_owned());
        }
        let is_local = match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            // Not other names that begin so: they resolve to whatever their owner likes.
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if is_local => Ok(Self(url)),
            "http" => Err("is plain http: everybody on the way could read and change the calls".to_owned()),
            _ => Err("is neither https nor http".to_owned()),
        }
    }
}

impl Setting for Grade {
    const EXPECTED: &'static str = "\"ignore\", \"log\", \"reauthenticate\" or \"end\"";

    fn read(value: &figment::value::Value) -> Result<Self, String> {
        let word = String::read(value)?;
        word.parse().map_err(|_| format!("has the unknown value \"{}\"", word.escape_debug()))
    }
}

impl Setting for Signal {
    const EXPECTED: &'static str = "names of signals, such as [\"token_replayed\", \"impossible_travel\"]";

    fn read(value: &figment::value::Value) -> Result<Self, String> {
        let word = String::read(value)?;
        let found = Self::ALL.into_iter().find(|signal| signal.as_str() == word);
        found.ok_or_else(|| format!("has \"{}\", which is no signal", word.escape_debug()))
    }
}

impl DetectionConfig {
    /// Every key of the section with its value, as `config show` has it.
    pub(super) fn values(&self) -> Vec<(String, toml::Value)> {
        let rules = &self.rules;
        let mut values = Vec::new();
        let mut put = |key: &str, value: toml::Value| values.push((format!("detection.{key}"), value));
        let duration = |duration: Duration| toml::Value::from(format_duration(duration));
        let texts = |items: Vec<String>| toml::Value::Array(items.into_iter().map(Into::into).collect());
        put("repeat_window", duration(rules.repeats.0));
        let paths = self.geo_database.iter().map(|path| path.display().to_string());
        put("geo_database", texts(paths.collect()));
        for signal in Signal::ALL {
            put(&format!("{signal}.grade"), rules.grades.of(signal).as_str().into());
        }
        put("network_changed.prefix_v4", i64::from(rules.network.v4_prefix).into());
        put("network_changed.prefix_v6", i64::from(rules.network.v6_prefix).into());
        put("network_changed.roaming", (rules.network.roaming == Roaming::Allowed).into());
        put("impossible_travel.speed_kmh", i64::from(rules.travel.speed_kmh).into());
        put("impossible_travel.distance_km", i64::from(rules.travel.distance_km).into());
        put("parallel_use.returns", i64::from(rules.parallel.returns).into());
        put("parallel_use.window", duration(rules.parallel.window));
        put("used_after_end.grace", duration(rules.grace.after_end));
        put("token_replayed.grace", duration(rules.grace.after_exchange));
        for (signal, burst) in [
            (Signal::TokenGuessing, rules.guessing.0),
            (Signal::SignInFailures, rules.failures.0),
            (Signal::SignInBurst, rules.sign_ins.0),
        ] {
            put(&format!("{signal}.count"), i64::from(burst.count).into());
            put(&format!("{signal}.window"), duration(burst.window));
        }
        if let Some(webhook) = &self.webhook {
            put("webhook.url", webhook.masked_url().into());
            put("webhook.secret_file", webhook.secret_file.display().to_string().into());
            put("webhook.events", texts(webhook.events.iter().map(ToString::to_string).collect()));
            put("webhook.timeout", duration(webhook.timeout));
        }
        values
    }
}

const WINDOWS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3_600);
const GRACES: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(600);
const REPEATS: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(30 * 24 * 3_600);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::super::{Loaded, Sources};
    use super::*;

    fn load(text: &str) -> DetectionConfig {
        Loaded::from_sources(&Sources::of_text(text))
            .unwrap_or_else(|error| panic!("{error}"))
            .config
            .detection
    }

    #[test]
    fn by_default_only_a_replayed_token_ends_a_session() {
        let config = load("");
        assert_eq!(config, DetectionConfig::default());
        assert_eq!(config.rules.grades.of(Signal::TokenReplayed), Grade::End);
    }

    #[test]
    fn every_key_arrives_where_it_belongs() {
        let config = load(
            r#"
            [detection]
            geo_database = ["city.mmdb", "asn.mmdb"]
            repeat_window = "1h"
            [detection.user_agent_changed]
            grade = "reauthenticate"
            [detection.network_changed]
            grade = "end"
            prefix_v4 = 24
            prefix_v6 = 48
            roaming = false
            [detection.impossible_travel]
            grade = "ignore"
            speed_kmh = 900
            distance_km = 100
            [detection.parallel_use]
            returns = 5
            window = "5m"
            [detection.used_after_end]
            grace = "0s"
            [detection.token_replayed]
            grade = "log"
            grace = "10s"
            [detection.token_guessing]
            count = 3
            window = "1m"
            [detection.sign_in_failures]
            count = 4
            [detection.sign_in_burst]
            window = "2m"
            [detection.webhook]
            url = "https://hooks.example.org/secret"
            secret_file = "hook.key"
            events = ["token_replayed"]
            timeout = "3s"
            "#,
        );
        let rules = config.rules;
        assert_eq!(config.geo_database, [PathBuf::from("city.mmdb"), PathBuf::from("asn.mmdb")]);
        for (signal, grade) in [
            (Signal::UserAgentChanged, Grade::Reauthenticate),
            (Signal::NetworkChanged, Grade::End),
            (Signal::ImpossibleTravel, Grade::Ignore),
            (Signal::ParallelUse, Grade::Log),
            (Signal::TokenReplayed, Grade::Log),
        ] {
            assert_eq!(rules.grades.of(signal), grade, "{signal}");
        }
        let network = NetworkRule { v4_prefix: 24, v6_prefix: 48, roaming: Roaming::Signal };
        assert_eq!((rules.network, rules.travel), (network, TravelRule { speed_kmh: 900, distance_km: 100 }));
        assert_eq!((rules.parallel.returns, rules.parallel.window), (5, Duration::from_secs(300)));
        assert_eq!(
            (rules.grace.after_end, rules.grace.after_exchange),
            (Duration::ZERO, Duration::from_secs(10))
        );
        assert_eq!(rules.guessing.0, Burst { count: 3, window: Duration::from_secs(60) });
        assert_eq!(rules.failures.0, Burst { count: 4, window: Duration::from_secs(900) });
        assert_eq!(rules.sign_ins.0, Burst { count: 20, window: Duration::from_secs(120) });
        assert_eq!(rules.repeats.0, Duration::from_secs(3_600));
        let webhook = config.webhook.unwrap();
        assert_eq!(webhook.masked_url(), "https://hooks.example.org/********");
        assert!(!format!("{webhook:?}").contains("secret"));
        assert_eq!((webhook.events, webhook.timeout), (vec![Signal::TokenReplayed], Duration::from_secs(3)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_reason() {
        let webhook = |url: &str| format!("[detection.webhook]\nurl = \"{url}\"\nsecret_file = \"k\"");
        for (text, why) in [
            ("[detection.sign_in_failures]\ngrade = \"end\"".to_owned(), "put out by strangers"),
            ("[detection.used_after_end]\ngrade = \"end\"".to_owned(), "has ended already"),
            ("[detection.token_replayed]\ngrade = \"reauthenticate\"".to_owned(), "may be the thief"),
            ("[detection.token_guessing]\ngrade = \"reauthenticate\"".to_owned(), "name no session"),
            ("[detection.sign_in_burst]\ngrade = \"end\"".to_owned(), "disable the account"),
            ("[detection.parallel_use]\ngrade = \"panic\"".to_owned(), "unknown value"),
            ("[detection.parallel_use]\nreturns = 0".to_owned(), "everything would be a signal"),
            ("[detection.network_changed]\nprefix_v4 = 33".to_owned(), "no network's prefix"),
            ("[detection.token_replayed]\ngrace = \"1h\"".to_owned(), "outside of 0s to 10m"),
            (webhook("http://hooks.example.org/"), "plain http"),
            (webhook("http://localhost.example.org/"), "plain http"),
            (webhook("https://a:b@hooks.example.org/"), "credentials"),
            (webhook("ftp://hooks.example.org/"), "neither https nor http"),
            (webhook("hooks"), "no address"),
            ("[detection.webhook]\nurl = \"https://a.example/\"".to_owned(), "has no secret"),
            ("[detection.webhook]\nsecret_file = \"k\"".to_owned(), "no receiver"),
            (format!("{}\nevents = [\"everything\"]", webhook("https://a.example/")), "no signal"),
        ] {
            let error = Loaded::from_sources(&Sources::of_text(&text)).expect_err(&text);
            assert_eq!(error.problems().len(), 1, "{text}: {error}");
            assert!(error.problems()[0].to_string().contains(why), "{text}: {error}");
        }
        for local in ["http://127.0.0.1:9/", "http://[::1]:9/", "http://localhost:9/hook?x=1"] {
            assert!(load(&webhook(local)).webhook.is_some(), "{local}");
        }
    }
}
