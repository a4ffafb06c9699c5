//! The golden records: what this version writes, and that nobody edits what an older one wrote.

use cloakroom_conformance::golden_records;
use cloakroom_store::{FORMAT_VERSION, decode_record, encode_record};

#[test]
fn every_golden_record_reads_as_what_it_was_written_from() {
    for golden in golden_records() {
        assert_eq!(decode_record(golden.bytes).unwrap(), golden.record, "{}", golden.name);
    }
}

#[test]
fn the_present_format_still_writes_exactly_the_golden_bytes() {
    let present = format!("v{FORMAT_VERSION}-");
    let records: Vec<_> =
        golden_records().into_iter().filter(|golden| golden.name.starts_with(&present)).collect();
    assert!(!records.is_empty(), "each released format has golden records");
    for golden in records {
        let mut bytes = Vec::new();
        encode_record(&golden.record, &mut bytes).unwrap();
        assert_eq!(bytes, golden.bytes, "{}: an incompatible change needs a new format version", golden.name);
    }
}
