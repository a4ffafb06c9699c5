//! From merged keys to a [`Config`]: reads every section and refuses combinations that cannot be kept.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::model::{
    Config, CookieConfig, LogConfig, LogFormat, LogLevel, SameSite, SignInConfig, TlsConfig, TrustConfig,
};
use super::public_url::PublicUrl;
use super::read::{Reader, Setting};
use super::session::read_policy;
use super::store_url::StoreUrl;

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
    Config {
        listen,
        cookie: read_cookie(r, &public_url),
        public_url,
        public_url_is_derived,
        data_dir: r.get("data_dir").unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR)),
        store: read_store(r),
        metrics_listen: r.get("metrics_listen"),
        dangerously_insecure_http,
        preset,
        policy,
        sign_in: read_sign_in(r),
        trust: read_trust(r),
        tls,
        log: LogConfig {
            format: r.get("log.format").unwrap_or(LogFormat::Text),
            level: r.get("log.level").unwrap_or(LogLevel::Info),
        },
    }
}

/// Whether browsers may come over plain http from other machines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PlainHttp {
    Refused,
    DangerouslyAllowed,
}

fn read_store(r: &mut Reader<'_>) -> StoreUrl {
    let direct: Option<String> = r.get("store");
    let file: Option<PathBuf> = r.get("store_file");
    let (key, text) = match (direct, file) {
        (Some(_), Some(_)) => {
            r.problem("store_file", "both `store` and `store_file` are set", "remove one of them");
            return StoreUrl::Sqlite { path: None };
        }
        (Some(text), None) => ("store", text),
        (None, Some(path)) => match std::fs::read_to_string(&path) {
            Ok(text) => ("store_file", text),
            Err(e) => {
                let cause = format!("`store_file` cannot be read: {}: {e}", path.display());
                r.problem("store_file", cause, "name a readable file that holds the address of the store");
                return StoreUrl::Sqlite { path: None };
            }
        },
        (None, None) => return StoreUrl::Sqlite { path: None },
    };
    StoreUrl::parse(text.trim()).unwrap_or_else(|error| {
        r.problem(key, error.to_string(), error.remedy);
        StoreUrl::Sqlite { path: None }
    })
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
        Err(why) => {
            r.problem(
                "public_url",
                format!("`public_url` {why}"),
                "write an origin, such as \"https://id.example.org\"",
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

fn read_cookie(r: &mut Reader<'_>, public_url: &PublicUrl) -> CookieConfig {
    let secure = public_url.is_https() || public_url.is_local();
    let default_name = if secure { DEFAULT_COOKIE_NAME } else { DEFAULT_INSECURE_COOKIE_NAME };
    let cookie = CookieConfig {
        name: r.get("cookie.name").unwrap_or_else(|| default_name.to_owned()),
        same_site: r.get("cookie.same_site").unwrap_or(SameSite::Lax),
        domain: r.get("cookie.domain"),
    };
    check_cookie_name(r, &cookie.name, secure);
    if cookie.same_site == SameSite::None && !secure {
        let cause = "`cookie.same_site` is \"none\", which browsers accept over https only";
        r.problem("cookie.same_site", cause, "use https, or \"lax\"");
    }
    if let Some(domain) = &cookie.domain {
        check_cookie_domain(r, domain, &cookie.name, public_url);
    }
    cookie
}

fn check_cookie_name(r: &mut Reader<'_>, name: &str, secure: bool) {
    let prefixed = name.starts_with(HOST_PREFIX) || name.starts_with(SECURE_PREFIX);
    let bare = name.strip_prefix(HOST_PREFIX).or_else(|| name.strip_prefix(SECURE_PREFIX)).unwrap_or(name);
    // RFC 6265 §4.1.1: a cookie's name is a token.
    let is_token = !bare.is_empty()
        && bare.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    let shown = name.escape_debug();
    if !is_token || name.len() > COOKIE_NAME_MAX_BYTES {
        let cause = format!("`cookie.name` \"{shown}\" is no name that a cookie can have");
        r.problem(
            "cookie.name",
            cause,
            format!("use letters, digits, `-` and `_`, such as \"{DEFAULT_COOKIE_NAME}\""),
        );
    } else if secure && !prefixed {
        let cause = format!(
            "`cookie.name` \"{shown}\" lacks the prefix `{HOST_PREFIX}`: other hosts and plain http could set it"
        );
        r.problem("cookie.name", cause, format!("write \"{HOST_PREFIX}{shown}\""));
    } else if !secure && prefixed {
        let cause = format!("`cookie.name` \"{shown}\" has a prefix that browsers refuse over plain http");
        r.problem("cookie.name", cause, "use https, or remove the prefix");
    }
}

fn check_cookie_domain(r: &mut Reader<'_>, domain: &str, name: &str, public_url: &PublicUrl) {
    let host = public_url.host();
    let covers = host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if name.starts_with(HOST_PREFIX) {
        let cause = format!(
            "`cookie.domain` shares the cookie with subdomains, which the prefix `{HOST_PREFIX}` rules out"
        );
        r.problem(
            "cookie.domain",
            cause,
            "set `cookie.name = \"__Secure-cloakroom\"`, or remove `cookie.domain`",
        );
    } else if !covers || !domain.contains('.') || host.parse::<std::net::IpAddr>().is_ok() {
        let cause = format!(
            "`cookie.domain` \"{}\" does not cover the host of `public_url`, {host}",
            domain.escape_debug()
        );
        r.problem(
            "cookie.domain",
            cause,
            "name the host's parent domain, without a leading dot, such as \"example.org\"",
        );
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
    let mut trust =
        TrustConfig { proxies: r.get("trust.proxies").unwrap_or_default(), ..TrustConfig::default() };
    for text in r.get::<Vec<String>>("trust.origins").unwrap_or_default() {
        match PublicUrl::parse(&text) {
            Ok(origin) => trust.origins.push(origin.origin()),
            Err(why) => {
                let cause = format!("`trust.origins` has \"{}\", which {why}", text.escape_debug());
                r.problem("trust.origins", cause, "write origins, such as \"https://app.example.org\"");
            }
        }
    }
    for text in r.get::<Vec<String>>("trust.return_hosts").unwrap_or_default() {
        match return_host(&text) {
            Some(host) => trust.return_hosts.push(host),
            None => {
                let cause =
                    format!("`trust.return_hosts` has \"{}\", which is no host name", text.escape_debug());
                r.problem(
                    "trust.return_hosts",
                    cause,
                    "write hosts, such as \"app.example.org\" or \"localhost:3000\"",
                );
            }
        }
    }
    trust
}

/// The host, with its port where one is written, in the spelling that URLs are compared in.
fn return_host(text: &str) -> Option<String> {
    let url = Url::parse(&format!("https://{text}/")).ok()?;
    let bare = url.username().is_empty() && url.password().is_none() && url.path() == "/";
    let plain = bare && url.query().is_none() && url.fragment().is_none() && !text.contains(['/', '\\', '@']);
    let host = url.host_str().filter(|_| plain)?;
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
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

/// Names that browsers accept only from the host itself, over TLS, for every path (RFC 6265bis §4.1.3.2).
pub(super) const HOST_PREFIX: &str = "__Host-";
/// Names that browsers accept over TLS only (RFC 6265bis §4.1.3.1).
pub(super) const SECURE_PREFIX: &str = "__Secure-";

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);
const DEFAULT_DATA_DIR: &str = "cloakroom-data";
const DEFAULT_COOKIE_NAME: &str = "__Host-cloakroom";
const DEFAULT_INSECURE_COOKIE_NAME: &str = "cloakroom";
/// Longer names only waste a browser's room (4096 bytes for name and value).
const COOKIE_NAME_MAX_BYTES: usize = 128;
const DEFAULT_WINDOW: Duration = Duration::from_secs(15 * 60);
const MIN_WINDOW: Duration = Duration::from_secs(1);
const MAX_WINDOW: Duration = Duration::from_secs(24 * 3600);
