//! Where a browser may be sent back to after a sign-in.

use std::fmt;

use http::HeaderValue;
use url::Url;

use crate::Origin;

/// Which return addresses are followed: paths of this application, and pages of origins that were configured
/// (ASVS 3.7.2).
///
/// ```
/// use cloakroom_http::ReturnPolicy;
///
/// let policy = ReturnPolicy::own_paths().and_origins(["https://shop.example".parse()?]);
/// assert_eq!(policy.check("/orders?page=2").unwrap().as_str(), "/orders?page=2");
/// assert!(policy.check("https://shop.example/cart").is_ok());
/// assert!(policy.check("//evil.example").is_err());
/// # Ok::<(), cloakroom_http::MalformedOrigin>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReturnPolicy {
    origins: Box<[Origin]>,
}

impl ReturnPolicy {
    /// Longest return address; longer ones are an attack or a mistake.
    pub const MAX_BYTES: usize = 2_048;

    /// Paths of this application only.
    #[must_use]
    pub fn own_paths() -> Self {
        Self::default()
    }

    /// The same, and pages of exactly these origins.
    #[must_use]
    pub fn and_origins(self, origins: impl IntoIterator<Item = Origin>) -> Self {
        Self { origins: self.origins.into_iter().chain(origins).collect() }
    }

    /// The address to send the browser to, in the form browsers themselves give it.
    ///
    /// It is read once by the rules of browsers (WHATWG URL), and what comes out is what was judged: no second reader
    /// can see another address in it. Before that, everything browsers forgive is refused: backslashes, white space,
    /// control characters, a missing or a single slash after the scheme.
    ///
    /// # Errors
    /// [`RefusedReturn`]; go to the start page instead.
    pub fn check(&self, address: &str) -> Result<ReturnTo, RefusedReturn> {
        let visible = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
        if address.len() > Self::MAX_BYTES || !address.bytes().all(visible) {
            return Err(RefusedReturn);
        }
        let returned = if address.starts_with('/') { own_path(address) } else { self.elsewhere(address) };
        returned.map(ReturnTo).ok_or(RefusedReturn)
    }

    fn elsewhere(&self, address: &str) -> Option<String> {
        let url = Url::parse(address).ok()?;
        let origin = url.origin().ascii_serialization();
        let after_scheme = address.split_once(':')?.1;
        let plain = after_scheme.starts_with("//")
            && !after_scheme.starts_with("///")
            && url.username().is_empty()
            && url.password().is_none();
        let configured = self.origins.iter().any(|allowed| allowed.as_str() == origin);
        (plain && configured).then(|| url.into())
    }
}

/// A return address that was checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// The start page.
    #[must_use]
    pub fn start() -> Self {
        Self("/".to_owned())
    }

    /// The address, for `Location`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&ReturnTo> for HeaderValue {
    fn from(address: &ReturnTo) -> Self {
        Self::from_str(&address.0).expect("a serialised URL is visible ASCII")
    }
}

/// A return address leads elsewhere, or could be read as leading elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address to return to")]
pub struct RefusedReturn;

/// A host that no browser ever sees (RFC 6761 §6.4), to resolve paths against.
const BASE: &str = "https://own.invalid";

/// `path` with its query and fragment, resolved as a browser would; `None` where it leaves the host it starts from.
fn own_path(path: &str) -> Option<String> {
    let base = Url::parse(BASE).expect("a constant address");
    let url = base.join(path).ok()?;
    let resolved = url.as_str().strip_prefix(BASE)?;
    // `/.//evil` resolves to `//evil`: a path here, a host to the next reader.
    let path_only =
        url.host_str() == base.host_str() && resolved.starts_with('/') && !resolved.starts_with("//");
    path_only.then(|| resolved.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> ReturnPolicy {
        ReturnPolicy::own_paths()
            .and_origins(["https://shop.example".parse().unwrap(), "http://localhost:3000".parse().unwrap()])
    }

    #[test]
    fn own_paths_and_configured_origins_are_followed() {
        for (address, expected) in [
            ("/", "/"),
            ("/a/b?c=d#e", "/a/b?c=d#e"),
            ("/a/../b", "/b"),
            ("/%2F%2Fevil.example", "/%2F%2Fevil.example"),
            ("/a//b", "/a//b"),
            ("/@evil.example", "/@evil.example"),
            ("/?next=https://evil.example", "/?next=https://evil.example"),
            ("/%0D%0ASet-Cookie:x", "/%0D%0ASet-Cookie:x"),
            ("https://shop.example", "https://shop.example/"),
            ("HTTPS://Shop.Example:443/a", "https://shop.example/a"),
            ("http://localhost:3000/a?b", "http://localhost:3000/a?b"),
        ] {
            assert_eq!(policy().check(address).as_ref().map(ReturnTo::as_str), Ok(expected), "{address}");
        }
    }

    #[test]
    fn whatever_could_lead_elsewhere_is_refused() {
        let long = format!("/{}", "a".repeat(ReturnPolicy::MAX_BYTES));
        for address in [
            "",
            "a",
            "?a",
            "#a",
            ".",
            "..",
            "//evil.example",
            "///evil.example",
            "////evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "\\/evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            " //evil.example",
            "/ /evil",
            "/.//evil.example",
            "/..//evil.example",
            "/./\\evil.example",
            "/%2e//evil.example",
            "/a/..//evil.example",
            "/a\r\nSet-Cookie:x=y",
            "/a\0",
            "/ä",
            "https:evil.example",
            "https:/evil.example",
            "https:///evil.example",
            "https://evil.example",
            "https:shop.example",
            "https:/shop.example",
            "https:///shop.example/",
            "https:\\\\shop.example",
            "http://shop.example",
            "https://shop.example:8443",
            "https://shop.example.evil.example",
            "https://evil.example/shop.example",
            "https://shop.example@evil.example",
            "https://evil.example#@shop.example",
            "https://user@shop.example",
            "https://user:pw@shop.example",
            "https://shop.example\\@evil.example",
            "https://shop.example.",
            "https://sub.shop.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "blob:https://shop.example/x",
            "file:///etc/passwd",
            "ftp://shop.example",
            "http://localhost",
            "http://localhost:3001",
            "//shop.example",
            &long,
        ] {
            assert_eq!(policy().check(address), Err(RefusedReturn), "{address}");
        }
        assert!(policy().check(&long[..ReturnPolicy::MAX_BYTES]).is_ok());
    }

    /// Where a browser on `https://app.example/sign-in` ends up, `Location` read by the rules of browsers.
    fn landing(location: &str) -> Origin {
        let here = Url::parse("https://app.example/sign-in").unwrap();
        here.join(location).unwrap().origin().ascii_serialization().parse().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn no_address_that_passes_leads_elsewhere(address in awkward()) {
            if let Ok(checked) = policy().check(&address) {
                let own = ["https://app.example", "https://shop.example", "http://localhost:3000"];
                let landed = landing(checked.as_str());
                prop_assert!(own.contains(&landed.as_str()), "{} -> {}", address, landed);
                prop_assert!(HeaderValue::try_from(checked.as_str()).is_ok());
                // Checking what was checked changes nothing: nothing is left to be read differently.
                prop_assert_eq!(policy().check(checked.as_str()), Ok(checked));
            }
        }
    }

    /// Addresses glued together from what has fooled others.
    fn awkward() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            prop::sample::select(vec![
                "/",
                "//",
                "\\",
                "..",
                ".",
                "@",
                ":",
                "?",
                "#",
                "https:",
                "http:",
                "javascript:",
                "evil.example",
                "shop.example",
                "localhost:3000",
                "%2f",
                "%5c",
                "%2e",
                "%00",
                "\t",
                "\n",
                "\r",
                " ",
                "[::1]",
                "user",
            ])
            .prop_map(str::to_owned),
            "[ -~]{0,3}",
            any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
    }
}
