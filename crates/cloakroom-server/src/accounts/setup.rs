//! The one-time token that lets the first administrator in.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The secret in the set-up link: 256 random bits. There are no default accounts (ASVS 6.3.2); whoever can read the
/// server's output creates the first one.
///
/// # Security
/// Only its digest is stored. `Debug` writes `SetupToken(..)`; the bytes are wiped when it is dropped.
pub struct SetupToken(Zeroizing<[u8; SetupToken::BYTES]>);

impl SetupToken {
    /// Random bytes in a token.
    pub const BYTES: usize = 32;

    /// The token made of `random`, which must come from a cryptographic generator.
    #[must_use]
    pub fn from_random(random: [u8; Self::BYTES]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// Reads a token out of a link; `None` where the text is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        if text.len() != ENCODED {
            return None;
        }
        let read = URL_SAFE_NO_PAD.decode_slice(text, bytes.as_mut_slice()).ok()?;
        (read == Self::BYTES).then_some(Self(bytes))
    }

    /// The token in clear, for the link and nothing else.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0.as_slice()))
    }

    /// What is stored instead.
    #[must_use]
    pub fn digest(&self) -> SetupDigest {
        SetupDigest(Sha256::digest(self.0.as_slice()).into())
    }
}

impl fmt::Debug for SetupToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetupToken(..)")
    }
}

/// SHA-256 of a [`SetupToken`].
#[derive(Clone, Copy)]
pub struct SetupDigest([u8; 32]);

impl SetupDigest {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Base64url characters of 32 bytes.
const ENCODED: usize = 43;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_from_its_link_and_nothing_else_does() {
        let token = SetupToken::from_random([0xA7; 32]);
        let text = token.expose();
        let read = SetupToken::parse(&text).unwrap();
        assert_eq!(read.digest().as_bytes(), token.digest().as_bytes());
        for other in ["", "x", &text[1..], &format!("{}A", &*text), &text.replace('n', "+")] {
            assert!(SetupToken::parse(other).is_none(), "{other}");
        }
        assert!(!format!("{token:?}").contains(&text[..8]));
    }
}
