//! The public name of a session.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Route;

/// The public name of a session: `ses_` and 22 characters. It appears in logs, audit, console and API paths.
///
/// # Security
/// It grants nothing: no code path accepts a session id where a token is expected, and none leads from an id to a
/// token. It is random all the same, so that ids cannot be enumerated.
///
/// ```
/// use cloakroom_core::{Route, SessionId};
///
/// let id = SessionId::from_random(Route::from_bytes([1, 2]), [7; 14]);
/// assert_eq!(id.to_string().parse(), Ok(id));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; SessionId::LENGTH]);

impl SessionId {
    /// Bytes in a session id: route, then random bytes.
    pub const LENGTH: usize = Route::LENGTH + Self::RANDOM_BYTES;
    /// Random bytes in a session id.
    pub const RANDOM_BYTES: usize = 14;

    /// The id made of `route` and `random`.
    #[must_use]
    pub fn from_random(route: Route, random: [u8; Self::RANDOM_BYTES]) -> Self {
        let mut bytes = [0; Self::LENGTH];
        let (head, tail) = bytes.split_at_mut(Route::LENGTH);
        head.copy_from_slice(route.as_bytes());
        tail.copy_from_slice(&random);
        Self(bytes)
    }

    /// The id with these bytes, as a store kept them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The bytes of this id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// Where this session lives.
    #[must_use]
    pub fn route(&self) -> Route {
        let [first, second, ..] = self.0;
        Route::from_bytes([first, second])
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut encoded = [0; ENCODED];
        URL_SAFE_NO_PAD.encode_slice(self.0, &mut encoded).expect("16 bytes are 22 characters");
        f.write_str(PREFIX)?;
        f.write_str(std::str::from_utf8(&encoded).expect("base64url is ASCII"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SessionId {
    type Err = MalformedSessionId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded =
            text.strip_prefix(PREFIX).filter(|rest| rest.len() == ENCODED).ok_or(MalformedSessionId)?;
        let mut bytes = [0; Self::LENGTH];
        match URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes) {
            Ok(Self::LENGTH) => Ok(Self(bytes)),
            _ => Err(MalformedSessionId),
        }
    }
}

/// A text is no session id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a session id; expected ses_ and 22 characters")]
pub struct MalformedSessionId;

const PREFIX: &str = "ses_";
/// base64url characters of 16 bytes.
const ENCODED: usize = 22;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionToken;

    #[test]
    fn an_id_is_never_a_token_and_a_token_never_an_id() {
        let id = SessionId::from_random(Route::from_bytes([1, 2]), [3; 14]);
        let token = SessionToken::from_random(Route::from_bytes([1, 2]), [3; 32]);
        assert!(SessionToken::parse(id.to_string().as_bytes()).is_err());
        assert_eq!(token.expose().as_str().parse::<SessionId>(), Err(MalformedSessionId));
    }

    #[test]
    fn malformed_ids_are_refused() {
        for text in [
            "",
            "ses_",
            "ses_AAAA",
            "SES_AAAAAAAAAAAAAAAAAAAAAA",
            "ses_AAAAAAAAAAAAAAAAAAAAA%",
            "ses_AAAAAAAAAAAAAAAAAAAAAB",
        ] {
            assert_eq!(text.parse::<SessionId>(), Err(MalformedSessionId), "{text}");
        }
    }
}
