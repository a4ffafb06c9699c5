//! The secret a client presents, and the digest a store knows it by.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::block_api::compress256;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize;

use crate::Route;

/// The secret that stands for a session: a [`Route`] and 256 random bits. OWASP calls it the "session ID".
///
/// In text it is `cr1_` and 46 characters of base64url, recognisable to log scrubbers and secret scanners.
///
/// # Security
/// Whoever has the token has the session. Hence there is no `Display`, no `Serialize`, no comparison and no `Clone`;
/// `Debug` writes `SessionToken(..)`; the bytes are wiped when it is dropped. Stores see [`TokenDigest`] only.
/// The one way to the text is [`expose`](Self::expose), which is easy to find in a review.
///
/// ```
/// use cloakroom_core::{Route, SessionToken};
///
/// let token = SessionToken::from_random(Route::from_bytes([1, 2]), [7; 32]);
/// assert_eq!(format!("{token:?}"), "SessionToken(..)");
/// let presented = SessionToken::parse(token.expose().as_str().as_bytes()).unwrap();
/// assert_eq!(presented.digest(), token.digest());
/// ```
///
/// # Sealed sessions
/// Where no store keeps the record, the token carries it: encrypted, authenticated, `cs1_` and up to some four thousand
/// characters of base64url. This type only keeps the two apart; `cloakroom-sealed` makes them and opens them.
pub struct SessionToken(Inner);

enum Inner {
    /// Names a record that a store keeps.
    Random([u8; SessionToken::BYTES]),
    /// Is the record, sealed: its text, prefix included.
    Sealed(Box<[u8]>),
}

impl SessionToken {
    /// Random bytes in a token (256 bits; ASVS 7.2.3 asks for at least 128).
    pub const RANDOM_BYTES: usize = 32;
    /// Characters in a token's text, prefix included.
    pub const TEXT_LENGTH: usize = PREFIX.len() + ENCODED;

    /// Most bytes in a sealed token: no cookie has room for more (RFC 6265bis §5.6: 4096 for name and value).
    pub const SEALED_BYTES_MAX: usize = 3_069;

    const BYTES: usize = Route::LENGTH + Self::RANDOM_BYTES;

    /// The token made of `route` and `random`, which must come from a cryptographic generator.
    #[must_use]
    pub fn from_random(route: Route, mut random: [u8; Self::RANDOM_BYTES]) -> Self {
        let mut bytes = [0; Self::BYTES];
        let (head, tail) = bytes.split_at_mut(Route::LENGTH);
        head.copy_from_slice(route.as_bytes());
        tail.copy_from_slice(&random);
        random.zeroize();
        Self(Inner::Random(bytes))
    }

    /// The token that carries `sealed`, which must be encrypted and authenticated.
    ///
    /// # Panics
    /// Where it is longer than any cookie ([`SEALED_BYTES_MAX`](Self::SEALED_BYTES_MAX)).
    #[must_use]
    pub fn from_sealed(sealed: &[u8]) -> Self {
        assert!(sealed.len() <= Self::SEALED_BYTES_MAX, "whoever seals has a limit that is no higher");
        let mut text = vec![0; SEALED_PREFIX.len() + sealed.len().div_ceil(3) * 4];
        let (prefix, encoded) = text.split_at_mut(SEALED_PREFIX.len());
        prefix.copy_from_slice(SEALED_PREFIX);
        let written = URL_SAFE_NO_PAD.encode_slice(sealed, encoded).expect("four characters for three bytes");
        text.truncate(SEALED_PREFIX.len() + written);
        Self(Inner::Sealed(text.into_boxed_slice()))
    }

    /// What was sealed, still sealed; `None` for a token that names a record.
    #[must_use]
    pub fn sealed(&self) -> Option<Vec<u8>> {
        let Inner::Sealed(text) = &self.0 else { return None };
        let encoded = text.get(SEALED_PREFIX.len()..)?;
        let mut sealed = vec![0; encoded.len().div_ceil(4) * 3];
        let written = URL_SAFE_NO_PAD.decode_slice(encoded, &mut sealed).ok()?;
        sealed.truncate(written);
        Some(sealed)
    }

    /// Whether this token carries its session, instead of naming a record.
    #[inline]
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        matches!(self.0, Inner::Sealed(_))
    }

    /// Reads the text of a token. Exactly one text belongs to each token: other lengths, prefixes, alphabets, padding
    /// or stray low bits are malformed.
    ///
    /// # Errors
    /// [`MalformedToken`], without saying what was wrong: the text may be somebody's secret.
    ///
    /// # Cost
    /// No allocation; a few tens of nanoseconds. One allocation for a sealed one, which is not opened here.
    pub fn parse(text: &[u8]) -> Result<Self, MalformedToken> {
        if text.starts_with(SEALED_PREFIX) {
            return Self::parse_sealed(text);
        }
        let encoded = text.strip_prefix(PREFIX).filter(|rest| rest.len() == ENCODED).ok_or(MalformedToken)?;
        let mut bytes = [0; Self::BYTES];
        match URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes) {
            Ok(Self::BYTES) => Ok(Self(Inner::Random(bytes))),
            _ => Err(MalformedToken),
        }
    }

    fn parse_sealed(text: &[u8]) -> Result<Self, MalformedToken> {
        let encoded = text.get(SEALED_PREFIX.len()..).ok_or(MalformedToken)?;
        let (least, most) =
            (Self::TEXT_LENGTH, SEALED_PREFIX.len() + (Self::SEALED_BYTES_MAX * 4).div_ceil(3));
        let is_plain = encoded.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !is_plain || !(least..=most).contains(&text.len()) {
            return Err(MalformedToken);
        }
        Ok(Self(Inner::Sealed(text.into())))
    }

    /// What stores file this token's record under.
    #[inline]
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        let hash = match &self.0 {
            Inner::Random(bytes) => sha256(bytes),
            Inner::Sealed(text) => Sha256::digest(text).into(),
        };
        TokenDigest { route: self.route(), hash }
    }

    /// Where this token's session lives; zeros where it lives in the token.
    #[inline]
    #[must_use]
    pub fn route(&self) -> Route {
        match self.0 {
            Inner::Random([first, second, ..]) => Route::from_bytes([first, second]),
            Inner::Sealed(_) => Route::from_bytes([0; Route::LENGTH]),
        }
    }

    /// The token in clear, to hand it to its client and to nobody else.
    #[must_use]
    pub fn expose(&self) -> TokenText {
        let bytes = match &self.0 {
            Inner::Random(bytes) => bytes,
            Inner::Sealed(text) => return TokenText(Text::Sealed(text.clone())),
        };
        let mut text = [0; Self::TEXT_LENGTH];
        let (prefix, encoded) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX);
        let written = URL_SAFE_NO_PAD.encode_slice(bytes, encoded).expect("34 bytes are 46 characters");
        debug_assert_eq!(written, ENCODED);
        TokenText(Text::Random(text))
    }
}

impl Drop for SessionToken {
    fn drop(&mut self) {
        match &mut self.0 {
            Inner::Random(bytes) => bytes.zeroize(),
            Inner::Sealed(text) => text.zeroize(),
        }
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(..)")
    }
}

/// A token in clear, on its way to its client; wiped when dropped.
pub struct TokenText(Text);

enum Text {
    Random([u8; SessionToken::TEXT_LENGTH]),
    Sealed(Box<[u8]>),
}

impl TokenText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let text: &[u8] = match &self.0 {
            Text::Random(text) => text,
            Text::Sealed(text) => text,
        };
        std::str::from_utf8(text).expect("base64url is ASCII")
    }
}

impl Drop for TokenText {
    fn drop(&mut self) {
        match &mut self.0 {
            Text::Random(text) => text.zeroize(),
            Text::Sealed(text) => text.zeroize(),
        }
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(..)")
    }
}

/// The secret inside a sealed token: stays the same while the token is sealed anew, changes when it is exchanged.
///
/// # Security
/// As with [`SessionToken`], there is no `Display`, no comparison, and `Debug` writes `TokenCore(..)`.
#[derive(Clone)]
pub struct TokenCore([u8; TokenCore::LENGTH]);

impl TokenCore {
    /// Bytes in it: 128 random bits (ASVS 7.2.3).
    pub const LENGTH: usize = 16;

    /// The secret made of these bytes, which must come from a cryptographic generator.
    #[must_use]
    pub const fn from_random(random: [u8; Self::LENGTH]) -> Self {
        Self(random)
    }

    /// Its bytes, to be sealed.
    #[must_use]
    pub const fn expose(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// The token that stands for this secret inside the server, for what is bound to a token: CSRF tokens, open streams,
    /// the list of what was exchanged. It is never handed out, and opens nothing.
    #[must_use]
    pub fn token(&self, route: Route) -> SessionToken {
        let hash = Sha256::new().chain_update(CORE_DOMAIN).chain_update(self.0).finalize();
        SessionToken::from_random(route, hash.into())
    }
}

impl Drop for TokenCore {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for TokenCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenCore(..)")
    }
}

/// SHA-256 of a token, together with its [`Route`]: what stores file a record under.
///
/// # Security
/// A digest does not lead back to its token: a leaked store, backup or dump lets nobody in. Looking up by digest also
/// hides from timing how much of a guessed token was right.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)] // Copied in words of sixteen bytes, the hash is read back in the same words: no copy is waited for.
pub struct TokenDigest {
    hash: [u8; 32],
    route: Route,
}

impl TokenDigest {
    /// Bytes in a digest: route, then hash.
    pub const LENGTH: usize = Route::LENGTH + 32;

    /// Where this digest's session lives.
    #[must_use]
    pub const fn route(&self) -> Route {
        self.route
    }

    /// SHA-256 of the token's 34 bytes.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Route and hash, for a store's key.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let (route, hash) = bytes.split_at_mut(Route::LENGTH);
        route.copy_from_slice(self.route.as_bytes());
        hash.copy_from_slice(&self.hash);
        bytes
    }

    /// The digest that [`to_bytes`](Self::to_bytes) wrote; `None` for another length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (route, hash) = bytes.split_at_checked(Route::LENGTH)?;
        Some(Self { route: Route::from_bytes(route.try_into().ok()?), hash: hash.try_into().ok()? })
    }
}

/// In the order of their [bytes](TokenDigest::to_bytes).
impl Ord for TokenDigest {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.route, &self.hash).cmp(&(other.route, &other.hash))
    }
}

impl PartialOrd for TokenDigest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for TokenDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The bytes are uniformly distributed already: eight of them are as good as thirty-four.
        let [a, b, c, d, e, f, g, h, ..] = self.hash;
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.hash;
        write!(f, "TokenDigest({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// SHA-256 of a token's bytes, which are one block together with their padding (FIPS 180-4 §5.1.1): the block is written
/// down as a whole. A hasher that takes bytes piece by piece spends 30 ns more on what it copies.
#[inline]
fn sha256(bytes: &[u8; SessionToken::BYTES]) -> [u8; 32] {
    let mut block = [0; 64];
    let (message, padding) = block.split_at_mut(SessionToken::BYTES);
    message.copy_from_slice(bytes);
    if let [one, .., high, low] = padding {
        *one = 0x80;
        [*high, *low] = BITS.to_be_bytes();
    }
    let mut state = INITIAL;
    compress256(&mut state, &[block]);
    let mut hash = [0; 32];
    for (bytes, word) in hash.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    hash
}

/// A text is no session token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a session token")]
pub struct MalformedToken;

const PREFIX: &[u8] = b"cr1_";
const SEALED_PREFIX: &[u8] = b"cs1_";
/// Separates this hash from every other use of SHA-256.
const CORE_DOMAIN: &[u8] = b"cloakroom sealed core v1\0";
/// Bits in a token, as the padding tells them.
const BITS: u16 = 34 * 8;
/// What SHA-256 begins with (FIPS 180-4 §5.3.3).
const INITIAL: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];
/// base64url characters of 34 bytes.
const ENCODED: usize = 46;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(fill: u8) -> SessionToken {
        SessionToken::from_random(Route::from_bytes([fill, fill]), [fill; 32])
    }

    #[test]
    fn nothing_that_prints_a_token_prints_the_token() {
        let token = token(0xAB);
        let text = token.expose();
        for printed in [format!("{token:?}"), format!("{text:?}"), format!("{:?}", token.digest())] {
            assert!(!printed.contains(&text.as_str()[4..12]), "{printed}");
        }
    }

    #[test]
    fn only_the_exact_text_is_a_token() {
        let text = token(0xAB).expose().as_str().to_owned();
        assert_eq!(text.len(), SessionToken::TEXT_LENGTH);
        for malformed in [
            String::new(),
            "cr1_".into(),
            text[..49].into(),
            format!("{text}A"),
            format!("{text}="),
            format!(" {text}"),
            text.replacen("cr1_", "cr2_", 1),
            text.replacen("cr1_", "CR1_", 1),
            text.to_lowercase().replacen('q', "+", 1),
            "cr1_".to_owned() + &"!".repeat(46),
        ] {
            assert!(SessionToken::parse(malformed.as_bytes()).is_err(), "{malformed}");
        }
    }

    #[test]
    fn stray_low_bits_in_the_last_character_are_refused() {
        let mut text = token(0).expose().as_str().to_owned();
        assert_eq!(text.pop(), Some('A'));
        for last in ['B', 'C', 'P', '_'] {
            assert!(SessionToken::parse(format!("{text}{last}").as_bytes()).is_err(), "{last}");
        }
    }

    #[test]
    fn the_digest_is_sha_256_of_the_bytes_and_never_changes() {
        let digest = token(7).digest();
        assert_eq!(digest.hash(), &<[u8; 32]>::from(Sha256::digest([7_u8; 34])));
        assert_eq!(TokenDigest::from_bytes(&digest.to_bytes()), Some(digest));
        assert_eq!(TokenDigest::from_bytes(&digest.to_bytes()[1..]), None);
    }

    #[test]
    fn a_sealed_token_reads_back_and_is_told_from_one_that_names_a_record() {
        for length in [40, 41, 42, 43, SessionToken::SEALED_BYTES_MAX] {
            let sealed = vec![0xA5; length];
            let token = SessionToken::from_sealed(&sealed);
            let text = token.expose();
            assert!(text.as_str().starts_with("cs1_"));
            let read = SessionToken::parse(text.as_str().as_bytes()).unwrap();
            assert!(read.is_sealed());
            assert_eq!((read.sealed(), read.digest()), (Some(sealed), token.digest()));
            assert_eq!(format!("{read:?} {text:?}"), "SessionToken(..) TokenText(..)");
        }
        assert_eq!(token(1).sealed(), None);
        let longest = SessionToken::from_sealed(&[1; SessionToken::SEALED_BYTES_MAX]);
        assert_eq!(longest.expose().as_str().len(), 4_096);
        for malformed in [
            "cs1_".to_owned(),
            "cs1_AAAA".into(),
            format!("cs1_{}=", "A".repeat(80)),
            format!("cs1_{}.", "A".repeat(80)),
            format!("cs1_{}", "A".repeat(4_093)),
        ] {
            assert!(SessionToken::parse(malformed.as_bytes()).is_err(), "{malformed}");
        }
    }

    proptest! {
        #[test]
        fn digests_are_in_the_order_of_their_bytes(one in any::<([u8; 2], u8)>(), other in any::<([u8; 2], u8)>()) {
            let digest = |(route, fill): ([u8; 2], u8)| TokenDigest { hash: [fill; 32], route: Route::from_bytes(route) };
            let (one, other) = (digest(one), digest(other));
            prop_assert_eq!(one.cmp(&other), one.to_bytes().cmp(&other.to_bytes()));
        }

        #[test]
        fn every_token_reads_back(route in any::<[u8; 2]>(), random in any::<[u8; 32]>()) {
            let token = SessionToken::from_random(Route::from_bytes(route), random);
            let read = SessionToken::parse(token.expose().as_str().as_bytes()).unwrap();
            prop_assert_eq!(read.digest(), token.digest());
            prop_assert_eq!(read.route(), Route::from_bytes(route));
            let bytes = [route.as_slice(), &random].concat();
            prop_assert_eq!(*read.digest().hash(), <[u8; 32]>::from(Sha256::digest(bytes)));
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = SessionToken::parse(&bytes);
        }
    }
}
