//! What a nonce that is used twice gives away.

use cloakroom_store::{SealedContents, Sealing as _};

use crate::support::{NONCE, NOW, changed, ring, sealer, typical};

#[test]
fn a_nonce_used_twice_tells_only_that_two_contents_are_the_same() {
    let sealer = sealer(ring());
    let sealed = |contents: &SealedContents| sealer.seal(contents, NONCE, NOW).unwrap().sealed().unwrap();
    let one = sealed(&typical());
    assert_eq!(one, sealed(&typical()), "the same contents: the same token, which is all that is told");
    // One bit of difference at the very end of the contents. By a counter mode (AES-GCM) the beginnings would be the same, and
    // the difference of two ciphertexts would be that of their contents; here nothing stays.
    let other = sealed(&changed(|record| {
        let key = cloakroom_core::AttributeKey::new("locale").unwrap();
        record.attributes.encode(key, "en-GC").unwrap();
    }));
    assert_eq!(one.len(), other.len());
    let body = 16..one.len();
    let same_bits: u32 = body.clone().map(|position| (one[position] ^ other[position]).count_zeros()).sum();
    let bits = u32::try_from(body.len() * 8).unwrap();
    let (least, most) = (bits * 2 / 5, bits * 3 / 5);
    assert!((least..most).contains(&same_bits), "{same_bits} of {bits} bits are the same: as good as half");
    let block = |bytes: &[u8], number: usize| bytes[16 + number * 16..32 + number * 16].to_vec();
    for number in 0..(one.len() - 32) / 16 {
        assert_ne!(block(&one, number), block(&other, number), "block {number}");
    }
}
