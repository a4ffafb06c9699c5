//! Sealing and opening.

use std::sync::Arc;

use aws_lc_rs::aead::{Aad, Nonce};
use cloakroom_core::{SessionToken, Timestamp};
use cloakroom_store::{NONCE_BYTES, OpenedSeal, SealError, SealRefusal, SealedContents, Sealing};
use zeroize::Zeroizing;

use crate::contents::{self, Encoded};
use crate::format::Format;
use crate::key::{KeyId, SealKey};
use crate::ring::KeyRing;
use crate::shared::{Found, SharedRing};

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
    ring: Arc<SharedRing>,
    /// What every token's associated data begin with.
    associated: Vec<u8>,
    around: usize,
    format: Format,
}

impl Sealer {
    /// Most bytes of a cookie's name, value and attributes together. RFC 6265bis §5.6 counts name and value; older browsers,
    /// and proxies, count the line.
    ///
    /// Counted is what the session may come to take by itself: some hundred characters for instants, the version, two more methods
    /// of authentication, another device. So a session that was sealed once is never too large for being used.
    pub const COOKIE_BYTES_MAX: usize = 4_096;

    /// Seals with the keys of `ring` for `place`. `around` is how many bytes of the `Set-Cookie` line are not the token: name,
    /// `=`, and all attributes at their longest.
    #[must_use]
    pub fn new(ring: impl Into<Arc<SharedRing>>, place: &Place, around: usize) -> Self {
        let mut associated = ENVELOPE.to_vec();
        for part in [&place.cookie, &place.application] {
            associated.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            associated.extend_from_slice(part.as_bytes());
        }
        Self { ring: ring.into(), associated, around, format: Format::default() }
    }

    /// The same, writing `format` until every node reads a later one ([`Format`]).
    #[must_use]
    pub fn writing(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// The ring it takes its keys from.
    #[must_use]
    pub fn ring(&self) -> &Arc<SharedRing> {
        &self.ring
    }

    /// Bytes of the whole cookie around `contents` bytes of contents.
    const fn cookie_bytes(&self, contents: usize) -> usize {
        let sealed = contents.saturating_add(HEAD + TAG);
        base64_length(sealed).saturating_add(PREFIX).saturating_add(self.around)
    }

    fn aad(&self, id: KeyId) -> Aad<Vec<u8>> {
        Aad::from([&self.associated[..], &id.to_bytes()].concat())
    }

    fn too_large(&self, contents: &SealedContents, size: usize) -> SealError {
        let (part, bytes) = contents::largest(contents, self.format);
        SealError::TooLarge {
            size,
            limit: Self::COOKIE_BYTES_MAX,
            largest: part.to_string().into(),
            largest_size: base64_length(bytes),
        }
    }

    fn open_with(
        &self,
        ring: &KeyRing,
        key: &SealKey,
        sealed: Sealed<'_>,
        now: Timestamp,
    ) -> Result<OpenedSeal, SealRefusal> {
        if key.is_over(now) {
            return Err(SealRefusal::ExpiredKey);
        }
        let nonce = Nonce::assume_unique_for_key(sealed.nonce);
        let opened = key.cipher().open_in_place(nonce, self.aad(sealed.id), sealed.encrypted);
        let (contents, format) = contents::decode(opened.map_err(|_| SealRefusal::Forged)?)?;
        let is_stale = ring.is_stale(key, now) || format < self.format;
        Ok(OpenedSeal { contents, is_stale })
    }
}

impl Sealing for Sealer {
    fn seal(
        &self,
        contents: &SealedContents,
        nonce: [u8; NONCE_BYTES],
        now: Timestamp,
    ) -> Result<SessionToken, SealError> {
        let ring = self.ring.load();
        let key = ring.sealing(now).ok_or(SealError::NoKey)?;
        let Encoded { mut bytes, size, growth } = contents::encode(contents, self.format, HEAD, CONTENTS_MAX);
        let size = self.cookie_bytes(size.saturating_add(growth));
        if size > Self::COOKIE_BYTES_MAX {
            return Err(self.too_large(contents, size));
        }
        let (head, inside) = bytes.split_at_mut(HEAD);
        let (id, place_of_nonce) = head.split_at_mut(KeyId::LENGTH);
        id.copy_from_slice(&key.id.to_bytes());
        place_of_nonce.copy_from_slice(&nonce);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key
            .cipher()
            .seal_in_place_separate_tag(nonce, self.aad(key.id), inside)
            .expect("a cookie is shorter than what AES-GCM-SIV can seal");
        // What was to be wiped is encrypted by now.
        let mut bytes = std::mem::take(&mut *bytes);
        bytes.extend_from_slice(tag.as_ref());
        Ok(SessionToken::from_sealed(&bytes))
    }

    fn open(&self, token: &SessionToken, now: Timestamp) -> Result<OpenedSeal, SealRefusal> {
        // Decrypted in place, and wiped afterwards.
        let mut bytes = Zeroizing::new(token.sealed().ok_or(SealRefusal::Malformed)?);
        let sealed = Sealed::parse(&mut bytes).ok_or(SealRefusal::Malformed)?;
        let ring = self.ring.load();
        if let Some(key) = ring.of(sealed.id) {
            return self.open_with(&ring, key, sealed, now);
        }
        match self.ring.look_again(&ring, now) {
            Found::Another => {}
            Found::Nothing => return Err(SealRefusal::UnknownKey),
            Found::NoAnswer => return Err(SealRefusal::Undecided),
        }
        let ring = self.ring.load();
        let key = ring.of(sealed.id).ok_or(SealRefusal::UnknownKey)?;
        self.open_with(&ring, key, sealed, now)
    }
}

/// The parts of a token.
struct Sealed<'a> {
    id: KeyId,
    nonce: [u8; NONCE_BYTES],
    /// Contents and tag.
    encrypted: &'a mut [u8],
}

impl<'a> Sealed<'a> {
    fn parse(bytes: &'a mut [u8]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk_mut()?;
        let (nonce, encrypted) = rest.split_first_chunk_mut()?;
        let id = KeyId::from_bytes(*id);
        (encrypted.len() >= TAG).then_some(Self { id, nonce: *nonce, encrypted })
    }
}

/// Characters of base64 without padding.
const fn base64_length(bytes: usize) -> usize {
    bytes.saturating_mul(4).div_ceil(3)
}

/// What associated data begin with: the version of the token's outside, which its prefix tells, too.
const ENVELOPE: &[u8] = b"cloakroom cs1\0";
const PREFIX: usize = "cs1_".len();
const HEAD: usize = KeyId::LENGTH + NONCE_BYTES;
const TAG: usize = 16;
/// Most bytes of contents for which there could ever be room.
const CONTENTS_MAX: usize = SessionToken::SEALED_BYTES_MAX - HEAD - TAG;

#[cfg(test)]
mod tests;
