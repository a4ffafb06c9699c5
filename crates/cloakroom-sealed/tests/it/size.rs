//! The limit: at it, below it, above it, and what is said of who exceeds it.

use std::sync::Arc;

use cloakroom_core::{AttributeKey, Device, Principal, PrincipalId, Role, SessionToken};
use cloakroom_sealed::Sealer;
use cloakroom_store::{SealError, SealedContents, Sealing as _};

use crate::support::{AROUND, NONCE, NOW, assert_same, bare, changed, place, ring, sealer};

fn with_attribute(bytes: usize) -> SealedContents {
    let mut record = cloakroom_core::SessionRecord::clone(&bare().record);
    record.attributes.insert_bytes(AttributeKey::new("cart").unwrap(), vec![0xAB; bytes].into());
    SealedContents { record: Arc::new(record), ..bare() }
}

#[test]
fn a_cookie_is_sealed_at_the_limit_and_refused_above_it_and_its_size_is_exact() {
    for around in [0, 1, 2, 3, AROUND, 400, 4_000] {
        let sealer = Sealer::new(ring(), &place(), around);
        let mut at_limit = false;
        let mut last = None;
        for bytes in 0..3_100 {
            let contents = with_attribute(bytes);
            match sealer.seal(&contents, NONCE, NOW) {
                Ok(token) => {
                    let size = around + token.expose().as_str().len();
                    assert!(size <= 4_096 && last.is_none(), "{bytes} bytes around {around}");
                    at_limit |= size == 4_096;
                    if size >= 4_090 {
                        assert_same(&sealer.open(&token, NOW).unwrap().contents, &contents);
                    }
                }
                Err(SealError::TooLarge { size, limit, .. }) => {
                    // One byte more is two characters at most, and three where the number of bytes grows, too.
                    let expected = last.map_or(4_097..=4_099, |last: usize| last + 1..=last + 3);
                    assert!(limit == 4_096 && size > limit, "{size}");
                    assert!(bytes == 0 || expected.contains(&size), "{size} of {bytes} bytes");
                    last = Some(size);
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert!(last.is_some());
        // Three bytes are four characters: of three lengths in a row one or two reach the limit exactly.
        assert!(at_limit || around % 4 == 3 || around == 4_000, "around {around}");
    }
}

#[test]
fn the_size_that_is_told_is_the_one_the_cookie_would_have() {
    // What does not fit around 600 bytes fits around none: the same token, measured.
    let (wide, narrow) = (Sealer::new(ring(), &place(), 600), Sealer::new(ring(), &place(), 0));
    for bytes in [2_600, 2_601, 2_602, 2_603, 2_900] {
        let contents = with_attribute(bytes);
        let Err(SealError::TooLarge { size, .. }) = wide.seal(&contents, NONCE, NOW) else {
            panic!("{bytes} fit")
        };
        let token = narrow.seal(&contents, NONCE, NOW).unwrap();
        assert_eq!(size, 600 + token.expose().as_str().len());
    }
}

#[test]
fn what_is_large_is_named_with_its_bytes() {
    let largest = |contents: &SealedContents| match sealer(ring()).seal(contents, NONCE, NOW) {
        Err(SealError::TooLarge { largest, largest_size, .. }) => (largest.to_string(), largest_size),
        other => panic!("{other:?}"),
    };
    let attribute = |key: &str, bytes: usize| {
        let key = AttributeKey::new(key).unwrap();
        move |record: &mut cloakroom_core::SessionRecord| {
            record.attributes.insert_bytes(key, vec![1; bytes].into())
        }
    };
    // The key and its length, the value and its two bytes of length; in base64.
    let expected = ("attribute `basket`".to_owned(), (1 + 6 + 2 + 3_000_usize).mul_ceil(4, 3));
    assert_eq!(largest(&changed(attribute("basket", 3_000))), expected);
    let many_roles = changed(|record| {
        let roles = (0..64).map(|number| Role::new(format!("{}{number:02}", "r".repeat(60))).unwrap());
        let principal = Principal::new(PrincipalId::new("zoe").unwrap()).with_roles(roles).unwrap();
        record.principal = Some(Arc::new(principal));
        attribute("basket", 2_000)(record);
    });
    assert_eq!(largest(&many_roles), ("the roles".to_owned(), (1 + 64 * 63_usize).mul_ceil(4, 3)));
    let long_agent = changed(|record| {
        record.device = Some(Box::new(Device::new().with_user_agent(&"x".repeat(512))));
        for number in 0..6 {
            attribute(&format!("part{number}"), 450)(record);
        }
    });
    assert_eq!(largest(&long_agent), ("the user agent".to_owned(), (2 + 512_usize).mul_ceil(4, 3)));
}

#[test]
fn a_session_far_beyond_any_cookie_costs_no_more_memory_than_one_that_fits() {
    let error = sealer(ring()).seal(&with_attribute(50_000_000), NONCE, NOW).unwrap_err();
    let SealError::TooLarge { size, limit, largest, .. } = &error else { panic!("{error}") };
    assert!(*size > 66_000_000 && *limit == 4_096 && **largest == *"attribute `cart`");
    assert!(error.to_string().contains("attribute `cart`"), "{error}");
}

#[test]
fn the_longest_token_is_as_long_as_core_takes() {
    let sealer = Sealer::new(ring(), &place(), 0);
    let fits = |bytes: &usize| sealer.seal(&with_attribute(*bytes), NONCE, NOW).is_ok();
    let most = (0..3_100).take_while(fits).max().unwrap();
    let longest = sealer.seal(&with_attribute(most), NONCE, NOW).unwrap();
    assert_eq!(longest.sealed().unwrap().len(), SessionToken::SEALED_BYTES_MAX);
}

trait MulCeil {
    fn mul_ceil(self, by: usize, over: usize) -> usize;
}

impl MulCeil for usize {
    fn mul_ceil(self, by: usize, over: usize) -> usize {
        (self * by).div_ceil(over)
    }
}
