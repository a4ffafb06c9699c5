//! Sealing and opening.

use aws_lc_rs::aead::{Aad, Nonce};
use cloakroom_core::{SessionToken, Timestamp};
use cloakroom_store::{NONCE_BYTES, OpenedSeal, SealError, SealRefusal, SealedContents, Sealing};

use crate::contents;
use crate::keys::{KeyId, KeyRing};

/// Where a token belongs: one sealed for another place is not opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The cookie's name.
    pub cookie: String,
    /// Which application it is, among those that might share keys.
    pub application: String,
}

/// Seals sessions, and opens them.
#[derive(Debug)]
pub struct Sealer {
    ring: KeyRing,
    associated: Vec<u8>,
    /// Most bytes of a cookie's name, value and attributes together, and how many of them are not the value.
    limit: usize,
    around: usize,
}

impl Sealer {
    /// Seals with the keys of `ring` for `place`. `around` is how many bytes of the `Set-Cookie` line are not the value.
    #[must_use]
    pub fn new(ring: KeyRing, place: &Place, around: usize) -> Self {
        let mut associated = vec![FORMAT];
        for part in [&place.cookie, &place.application] {
            associated.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            associated.extend_from_slice(part.as_bytes());
        }
        Self { ring, associated, limit: COOKIE_MAX, around }
    }

    fn aad(&self, id: KeyId) -> Aad<Vec<u8>> {
        Aad::from([&self.associated[..], &id.to_be_bytes()].concat())
    }
}

impl Sealing for Sealer {
    fn seal(
        &self,
        contents: &SealedContents,
        nonce: [u8; NONCE_BYTES],
        now: Timestamp,
    ) -> Result<SessionToken, SealError> {
        let key = self.ring.sealing(now).ok_or(SealError::NoKey)?;
        let mut bytes = contents::encode(contents);
        let size = self.around + (HEAD + bytes.len() + TAG).div_ceil(3) * 4 + 4;
        if size > self.limit {
            let (largest, largest_size) = ("the session".into(), bytes.len());
            return Err(SealError::TooLarge { size, limit: self.limit, largest, largest_size });
        }
        let nonce_again = Nonce::assume_unique_for_key(nonce);
        key.cipher
            .seal_in_place_append_tag(nonce_again, self.aad(key.id), &mut bytes)
            .expect("a cookie is shorter than what AES-GCM-SIV can seal");
        let head = [&key.id.to_be_bytes()[..], &nonce].concat();
        Ok(SessionToken::from_sealed(&[head, bytes].concat()))
    }

    fn open(&self, token: &SessionToken, now: Timestamp) -> Result<OpenedSeal, SealRefusal> {
        let sealed = token.sealed().ok_or(SealRefusal::Malformed)?;
        let (id, rest) = sealed.split_first_chunk().ok_or(SealRefusal::Malformed)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(SealRefusal::Malformed)?;
        let id = KeyId::from_be_bytes(*id);
        let key = self.ring.of(id).ok_or(SealRefusal::UnknownKey)?;
        if key.opens_until.is_some_and(|until| now >= until) {
            return Err(SealRefusal::ExpiredKey);
        }
        let mut bytes = rest.to_vec();
        let opened = key
            .cipher
            .open_in_place(Nonce::assume_unique_for_key(*nonce), self.aad(id), &mut bytes)
            .map_err(|_| SealRefusal::Forged)?;
        let is_stale = self.ring.sealing(now).is_some_and(|newest| newest.id != id);
        Ok(OpenedSeal { contents: contents::decode(opened)?, is_stale })
    }
}

const FORMAT: u8 = 1;
const HEAD: usize = 4 + NONCE_BYTES;
const TAG: usize = 16;
/// What browsers keep: name, value and attributes together (RFC 6265bis §5.6 leaves attributes out; we do not).
const COOKIE_MAX: usize = 4_096;
