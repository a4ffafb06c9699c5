//! What a session adds to a response's head.

use cloakroom_core::SessionToken;
use http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, Entry, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::CookiePolicy;

/// Says that the response depends on `Cookie` and on `Authorization`, as every response does whose handler asked for
/// the session: both carry it.
///
/// Without it a shared cache hands one user's page to another (CVE-2023-30861; ASVS 14.2.2).
pub fn vary_by_credentials(headers: &mut HeaderMap) {
    if let Entry::Vacant(vacant) = headers.entry(VARY) {
        vacant.insert(HeaderValue::from_static("Cookie, Authorization"));
    } else {
        vary(headers, &COOKIE);
        vary(headers, &AUTHORIZATION);
    }
}

/// Adds `name` to `Vary`, unless it is there already or `Vary` is `*`.
pub fn vary(headers: &mut HeaderMap, name: &HeaderName) {
    let named = headers.get_all(VARY).iter().any(|line| {
        line.as_bytes()
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .any(|member| member == b"*" || member.eq_ignore_ascii_case(name.as_str().as_bytes()))
    });
    if !named {
        headers.append(VARY, HeaderValue::from_name(name.clone()));
    }
}

/// Forbids every cache to keep the response, unless its handler chose a `Cache-Control` itself (ASVS 14.3.2).
pub fn no_store_unless_chosen(headers: &mut HeaderMap) {
    if let Entry::Vacant(vacant) = headers.entry(CACHE_CONTROL) {
        vacant.insert(HeaderValue::from_static("no-store"));
    }
}

/// Forbids every cache to keep the response, which says something about this client's token, unless its handler chose a
/// `Cache-Control` itself that keeps it from caches which serve others (ASVS 14.3.2).
///
/// # Security
/// A choice that [lets them](may_be_shared) is not heard: whoever asks next would be handed the cookie.
pub fn no_store_unless_private(headers: &mut HeaderMap) {
    if !headers.contains_key(CACHE_CONTROL) || may_be_shared(headers) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Whether a cache that serves others too may answer with the response, unasked: its handler said how it is to be cached, and
/// none of `private`, `no-store` and `no-cache` (RFC 9111 §5.2.2).
#[must_use]
pub fn may_be_shared(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CACHE_CONTROL).iter();
    let mut directives = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let keeps_out = |directive: &[u8]| {
        let directive = directive.trim_ascii();
        [&b"private"[..], b"no-store", b"no-cache"].iter().any(|name| directive.eq_ignore_ascii_case(name))
    };
    headers.contains_key(CACHE_CONTROL) && !directives.any(keeps_out)
}

/// The header field that brings a client without cookies the token it has to present from now on: `X-Cloakroom-Token`.
///
/// Where sessions travel in their tokens, a change of the session is a change of the token.
pub const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-cloakroom-token");

/// Hands `token` to a client that presents its tokens as bearer.
///
/// # Security
/// The field is marked sensitive, so that no `Debug` output of a response shows it.
pub fn hand_over_bearer(headers: &mut HeaderMap, token: &SessionToken) {
    let mut value = HeaderValue::from_str(token.expose().as_str()).expect("base64url is ASCII");
    value.set_sensitive(true);
    headers.insert(TOKEN_HEADER, value);
}

/// Adds the `Set-Cookie` line `value` of `policy`'s cookie, in place of any other line for that cookie.
///
/// RFC 6265bis §4.1.1 forbids two lines of one name in a response. Lines of other cookies stay as they are.
pub fn set_cookie(headers: &mut HeaderMap, policy: &CookiePolicy, value: HeaderValue) {
    let is_ours = |line: &HeaderValue| policy.is_named_in(line.as_bytes());
    if headers.get_all(SET_COOKIE).iter().any(is_ours) {
        let others: Vec<_> =
            headers.get_all(SET_COOKIE).iter().filter(|line| !is_ours(line)).cloned().collect();
        headers.remove(SET_COOKIE);
        for other in others {
            headers.append(SET_COOKIE, other);
        }
    }
    headers.append(SET_COOKIE, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn all(headers: &HeaderMap, name: HeaderName) -> Vec<&str> {
        headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect()
    }

    #[test]
    fn vary_is_added_once_and_never_to_a_star() {
        for (before, after) in [
            (&[][..], &["cookie"][..]),
            (&["Accept"], &["Accept", "cookie"]),
            (&["accept, COOKIE"], &["accept, COOKIE"]),
            (&["*"], &["*"]),
            (&["accept", "x-cookie"], &["accept", "x-cookie", "cookie"]),
        ] {
            let mut headers: HeaderMap =
                before.iter().map(|value| (VARY, HeaderValue::from_static(value))).collect();
            vary(&mut headers, &COOKIE);
            vary(&mut headers, &COOKIE);
            assert_eq!(all(&headers, VARY), after);
        }
    }

    #[test]
    fn what_a_session_was_read_for_depends_on_both_ways_to_carry_it() {
        for (before, after) in [
            (&[][..], &["Cookie, Authorization"][..]),
            (&["Accept"], &["Accept", "cookie", "authorization"]),
            (&["Cookie"], &["Cookie", "authorization"]),
        ] {
            let mut headers: HeaderMap =
                before.iter().map(|value| (VARY, HeaderValue::from_static(value))).collect();
            vary_by_credentials(&mut headers);
            assert_eq!(all(&headers, VARY), after);
        }
    }

    #[test]
    fn a_handler_that_chose_how_to_be_cached_is_heard_unless_others_would_be_handed_the_cookie() {
        for (chosen, sent) in [
            (&[][..], "no-store"),
            (&["private, max-age=60"], "private, max-age=60"),
            (&["no-cache"], "no-cache"),
            (&["public, max-age=60"], "no-store"),
            (&["max-age=60", "immutable"], "no-store"),
        ] {
            let mut headers: HeaderMap =
                chosen.iter().map(|line| (CACHE_CONTROL, HeaderValue::from_static(line))).collect();
            no_store_unless_private(&mut headers);
            assert_eq!(all(&headers, CACHE_CONTROL), [sent], "{chosen:?}");
        }
        let mut public = headers(&[("cache-control", "public, max-age=60")]);
        no_store_unless_chosen(&mut public);
        assert_eq!(
            all(&public, CACHE_CONTROL),
            ["public, max-age=60"],
            "without a cookie its own choice stands"
        );
    }

    #[test]
    fn a_response_is_for_shared_caches_where_its_handler_chose_and_not_against_them() {
        for (chosen, shared) in [
            (None, false),
            (Some("public, max-age=60"), true),
            (Some("max-age=60"), true),
            (Some("private, max-age=60"), false),
            (Some("max-age=60,PRIVATE"), false),
            (Some("no-store"), false),
            (Some("no-cache"), false),
            (Some("no-cache=\"set-cookie\""), true),
            (Some("private=\"x-name\""), true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(chosen) = chosen {
                headers.insert(CACHE_CONTROL, HeaderValue::from_static(chosen));
            }
            assert_eq!(may_be_shared(&headers), shared, "{chosen:?}");
        }
    }

    #[test]
    fn a_token_for_a_client_without_cookies_is_shown_by_nothing() {
        let token = SessionToken::from_sealed(&[7; 100]);
        let mut headers = HeaderMap::new();
        hand_over_bearer(&mut headers, &token);
        assert_eq!(headers[TOKEN_HEADER], token.expose().as_str());
        assert!(!format!("{headers:?}").contains("cs1_"));
    }

    #[test]
    fn a_response_never_sets_the_session_cookie_twice_and_leaves_others_alone() {
        let policy = CookiePolicy::default();
        let mut headers = headers(&[
            ("set-cookie", "theme=dark"),
            ("set-cookie", "__Host-cloakroom=old; Path=/"),
            ("set-cookie", "__Host-cloakroom2=x"),
        ]);
        set_cookie(&mut headers, &policy, policy.removal());
        let lines = all(&headers, SET_COOKIE);
        assert_eq!(lines[..2], ["theme=dark", "__Host-cloakroom2=x"]);
        assert!(lines[2].starts_with("__Host-cloakroom=;"));
        assert_eq!(lines.len(), 3);
    }
}
