//! The narrow waist between Cloakroom's engine and where sessions live.
//!
//! A store implements [`Store`]: a dozen verbs, all conditional. There is no upsert: nothing that replaces ever creates,
//! nothing that creates ever overwrites, ending is idempotent, and so an ended session cannot come back. The suite in
//! `cloakroom-conformance` says what each verb owes; a store passes all of it.
//!
//! Three outcomes have three shapes. Absence and every expected "no" are variants of an outcome
//! ([`Lookup`], [`Inserted`], [`Replaced`], [`Rekeyed`]). Only "could not find out" is a [`StoreError`], and it says
//! whether a write may have been applied.

mod codec;
mod error;
mod feed;
mod future;
mod gathering;
mod list;
mod moving;
mod outcome;
mod patience;
mod request;
mod revocation;
mod sealing;
mod store;

pub use codec::{CodecError, FORMAT_VERSION, decode_record, encode_record};
pub use error::{Applied, ErrorKind, PartlyNoted, StoreError, Verb};
pub use feed::{Feed, News, Observer, Parts};
pub use future::StoreFuture;
pub use gathering::{Gathering, Part};
pub use list::{Cursor, ListFilter, ListItem, ListOrder, ListPage, ListQuery, MalformedCursor, StateFilter};
pub use moving::{Entry, ExportCursor, ExportPage, ExportQuery, Filed, Imported};
pub use outcome::{
    Counts, Ended, Ending, Inserted, Live, Lookup, Rekeyed, Replaced, Retired, Swept, TouchReport,
};
pub use patience::Patience;
pub use request::{
    EndRequest, InsertRequest, RekeyRequest, ReplaceRequest, Selector, SweepRequest, Touch, Version,
};
pub use revocation::{
    ListStanding, MOST_ENTRIES, Place, Reading, RevocationEntry, RevocationList, Scope, decode_entry,
    encode_entry,
};
pub use sealing::{NONCE_BYTES, OpenedSeal, SealError, SealRefusal, SealedContents, Sealing};
pub use store::{Capabilities, Store};
