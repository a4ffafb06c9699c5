//! Choosing a cookie policy, and refusing what browsers would drop.

use std::net::Ipv4Addr;

use http::HeaderValue;

use super::{CookiePolicy, HOST_PREFIX, SECURE_PREFIX, SameSite, attributes};

/// A [`CookiePolicy`] being chosen. What is not chosen is as safe as can be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CookiePolicyBuilder {
    name: Name,
    same_site: SameSite,
    domain: Option<String>,
    plain_http: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
enum Name {
    #[default]
    Default,
    Prefixed(String),
    Dangerous(String),
}

impl CookiePolicyBuilder {
    /// Longest name, so that name and token together stay far below the 4096 bytes browsers keep (ASVS 3.3.5), and a name
    /// leaves a sealed token nearly all of them.
    pub const NAME_MAX_BYTES: usize = 64;
    /// Longest domain (RFC 1035 §2.3.4).
    pub const DOMAIN_MAX_BYTES: usize = 253;

    /// The same with this name, which begins with `__Host-`, or with `__Secure-` where the cookie is shared with
    /// subdomains.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Name::Prefixed(name.into()), ..self }
    }

    /// The same, sent with these requests of other sites.
    #[must_use]
    pub fn same_site(self, same_site: SameSite) -> Self {
        Self { same_site, ..self }
    }

    /// The same, sent to `domain` and every host below it. The name then begins with `__Secure-`.
    ///
    /// # Security
    /// Every host below `domain` can read the cookie, replace it by one of its own, and remove it (RFC 6265bis §8.6).
    #[must_use]
    pub fn shared_with_subdomains(self, domain: impl Into<String>) -> Self {
        Self { domain: Some(domain.into()), ..self }
    }

    /// The same with this name, prefix or not.
    ///
    /// # Security
    /// Without a prefix a subdomain, or anybody who can answer one plain HTTP request, can plant a cookie of this name
    /// (RFC 6265bis §4.1.3).
    #[must_use]
    pub fn dangerously_named(self, name: impl Into<String>) -> Self {
        Self { name: Name::Dangerous(name.into()), ..self }
    }

    /// The same without `Secure`, hence without a prefix: for a host that has no HTTPS at all.
    ///
    /// # Security
    /// Whoever is on the wire can take the session. Not needed on `http://localhost`, where browsers keep `Secure`
    /// cookies.
    #[must_use]
    pub fn dangerously_over_plain_http(self) -> Self {
        Self { plain_http: true, ..self }
    }

    /// The policy.
    ///
    /// # Errors
    /// The first [`CookiePolicyError`]: what is chosen contradicts itself, or browsers would drop the cookie.
    pub fn build(self) -> Result<CookiePolicy, CookiePolicyError> {
        let Self { name, same_site, domain, plain_http } = self;
        let domain = domain.map(checked_domain).transpose()?;
        if plain_http && same_site == SameSite::None {
            return Err(CookiePolicyError::SameSiteNoneNeedsSecure);
        }
        let guard = match (plain_http, &domain) {
            (true, _) => Guard::None,
            (false, Some(_)) => Guard::Secure,
            (false, None) => Guard::Host,
        };
        let name = match name {
            Name::Default => guard.default_name().to_owned(),
            Name::Prefixed(name) => {
                check_name(&name, guard)?;
                if !name.starts_with(guard.prefix()) {
                    return Err(CookiePolicyError::PrefixMissing { name, expected: guard.prefix() });
                }
                name
            }
            Name::Dangerous(name) => {
                check_name(&name, guard)?;
                name
            }
        };
        let attributes = attributes(domain.as_deref(), !plain_http, same_site);
        let removal = HeaderValue::try_from(format!("{name}={attributes}; Max-Age=0"))
            .expect("a token and attributes are visible ASCII");
        Ok(CookiePolicy {
            name: name.into(),
            same_site,
            domain: domain.map(Into::into),
            secure: !plain_http,
            attributes: attributes.into(),
            removal,
        })
    }
}

/// A cookie policy that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CookiePolicyError {
    /// The name is empty, too long, or no token (RFC 9110 §5.6.2).
    #[error("cookie name {name:?} is not 1 to 64 characters of a-z A-Z 0-9 and !#$%&'*+-.^_`|~")]
    InvalidName {
        /// The name.
        name: String,
    },
    /// The name lacks the prefix that makes browsers guard it.
    #[error("cookie name {name:?} does not begin with {expected}; browsers only guard names that do")]
    PrefixMissing {
        /// The name.
        name: String,
        /// The prefix that fits the other choices.
        expected: &'static str,
    },
    /// The name has a prefix in other letters: browsers enforce it, but it reads as if they did not.
    #[error("cookie name {name:?} has a prefix in the wrong case; it is {expected}")]
    PrefixCase {
        /// The name.
        name: String,
        /// The prefix as it is written.
        expected: &'static str,
    },
    /// The name promises what the other choices do not keep, so browsers would drop the cookie.
    #[error("cookie name {name:?} {demand}; browsers would drop the cookie")]
    PrefixBroken {
        /// The name.
        name: String,
        /// What the prefix demands.
        demand: &'static str,
    },
    /// `SameSite=None` without `Secure` is dropped.
    #[error("SameSite=None needs Secure; browsers would drop the cookie")]
    SameSiteNoneNeedsSecure,
    /// The domain is none that a cookie can be shared with.
    #[error("{domain:?} is no domain to share a cookie with; expected lower-case labels such as example.com")]
    InvalidDomain {
        /// The domain.
        domain: String,
    },
}

/// Prefixes browsers enforce, whatever the case they are written in (RFC 6265bis §5.7 step 20, "layered cookies" for
/// those with `Http`), the longest first; and whether each binds the cookie to its host.
const PREFIXES: [(&str, bool); 4] =
    [("__Host-Http-", true), (HOST_PREFIX, true), (SECURE_PREFIX, false), ("__Http-", false)];

/// What browsers can guard of a cookie, given how it is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// It stays with its host.
    Host,
    /// It comes over HTTPS.
    Secure,
    /// Nothing.
    None,
}

impl Guard {
    const fn default_name(self) -> &'static str {
        match self {
            Self::Host => CookiePolicy::DEFAULT_NAME,
            Self::Secure => "__Secure-cloakroom",
            Self::None => "cloakroom",
        }
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Host => HOST_PREFIX,
            Self::Secure => SECURE_PREFIX,
            Self::None => "",
        }
    }
}

fn check_name(name: &str, guard: Guard) -> Result<(), CookiePolicyError> {
    if name.is_empty() || name.len() > CookiePolicyBuilder::NAME_MAX_BYTES || !name.bytes().all(is_token) {
        return Err(CookiePolicyError::InvalidName { name: name.to_owned() });
    }
    let has = |prefix: &str| {
        name.as_bytes().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    let Some((prefix, host_only)) = PREFIXES.into_iter().find(|(prefix, _)| has(prefix)) else {
        return Ok(());
    };
    if !name.starts_with(prefix) {
        return Err(CookiePolicyError::PrefixCase { name: name.to_owned(), expected: prefix });
    }
    let demand = match guard {
        Guard::None => "demands Secure",
        Guard::Secure if host_only => "forbids sharing with subdomains",
        Guard::Secure | Guard::Host => return Ok(()),
    };
    Err(CookiePolicyError::PrefixBroken { name: name.to_owned(), demand })
}

/// At least two labels: a cookie for a top-level domain is dropped (RFC 6265bis §5.7 step 9). No address: `Domain` is
/// for names only.
fn checked_domain(domain: String) -> Result<String, CookiePolicyError> {
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let valid = domain.len() <= CookiePolicyBuilder::DOMAIN_MAX_BYTES
        && domain.split('.').count() >= 2
        && domain.split('.').all(is_label)
        && domain.parse::<Ipv4Addr>().is_err();
    if valid { Ok(domain) } else { Err(CookiePolicyError::InvalidDomain { domain }) }
}

/// `tchar` of RFC 9110 §5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> CookiePolicyBuilder {
        CookiePolicy::builder()
    }

    fn removal(builder: CookiePolicyBuilder) -> String {
        builder.build().unwrap().removal().to_str().unwrap().to_owned()
    }

    #[test]
    fn each_choice_shows_in_the_line() {
        for (builder, line) in [
            (builder(), "__Host-cloakroom=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"),
            (
                builder().named("__Host-app").same_site(SameSite::Strict),
                "__Host-app=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0",
            ),
            (
                builder().named("__Host-Http-app").same_site(SameSite::None),
                "__Host-Http-app=; Path=/; Secure; HttpOnly; SameSite=None; Max-Age=0",
            ),
            (
                builder().shared_with_subdomains("example.com"),
                "__Secure-cloakroom=; Domain=example.com; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0",
            ),
            (
                builder().dangerously_over_plain_http(),
                "cloakroom=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0",
            ),
        ] {
            assert_eq!(removal(builder), line);
        }
    }

    #[test]
    fn a_policy_that_browsers_would_drop_cannot_be_built() {
        for (builder, part) in [
            (builder().named(""), "is not 1 to 64"),
            (builder().named("__Host-a b"), "is not 1 to 64"),
            (builder().named("__Host-ä"), "is not 1 to 64"),
            (builder().named("__Host-a=b"), "is not 1 to 64"),
            (builder().named("__Host-a;"), "is not 1 to 64"),
            (builder().dangerously_named("a\r\nb"), "is not 1 to 64"),
            (builder().named(format!("__Host-{}", "a".repeat(58))), "is not 1 to 64"),
            (builder().named("sid"), "does not begin with __Host-"),
            (builder().named("__Secure-sid"), "does not begin with __Host-"),
            (builder().named("__host-sid"), "wrong case"),
            (builder().dangerously_named("__SECURE-sid"), "wrong case"),
            (builder().named("__Host-sid").shared_with_subdomains("example.com"), "forbids sharing"),
            (
                builder().dangerously_named("__Host-Http-sid").shared_with_subdomains("example.com"),
                "forbids sharing",
            ),
            (builder().named("sid").shared_with_subdomains("example.com"), "does not begin with __Secure-"),
            (builder().named("__Host-sid").dangerously_over_plain_http(), "demands Secure"),
            (builder().dangerously_named("__Http-sid").dangerously_over_plain_http(), "demands Secure"),
            (builder().same_site(SameSite::None).dangerously_over_plain_http(), "SameSite=None needs Secure"),
        ] {
            let error = builder.build().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(builder().named(format!("__Host-{}", "a".repeat(57))).build().is_ok(), "64 characters");
    }

    #[test]
    fn a_domain_is_one_that_a_cookie_can_be_shared_with() {
        for domain in ["example.com", "a.b.example.com", "xn--bcher-kva.example", "3.example"] {
            assert!(builder().shared_with_subdomains(domain).build().is_ok(), "{domain}");
        }
        let long = format!("{}.example", "a.".repeat(123));
        for domain in [
            "",
            ".",
            "com",
            "localhost",
            ".example.com",
            "example.com.",
            "Example.com",
            "exa mple.com",
            "example.com; Path=/x",
            "example.com\r\n",
            "-a.example",
            "a-.example",
            "bücher.example",
            "192.0.2.1",
            &long,
        ] {
            assert!(builder().shared_with_subdomains(domain).build().is_err(), "{domain}");
        }
    }
}
