//! Records written by every released version.

use cloakroom_core::{SessionRecord, SessionToken};
use cloakroom_store::{Lookup, decode_record, encode_record};

use crate::case::{Case, Context, cases};
use crate::fixtures::Filing;
use crate::golden::golden_records;

pub(crate) const CASES: &[Case] = cases!("golden", |_| true;
    a_record_of_every_released_version_can_be_filed_and_reads_back,
);

async fn a_record_of_every_released_version_can_be_filed_and_reads_back(context: &Context) {
    for golden in golden_records() {
        let record: SessionRecord = decode_record(golden.bytes).expect("released versions stay readable");
        assert_eq!(record, golden.record, "{}", golden.name);
        let mut written = Vec::new();
        encode_record(&record, &mut written).expect("a record can be written");
        assert_eq!(decode_record(&written).expect("what was written can be read"), record, "{}", golden.name);
        let somewhere = context.elsewhere();
        let store = somewhere.open().await;
        let digest = SessionToken::from_random(record.id.route(), [0x99; 32]).digest();
        let filing = Filing { record, digest };
        store.file(&filing).await;
        let found = store.look_up(digest, filing.record.created_at).await;
        assert_eq!(found, Lookup::Live(filing.live()), "{}", golden.name);
    }
}
