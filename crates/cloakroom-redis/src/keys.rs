//! Names of keys, and in which bucket each session lies.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cloakroom_core::{Route, SessionId, TokenDigest};

/// Part of the sessions whose keys lie in one slot, so that one script reaches all of them.
///
/// A standalone server and one behind Sentinel have one bucket; a Cluster has 256, by the first byte of the route. All
/// sessions of a principal have the same route, and so lie in one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Bucket(u8);

/// How keys are named and where they lie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    prefix: String,
    is_clustered: bool,
}

impl Layout {
    /// Keys that begin with `prefix` and a colon.
    pub(crate) fn new(prefix: &str, is_clustered: bool) -> Self {
        Self { prefix: format!("{prefix}:"), is_clustered }
    }

    pub(crate) fn is_clustered(&self) -> bool {
        self.is_clustered
    }

    /// What every key begins with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What the keys of a class begin with, in whatever bucket.
    pub(crate) fn class(&self, class: &str) -> String {
        format!("{}{class}:", self.prefix)
    }

    /// Every bucket there is.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = Bucket> + use<> {
        let last = if self.is_clustered { u8::MAX } else { 0 };
        (0..=last).map(Bucket)
    }

    /// The bucket of sessions with this route.
    pub(crate) fn bucket(&self, route: Route) -> Bucket {
        let [first, _] = *route.as_bytes();
        Bucket(if self.is_clustered { first } else { 0 })
    }

    /// The bucket that the list of ends lies in, whole.
    pub(crate) fn bucket_of_ends(&self) -> Bucket {
        Bucket(0)
    }

    /// What stands between the class of a key and its name: the hash tag by which a Cluster chooses the slot.
    pub(crate) fn tag(&self, bucket: Bucket) -> String {
        if self.is_clustered { format!("{{{}}}:", bucket.text()) } else { String::new() }
    }

    /// The name of a key.
    pub(crate) fn key(&self, bucket: Bucket, class: &str, name: &str) -> String {
        format!("{}{class}:{}{name}", self.prefix, self.tag(bucket))
    }
}

impl Bucket {
    /// The bucket with this number; nothing for one that this layout does not have.
    pub(crate) fn numbered(number: u8, layout: &Layout) -> Option<Self> {
        layout.buckets().nth(usize::from(number))
    }

    /// Its two hexadecimal digits.
    pub(crate) fn text(self) -> String {
        format!("{:02x}", self.0)
    }

    /// The slot of a Cluster that all its keys lie in.
    pub(crate) fn slot(self) -> u16 {
        crc16(self.text().as_bytes()) % SLOTS
    }

    /// Its number, for tables by bucket.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A digest as it appears in names of keys.
pub(crate) fn digest_text(digest: TokenDigest) -> String {
    text(&digest.to_bytes(), [0; DIGEST_TEXT])
}

/// The digest with this text.
pub(crate) fn digest_of(text: &[u8]) -> Option<TokenDigest> {
    let mut bytes = [0; TokenDigest::LENGTH];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(TokenDigest::LENGTH) => TokenDigest::from_bytes(&bytes),
        _ => None,
    }
}

/// A session id as it appears in names of keys, without its `ses_`.
pub(crate) fn id_text(id: SessionId) -> String {
    text(id.as_bytes(), [0; ID_TEXT])
}

fn text<const N: usize>(bytes: &[u8], mut letters: [u8; N]) -> String {
    URL_SAFE_NO_PAD.encode_slice(bytes, &mut letters).expect("the letters of so many bytes fit");
    letters.iter().copied().map(char::from).collect()
}

/// CRC-16/XMODEM, as the Cluster specification has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// The class of what is filed under a digest.
pub(crate) const RECORDS: &str = "record";
/// The class of what ends everything in a bucket.
pub(crate) const EPOCHS: &str = "epoch";
/// The class of keys that are written and removed at once: whoever follows them hears of it.
pub(crate) const NEWS: &str = "news";
/// The class of the list of ends.
pub(crate) const ENDS: &str = "ends";
/// Letters of a digest; the scripts count on it.
pub(crate) const DIGEST_TEXT: usize = 46;
/// Letters of a session id.
pub(crate) const ID_TEXT: usize = 22;
/// Slots of a Cluster.
const SLOTS: u16 = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        // `redis-cli cluster keyslot '{3f}'`
        assert_eq!(Bucket(0x3f).slot(), crc16(b"3f") % 16_384);
    }

    #[test]
    fn names_are_readable_and_share_their_slot_by_the_tag() {
        let cluster = Layout::new("cloakroom", true);
        let bucket = cluster.bucket(Route::from_bytes([0x3f, 1]));
        assert_eq!(cluster.key(bucket, "session", "ses_x"), "cloakroom:session:{3f}:ses_x");
        assert_eq!(cluster.buckets().count(), 256);
        let single = Layout::new("cloakroom", false);
        let bucket = single.bucket(Route::from_bytes([0x3f, 1]));
        assert_eq!(single.key(bucket, "epoch", "current"), "cloakroom:epoch:current");
        assert_eq!(single.buckets().count(), 1);
    }

    #[test]
    fn texts_are_those_that_users_meet() {
        let id = SessionId::from_bytes([0xfb; 16]);
        assert_eq!(format!("ses_{}", id_text(id)), id.to_string());
        let digest = TokenDigest::from_bytes(&[7; TokenDigest::LENGTH]).unwrap();
        assert_eq!(digest_of(digest_text(digest).as_bytes()), Some(digest));
        assert_eq!(digest_of(b"Bw"), None);
        assert_eq!(digest_text(digest), "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBw");
    }
}
