//! CSRF tokens: proof that a form was made for the session that sends it.
//!
//! [`OriginGuard`](crate::OriginGuard) already refuses what other sites send. A token in the form is a second, separate
//! proof, and the one that NIST SP 800-63B-4 §5.1 asks for in the content of a request.
//!
//! A CSRF token is `nonce ‖ HMAC-SHA256(session token, domain ‖ length of nonce ‖ nonce)`. The key is the session's own
//! secret, which the browser keeps out of the page's reach and which the server holds for the length of the request:
//! so there is no key to configure, to share between nodes, to rotate or to lose. The token is worthless for any other
//! session, and dies when the session's token is rotated (ASVS 3.5.1; OWASP's "signed double submit").
//!
//! ```
//! use cloakroom_core::{Route, SessionToken};
//! use cloakroom_http::csrf;
//!
//! let session = SessionToken::from_random(Route::from_bytes([0, 0]), [7; 32]);
//! let in_the_form = csrf::issue(&session, [1; csrf::NONCE_BYTES]);
//! assert_eq!(csrf::verify(&session, in_the_form.as_str()), Ok(()));
//! let another = SessionToken::from_random(Route::from_bytes([0, 0]), [8; 32]);
//! assert_eq!(csrf::verify(&another, in_the_form.as_str()), Err(csrf::WrongCsrfToken));
//! ```

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cloakroom_core::SessionToken;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName};
use sha2::Sha256;

/// The header field that carries a CSRF token: `X-CSRF-Token`.
pub const HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
/// The form field that carries a CSRF token.
pub const FIELD: &str = "csrf_token";
/// Random bytes in a CSRF token.
pub const NONCE_BYTES: usize = 16;

/// The text of a CSRF token: 64 characters of base64url.
#[derive(Clone, Copy)]
pub struct CsrfToken([u8; TEXT_LENGTH]);

impl CsrfToken {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64url is ASCII")
    }
}

impl fmt::Display for CsrfToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CsrfToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CsrfToken(..)")
    }
}

/// A CSRF token for forms of the session of `session`.
///
/// `nonce` must be random and used once: two tokens of one session then share no bytes, so that compression of the
/// page tells an onlooker nothing (BREACH).
#[must_use]
pub fn issue(session: &SessionToken, nonce: [u8; NONCE_BYTES]) -> CsrfToken {
    let mut bytes = [0; NONCE_BYTES + MAC_BYTES];
    let (head, tail) = bytes.split_at_mut(NONCE_BYTES);
    head.copy_from_slice(&nonce);
    tail.copy_from_slice(&mac(session, &nonce).finalize().into_bytes());
    let mut text = [0; TEXT_LENGTH];
    let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text).expect("48 bytes are 64 characters");
    debug_assert_eq!(written, TEXT_LENGTH);
    CsrfToken(text)
}

/// Checks that `presented` was issued for the session of `session` since its last rotation.
///
/// # Errors
/// [`WrongCsrfToken`], without saying what is wrong with it.
///
/// # Security
/// The comparison takes the same time whatever differs.
pub fn verify(session: &SessionToken, presented: &str) -> Result<(), WrongCsrfToken> {
    let mut bytes = [0; NONCE_BYTES + MAC_BYTES];
    if presented.len() != TEXT_LENGTH
        || URL_SAFE_NO_PAD.decode_slice(presented, &mut bytes) != Ok(bytes.len())
    {
        return Err(WrongCsrfToken);
    }
    let (nonce, expected) = bytes.split_at(NONCE_BYTES);
    mac(session, nonce).verify_slice(expected).map_err(|_| WrongCsrfToken)
}

/// The CSRF token in the header field, where there is exactly one.
#[must_use]
pub fn in_header(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(HEADER).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => line.to_str().ok(),
        _ => None,
    }
}

/// The CSRF token in the body of a form (`application/x-www-form-urlencoded`), where there is exactly one.
#[must_use]
pub fn in_form(body: &[u8]) -> Option<Cow<'_, str>> {
    let mut fields = form_urlencoded::parse(body).filter(|(name, _)| name == FIELD);
    match (fields.next(), fields.next()) {
        (Some((_, value)), None) => Some(value),
        _ => None,
    }
}

/// A CSRF token is missing its session: malformed, forged, of another session, or of before a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a CSRF token of this session")]
pub struct WrongCsrfToken;

const MAC_BYTES: usize = 32;
/// base64url characters of 48 bytes.
const TEXT_LENGTH: usize = 64;
/// Separates this use of the session token as a key from every other.
const DOMAIN: &[u8] = b"cloakroom csrf v1\0";

fn mac(session: &SessionToken, nonce: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(session.expose().as_str().as_bytes())
        .expect("HMAC takes keys of every length");
    mac.update(DOMAIN);
    mac.update(&u64::try_from(nonce.len()).unwrap_or(u64::MAX).to_be_bytes());
    mac.update(nonce);
    mac
}

#[cfg(test)]
mod tests {
    use cloakroom_core::Route;

    use super::*;

    fn session(fill: u8) -> SessionToken {
        SessionToken::from_random(Route::from_bytes([0, 0]), [fill; 32])
    }

    #[test]
    fn a_token_is_good_for_its_session_and_no_other() {
        let token = issue(&session(1), [9; NONCE_BYTES]);
        assert_eq!(verify(&session(1), token.as_str()), Ok(()));
        assert_eq!(verify(&session(2), token.as_str()), Err(WrongCsrfToken));
    }

    #[test]
    fn every_changed_character_makes_it_wrong() {
        let token = issue(&session(1), [9; NONCE_BYTES]);
        for place in 0..TEXT_LENGTH {
            let mut text = token.as_str().to_owned().into_bytes();
            text[place] = if text[place] == b'A' { b'B' } else { b'A' };
            let text = String::from_utf8(text).unwrap();
            assert_eq!(verify(&session(1), &text), Err(WrongCsrfToken), "{place}");
        }
        for text in
            ["", "A", &"A".repeat(TEXT_LENGTH), &format!("{token}="), &format!("{token} "), &"ä".repeat(32)]
        {
            assert_eq!(verify(&session(1), text), Err(WrongCsrfToken), "{text}");
        }
    }

    #[test]
    fn a_session_token_is_no_csrf_token_and_two_nonces_share_nothing() {
        assert!(verify(&session(1), session(1).expose().as_str()).is_err());
        let (one, two) = (issue(&session(1), [1; NONCE_BYTES]), issue(&session(1), [2; NONCE_BYTES]));
        let alike = one.as_str().bytes().zip(two.as_str().bytes()).filter(|(a, b)| a == b).count();
        assert!(alike < 16, "{alike} of {TEXT_LENGTH} characters are the same");
        assert_eq!(format!("{one:?}"), "CsrfToken(..)");
    }

    #[test]
    fn the_construction_never_changes() {
        // HMAC-SHA256 under the token's text, computed by an independent implementation.
        assert_eq!(issue(&session(7), [1; NONCE_BYTES]).as_str(), KNOWN);
    }

    const KNOWN: &str = "AQEBAQEBAQEBAQEBAQEBAXUd5kvjAbtyTHXQlnU4BR777owwD_3QG8LPFgzINS6C";

    #[test]
    fn a_field_that_comes_twice_is_none() {
        assert_eq!(in_form(b"a=b&csrf_token=x%2Dy").as_deref(), Some("x-y"));
        assert_eq!(in_form(b"csrf_token=x&csrf_token=x"), None);
        assert_eq!(in_form(b"csrf%5Ftoken=x").as_deref(), Some("x"));
        assert_eq!(in_form(b"a=csrf_token"), None);
        let headers = |values: &[&'static str]| -> HeaderMap {
            values.iter().map(|value| (HEADER, http::HeaderValue::from_static(value))).collect()
        };
        assert_eq!(in_header(&headers(&["x"])), Some("x"));
        assert_eq!(in_header(&headers(&["x", "x"])), None);
        assert_eq!(in_header(&headers(&[])), None);
    }
}
