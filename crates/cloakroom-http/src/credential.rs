//! Finding the token that a request presents.

use cloakroom_core::SessionToken;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue, Uri};

use crate::CookiePolicy;

/// What a request presents to name its session.
#[derive(Debug)]
#[must_use]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A token in the cookie, which the browser attached by itself: the origin guard applies. So it does where the
    /// same token came as bearer too.
    Cookie(SessionToken),
    /// A token as bearer, which only a client that knows it can send.
    Bearer(SessionToken),
    /// Something in the place of a token that is none. No store needs to be asked.
    Malformed(Carrier),
    /// More than one answer to "which session?", or too much to look through. Refused, never guessed at.
    Refused(Refusal),
    /// No session, but a bearer credential of another kind.
    Other(OtherBearer),
}

/// How a token travels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Carrier {
    /// In the session cookie.
    Cookie,
    /// In `Authorization: Bearer`.
    Bearer,
}

/// Why a request's credentials are refused as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The session cookie is there with different values. A browser never sends two of a `__Host-` name; another
    /// subdomain may have planted one (RFC 6265bis §8.6).
    #[error("several different session cookies")]
    SeveralCookies,
    /// Cookie and bearer name different sessions.
    #[error("the session cookie and the bearer token differ")]
    CookieAndBearer,
    /// There is more than one `Authorization` field, and one of them holds a session token.
    #[error("several Authorization fields")]
    SeveralAuthorizations,
    /// There are more cookies than any browser sends to one host.
    #[error("too many cookies")]
    TooManyCookies,
}

/// A bearer credential that is no session token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OtherBearer {
    /// A back end's service key (`crk_…`).
    ServiceKey,
    /// Somebody else's.
    Foreign,
}

/// Most cookies looked through; browsers keep no more than 180 for one site.
const COOKIES_MAX: usize = 512;
/// Most bytes of `Cookie` fields looked through; far above what servers accept in a head (often 8 KiB).
const COOKIE_BYTES_MAX: usize = 64 * 1024;

/// Finds the token that names this request's session.
///
/// 1. Every value of the cookie named exactly as `policy` says counts, in every `Cookie` field: HTTP/2 and HTTP/3 may
///    split it (RFC 9113 §8.2.3). The order says nothing (RFC 6265bis §5.8.3): different values are refused, equal
///    ones are one.
/// 2. A quoted value is another value than the same without quotes (RFC 6265bis §4.1.1), and no token.
/// 3. `Authorization: Bearer cr1_…` counts too, and `cs1_…`, which carries its session; the scheme in any case
///    (RFC 9110 §11.1). Cookie and bearer must agree.
/// 4. Nothing else is looked at: no query, no path, no body (ASVS 14.2.1).
///
/// # Security
/// A session id that the client chose is never adopted: what is found here is only ever looked up, or opened with a key
/// that the client does not have (promise G2).
///
/// # Cost
/// One pass over the `Cookie` fields. No heap allocation, whatever the outcome, but one for a sealed token: its text is
/// kept.
pub fn find_token(headers: &HeaderMap, policy: &CookiePolicy) -> Found {
    let cookie = match cookie_value(headers, policy.name().as_bytes()) {
        Ok(value) => value,
        Err(refusal) => return Found::Refused(refusal),
    };
    let bearer = match bearer_value(headers) {
        Ok(value) => value,
        Err(refusal) => return Found::Refused(refusal),
    };
    match (cookie, bearer) {
        (None, None) => Found::Nothing,
        (None, Some(Bearer::Session(text))) => parsed(text, Carrier::Bearer),
        (None, Some(Bearer::Other(other))) => Found::Other(other),
        (Some(cookie), Some(Bearer::Session(bearer))) if cookie != bearer => {
            Found::Refused(Refusal::CookieAndBearer)
        }
        (Some(cookie), _) => parsed(cookie, Carrier::Cookie),
    }
}

/// The service key (`crk_…`) that a back end presents as bearer; `None` where there is none, or more than one
/// `Authorization` field.
///
/// # Security
/// The text is a secret. Compare it in constant time, by its digest.
#[must_use]
pub fn service_key(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    let text = bearer_text(line)?;
    text.starts_with(SERVICE_KEY_PREFIX).then(|| std::str::from_utf8(text).ok())?
}

/// Whether something that looks like a session token stands in the path or query of `uri`, percent-encoded or not.
///
/// Such a token is never read; that it is there is worth an audit event, since it is in access logs, histories and
/// referrers by now (ASVS 14.2.1).
///
/// A prefix alone is none: `docs1_about-…` stands in many an address. What follows has to be as long as the shortest token
/// of its kind, without a character that no token has.
///
/// # Cost
/// No heap allocation.
#[must_use]
pub fn uri_carries_token(uri: &Uri) -> bool {
    let target = uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str).as_bytes();
    (0..target.len()).filter_map(|start| target.get(start..)).any(starts_with_token)
}

fn parsed(text: &[u8], carrier: Carrier) -> Found {
    match (SessionToken::parse(text), carrier) {
        (Ok(token), Carrier::Cookie) => Found::Cookie(token),
        (Ok(token), Carrier::Bearer) => Found::Bearer(token),
        (Err(_), carrier) => Found::Malformed(carrier),
    }
}

/// The one value of the cookies called `name`.
fn cookie_value<'a>(headers: &'a HeaderMap, name: &[u8]) -> Result<Option<&'a [u8]>, Refusal> {
    let mut found = None;
    let (mut bytes, mut pairs) = (0_usize, 0_usize);
    for line in headers.get_all(COOKIE) {
        bytes = bytes.saturating_add(line.len());
        if bytes > COOKIE_BYTES_MAX {
            return Err(Refusal::TooManyCookies);
        }
        for pair in line.as_bytes().split(|byte| *byte == b';') {
            pairs += 1;
            if pairs > COOKIES_MAX {
                return Err(Refusal::TooManyCookies);
            }
            let value = pair.trim_ascii().strip_prefix(name).and_then(|rest| rest.strip_prefix(b"="));
            match (value, found) {
                (Some(value), Some(earlier)) if value != earlier => return Err(Refusal::SeveralCookies),
                (Some(value), _) => found = Some(value),
                (None, _) => {}
            }
        }
    }
    Ok(found)
}

enum Bearer<'a> {
    Session(&'a [u8]),
    Other(OtherBearer),
}

/// The bearer credential, where there is one. Several `Authorization` fields are somebody else's business unless one
/// of them is ours.
fn bearer_value(headers: &HeaderMap) -> Result<Option<Bearer<'_>>, Refusal> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let Some(first) = lines.next() else { return Ok(None) };
    let is_ours = |line: &HeaderValue| bearer_text(line).is_some_and(is_session);
    if let Some(second) = lines.next() {
        let ours = is_ours(first) || is_ours(second) || lines.any(is_ours);
        return if ours { Err(Refusal::SeveralAuthorizations) } else { Ok(None) };
    }
    Ok(bearer_text(first).map(|text| {
        if is_session(text) {
            Bearer::Session(text)
        } else if text.starts_with(SERVICE_KEY_PREFIX) {
            Bearer::Other(OtherBearer::ServiceKey)
        } else {
            Bearer::Other(OtherBearer::Foreign)
        }
    }))
}

/// What follows `Bearer` and at least one space.
fn bearer_text(line: &HeaderValue) -> Option<&[u8]> {
    let (scheme, rest) = line.as_bytes().split_at_checked(BEARER.len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(BEARER) && rest.first() == Some(&b' ');
    is_bearer.then(|| rest.trim_ascii())
}

/// Whether `text` says by its prefix that it is a token of a session.
fn is_session(text: &[u8]) -> bool {
    TOKENS.iter().any(|(prefix, _)| text.starts_with(prefix))
}

/// Whether `text` begins with a token, percent-encoded or not.
fn starts_with_token(text: &[u8]) -> bool {
    TOKENS.iter().any(|(prefix, least)| {
        let mut characters = Decoded(text);
        prefix.iter().all(|expected| characters.next() == Some(*expected))
            && characters.take_while(|byte| is_base64url(*byte)).take(*least).count() == *least
    })
}

/// Bytes with percent-encoding undone (RFC 3986 §2.1), up to the first that is broken.
struct Decoded<'a>(&'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (character, rest) = match self.0 {
            [b'%', high, low, rest @ ..] => (hex(*high)? << 4 | hex(*low)?, rest),
            [first, rest @ ..] => (*first, rest),
            [] => return None,
        };
        self.0 = rest;
        Some(character)
    }
}

const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

const BEARER: &[u8] = b"Bearer";
/// How tokens of sessions begin, and how many characters follow at least: of one that names a record all there are; of one
/// that carries it those of key id, nonce, tag, secret and session id, 64 bytes that no encoding makes smaller.
const TOKENS: [(&[u8], usize); 2] = [(b"cr1_", SessionToken::TEXT_LENGTH - 4), (b"cs1_", 86)];
const SERVICE_KEY_PREFIX: &[u8] = b"crk_";

#[cfg(test)]
mod tests {
    use cloakroom_core::Route;
    use http::HeaderName;

    use super::*;

    /// The outcome in a form a table can hold: tokens by their fill byte.
    fn found(lines: &[(HeaderName, String)]) -> String {
        let headers: HeaderMap =
            lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect();
        let fill =
            |token: &SessionToken| [1, 2].into_iter().find(|fill| token.digest() == of(*fill).digest());
        match find_token(&headers, &CookiePolicy::default()) {
            Found::Cookie(token) if token.is_sealed() => "cookie sealed".to_owned(),
            Found::Bearer(token) if token.is_sealed() => "bearer sealed".to_owned(),
            Found::Cookie(token) => format!("cookie {}", fill(&token).unwrap()),
            Found::Bearer(token) => format!("bearer {}", fill(&token).unwrap()),
            other => format!("{other:?}"),
        }
    }

    fn of(fill: u8) -> SessionToken {
        SessionToken::from_random(Route::from_bytes([fill; 2]), [fill; 32])
    }

    fn text(fill: u8) -> String {
        of(fill).expose().as_str().to_owned()
    }

    /// The text of a token that carries `bytes` bytes.
    fn sealed(bytes: usize) -> String {
        SessionToken::from_sealed(&vec![0xA5; bytes]).expose().as_str().to_owned()
    }

    fn cookie(value: impl AsRef<str>) -> (HeaderName, String) {
        (COOKIE, value.as_ref().replace("OURS", "__Host-cloakroom"))
    }

    fn authorization(value: impl Into<String>) -> (HeaderName, String) {
        (AUTHORIZATION, value.into())
    }

    #[test]
    fn the_cookie_is_found_by_its_exact_name_wherever_it_stands() {
        let (one, two) = (text(1), text(2));
        for (lines, expected) in [
            (vec![], "Nothing"),
            (vec![cookie("a=b; c=d")], "Nothing"),
            (vec![cookie(format!("OURS={one}"))], "cookie 1"),
            (vec![cookie(format!("a=b;OURS={one} ;\tc=d"))], "cookie 1"),
            (vec![cookie("a=b"), cookie(format!("OURS={one}"))], "cookie 1"),
            (vec![cookie(format!("__host-cloakroom={one}"))], "Nothing"),
            (vec![cookie(format!("OURSx={one}"))], "Nothing"),
            (vec![cookie(format!("xOURS={one}"))], "Nothing"),
            (vec![cookie(format!("OURS ={one}"))], "Nothing"),
            (vec![cookie(format!("a=OURS={one}"))], "Nothing"),
            (vec![cookie(format!("=OURS={one}"))], "Nothing"),
            (vec![cookie("OURS")], "Nothing"),
            (vec![cookie(format!("OURS={one}; OURS={one}"))], "cookie 1"),
            (vec![cookie(format!("OURS={one}")), cookie(format!("OURS={one}"))], "cookie 1"),
            (vec![cookie(format!("OURS={one}; OURS={two}"))], "Refused(SeveralCookies)"),
            (vec![cookie(format!("OURS={one}")), cookie(format!("OURS={two}"))], "Refused(SeveralCookies)"),
            (vec![cookie(format!("OURS={one}; OURS="))], "Refused(SeveralCookies)"),
            (vec![cookie(format!("OURS={one}; OURS=\"{one}\""))], "Refused(SeveralCookies)"),
        ] {
            assert_eq!(found(&lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_value_that_is_no_token_is_malformed() {
        let one = text(1);
        for value in
            ["", " ", &format!("\"{one}\""), &format!("{one}="), &one[1..], &"A".repeat(5_000), "x y"]
        {
            assert_eq!(found(&[cookie(format!("OURS={value}"))]), "Malformed(Cookie)", "{value}");
        }
        for value in ["cr1_", &format!("{one}="), &format!("{one} {one}"), &format!("{one},{one}")] {
            assert_eq!(found(&[authorization(format!("Bearer {value}"))]), "Malformed(Bearer)", "{value}");
        }
    }

    #[test]
    fn a_bearer_token_is_ours_by_its_prefix() {
        let one = text(1);
        for (value, expected) in [
            (format!("Bearer {one}"), "bearer 1"),
            (format!("bEARER   {one}"), "bearer 1"),
            (format!("Bearer{one}"), "Nothing"),
            (format!("Bearer\t{one}"), "Nothing"),
            (format!("Basic {one}"), "Nothing"),
            (format!("Token Bearer {one}"), "Nothing"),
            (one.clone(), "Nothing"),
            ("Bearer crk_abc".into(), "Other(ServiceKey)"),
            ("Bearer eyJhbGciOiJIUzI1NiJ9.e30.x".into(), "Other(Foreign)"),
            ("Bearer ".into(), "Other(Foreign)"),
            ("Bearer".into(), "Nothing"),
            (String::new(), "Nothing"),
        ] {
            assert_eq!(found(&[authorization(value.clone())]), expected, "{value}");
        }
    }

    #[test]
    fn a_token_that_carries_its_session_is_found_like_one_that_names_it() {
        let (short, long) = (sealed(64), sealed(SessionToken::SEALED_BYTES_MAX));
        let one = text(1);
        for (lines, expected) in [
            (vec![cookie(format!("OURS={short}"))], "cookie sealed"),
            (vec![cookie(format!("a=b; OURS={long}; c=d"))], "cookie sealed"),
            (vec![authorization(format!("bearer {long}"))], "bearer sealed"),
            (vec![cookie(format!("OURS={long}")), authorization(format!("Bearer {long}"))], "cookie sealed"),
            (vec![cookie(format!("OURS={long}A"))], "Malformed(Cookie)"),
            (vec![cookie(format!("OURS=\"{short}\""))], "Malformed(Cookie)"),
            (vec![cookie("OURS=cs1_AAAA")], "Malformed(Cookie)"),
            (vec![authorization(format!("Bearer {short}="))], "Malformed(Bearer)"),
            (vec![authorization("Bearer cs1_")], "Malformed(Bearer)"),
            (vec![cookie(format!("OURS={short}; OURS={long}"))], "Refused(SeveralCookies)"),
            (vec![cookie(format!("OURS={short}")), cookie(format!("OURS={one}"))], "Refused(SeveralCookies)"),
            (
                vec![cookie(format!("OURS={one}")), authorization(format!("Bearer {short}"))],
                "Refused(CookieAndBearer)",
            ),
            (
                vec![authorization(format!("Bearer {short}")), authorization("Basic YTpi")],
                "Refused(SeveralAuthorizations)",
            ),
        ] {
            assert_eq!(found(&lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn cookie_and_bearer_agree_or_are_refused() {
        let (one, two) = (text(1), text(2));
        let ours = || cookie(format!("OURS={}", text(1)));
        for (lines, expected) in [
            (vec![ours(), authorization(format!("Bearer {one}"))], "cookie 1"),
            (vec![ours(), authorization(format!("Bearer {two}"))], "Refused(CookieAndBearer)"),
            (vec![ours(), authorization("Bearer cr1_")], "Refused(CookieAndBearer)"),
            (vec![cookie("OURS=x"), authorization(format!("Bearer {one}"))], "Refused(CookieAndBearer)"),
            (vec![ours(), authorization("Bearer crk_abc")], "cookie 1"),
            (vec![ours(), authorization("Basic YTpi")], "cookie 1"),
            (
                vec![authorization(format!("Bearer {one}")), authorization("Basic YTpi")],
                "Refused(SeveralAuthorizations)",
            ),
            (
                vec![authorization("Basic YTpi"), authorization(format!("Bearer {one}"))],
                "Refused(SeveralAuthorizations)",
            ),
            (vec![authorization("Basic YTpi"), authorization("Bearer crk_abc")], "Nothing"),
        ] {
            assert_eq!(found(&lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn more_cookies_than_browsers_send_are_refused_at_the_limit() {
        let ours = format!("OURS={}", text(1));
        let pairs = |count: usize| cookie(format!("{}{ours}", "a=b; ".repeat(count - 1)));
        assert_eq!(found(&[pairs(COOKIES_MAX)]), "cookie 1");
        assert_eq!(found(&[pairs(COOKIES_MAX + 1)]), "Refused(TooManyCookies)");
        let bytes = |count: usize| {
            let line = cookie(&ours);
            let rest = count - line.1.len() - 2;
            [line, cookie(format!("a={}", "b".repeat(rest)))]
        };
        assert_eq!(found(&bytes(COOKIE_BYTES_MAX)), "cookie 1");
        assert_eq!(found(&bytes(COOKIE_BYTES_MAX + 1)), "Refused(TooManyCookies)");
    }

    #[test]
    fn a_service_key_is_read_only_where_there_is_one_authorization() {
        let headers = |lines: &[&'static str]| -> HeaderMap {
            lines.iter().map(|line| (AUTHORIZATION, HeaderValue::from_static(line))).collect()
        };
        assert_eq!(service_key(&headers(&["bearer crk_abc"])), Some("crk_abc"));
        for none in [&[][..], &["Bearer cr1_abc"], &["crk_abc"], &["Bearer crk_a", "Bearer crk_a"]] {
            assert_eq!(service_key(&headers(none)), None, "{none:?}");
        }
    }

    #[test]
    fn a_token_in_the_address_is_seen_and_never_read() {
        let one = text(1);
        let percent_encoded =
            |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let encoded = percent_encoded(&one);
        for (target, seen) in [
            (format!("/?token={one}"), true),
            (format!("/?a=b&x={one}&c"), true),
            (format!("/a/{one}/b"), true),
            (format!("/?{encoded}"), true),
            (format!("/?{}", one.replacen('_', "%5f", 1)), true),
            (format!("/?{}", &one[..49]), false),
            (format!("/?{}", one.replacen("cr1_", "crk_", 1)), false),
            ("/?cr1_%".to_owned(), false),
            ("/cr1_?%zz".to_owned(), false),
            ("/".to_owned(), false),
            (format!("/?token={}", sealed(64)), true),
            (format!("/a?b%3D{}&c=d", sealed(SessionToken::SEALED_BYTES_MAX)), true),
            (format!("/?{}", percent_encoded(&sealed(100))), true),
            (format!("/?{}", sealed(64).replacen("cs1_", "%63s1%5F", 1)), true),
            (format!("/?{}", &sealed(64)[..89]), false),
            (format!("/?{}", sealed(64).replacen("cs1_", "cs2_", 1)), false),
            ("/docs1_how-a-session-travels-in-its-own-cookie-and-what-that-means-for-a-proxy".into(), false),
            (format!("/docs1_{}", "how-to/".repeat(20)), false),
            ("/cs1_%".to_owned(), false),
        ] {
            assert_eq!(uri_carries_token(&target.parse().unwrap()), seen, "{target}");
        }
        assert!(!uri_carries_token(&Uri::from_static("example.com:443")), "an authority has no query");
    }
}
