//! What works but is weaker than it could be.

use std::net::IpAddr;

use cloakroom_core::{AalPreset, Timeouts};
use cloakroom_http::CookieWeakness;

use super::model::Config;
use super::remote::StoreKind;
use super::sealed::SealedConfig;
use super::session::preset_word;
use super::store_url::StoreUrl;
use super::units::format_duration;

/// A setting that works but weakens something; `doctor` shows it, and `serve` logs it when it starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Warning {
    key: &'static str,
    cause: String,
    remedy: String,
}

impl Warning {
    /// The key to look at.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// What is weak, in one line.
    #[must_use]
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// What to do about it, in one line.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

impl Config {
    /// Everything that is weaker than it could be, in the order of the configuration.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let mut found = Vec::new();
        let mut warn = |key: &'static str, cause: String, remedy: &str| {
            found.push(Warning { key, cause, remedy: remedy.to_owned() });
        };
        reachability(self, &mut warn);
        timeouts(self, &mut warn);
        cookie(self, &mut warn);
        guessing(self, &mut warn);
        found
    }
}

fn reachability(config: &Config, warn: &mut impl FnMut(&'static str, String, &str)) {
    if config.dangerously_insecure_http {
        let cause = "session cookies and passwords may travel in clear: whoever is on the way can take them";
        warn("dangerously_insecure_http", cause.into(), "serve over https and remove this setting");
    }
    if config.public_url_is_derived && !config.listen.ip().is_loopback() {
        let cause =
            format!("the server listens on {} but is only found at {}", config.listen, config.public_url);
        warn("public_url", cause, "set `public_url` to the address that people type");
    }
    if config.public_url.is_https() && config.tls.is_none() && config.trust.proxies.is_empty() {
        let cause = "a proxy must be adding https, but none is trusted: everybody seems to come from the proxy's address";
        warn("trust.proxies", cause.into(), "list the proxy's address in `trust.proxies`");
    }
    if let Some(net) = config.trust.proxies.iter().find(|net| net.prefix_len() == 0) {
        let cause = format!("{net} trusts everybody to say which address they come from");
        warn("trust.proxies", cause, "list only the addresses of your proxies");
    }
    if let Some(address) = config.metrics_listen.filter(|address| !is_private(address.ip())) {
        let cause = format!("metrics are readable by whoever reaches {address}");
        warn("metrics_listen", cause, "listen on a loopback or private address");
    }
    store(config, warn);
}

fn store(config: &Config, warn: &mut impl FnMut(&'static str, String, &str)) {
    if config.store.is_in_the_server() {
        warn("store", "a restart of the server signs everybody out".into(), "use `store = \"sqlite:\"`");
    }
    if let StoreUrl::Remote(url) = &config.store
        && url.kind() == StoreKind::Memcached
    {
        let cause = "memcached may forget a session at any time: then its user has to sign in again, and nobody can be \
                     shown who is signed in";
        warn("store", cause.into(), "use it only where that is acceptable");
    }
    sealed(config, warn);
    if let Some(from) = &config.store_moving_from {
        let cause = format!(
            "this server knows two stores, {from} and {}: sign-out needs both, and so does each request once moving has begun",
            config.store
        );
        let remedy = "run `cloakroom store migrate` once, anywhere; when it has ended with exit code 0, remove this on every node";
        warn("store_moving_from", cause, remedy);
    }
}

fn sealed(config: &Config, warn: &mut impl FnMut(&'static str, String, &str)) {
    let StoreUrl::Sealed { revocations } = &config.store else {
        if config.sealed != SealedConfig::default() {
            let cause = format!("[sealed] does nothing where sessions live in {}", config.store);
            warn("sealed", cause, "remove the section, or set `store = \"sealed:?revocations=STORE-URL\"`");
        }
        return;
    };
    match revocations.as_deref() {
        None => warn(
            "store",
            "no list of ends: whoever has a copy of a cookie stays signed in until its time is over, whatever \
             happens: signing out, another password, a disabled account, an administrator's end reach nobody"
                .into(),
            "name a place for the list: `store = \"sealed:?revocations=STORE-URL\"`",
        ),
        Some(StoreUrl::Memory { .. }) => warn(
            "store",
            "the list of ends is in this server's memory: a restart forgets it, and everybody signs in again; another \
             server never knows of it"
                .into(),
            "keep it in `sqlite:`, or for several servers in PostgreSQL, MySQL or Redis",
        ),
        Some(_) => {}
    }
    if config.sealed.dangerously_open_when_unreachable {
        let cause = "while the list of ends cannot be read, sessions are accepted that may have been ended";
        warn(
            "sealed.dangerously_open_when_unreachable",
            cause.into(),
            "remove it: sessions are then unavailable meanwhile",
        );
    }
}

fn timeouts(config: &Config, warn: &mut impl FnMut(&'static str, String, &str)) {
    let ceiling = config.preset.ceiling();
    let level = preset_word(config.preset);
    let mut check = |key: &'static str, timeouts: Timeouts| {
        if timeouts.idle > ceiling.idle || timeouts.absolute > ceiling.absolute {
            let cause = format!(
                "timeouts (idle {}, absolute {}) exceed what NIST SP 800-63B-4 allows for {level} (idle {}, absolute {})",
                format_duration(timeouts.idle),
                format_duration(timeouts.absolute),
                format_duration(ceiling.idle),
                format_duration(ceiling.absolute),
            );
            warn(key, cause, "lower them, or declare a lower preset");
        }
    };
    check("session", config.policy.timeouts());
    if let Some(remembered) = config.policy.remember_me() {
        check("session.remember_me", remembered);
        if config.preset != AalPreset::Aal1 {
            let cause = format!(
                "remembered sessions outlive the browser, which {level} does not allow for bearer tokens"
            );
            warn("session.remember_me.enabled", cause, "set it to false, or declare preset \"aal1\"");
        }
    }
    if config.policy.tombstone_retention().is_zero() {
        let cause = "nobody is told why their session ended, and the use of a dead token is not seen";
        warn("session.tombstone_retention", cause.into(), "the default is \"24h\"");
    }
}

fn cookie(config: &Config, warn: &mut impl FnMut(&'static str, String, &str)) {
    for weakness in config.cookie.weaknesses() {
        let (key, remedy) = match weakness {
            // Said already, together with everything else that plain http gives away.
            CookieWeakness::Plaintext => continue,
            CookieWeakness::SharedWithSubdomains => {
                ("cookie.domain", "remove it unless subdomains must share the session")
            }
            CookieWeakness::SentByEverySite => {
                ("cookie.same_site", "use \"lax\" unless other sites embed the server")
            }
            _ => ("cookie.name", "use the default name"),
        };
        warn(key, weakness.to_string(), remedy);
    }
}

fn guessing(config: &Config, warn: &mut impl FnMut(&'static str, String, &str)) {
    if config.sign_in.attempts_per_account > NIST_MAX_FAILURES {
        let cause = format!(
            "{} failed attempts on one account are admitted; NIST SP 800-63B-4 §3.2.2 allows {NIST_MAX_FAILURES}",
            config.sign_in.attempts_per_account
        );
        warn("sign_in.attempts_per_account", cause, "the default is 10");
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

const NIST_MAX_FAILURES: u32 = 100;
