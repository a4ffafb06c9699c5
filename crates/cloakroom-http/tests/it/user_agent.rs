//! A browser's cookie store, written from RFC 6265bis §5.6–5.8, as an oracle for every line we emit.

use std::collections::BTreeMap;
use std::time::Duration;

use cloakroom_core::{Lifetime, Persistence, Route, SessionToken, Timestamp};
use cloakroom_http::{CookiePolicy, CookiePolicyBuilder, Found, SameSite, find_token};
use http::{HeaderMap, HeaderValue, header};
use proptest::prelude::*;

/// What a browser keeps, by name, domain, host-only flag and path (§5.7 step 22).
#[derive(Default)]
struct UserAgent {
    jar: BTreeMap<(String, String, bool, String), Kept>,
}

#[derive(Clone, PartialEq, Debug)]
struct Kept {
    value: String,
    secure: bool,
    http_only: bool,
    same_site: &'static str,
    /// Seconds from now; `None` ends with the browser.
    expires_in: Option<i64>,
}

struct Site<'a> {
    host: &'a str,
    https: bool,
}

impl UserAgent {
    /// §5.6 and §5.7; `Err` says which step dropped the cookie.
    fn receive(&mut self, line: &[u8], from: &Site<'_>) -> Result<(), &'static str> {
        let line = std::str::from_utf8(line).map_err(|_| "not even text")?;
        if line.bytes().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
            return Err("control characters");
        }
        let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        let trim = |text: &str| text.trim_matches([' ', '\t']).to_owned();
        let (name, value) = (trim(name), trim(value));
        if name.len() + value.len() > 4_096 {
            return Err("too large");
        }
        let mut parsed: BTreeMap<String, String> = BTreeMap::new();
        for attribute in attributes.split(';').filter(|attribute| !attribute.is_empty()) {
            let (key, argument) = attribute.split_once('=').unwrap_or((attribute, ""));
            let argument = trim(argument);
            if argument.len() <= 1_024 && parsed.insert(trim(key).to_lowercase(), argument).is_some() {
                return Err("an attribute came twice (§4.1.1 forbids it, although browsers take the last)");
            }
        }
        self.store(name, value, &parsed, from)
    }

    fn store(
        &mut self,
        name: String,
        value: String,
        attributes: &BTreeMap<String, String>,
        from: &Site<'_>,
    ) -> Result<(), &'static str> {
        let domain = attributes.get("domain").map(|domain| domain.trim_start_matches('.').to_lowercase());
        let (domain, host_only) = match domain.filter(|domain| !domain.is_empty()) {
            Some(domain) if from.host == domain || from.host.ends_with(&format!(".{domain}")) => {
                (domain, false)
            }
            Some(_) => return Err("another host's domain"),
            None => (from.host.to_owned(), true),
        };
        let path = attributes.get("path").filter(|path| path.starts_with('/')).cloned();
        let secure = attributes.contains_key("secure");
        let same_site = match attributes.get("samesite").map(|text| text.to_lowercase()).as_deref() {
            Some("none") => "none",
            Some("strict") => "strict",
            Some("lax") => "lax",
            _ => "default",
        };
        if name.is_empty() {
            return Err("no name");
        }
        if secure && !from.https {
            return Err("Secure over plain http");
        }
        if same_site == "none" && !secure {
            return Err("SameSite=None without Secure");
        }
        let has_prefix = |prefix: &str| name.to_lowercase().starts_with(prefix);
        if has_prefix("__secure-") && !secure {
            return Err("__Secure- without Secure");
        }
        if has_prefix("__host-") && !(secure && host_only && path.as_deref() == Some("/")) {
            return Err("__Host- without Secure, host and Path=/");
        }
        let http_only = attributes.contains_key("httponly");
        if (has_prefix("__http-") || has_prefix("__host-http-")) && !(secure && http_only) {
            return Err("__Http- without Secure and HttpOnly");
        }
        let max_age = attributes.get("max-age").and_then(|text| text.parse::<i64>().ok());
        let key = (name, domain, host_only, path.unwrap_or_else(|| "/".into()));
        if max_age.is_some_and(|seconds| seconds <= 0) {
            self.jar.remove(&key);
        } else {
            let expires_in = max_age.map(|seconds| seconds.min(400 * 24 * 60 * 60));
            self.jar.insert(key, Kept { value, secure, http_only, same_site, expires_in });
        }
        Ok(())
    }

    /// §5.8.3, for a same-site request.
    fn cookie_header(&self, to: &Site<'_>) -> Option<String> {
        let matches = |(key, kept): &(&(String, String, bool, String), &Kept)| {
            let (_, domain, host_only, _) = key;
            let same_host = to.host == domain;
            let below = !host_only && to.host.ends_with(&format!(".{domain}"));
            (same_host || below) && (to.https || !kept.secure)
        };
        let pairs: Vec<_> =
            self.jar.iter().filter(matches).map(|(key, kept)| format!("{}={}", key.0, kept.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

#[derive(Clone, Debug)]
struct Case {
    same_site: SameSite,
    persistence: Persistence,
    left: Duration,
    random: [u8; 32],
}

/// Every policy that can be chosen, odd names included; those that `build` refuses are left out.
fn cases() -> impl Strategy<Value = (Case, CookiePolicy)> {
    let names = prop_oneof![
        Just(None),
        "(__Host-|__Secure-|__Host-Http-|__Http-|__host-|)[a-zA-Z0-9!#$%&'*+.^_`|~-]{0,57}".prop_map(Some),
    ];
    let same_site = prop::sample::select(vec![SameSite::Strict, SameSite::Lax, SameSite::None]);
    let choices = (any::<bool>(), any::<bool>(), same_site);
    let persistence = prop::sample::select(vec![Persistence::Browser, Persistence::Remembered]);
    let left = prop_oneof![1..120_000_u64, Just(400 * 86_400_000), Just(u64::MAX)];
    (names, choices, persistence, left, any::<[u8; 32]>()).prop_filter_map(
        "refused by build",
        |(name, (plain_http, shared, same_site), persistence, left, random)| {
            let mut builder = CookiePolicy::builder().same_site(same_site);
            if let Some(name) = name {
                builder = builder.dangerously_named(name);
            }
            if plain_http {
                builder = builder.dangerously_over_plain_http();
            }
            if shared {
                builder = builder.shared_with_subdomains("shop.example");
            }
            let left = Duration::from_millis(left);
            Some((Case { same_site, persistence, left, random }, builder.build().ok()?))
        },
    )
}

fn digest_of(header: &str, policy: &CookiePolicy) -> Option<cloakroom_core::TokenDigest> {
    let headers: HeaderMap = [(header::COOKIE, HeaderValue::from_str(header).unwrap())].into_iter().collect();
    match find_token(&headers, policy) {
        Found::Cookie(token) => Some(token.digest()),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_set_is_kept_sent_back_found_and_taken_back((case, policy) in cases()) {
        let now = Timestamp::from_millis(1_000_000);
        let here = Site { host: "www.shop.example", https: policy.is_secure() };
        let token = SessionToken::from_random(Route::from_bytes([0, 0]), case.random);
        let lifetime =
            Lifetime::new(case.left, now.plus(case.left), Duration::ZERO).with_persistence(case.persistence);
        let line = policy.set_cookie(&token, &lifetime, now);

        let mut browser = UserAgent::default();
        prop_assert_eq!(browser.receive(line.as_bytes(), &here), Ok(()));
        prop_assert_eq!(browser.jar.len(), 1);
        let kept = browser.jar.values().next().unwrap().clone();
        prop_assert_eq!(kept.secure, policy.is_secure());
        prop_assert!(kept.http_only);
        prop_assert_eq!(kept.same_site, case.same_site.as_str().to_lowercase());
        prop_assert_eq!(kept.expires_in.is_some(), case.persistence == Persistence::Remembered);
        prop_assert!(policy.name().len() + 1 + kept.value.len() <= 4_096);
        prop_assert!(line.len() <= LINE_MAX_BYTES, "{} bytes", line.len());

        let sent = browser.cookie_header(&here).unwrap();
        prop_assert_eq!(digest_of(&sent, &policy), Some(token.digest()));
        let sibling = Site { host: "blog.shop.example", https: true };
        prop_assert_eq!(browser.cookie_header(&sibling).is_some(), policy.domain().is_some());

        prop_assert_eq!(browser.receive(policy.removal().as_bytes(), &here), Ok(()));
        prop_assert!(browser.jar.is_empty(), "{:?} is still there", browser.jar.keys());
    }
}

/// A cookie line's share of a response head, of which clients commonly accept 8 KiB: longest name and domain.
const LINE_MAX_BYTES: usize = 512;

#[test]
fn the_longest_line_there_can_be_stays_within_its_budget() {
    let domain = format!("{}example", "a.".repeat(123));
    let name = format!("__Secure-{}", "n".repeat(CookiePolicyBuilder::NAME_MAX_BYTES - 9));
    let policy = CookiePolicy::builder().named(name).shared_with_subdomains(&domain[..]).build().unwrap();
    let lifetime = Lifetime::new(Duration::ZERO, Timestamp::MAX, Duration::ZERO)
        .with_persistence(Persistence::Remembered);
    let token = SessionToken::from_random(Route::from_bytes([0, 0]), [0; 32]);
    assert_eq!(domain.len(), CookiePolicyBuilder::DOMAIN_MAX_BYTES);
    assert!(policy.set_cookie(&token, &lifetime, Timestamp::EPOCH).len() <= LINE_MAX_BYTES);
}

#[test]
fn the_oracle_drops_what_browsers_drop() {
    let https = Site { host: "shop.example", https: true };
    let http = Site { host: "shop.example", https: false };
    for (line, site, dropped) in [
        ("__Host-a=b; Path=/; Secure", &https, false),
        ("__Host-a=b; Secure", &https, true),
        ("__host-a=b; Path=/; Secure; Domain=shop.example", &https, true),
        ("__Host-a=b; Path=/; Secure", &http, true),
        ("__Secure-a=b", &https, true),
        ("__Host-Http-a=b; Path=/; Secure", &https, true),
        ("a=b; SameSite=None", &https, true),
        ("a=b; Domain=evil.example", &https, true),
        ("a=b\u{1}", &https, true),
    ] {
        assert_eq!(UserAgent::default().receive(line.as_bytes(), site).is_err(), dropped, "{line}");
    }
    let large = |bytes: usize| format!("a={}", "b".repeat(bytes - 1));
    assert!(UserAgent::default().receive(large(4_096).as_bytes(), &https).is_ok());
    assert!(UserAgent::default().receive(large(4_097).as_bytes(), &https).is_err());
}
