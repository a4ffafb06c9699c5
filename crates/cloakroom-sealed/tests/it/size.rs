//! The limit: at it, below it, above it, and what is said of who exceeds it.

use std::sync::Arc;

use cloakroom_core::{
    AttributeKey, AuthLevel, Authentication, Device, Method, Principal, PrincipalId, Role, SessionToken,
};
use cloakroom_sealed::Sealer;
use cloakroom_store::{SealError, SealedContents, Sealing as _};

use crate::support::{AROUND, MINUTE, NONCE, NOW, assert_same, bare, changed, place, ring, sealer};

fn with_attribute(bytes: usize) -> SealedContents {
    let mut record = cloakroom_core::SessionRecord::clone(&bare().record);
    record.attributes.insert_bytes(AttributeKey::new("cart").unwrap(), vec![0xAB; bytes].into());
    SealedContents { record: Arc::new(record), ..bare() }
}

/// Bytes that the bare session may grow by: instants, version, what is known, three methods, a device.
const GROWTH: usize = 5 + 5 + 6 + 8 + 25 + 66;

/// Bytes of the cookie when the session in `token` has grown.
fn grown(around: usize, token: &SessionToken) -> usize {
    around + 4 + (token.sealed().unwrap().len() + GROWTH).mul_ceil(4, 3)
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
                    let size = grown(around, &token);
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
fn the_size_that_is_told_is_the_one_the_cookie_may_come_to_have() {
    // What does not fit around 600 bytes fits around none: the same token, measured.
    let (wide, narrow) = (Sealer::new(ring(), &place(), 600), Sealer::new(ring(), &place(), 0));
    for bytes in [2_500, 2_501, 2_502, 2_503, 2_800] {
        let contents = with_attribute(bytes);
        let Err(SealError::TooLarge { size, .. }) = wide.seal(&contents, NONCE, NOW) else {
            panic!("{bytes} fit")
        };
        assert_eq!(size, grown(600, &narrow.seal(&contents, NONCE, NOW).unwrap()));
    }
}

#[test]
fn a_session_that_fits_goes_on_fitting_whatever_happens_to_it_of_itself() {
    let sealer = sealer(ring());
    let year = 525_600 * MINUTE;
    let starts: [fn(usize) -> SealedContents; 2] = [with_attribute, typical_with_attribute];
    for start in starts {
        let fits = |bytes: &usize| sealer.seal(&start(*bytes), NONCE, NOW).is_ok();
        let most = (0..3_100).take_while(fits).max().unwrap();
        // Touched, rotated, changed in place, proved by two more methods from another device, known to a list.
        let mut contents = start(most);
        let record = Arc::make_mut(&mut contents.record);
        contents.last_seen_at = NOW.plus(30 * year);
        record.rotated_at = NOW.plus(30 * year);
        contents.version = cloakroom_store::Version::from_u64((1 << 49) - 1);
        contents.known = (1 << 53) - 1;
        for (number, method) in ["password", "totp", "passkey"].into_iter().enumerate() {
            let at = NOW.plus(30 * year + MINUTE * u32::try_from(number).unwrap());
            let (level, method) = (AuthLevel::Two, Method::new(method).unwrap());
            record.authentication = Some(Box::new(match record.authentication.take() {
                None => Authentication::new(level, method, at),
                Some(proof) => proof.and(level, method, at),
            }));
        }
        let device = Device::new().with_ip("2001:db8:1:2:3:4:5:6".parse().unwrap()).with_user_agent(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.7339.128 \
             Safari/537.36 Edg/140.0.3485.54",
        );
        record.device = Some(Box::new(device.with_label("Edge on Windows")));
        let token = sealer.seal(&contents, NONCE, NOW).unwrap();
        let size = AROUND + token.expose().as_str().len();
        assert!((4_050..=4_096).contains(&size), "{size}");
        // A change that asks for room is refused as ever.
        let one_more = Arc::make_mut(&mut contents.record);
        one_more.attributes.insert_bytes(AttributeKey::new("one").unwrap(), vec![0; 40].into());
        assert!(matches!(sealer.seal(&contents, NONCE, NOW), Err(SealError::TooLarge { .. })));
    }
}

fn typical_with_attribute(bytes: usize) -> SealedContents {
    changed(|record| {
        record.attributes.insert_bytes(AttributeKey::new("basket").unwrap(), vec![0xAB; bytes].into());
    })
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
fn the_longest_token_may_grow_to_what_core_takes() {
    let sealer = Sealer::new(ring(), &place(), 0);
    let fits = |bytes: &usize| sealer.seal(&with_attribute(*bytes), NONCE, NOW).is_ok();
    let most = (0..3_100).take_while(fits).max().unwrap();
    let longest = sealer.seal(&with_attribute(most), NONCE, NOW).unwrap();
    assert_eq!(longest.sealed().unwrap().len(), SessionToken::SEALED_BYTES_MAX - GROWTH);
}

trait MulCeil {
    fn mul_ceil(self, by: usize, over: usize) -> usize;
}

impl MulCeil for usize {
    fn mul_ceil(self, by: usize, over: usize) -> usize {
        (self * by).div_ceil(over)
    }
}
