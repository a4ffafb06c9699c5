use std::collections::BTreeSet;
use std::time::Duration;

use cloakroom_core::{AalPreset, OnLimit, Role, Timeouts};
use cloakroom_http::{ForwardingHeader, SameSite};

use super::keys::KEYS;
use super::*;

fn load(text: &str) -> Config {
    loaded(Sources::of_text(text)).config
}

fn loaded(sources: Sources) -> Loaded {
    Loaded::from_sources(&sources).unwrap_or_else(|e| panic!("{e}"))
}

fn refused(text: &str) -> Vec<String> {
    let error = Loaded::from_sources(&Sources::of_text(text)).expect_err(text);
    error.problems().iter().map(|problem| format!("{problem} | {}", problem.remedy())).collect()
}

fn check_refused(text: &str, parts: &[&str]) {
    let problems = refused(text);
    assert_eq!(problems.len(), 1, "{text}: {problems:?}");
    for part in parts {
        assert!(problems[0].contains(part), "{text}: {:?} lacks {part:?}", problems[0]);
    }
}

fn warned_keys(text: &str) -> Vec<&'static str> {
    load(text).warnings().iter().map(Warning::key).collect()
}

const EVERY_KEY: &str = r#"
listen = "0.0.0.0:8443"
public_url = "https://id.example.org"
data_dir = "data"
store = "sqlite:/new/place.db"
store_moving_from = "sqlite:/old/place.db"
metrics_listen = "127.0.0.1:9100"
dangerously_insecure_http = false
[session]
preset = "aal2"
idle_timeout = "10m"
absolute_timeout = "2h"
touch_interval = "10s"
tombstone_retention = "1h"
rotate_every = "15m"
per_principal_max = 5
on_limit = "refuse"
attributes_max_bytes = "8KiB"
[session.remember_me]
enabled = true
idle_timeout = "1d"
absolute_timeout = "7d"
[session.roles.admin]
idle_timeout = "5m"
absolute_timeout = "1h"
[cookie]
name = "__Secure-id"
same_site = "strict"
domain = "example.org"
[near_cache]
max_bytes = "16MiB"
lease = "250ms"
[sealed]
application = "shop"
keys_file = "shop.keys"
dangerously_open_when_unreachable = true
replay = "changes"
[sign_in]
attempts_per_account = 5
attempts_per_address = 50
window = "5m"
[trust]
proxies = ["10.0.0.0/8", "::1"]
forwarding_header = "forwarded"
origins = ["https://app.example.org"]
return_hosts = ["app.example.org", "localhost:3000"]
[tls]
cert_file = "cert.pem"
key_file = "key.pem"
redirect_listen = "0.0.0.0:80"
[audit]
on_full = "block"
queue = 1000
wait = "1s"
retention = "90d"
events_max = 100000
key_file = "audit.key"
trusted_keys = ["ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="]
file = "audit.jsonl"
syslog = "udp://logs.example.org:514"
journald = "/run/systemd/journal/socket"
[console]
support_sees_addresses = true
fresh_within = "2m"

[detection]
repeat_window = "1h"
geo_database = ["city.mmdb"]
[detection.user_agent_changed]
grade = "reauthenticate"
[detection.network_changed]
grade = "ignore"
prefix_v4 = 24
prefix_v6 = 48
roaming = false
[detection.impossible_travel]
grade = "end"
speed_kmh = 900
distance_km = 100
[detection.parallel_use]
grade = "log"
returns = 5
window = "5m"
[detection.used_after_end]
grade = "ignore"
grace = "30s"
[detection.token_replayed]
grade = "log"
grace = "10s"
[detection.token_guessing]
grade = "log"
count = 3
window = "1m"
[detection.sign_in_failures]
grade = "log"
count = 4
window = "1m"
[detection.sign_in_burst]
grade = "log"
count = 5
window = "1m"
[detection.webhook]
url = "https://hooks.example.org"
secret_file = "hook.key"
events = ["token_replayed"]
timeout = "3s"
[log]
format = "json"
level = "debug"
[telemetry]
otlp_endpoint = "https://collector.example.org/otlp"
traces_sample_ratio = 0.5
metrics_interval = "15s"
service_name = "id"
traceparent = "from-proxies"
"#;

#[test]
fn a_server_that_nobody_configured_has_the_defaults_of_the_contract() {
    let config = Config::default();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.public_url.to_string(), "http://localhost:8080");
    assert_eq!(config.store.to_string(), "sqlite:");
    assert_eq!(config.sessions_path(), Some("cloakroom-data/sessions.db".into()));
    let staff = Timeouts { idle: Duration::from_secs(15 * 60), absolute: Duration::from_secs(8 * 3_600) };
    let policy = ["admin", "auditor", "support"]
        .into_iter()
        .fold(cloakroom_core::Policy::default(), |policy, role| {
            policy.with_role(Role::new(role).unwrap(), staff)
        });
    assert_eq!(config.policy, policy);
    assert_eq!((config.cookie.name(), config.cookie.same_site()), ("__Host-cloakroom", SameSite::Lax));
    assert!(config.cookie.is_secure());
    assert_eq!(config.near_cache, cloakroom::NearCachePolicy::default());
    assert_eq!(
        (config.near_cache.max_bytes(), config.near_cache.lease()),
        (64 << 20, Duration::from_secs(1))
    );
    assert_eq!(config.sign_in.attempts_per_account, 10);
    assert_eq!(config.sign_in.attempts_per_address, 100);
    assert_eq!(config.sign_in.window, Duration::from_secs(900));
    assert_eq!(config.warnings(), []);
}

#[test]
fn every_key_is_read() {
    let config = load(EVERY_KEY);
    assert_eq!(config.preset, AalPreset::Aal2);
    assert_eq!(config.policy.timeouts(), minutes(10, 120));
    assert_eq!(config.policy.touch_interval(), Duration::from_secs(10));
    assert_eq!(config.policy.tombstone_retention(), Duration::from_secs(3600));
    assert_eq!(config.policy.rotate_every(), Some(Duration::from_secs(900)));
    let limit = config.policy.limit().unwrap();
    assert_eq!((limit.max.get(), limit.on_limit), (5, OnLimit::Refuse));
    assert_eq!(config.policy.attributes_max_bytes(), 8192);
    assert_eq!(config.policy.remember_me(), Some(minutes(24 * 60, 7 * 24 * 60)));
    assert_eq!(config.policy.roles().get(&Role::new("admin").unwrap()), Some(&minutes(5, 60)));
    assert_eq!(config.cookie.domain(), Some("example.org"));
    assert_eq!(
        config.near_cache,
        cloakroom::NearCachePolicy::new(16 << 20, Duration::from_millis(250)).unwrap()
    );
    assert_eq!(config.trust.proxies.len(), 2);
    assert_eq!(config.trust.forwarding_header, ForwardingHeader::Forwarded);
    let origins: Vec<&str> = config.trust.return_origins.iter().map(cloakroom_http::Origin::as_str).collect();
    assert_eq!(origins, ["https://app.example.org", "https://localhost:3000", "http://localhost:3000"]);
    assert_eq!(config.tls.as_ref().unwrap().redirect_listen.unwrap().port(), 80);
    let audit = &config.audit;
    assert_eq!((audit.on_full, audit.queue), (cloakroom_audit::OnFull::Block, 1_000));
    assert_eq!((audit.wait, audit.retention), (Duration::from_secs(1), Duration::from_secs(90 * 86_400)));
    assert_eq!((audit.events_max, audit.trusted_keys.len()), (100_000, 1));
    assert_eq!(audit.syslog.as_ref().map(ToString::to_string).as_deref(), Some("udp://logs.example.org:514"));
    assert_eq!((config.log.format, config.log.level), (LogFormat::Json, LogLevel::Debug));
}

#[test]
fn a_near_cache_without_bytes_is_off_and_knows_the_lease_of_the_others() {
    let config = load("[near_cache]\nmax_bytes = 0\nlease = \"2s\"");
    assert!(!config.near_cache.is_on());
    assert_eq!(config.near_cache.lease(), Duration::from_secs(2));
}

fn minutes(idle: u64, absolute: u64) -> Timeouts {
    Timeouts { idle: Duration::from_secs(idle * 60), absolute: Duration::from_secs(absolute * 60) }
}

/// A key with `*` where a role stands: keys of roles are shown for those that staff has, too.
fn of_any_role(key: &str) -> String {
    ["admin", "auditor", "support"]
        .iter()
        .fold(key.to_owned(), |key, role| key.replace(&format!(".{role}."), ".*."))
}

#[test]
fn the_effective_configuration_shows_every_key_and_reads_back_equal() {
    let first = loaded(Sources::of_text(EVERY_KEY));
    let shown: BTreeSet<String> = first.effective().iter().map(|key| of_any_role(&key.key())).collect();
    assert_eq!(shown, KEYS.iter().map(|&key| key.to_owned()).collect());
    for key in first.effective() {
        assert_eq!(
            key.value().is_some(),
            // Keys that seal come from the environment alone.
            key.key() != "sealed.keys" && !key.key().ends_with("_file")
                || ["tls.", "detection.", "audit.", "sealed.keys_"].iter().any(|s| key.key().starts_with(s)),
            "{} has no value",
            key.key()
        );
    }
    let second = load(&first.to_toml());
    assert_eq!(format!("{:?}", first.config), format!("{second:?}"));
}

#[test]
fn each_value_tells_where_it_comes_from() {
    let sources = Sources {
        environment: vec![
            ("CLOAKROOM__SESSION__IDLE_TIMEOUT".into(), "7m".into()),
            ("CLOAKROOM__DATA_DIR".into(), "from-environment".into()),
            ("CLOAKROOM__TRUST__PROXIES".into(), "10.0.0.1, 10.1.0.0/16".into()),
            ("HOME".into(), "/root".into()),
        ],
        overrides: Overrides { data_dir: Some("from-flag".into()), ..Overrides::default() },
        ..Sources::of_text(
            "listen = \"127.0.0.1:1\"\n\n[session]\nidle_timeout = \"5m\"\nabsolute_timeout = \"1h\"",
        )
    };
    let loaded = loaded(sources);
    assert_eq!(loaded.config.policy.timeouts(), minutes(7, 60));
    assert_eq!(loaded.config.data_dir.to_str(), Some("from-flag"));
    assert_eq!(loaded.config.trust.proxies.len(), 2);
    let source = |key: &str| loaded.effective().iter().find(|k| k.key() == key).unwrap().source().to_string();
    assert_eq!(source("listen"), "cloakroom.toml:1");
    assert_eq!(source("public_url"), "from listen");
    assert_eq!(source("data_dir"), "--data-dir");
    assert_eq!(source("session.idle_timeout"), "CLOAKROOM__SESSION__IDLE_TIMEOUT");
    assert_eq!(source("session.absolute_timeout"), "cloakroom.toml:5");
    assert_eq!(source("cookie.name"), "default");
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_one_and_all_at_once() {
    let problems = refused(
        "listn = \"x\"\n[session]\nidle_timout = \"5m\"\n[audit]\nchain = \"1s\"\n[cookie]\nname = 5",
    );
    assert_eq!(
        problems,
        [
            "cloakroom.toml:1: unknown key `listn` | did you mean `listen`?",
            "cloakroom.toml:3: unknown key `session.idle_timout` | did you mean `session.idle_timeout`?",
            "cloakroom.toml:5: unknown key `audit.chain` | remove it; then `cloakroom config show` lists every key",
            "cloakroom.toml:7: `cookie.name` is no text | expected text in quotes",
        ]
    );
}

#[test]
fn an_unknown_variable_is_answered_in_the_spelling_of_variables() {
    let sources =
        Sources { environment: vec![("CLOAKROOM__COOKIE__NAM".into(), "x".into())], ..Sources::default() };
    let error = Loaded::from_sources(&sources).unwrap_err();
    assert_eq!(error.to_string(), "CLOAKROOM__COOKIE__NAM: unknown key `CLOAKROOM__COOKIE__NAM`");
    assert_eq!(error.problems()[0].remedy(), "did you mean `CLOAKROOM__COOKIE__NAME`?");
}

#[test]
fn staff_has_a_shorter_default_that_never_lengthens_anything() {
    for role in ["admin", "auditor", "support"] {
        assert_eq!(load("").policy.roles().get(role).copied(), Some(minutes(15, 8 * 60)), "{role}");
    }
    let admin = |text: &str| load(text).policy.roles().get("admin").copied();
    assert_eq!(admin("[session]\nidle_timeout = \"10m\""), Some(minutes(10, 8 * 60)));
    assert_eq!(admin("[session.roles.admin]\nidle_timeout = \"20m\""), Some(minutes(20, 8 * 60)));
    let source = |text: &str| {
        let keys = loaded(Sources::of_text(text)).effective();
        keys.iter().find(|key| key.key() == "session.roles.admin.idle_timeout").unwrap().source().to_string()
    };
    assert_eq!(source(""), "default");
    assert_eq!(source("[session]\nidle_timeout = \"10m\""), "from session.idle_timeout");
    assert_eq!(source("[session.roles.admin]\nidle_timeout = \"20m\""), "cloakroom.toml:2");
}

#[test]
fn settings_of_the_wrong_kind_are_refused_with_an_example() {
    for (text, parts) in [
        ("listen = 8080", ["is no text", "127.0.0.1:8080"]),
        ("listen = \"localhost\"", ["no address with a port", "[::]:8080"]),
        ("session = 3", ["is a section", "[session]"]),
        ("listen = { port = 1 }", ["is no text", "127.0.0.1:8080"]),
        ("[session]\nidle_timeout = 30", ["has no unit", "30m"]),
        ("[session]\nidle_timeout = \"soon\"", ["is no duration", "30m"]),
        ("[session]\non_limit = \"panic\"", ["unknown value \"panic\"", "end-oldest"]),
        ("[session]\nattributes_max_bytes = -1", ["whole number", "4KiB"]),
        ("[session.remember_me]\nenabled = \"yes\"", ["neither true nor false", "true or false"]),
        ("[near_cache]\nmax_bytes = \"1KiB\"", ["1KiB: too few", "or 0 to ask the store each time"]),
        ("[near_cache]\nlease = \"99ms\"", ["outside of 100ms to 1m", "1s"]),
        ("[near_cache]\nmax_bytes = 0\nlease = \"61s\"", ["outside of 100ms to 1m", "1s"]),
        ("[sign_in]\nattempts_per_account = 0", ["nobody could sign in", "default is 10"]),
        ("[sign_in]\nwindow = \"0s\"", ["outside of 1s to 24h", "15m"]),
        ("[trust]\nproxies = [\"proxy.local\"]", ["no network", "10.0.0.0/8"]),
        ("[trust]\norigins = [\"https://a/b\"]", ["which is no origin", "https://app"]),
        ("[trust]\nreturn_hosts = [\"a/b\"]", ["which is no host", "app.example.org"]),
        ("data_dir = \"\"", ["is empty", "a path"]),
        ("a = ", ["cloakroom.toml:1", "TOML"]),
        ("store_file = \"/nonexistent/file\"", ["cannot be read", "readable file"]),
        ("store = \"memory:\"\nstore_file = \"x\"", ["both", "remove one"]),
    ] {
        check_refused(text, &parts);
    }
}

#[test]
fn timeouts_that_cannot_be_kept_are_refused() {
    for (text, parts) in [
        (
            "[session]\nidle_timeout = \"0s\"\ntouch_interval = \"0s\"",
            ["cloakroom.toml:2", "shorter than one second"],
        ),
        ("[session]\nidle_timeout = \"13h\"", ["cloakroom.toml:2", "longer than the absolute_timeout (12h)"]),
        (
            "[session]\ntouch_interval = \"30m\"",
            ["cloakroom.toml:2", "not shorter than the idle_timeout (30m)"],
        ),
        ("[session]\nabsolute_timeout = \"9999d\"", ["cloakroom.toml:2", "ten years"]),
        ("[session.roles.admin]\nidle_timeout = \"13h\"", ["cloakroom.toml:2", "session.roles.admin"]),
        ("[session.remember_me]\nabsolute_timeout = \"1h\"", ["cloakroom.toml:2", "session.remember_me"]),
        ("[session]\nattributes_max_bytes = \"2MiB\"", ["cloakroom.toml:2", "1 MiB"]),
        ("[session.roles.\"a b\"]\nidle_timeout = \"5m\"", ["name of a role", "rename"]),
    ] {
        check_refused(text, &parts);
    }
    assert_eq!(load("[session]\nidle_timeout = \"12h\"").policy.timeouts(), minutes(720, 720));
}

#[test]
fn cookies_too_weak_to_carry_a_session_are_refused() {
    let https = "public_url = \"https://id.example.org\"\n";
    for (text, parts) in [
        ("[cookie]\nname = \"sid\"".to_owned(), ["does not begin with __Host-", "write \"__Host-sid\""]),
        ("[cookie]\nname = \"__host-sid\"".to_owned(), ["wrong case", "__Host-"]),
        ("[cookie]\nname = \"__Host-a;b\"".to_owned(), ["is not 1 to 64 characters", "__Host-cloakroom"]),
        ("public_url = \"http://id.example.org\"".to_owned(), ["plain http on id.example.org", "dangerously_insecure_http"]),
        (
            "public_url = \"http://h.example\"\ndangerously_insecure_http = true\n[cookie]\nsame_site = \"none\"".to_owned(),
            ["SameSite=None needs Secure", "lax"],
        ),
        (
            "public_url = \"http://h.example\"\ndangerously_insecure_http = true\n[cookie]\nname = \"__Host-x\"".to_owned(),
            ["demands Secure", "remove the prefix"],
        ),
        (format!("{https}[cookie]\nname = \"__Host-x\"\ndomain = \"example.org\""), ["forbids sharing", "__Secure-"]),
        (format!("{https}[cookie]\nname = \"__Secure-x\"\ndomain = \"example.com\""), ["does not cover", "parent domain"]),
        (format!("{https}[cookie]\nname = \"__Secure-x\"\ndomain = \"org\""), ["no domain to share", "parent domain"]),
        ("[tls]\ncert_file = \"c.pem\"".to_owned(), ["no private key", "tls.key_file"]),
        (
            "public_url = \"http://localhost\"\n[tls]\ncert_file = \"c\"\nkey_file = \"k\"".to_owned(),
            ["[tls] is on", "https://localhost"],
        ),
    ] {
        check_refused(&text, &parts);
    }
    let insecure = load("public_url = \"http://h.example\"\ndangerously_insecure_http = true");
    assert_eq!((insecure.cookie.name(), insecure.cookie.is_secure()), ("cloakroom", false));
}

#[test]
fn explicit_keys_win_over_the_preset_and_going_beyond_it_is_a_warning() {
    let strict = load("[session]\npreset = \"aal3\"");
    assert_eq!(strict.policy.timeouts(), AalPreset::Aal3.ceiling());
    assert_eq!(strict.policy.remember_me(), None);
    assert_eq!(strict.warnings(), []);
    assert_eq!(load("[session]\npreset = \"aal3\"\nidle_timeout = \"10m\"").warnings(), []);
    assert_eq!(warned_keys("[session]\npreset = \"aal3\"\nidle_timeout = \"16m\""), ["session"]);
    assert_eq!(
        warned_keys("[session]\npreset = \"aal2\"\nremember_me.enabled = true"),
        ["session.remember_me", "session.remember_me.enabled"]
    );
    assert_eq!(warned_keys("[session]\nabsolute_timeout = \"31d\""), ["session"]);
}

#[test]
fn what_is_merely_weak_is_a_warning() {
    for (text, key) in [
        ("store = \"memory:\"", "store"),
        ("listen = \"0.0.0.0:80\"", "public_url"),
        ("public_url = \"https://a.example\"", "trust.proxies"),
        ("[trust]\nproxies = [\"0.0.0.0/0\"]", "trust.proxies"),
        ("metrics_listen = \"0.0.0.0:9100\"", "metrics_listen"),
        ("dangerously_insecure_http = true", "dangerously_insecure_http"),
        (
            "public_url = \"https://a.example.org\"\ntrust.proxies = [\"::1\"]\ncookie.domain = \"example.org\"",
            "cookie.domain",
        ),
        ("[cookie]\nsame_site = \"none\"", "cookie.same_site"),
        ("[sign_in]\nattempts_per_account = 101", "sign_in.attempts_per_account"),
        ("[session]\ntombstone_retention = \"0s\"", "session.tombstone_retention"),
    ] {
        assert_eq!(warned_keys(text), [key], "{text}");
    }
    assert_eq!(
        warned_keys("metrics_listen = \"10.0.0.1:9100\"\n[sign_in]\nattempts_per_account = 100"),
        [""; 0]
    );
}

#[test]
fn the_store_address_can_come_from_a_file_and_is_then_masked() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("store");
    std::fs::write(&file, "sqlite:/secret/place.db\n").unwrap();
    let loaded = loaded(Sources::of_text(&format!("store_file = {:?}", file.to_str().unwrap())));
    assert_eq!(loaded.config.sessions_path(), Some("/secret/place.db".into()));
    assert!(!loaded.to_toml().contains("secret/place"), "{}", loaded.to_toml());
}

#[test]
fn a_server_on_a_port_that_the_system_chose_is_found_there() {
    let config = load("listen = \"127.0.0.1:0\"").bound_to("127.0.0.1:5555".parse().unwrap());
    assert_eq!(config.public_url.to_string(), "http://localhost:5555");
    let fixed = load("listen = \"127.0.0.1:0\"\npublic_url = \"https://a.example\"");
    assert_eq!(fixed.bound_to("127.0.0.1:5555".parse().unwrap()).public_url.to_string(), "https://a.example");
}

#[test]
fn sessions_move_between_two_stores_that_outlive_the_server() {
    let config = load("store = \"sqlite:/new.db\"\nstore_moving_from = \"sqlite:/old.db\"");
    assert_eq!(config.store_moving_from, Some(StoreUrl::Sqlite { path: Some("/old.db".into()) }));
    let warnings = config.warnings();
    let told = warnings.iter().find(|warning| warning.key() == "store_moving_from").unwrap();
    assert!(told.cause().contains("two stores, sqlite:/old.db and sqlite:/new.db"), "{told:?}");
    assert!(told.remedy().contains("once, anywhere; when it has ended with exit code 0"), "{told:?}");
    for (text, cause) in [
        ("store_moving_from = \"sqlite:\"", "to itself"),
        ("store_moving_from = \"memory:\"", "nothing to move"),
        ("store = \"memory:\"\nstore_moving_from = \"sqlite:\"", "the memory of one server"),
        ("store_moving_from = \"sqlite:x\"\nstore_moving_from_file = \"y\"", "both"),
        ("store_moving_from_file = \"/nowhere/at/all\"", "cannot be read"),
    ] {
        let error = Loaded::from_sources(&Sources::of_text(text)).unwrap_err();
        assert!(error.to_string().contains(cause), "{text}: {error}");
    }
}

#[cfg(feature = "sealed")]
#[test]
fn what_lowers_the_security_of_sealed_sessions_is_a_warning() {
    let causes = |text: &str| -> Vec<String> {
        load(text).warnings().iter().map(|w| format!("{}: {}", w.key(), w.cause())).collect()
    };
    let durable = "store = \"sealed:?revocations=sqlite:\"";
    assert_eq!(causes(durable), [""; 0]);
    for (text, warned) in [
        ("store = \"sealed:\"", "store: no list of ends"),
        ("store = \"sealed:?revocations=memory:\"", "store: the list of ends is in this server's memory"),
        (
            "store = \"sealed:?revocations=sqlite:\"\n[sealed]\ndangerously_open_when_unreachable = true",
            "sealed.dangerously_open_when_unreachable: while the list",
        ),
        ("[sealed]\nreplay = \"changes\"", "sealed: [sealed] does nothing where sessions live in sqlite:"),
    ] {
        let causes = causes(text);
        assert!(causes.len() == 1 && causes[0].starts_with(warned), "{text}: {causes:?}");
    }
}

#[cfg(feature = "sealed")]
#[test]
fn what_cannot_be_kept_for_sealed_sessions_is_refused() {
    let sealed = "store = \"sealed:?revocations=sqlite:\"\n";
    for (text, parts) in [
        ("[session]\nper_principal_max = 3", &["toml:3", "nobody can count"][..]),
        ("store_moving_from = \"sqlite:\"", &["toml:2", "cannot be moved"]),
        ("[sealed]\nkeys = \"00\"", &["toml:3", "do not belong into the configuration file"]),
        ("[sealed]\nkey_file = \"x\"", &["toml:3", "unknown key", "did you mean `sealed.keys_file`?"]),
        ("[sealed]\napplication = \"\"", &["toml:3", "is empty", "the default is \"cloakroom\""]),
        ("[sealed]\nreplay = \"all\"", &["toml:3", "unknown value \"all\"", "\"rotations\" or \"changes\""]),
    ] {
        check_refused(&format!("{sealed}{text}"), parts);
    }
    let moved = "store = \"sqlite:\"\nstore_moving_from = \"sealed:?revocations=sqlite:\"";
    check_refused(moved, &["toml:2", "cannot be moved"]);
}

#[cfg(feature = "sealed")]
#[test]
fn keys_come_from_the_environment_or_a_file_and_are_never_shown() {
    let variable = |text: &str| Sources {
        environment: vec![("CLOAKROOM__SEALED__KEYS".into(), text.into())],
        ..Sources::of_text("store = \"sealed:?revocations=sqlite:\"\ndata_dir = \"d\"")
    };
    let given = loaded(variable("hunter2"));
    assert_eq!(given.config.sealed.keys.as_ref().unwrap().expose(), "hunter2");
    assert_eq!(given.config.sealed_keys_path(), None);
    assert!(given.to_toml().contains("keys = \"********\""));
    assert!(!format!("{:?} {}", given.config, given.to_toml()).contains("hunter2"));
    let error = Loaded::from_sources(&variable(" ")).unwrap_err();
    assert_eq!(error.to_string(), "CLOAKROOM__SEALED__KEYS: CLOAKROOM__SEALED__KEYS is set and empty");
    let both = Sources { overrides: Overrides::default(), ..variable("hunter2") };
    let both =
        Sources { file: Sources::of_text("store = \"sealed:\"\n[sealed]\nkeys_file = \"k\"").file, ..both };
    assert!(Loaded::from_sources(&both).unwrap_err().to_string().contains("are both set"));
    let file = load("store = \"sealed:\"\ndata_dir = \"d\"");
    assert_eq!(file.sealed_keys_path(), Some("d/sealed.keys".into()));
    assert_eq!(file.sessions_path(), None);
    let listed = load("store = \"sealed:?revocations=sqlite:\"\ndata_dir = \"d\"");
    assert_eq!(listed.sessions_path(), Some("d/revocations.db".into()));
}
