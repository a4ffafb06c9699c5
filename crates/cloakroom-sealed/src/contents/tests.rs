use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{
    AttributeKey, AuthLevel, Authentication, Device, Lifetime, Method, Persistence, Principal, PrincipalId,
    Role, SessionId, SessionRecord, Timestamp, TokenCore,
};
use cloakroom_store::Version;

use super::*;

const CREATED: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn bare() -> SealedContents {
    let lifetime =
        Lifetime::new(Duration::from_secs(1_800), CREATED.plus(Duration::from_secs(43_200)), Duration::ZERO);
    SealedContents {
        record: Arc::new(SessionRecord::new(SessionId::from_bytes([1; 16]), CREATED, lifetime)),
        version: Version::FIRST,
        last_seen_at: CREATED,
        known: 0,
        core: TokenCore::from_random([2; 16]),
    }
}

fn full() -> SealedContents {
    let bare = bare();
    let mut record = SessionRecord::clone(&bare.record);
    let roles = [Role::new("editor").unwrap(), Role::new("staff").unwrap()];
    record.principal =
        Some(Arc::new(Principal::new(PrincipalId::new("zoë").unwrap()).with_roles(roles).unwrap()));
    let proof = Authentication::new(AuthLevel::One, Method::password(), CREATED);
    let proof =
        proof.and(AuthLevel::Two, Method::new("face").unwrap(), CREATED.plus(Duration::from_millis(1)));
    record.authentication = Some(Box::new(proof));
    let device =
        Device::new().with_ip(IpAddr::from([7; 16])).with_user_agent("curl/8").with_label("curl on a 📱");
    record.device = Some(Box::new(device));
    record.lifetime = record.lifetime.with_persistence(Persistence::Remembered);
    record.lifetime.idle_timeout = Duration::from_millis(1_234_567);
    record.attributes.insert_bytes(AttributeKey::new("a").unwrap(), vec![1; 200].into());
    record.attributes.insert_bytes(AttributeKey::new("b").unwrap(), Box::default());
    SealedContents { record: Arc::new(record), known: u64::MAX, ..bare }
}

fn encoded(contents: &SealedContents) -> Vec<u8> {
    let encoded = encode(contents, Format::One, 0, 3_000);
    assert_eq!(encoded.size, encoded.bytes.len());
    encoded.bytes.to_vec()
}

/// A part that a later version might write.
fn later_part(tag: u8, bytes: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

#[test]
fn the_layout_of_format_1_is_what_it_says() {
    let record = [
        &[1][..],                              // the format
        &[0, 0b10],                            // flags: whole seconds
        &[2; 16],                              // the core
        &[1; 16],                              // the session id
        &[0x80, 0xA0, 0xF1, 0xC2, 0xB1, 0x34], // issued
        &[1, 0, 0],                            // version, last seen, rotated
        &[0x88, 0x0E, 0x80, 0xA3, 0x05, 0],    // 1 800, 43 200 twice over (no sign), no retention
    ];
    assert_eq!(encoded(&bare()), record.concat());
    assert_eq!(encoded(&bare()).len(), 50);
}

#[test]
fn every_truncation_is_refused_and_so_is_one_byte_more() {
    for contents in [bare(), full()] {
        let bytes = encoded(&contents);
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]).unwrap_err(), SealRefusal::Format, "cut to {length}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(decode(&longer).unwrap_err(), SealRefusal::Format);
    }
}

#[test]
fn parts_of_a_later_version_are_skipped_or_refused_as_their_tags_say() {
    for contents in [bare(), full()] {
        let bytes = encoded(&contents);
        let with = |parts: &[Vec<u8>]| [&bytes[..], &parts.concat()].concat();
        let (two, four, three) = (later_part(2, b"new"), later_part(4, b""), later_part(3, b"vital"));
        for skipped in [vec![two.clone()], vec![two.clone(), four.clone()], vec![later_part(0, &[0xFF; 100])]]
        {
            let (read, format) = decode(&with(&skipped)).unwrap();
            assert_eq!((&read.record, read.known, format), (&contents.record, contents.known, Format::One));
        }
        for refused in [vec![three.clone()], vec![two.clone(), three], vec![later_part(1, b"")]] {
            assert_eq!(decode(&with(&refused)).unwrap_err(), SealRefusal::Format);
        }
        for damaged in [&[2][..], &[2, 1], &[2, 0x80], &[0x80; 11]] {
            assert_eq!(decode(&with(&[damaged.to_vec()])).unwrap_err(), SealRefusal::Format, "{damaged:?}");
        }
    }
}

#[test]
fn a_format_or_a_flag_that_is_not_known_is_refused() {
    let bytes = encoded(&full());
    for format in 2..=u8::MAX {
        let other = [&[format], &bytes[1..]].concat();
        assert_eq!(decode(&other).unwrap_err(), SealRefusal::Format, "format {format}");
    }
    for bit in 5..8 {
        let mut other = bytes.clone();
        other[1] |= 1 << bit;
        assert_eq!(decode(&other).unwrap_err(), SealRefusal::Format, "flag {bit}");
    }
    assert_eq!(decode(&[]).unwrap_err(), SealRefusal::Format);
}

#[test]
fn what_no_session_can_have_is_refused() {
    let refused = |from: &[u8], to: &[u8]| {
        let bytes = encoded(&full());
        let at = bytes.windows(from.len()).position(|window| window == from).expect("it is there");
        let changed = [&bytes[..at], to, &bytes[at + from.len()..]].concat();
        assert_eq!(decode(&changed).unwrap_err(), SealRefusal::Format, "{to:?}");
    };
    refused(b"\x04zo\xC3\xAB", b"\x00");
    refused(b"\x04zo\xC3\xAB", b"\x04zo\xC3\xC3");
    refused(b"\x04zo\xC3\xAB", b"\x04zo\n!");
    refused(b"\x06editor", b"\x06edi or");
    refused(b"\x02\x06editor", b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x06editor");
    refused(b"\x02\x01\x01\x00", b"\x00\x01\x01\x00");
    refused(b"\x02\x01\x01\x00", b"\x02\x01\x1F\x00");
    refused(b"\x02\x01a", b"\x02\x01 ");
    refused(b"\x02\x01a", b"\x09\x01a");
}

#[test]
fn numbers_have_one_longest_form_and_no_overflow() {
    let number = |bytes: &[u8]| read::Reader::new(bytes).number_for_tests();
    assert_eq!(number(&[0x7F]), Ok(127));
    assert_eq!(number(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]), Ok(u64::MAX));
    for refused in [
        &[][..],
        &[0x80],
        &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
    ] {
        assert_eq!(number(refused), Err(SealRefusal::Format), "{refused:?}");
    }
}

#[test]
fn contents_that_are_cut_off_still_tell_their_size_and_never_need_more_room() {
    let (whole, size) = (encoded(&full()), encoded(&full()).len());
    for most in [0, 1, 50, size - 1, size, size + 1] {
        let cut = encode(&full(), Format::One, 16, most);
        assert_eq!(cut.size, size);
        assert!(cut.bytes.len() <= 16 + most && cut.bytes[..16] == [0; 16]);
        assert!(most < size || cut.bytes[16..] == whole, "{most}");
    }
}

/// Authentic bytes are only ever ours; they are read as if they were not.
#[test]
fn two_hundred_thousand_damaged_contents_make_nothing_panic_and_what_is_read_is_a_session() {
    let seeds: Vec<Vec<u8>> = [bare(), full()].iter().map(encoded).collect();
    let mut state = 0x00C0_FFEE_u64;
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % bound
    };
    let mut read = 0;
    for _ in 0..200_000 {
        let mut bytes = seeds[below(seeds.len())].clone();
        for _ in 0..=below(3) {
            let position = below(bytes.len());
            let byte = u8::try_from(below(256)).unwrap();
            match below(6) {
                0 => bytes[position] ^= 1 << below(8),
                1 => bytes[position] = byte,
                2 => bytes[position] = [0, 1, 0x7F, 0x80, 0xFF][below(5)],
                3 => bytes.insert(position, byte),
                4 => drop(bytes.remove(position)),
                _ => {
                    let other = &seeds[below(seeds.len())];
                    bytes.truncate(position.max(1));
                    bytes.extend_from_slice(&other[below(other.len())..]);
                }
            }
        }
        let Ok((contents, _)) = decode(&bytes) else { continue };
        read += 1;
        // A session it is: it is written again, and reads back as itself.
        let again = encode(&contents, Format::One, 0, 1_500);
        let (same, _) = decode(&again.bytes).expect("what was read can be written");
        assert_eq!(same.record, contents.record);
    }
    assert!(read > 10_000, "some are still sessions: {read}");
}
