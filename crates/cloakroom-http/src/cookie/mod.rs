//! The session cookie: how it is named, set, and taken back.

mod builder;

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut as _, BytesMut};
use cloakroom_core::{Lifetime, Persistence, SessionToken, Timestamp};
use http::HeaderValue;

pub use builder::{CookiePolicyBuilder, CookiePolicyError};

/// How the session cookie is named and protected, decided once.
///
/// The default is `__Host-cloakroom` with `Path=/; Secure; HttpOnly; SameSite=Lax`: bound to one host, sent over
/// HTTPS only, out of reach of scripts, and not sent with requests that other sites start, but for following a link
/// (ASVS 3.3.1–3.3.4). A policy that exists is one a browser accepts: what RFC 6265bis would drop is refused by
/// [`CookiePolicyBuilder::build`].
///
/// ```
/// use std::time::Duration;
/// use cloakroom_core::{Lifetime, Route, SessionToken, Timestamp};
/// use cloakroom_http::CookiePolicy;
///
/// let policy = CookiePolicy::default();
/// let now = Timestamp::from_millis(0);
/// let lifetime = Lifetime::new(Duration::from_secs(60), now.plus(Duration::from_secs(3600)), Duration::ZERO);
/// let token = SessionToken::from_random(Route::from_bytes([0, 0]), [7; 32]);
/// let line = policy.set_cookie(&token, &lifetime, now);
/// assert!(line.to_str().unwrap().ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"));
/// // Taking it back names the same cookie: the same attributes, or the browser would keep it (RFC 6265bis §5.7).
/// let removal = policy.removal();
/// assert!(removal.to_str().unwrap().ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CookiePolicy {
    name: Box<str>,
    same_site: SameSite,
    domain: Option<Box<str>>,
    secure: bool,
    /// Everything after the value that never changes, from the first `;`.
    attributes: Box<str>,
    removal: HeaderValue,
}

impl CookiePolicy {
    /// The cookie's name where nobody chooses another.
    pub const DEFAULT_NAME: &'static str = "__Host-cloakroom";
    /// Longest `Max-Age`, in seconds: 400 days, the cap of RFC 6265bis §5.6.2.
    pub const MAX_AGE_CAP_SECONDS: u64 = 400 * 24 * 60 * 60;

    /// A policy to be chosen part by part.
    #[must_use]
    pub fn builder() -> CookiePolicyBuilder {
        CookiePolicyBuilder::default()
    }

    /// The `Set-Cookie` value that hands `token` to its client.
    ///
    /// It has a `Max-Age` only where `lifetime` is to be remembered: the time left until the absolute instant, which
    /// the browser is not relied on to keep. The value is marked sensitive, so that no `Debug` output of a response
    /// shows it.
    #[must_use]
    pub fn set_cookie(&self, token: &SessionToken, lifetime: &Lifetime, now: Timestamp) -> HeaderValue {
        let text = token.expose();
        let mut line = BytesMut::with_capacity(self.bytes_around_value() + text.as_str().len());
        line.put_slice(self.name.as_bytes());
        line.put_u8(b'=');
        line.put_slice(text.as_str().as_bytes());
        line.put_slice(self.attributes.as_bytes());
        if lifetime.persistence == Persistence::Remembered {
            // Rounded up: the cookie may outlive its session by a moment, never the other way round.
            let left = lifetime.absolute_expires_at.since(now).as_millis().div_ceil(1_000);
            let seconds = u64::try_from(left).unwrap_or(u64::MAX).min(Self::MAX_AGE_CAP_SECONDS);
            line.put_slice(format!("; Max-Age={seconds}").as_bytes());
        }
        let mut value =
            HeaderValue::from_maybe_shared(line.freeze()).expect("name, token and attributes are ASCII");
        value.set_sensitive(true);
        value
    }

    /// Most bytes of a [`set_cookie`](Self::set_cookie) line that are not the token: the name, `=`, and every attribute with
    /// what separates it, the longest `Max-Age` included.
    ///
    /// For whoever makes tokens that fill a cookie. Browsers count differently: RFC 6265bis §5.7 allows 4,096 bytes for name
    /// and value, RFC 6265 §6.1 asks for room for 4,096 of name, value and attributes. Whoever stays below that with this
    /// number and the value stays below it everywhere.
    #[must_use]
    pub fn bytes_around_value(&self) -> usize {
        self.name.len() + 1 + self.attributes.len() + LONGEST_MAX_AGE.len()
    }

    /// The `Set-Cookie` value that makes the client forget the cookie: the attributes it was set with, no value, and
    /// no time left.
    ///
    /// # Cost
    /// No allocation.
    #[must_use]
    pub fn removal(&self) -> HeaderValue {
        self.removal.clone()
    }

    /// The cookie's name; compared byte by byte.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// With which requests of other sites it is sent.
    #[must_use]
    pub fn same_site(&self) -> SameSite {
        self.same_site
    }

    /// The domain it is shared with, where it is shared.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// Whether it is sent over HTTPS only.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// What this policy gives up compared with the default, strongest loss first; nothing for the default.
    pub fn weaknesses(&self) -> impl Iterator<Item = CookieWeakness> + '_ {
        let prefixed = self.name.starts_with(HOST_PREFIX) || self.name.starts_with(SECURE_PREFIX);
        [
            (!self.secure).then_some(CookieWeakness::Plaintext),
            self.domain.is_some().then_some(CookieWeakness::SharedWithSubdomains),
            (self.secure && !prefixed).then_some(CookieWeakness::NoPrefix),
            (self.same_site == SameSite::None).then_some(CookieWeakness::SentByEverySite),
        ]
        .into_iter()
        .flatten()
    }

    /// Whether a `Set-Cookie` line sets this cookie.
    pub(crate) fn is_named_in(&self, line: &[u8]) -> bool {
        line.strip_prefix(self.name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'='))
    }
}

impl Default for CookiePolicy {
    fn default() -> Self {
        Self::builder().build().expect("the default is a policy that browsers accept")
    }
}

/// With which requests a browser sends the cookie when another site starts them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SameSite {
    /// With none. Somebody who follows a link from elsewhere arrives signed out.
    Strict,
    /// With links that are followed and nothing else.
    #[default]
    Lax,
    /// With all of them. Only for pages that live inside other sites' pages.
    None,
}

impl SameSite {
    /// The attribute's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

/// Something a [`CookiePolicy`] gives up; its `Display` is a sentence for an operator.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum CookieWeakness {
    /// No `Secure`.
    Plaintext,
    /// A `Domain`.
    SharedWithSubdomains,
    /// No `__Host-` or `__Secure-`.
    NoPrefix,
    /// `SameSite=None`.
    SentByEverySite,
}

impl fmt::Display for CookieWeakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plaintext => "the cookie travels over plain HTTP: whoever is on the wire can take the session",
            Self::SharedWithSubdomains => {
                "the cookie is sent to every subdomain: each of them can read it, replace it and sign users out"
            }
            Self::NoPrefix => "the cookie has no name prefix: a subdomain or a plain HTTP answer can plant another",
            Self::SentByEverySite => {
                "the cookie is sent with requests that any site starts: the origin guard stands alone against forgery"
            }
        })
    }
}

const HOST_PREFIX: &str = "__Host-";
const SECURE_PREFIX: &str = "__Secure-";
/// Room for the longest `Max-Age` there is.
const LONGEST_MAX_AGE: &str = "; Max-Age=34560000";

/// The attributes in the order of RFC 6265bis's examples, the same whether the cookie is set or removed (CK-13).
fn attributes(domain: Option<&str>, secure: bool, same_site: SameSite) -> String {
    let domain = domain.map_or(Cow::Borrowed(""), |domain| Cow::Owned(format!("; Domain={domain}")));
    let secure = if secure { "; Secure" } else { "" };
    format!("{domain}; Path=/{secure}; HttpOnly; SameSite={}", same_site.as_str())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cloakroom_core::Route;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn line(policy: &CookiePolicy, persistence: Persistence, left: Duration) -> String {
        let token = SessionToken::from_random(Route::from_bytes([1, 2]), [3; 32]);
        let lifetime = Lifetime::new(Duration::from_secs(1), NOW.plus(left), Duration::ZERO)
            .with_persistence(persistence);
        let value = policy.set_cookie(&token, &lifetime, NOW);
        assert!(value.is_sensitive());
        value.to_str().unwrap().replace(token.expose().as_str(), "TOKEN")
    }

    #[test]
    fn the_cookie_ends_with_the_browser_unless_remembered() {
        let policy = CookiePolicy::default();
        let fixed = "__Host-cloakroom=TOKEN; Path=/; Secure; HttpOnly; SameSite=Lax";
        assert_eq!(line(&policy, Persistence::Browser, Duration::from_secs(60)), fixed);
        let day = 24 * 60 * 60;
        for (left, seconds) in [
            (Duration::ZERO, 0),
            (Duration::from_millis(1), 1),
            (Duration::from_millis(1_000), 1),
            (Duration::from_millis(1_001), 2),
            (Duration::from_secs(399 * day), 399 * day),
            (Duration::from_secs(400 * day), 400 * day),
            (Duration::from_secs(400 * day + 1), 400 * day),
            (Duration::MAX, 400 * day),
        ] {
            let expected = format!("{fixed}; Max-Age={seconds}");
            assert_eq!(line(&policy, Persistence::Remembered, left), expected, "{left:?}");
        }
    }

    #[test]
    fn no_line_is_longer_around_its_value_than_the_policy_says() {
        assert_eq!(LONGEST_MAX_AGE, format!("; Max-Age={}", CookiePolicy::MAX_AGE_CAP_SECONDS));
        let builder = CookiePolicy::builder;
        for policy in [
            CookiePolicy::default(),
            builder().named("__Host-x").same_site(SameSite::Strict).build().unwrap(),
            builder().shared_with_subdomains("example.com").same_site(SameSite::None).build().unwrap(),
            builder().dangerously_over_plain_http().build().unwrap(),
        ] {
            let around = policy.bytes_around_value();
            let longest = line(&policy, Persistence::Remembered, Duration::MAX);
            assert_eq!(longest.len() - "TOKEN".len(), around, "{longest}");
            for shorter in [
                line(&policy, Persistence::Browser, Duration::MAX),
                line(&policy, Persistence::Remembered, Duration::ZERO),
                policy.removal().to_str().unwrap().to_owned(),
            ] {
                assert!(shorter.len() - "TOKEN".len() < around, "{shorter}");
            }
        }
    }

    #[test]
    fn debug_output_of_a_response_shows_no_token() {
        let token = SessionToken::from_random(Route::from_bytes([1, 2]), [3; 32]);
        let lifetime = Lifetime::new(Duration::ZERO, NOW, Duration::ZERO);
        let mut response = http::Response::new(());
        crate::response::set_cookie(
            response.headers_mut(),
            &CookiePolicy::default(),
            CookiePolicy::default().set_cookie(&token, &lifetime, NOW),
        );
        let shown = format!("{response:?}");
        assert!(shown.contains("Sensitive") && !shown.contains("cr1_"), "{shown}");
    }

    #[test]
    fn a_weakness_is_named_exactly_where_the_default_is_left() {
        let weaknesses =
            |builder: CookiePolicyBuilder| builder.build().unwrap().weaknesses().collect::<Vec<_>>();
        let builder = CookiePolicy::builder;
        assert_eq!(weaknesses(builder()), []);
        assert_eq!(weaknesses(builder().same_site(SameSite::Strict)), []);
        assert_eq!(weaknesses(builder().same_site(SameSite::None)), [CookieWeakness::SentByEverySite]);
        assert_eq!(
            weaknesses(builder().shared_with_subdomains("example.com")),
            [CookieWeakness::SharedWithSubdomains]
        );
        assert_eq!(weaknesses(builder().dangerously_named("sid")), [CookieWeakness::NoPrefix]);
        assert_eq!(weaknesses(builder().dangerously_over_plain_http()), [CookieWeakness::Plaintext]);
    }
}
