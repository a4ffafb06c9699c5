//! From merged keys to a [`Config`]: reads every section and refuses combinations that cannot be kept.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cloakroom_http::{CookiePolicy, CookiePolicyError, Origin};
use ipnet::IpNet;

use super::accounts_url::AccountsUrl;
use super::audit::read_audit;
use super::console::read_console;
use super::detection::read_detection;
use super::model::{Config, LogConfig, LogFormat, LogLevel, SignInConfig, TlsConfig, TrustConfig};
use super::near_cache::read_near_cache;
use super::public_url::PublicUrl;
use super::read::{Reader, Setting};
use super::sealed::read_sealed;
use super::session::read_policy;
use super::store_url::StoreUrl;
use super::telemetry::read_telemetry;

/// Reads everything; what is wrong stays in the reader, and then the configuration returned must not be used.
pub(super) fn resolve(r: &mut Reader<'_>) -> Config {
    let listen = r.get("listen").unwrap_or(DEFAULT_LISTEN);
    let tls = read_tls(r);
    let dangerously_insecure_http = r.get("dangerously_insecure_http").unwrap_or(false);
    let plain_http =
        if dangerously_insecure_http { PlainHttp::DangerouslyAllowed } else { PlainHttp::Refused };
    let explicit_url = read_public_url(r, tls.as_ref(), plain_http);
    let public_url_is_derived = explicit_url.is_none();
    let public_url = explicit_url.unwrap_or_else(|| PublicUrl::local(listen, tls.is_some()));
    let (preset, policy) = read_policy(r);
    let (store, store_moving_from) = read_store(r);
    if store.is_sealed() && policy.limit().is_some() {
        let cause = "sealed sessions are in their cookies: nobody can count how many one person has";
        r.problem(
            "session.per_principal_max",
            cause,
            "remove it, or keep sessions in a store that has limits",
        );
    }
    Config {
        listen,
        cookie: read_cookie(r, &public_url),
        public_url,
        public_url_is_derived,
        data_dir: r.get("data_dir").unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR)),
        store,
        store_moving_from,
        accounts: read_accounts(r),
        metrics_listen: r.get("metrics_listen"),
        dangerously_insecure_http,
        preset,
        policy,
        near_cache: read_near_cache(r),
        sealed: read_sealed(r),
        sign_in: read_sign_in(r),
        audit: read_audit(r),
        trust: read_trust(r),
        tls,
        console: read_console(r),
        detection: read_detection(r),
        log: LogConfig {
            format: r.get("log.format").unwrap_or(LogFormat::Text),
            level: r.get("log.level").unwrap_or(LogLevel::Info),
        },
        telemetry: read_telemetry(r),
    }
}

/// Whether browsers may come over plain http from other machines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PlainHttp {
    Refused,
    DangerouslyAllowed,
}

fn read_store(r: &mut Reader<'_>) -> (StoreUrl, Option<StoreUrl>) {
    let store = read_store_url(r, "store", "store_file")
        .unwrap_or_else(|| StoreUrl::parse(DEFAULT_STORE).unwrap_or(StoreUrl::Sqlite { path: None }));
    let from = read_store_url(r, "store_moving_from", "store_moving_from_file");
    let key =
        if r.place("store_moving_from").is_some() { "store_moving_from" } else { "store_moving_from_file" };
    match &from {
        Some(from) if *from == store => {
            r.problem(
                key,
                "sessions cannot be moved from a store to itself",
                "name the old store, or remove it",
            );
        }
        Some(from) if from.is_sealed() || store.is_sealed() => {
            let cause = "sealed sessions are in their cookies, out of anybody's reach: they cannot be moved";
            r.problem(key, cause, "remove it; people sign in again");
        }
        Some(from) if from.is_in_the_server() => {
            let cause = "sessions in memory end with the server: there is nothing to move";
            r.problem(key, cause, "remove it");
        }
        Some(_) if store.is_in_the_server() => {
            let cause = "sessions cannot be moved into the memory of one server";
            r.problem(key, cause, "remove it, or set `store` to a store that lasts");
        }
        Some(_) | None => {}
    }
    (store, from)
}

fn read_store_url(r: &mut Reader<'_>, key: &'static str, file_key: &'static str) -> Option<StoreUrl> {
    let (place, text) = read_address(r, key, file_key)?;
    let url = StoreUrl::parse(&text);
    url.map_err(|error| r.problem(place, error.to_string(), error.remedy)).ok()
}

fn read_accounts(r: &mut Reader<'_>) -> AccountsUrl {
    let default = AccountsUrl::Sqlite { path: None };
    let Some((place, text)) = read_address(r, "accounts", "accounts_file") else { return default };
    let url = AccountsUrl::parse(&text);
    url.map_err(|error| r.problem(place, error.to_string(), error.remedy())).unwrap_or(default)
}

/// The address at `key`, or in the file that is named at `file_key`, and which of them it is.
fn read_address(
    r: &mut Reader<'_>,
    key: &'static str,
    file_key: &'static str,
) -> Option<(&'static str, String)> {
    let direct: Option<String> = r.get(key);
    let file: Option<PathBuf> = r.get(file_key);
    let (place, text) = match (direct, file) {
        (Some(_), Some(_)) => {
            r.problem(file_key, format!("both `{key}` and `{file_key}` are set"), "remove one of them");
            return None;
        }
        (Some(text), None) => (key, text),
        (None, Some(path)) => match std::fs::read_to_string(&path) {
            Ok(text) => (file_key, text),
            Err(e) => {
                let cause = format!("`{file_key}` cannot be read: {}: {e}", path.display());
                r.problem(file_key, cause, format!("name a readable file that holds what `{key}` would say"));
                return None;
            }
        },
        (None, None) => return None,
    };
    Some((place, text.trim().to_owned()))
}

fn read_tls(r: &mut Reader<'_>) -> Option<TlsConfig> {
    let cert_file: Option<PathBuf> = r.get("tls.cert_file");
    let key_file: Option<PathBuf> = r.get("tls.key_file");
    let redirect_listen: Option<SocketAddr> = r.get("tls.redirect_listen");
    match (cert_file, key_file) {
        (Some(cert_file), Some(key_file)) => Some(TlsConfig { cert_file, key_file, redirect_listen }),
        (Some(_), None) => {
            r.problem("tls.cert_file", "TLS has a certificate but no private key", "set `tls.key_file` too");
            None
        }
        (None, Some(_)) => {
            r.problem("tls.key_file", "TLS has a private key but no certificate", "set `tls.cert_file` too");
            None
        }
        (None, None) => {
            if redirect_listen.is_some() {
                let remedy = "set `tls.cert_file` and `tls.key_file`, or remove it";
                r.problem("tls.redirect_listen", "`tls.redirect_listen` has no TLS to redirect to", remedy);
            }
            None
        }
    }
}

fn read_public_url(r: &mut Reader<'_>, tls: Option<&TlsConfig>, plain_http: PlainHttp) -> Option<PublicUrl> {
    let text: String = r.get("public_url")?;
    let url = match PublicUrl::parse(&text) {
        Ok(url) => url,
        Err(_) => {
            let cause = format!("`public_url` is \"{}\", which is no origin", text.escape_debug());
            r.problem(
                "public_url",
                cause,
                "write scheme, host and port only, such as \"https://id.example.org\"",
            );
            return None;
        }
    };
    if tls.is_some() && !url.is_https() {
        let cause = "`public_url` is http, but [tls] is on";
        r.problem("public_url", cause, format!("write \"https://{}\"", url.host()));
    } else if !url.is_https() && !url.is_local() && plain_http == PlainHttp::Refused {
        let cause = format!(
            "`public_url` is plain http on {}: everybody on the way could take the session cookies",
            url.host()
        );
        let remedy = "use https (your own [tls] or a proxy's); only to try something out, set `dangerously_insecure_http = true`";
        r.problem("public_url", cause, remedy);
    }
    Some(url)
}

/// Reads the cookie policy. Browsers keep a `Secure` cookie on this machine over plain http, too; everywhere else plain
/// http was refused before, or asked for dangerously.
fn read_cookie(r: &mut Reader<'_>, public_url: &PublicUrl) -> CookiePolicy {
    let secure = public_url.is_https() || public_url.is_local();
    let name: Option<String> = r.get("cookie.name");
    let domain: Option<String> = r.get("cookie.domain");
    let mut builder = CookiePolicy::builder().same_site(r.get("cookie.same_site").unwrap_or_default());
    if let Some(domain) = &domain {
        builder = builder.shared_with_subdomains(domain.as_str());
        check_cookie_domain(r, domain, public_url);
    }
    if !secure {
        builder = builder.dangerously_over_plain_http();
    }
    if let Some(name) = name {
        builder = builder.named(name);
    }
    builder.build().unwrap_or_else(|error| {
        report_cookie(r, &error);
        CookiePolicy::default()
    })
}

/// Says in the words of the configuration why browsers would not keep such a cookie, or not guard it.
fn report_cookie(r: &mut Reader<'_>, error: &CookiePolicyError) {
    let (key, remedy) = match error {
        CookiePolicyError::InvalidName { .. } => ("cookie.name", "such as \"__Host-cloakroom\"".to_owned()),
        CookiePolicyError::PrefixMissing { name, expected } => (
            "cookie.name",
            format!("write \"{expected}{}\"", name.trim_start_matches("__Secure-").escape_debug()),
        ),
        CookiePolicyError::PrefixCase { expected, .. } => ("cookie.name", format!("write {expected}")),
        CookiePolicyError::PrefixBroken { .. } if r.place("cookie.domain").is_some() => {
            ("cookie.name", "write \"__Secure-…\", or remove `cookie.domain`".to_owned())
        }
        CookiePolicyError::PrefixBroken { .. } => {
            ("cookie.name", "use https, or remove the prefix".to_owned())
        }
        CookiePolicyError::SameSiteNoneNeedsSecure => {
            ("cookie.same_site", "use https, or \"lax\"".to_owned())
        }
        CookiePolicyError::InvalidDomain { .. } => {
            ("cookie.domain", "name a parent domain of the server, without a leading dot".to_owned())
        }
        _ => ("cookie", "see `cloakroom config show`".to_owned()),
    };
    r.problem(key, error.to_string(), remedy);
}

fn check_cookie_domain(r: &mut Reader<'_>, domain: &str, public_url: &PublicUrl) {
    let host = public_url.host();
    let covers = host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if !covers {
        let cause = format!(
            "`cookie.domain` \"{}\" does not cover the host of `public_url`, {host}",
            domain.escape_debug()
        );
        r.problem("cookie.domain", cause, "name the host's parent domain, such as \"example.org\"");
    }
}

fn read_sign_in(r: &mut Reader<'_>) -> SignInConfig {
    let mut attempts = |key: &str, default: u32| match r.get(key) {
        Some(0) => {
            r.problem(
                key,
                format!("`{key}` is 0: nobody could sign in"),
                format!("write at least 1; the default is {default}"),
            );
            default
        }
        Some(count) => count,
        None => default,
    };
    let attempts_per_account = attempts("sign_in.attempts_per_account", 10);
    let attempts_per_address = attempts("sign_in.attempts_per_address", 100);
    let window: Duration = r.get("sign_in.window").unwrap_or(DEFAULT_WINDOW);
    if !(MIN_WINDOW..=MAX_WINDOW).contains(&window) {
        r.problem("sign_in.window", "`sign_in.window` is outside of 1s to 24h", "the default is \"15m\"");
    }
    SignInConfig { attempts_per_account, attempts_per_address, window }
}

fn read_trust(r: &mut Reader<'_>) -> TrustConfig {
    let mut trust = TrustConfig {
        proxies: r.get("trust.proxies").unwrap_or_default(),
        forwarding_header: r.get("trust.forwarding_header").unwrap_or_default(),
        origins: r.get("trust.origins").unwrap_or_default(),
        ..TrustConfig::default()
    };
    for ReturnHost { written, origins } in r.get::<Vec<ReturnHost>>("trust.return_hosts").unwrap_or_default()
    {
        trust.return_hosts.push(written);
        trust.return_origins.extend(origins);
    }
    trust
}

/// A host with perhaps a port, and the origins it stands for.
struct ReturnHost {
    written: String,
    origins: Vec<Origin>,
}

impl Setting for ReturnHost {
    const EXPECTED: &'static str = "hosts, such as \"app.example.org\" or \"localhost:3000\"";

    fn read(value: &figment::value::Value) -> Result<Self, String> {
        let written = String::read(value)?;
        let none = || format!("has \"{}\", which is no host", written.escape_debug());
        if written.contains('/') {
            return Err(none());
        }
        let url = |scheme| PublicUrl::parse(&format!("{scheme}://{written}")).map_err(|_| none());
        let (https, http) = (url("https")?, url("http")?);
        let mut origins = vec![https.origin().clone()];
        if http.is_local() {
            origins.push(http.origin().clone());
        }
        Ok(Self { written, origins })
    }
}

impl Setting for Origin {
    const EXPECTED: &'static str = "origins, such as \"https://app.example.org\"";

    fn read(value: &figment::value::Value) -> Result<Self, String> {
        let text = String::read(value)?;
        text.parse().map_err(|_| format!("has \"{}\", which is no origin", text.escape_debug()))
    }
}

impl Setting for IpNet {
    const EXPECTED: &'static str = "networks or addresses, such as \"10.0.0.0/8\" or \"::1\"";

    fn read(value: &figment::value::Value) -> Result<Self, String> {
        let text = String::read(value)?;
        let address = || text.parse::<std::net::IpAddr>().map(Self::from);
        text.parse()
            .or_else(|_| address())
            .map_err(|_| format!("has \"{}\", which is no network", text.escape_debug()))
    }
}

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);
const DEFAULT_STORE: &str = "sqlite:";
const DEFAULT_DATA_DIR: &str = "cloakroom-data";
const DEFAULT_WINDOW: Duration = Duration::from_secs(15 * 60);
const MIN_WINDOW: Duration = Duration::from_secs(1);
const MAX_WINDOW: Duration = Duration::from_secs(24 * 3600);
