//! Telling everything that is filed.

use std::fmt::Write as _;

use cloakroom_core::Timestamp;
use cloakroom_store::{Entry, ErrorKind, ExportCursor, ExportPage, ExportQuery, Filed};

use crate::answer::{Answer, Parts};
use crate::client::{Call, Client, Progress};
use crate::epoch::Epoch;
use crate::error::Problem;
use crate::keys::{Bucket, digest_of};
use crate::map::{Fate, Reader};
use crate::node::Lane;
use crate::script;

pub(crate) async fn export(
    client: &Client,
    progress: &Progress,
    query: &ExportQuery,
    now: Timestamp,
) -> Result<ExportPage, Problem> {
    let from = match &query.after {
        Some(cursor) => {
            Position::read(cursor.as_str(), client).ok_or(Problem::Misuse("a cursor of another store"))?
        }
        None => Position::start(client.layout.buckets().next().ok_or(Problem::Misuse("no bucket"))?),
    };
    let mut buckets: Vec<Bucket> =
        client.layout.buckets().skip_while(|bucket| *bucket != from.bucket).collect();
    let at_once = (usize::from(query.limit.get()) / ENTRIES_FOR_A_BUCKET).max(LEAST_BUCKETS);
    let rest = buckets.split_off(buckets.len().min(at_once));
    let share = usize::from(query.limit.get()).div_ceil(buckets.len().max(1));
    let call = |bucket: &Bucket| {
        let place = if *bucket == from.bucket { from.place.clone() } else { SESSIONS.to_vec() };
        let (phase, after) = place.split_at_checked(1).unwrap_or((SESSIONS, &[]));
        let arguments = vec![phase.to_vec(), after.to_vec(), share.to_string().into_bytes()];
        Call { bucket: *bucket, script: &script::EXPORT, arguments, lane: Lane::Commands }
    };
    let calls: Vec<Call> = buckets.iter().map(call).collect();
    let mut page = ExportPage::default();
    let mut next = rest.first().map(|bucket| Position::start(*bucket));
    for (bucket, answer) in buckets.iter().zip(client.call_all(progress, &calls).await?) {
        let place = take_in(&mut page, answer, now)?;
        if !place.is_empty() {
            // What was told of the buckets after this one will be told again.
            next = Some(Position { bucket: *bucket, place });
            break;
        }
    }
    page.next = next.map(|position| position.cursor()).transpose()?;
    Ok(page)
}

/// Where an export goes on.
struct Position {
    bucket: Bucket,
    /// What the script answered: a letter, then a place.
    place: Vec<u8>,
}

impl Position {
    fn start(bucket: Bucket) -> Self {
        Self { bucket, place: SESSIONS.to_vec() }
    }

    fn cursor(&self) -> Result<ExportCursor, Problem> {
        let mut text = format!("{}.", self.bucket.text());
        for byte in &self.place {
            let _ = write!(text, "{byte:02x}");
        }
        ExportCursor::new(text).map_err(|_| Problem::Answer("EXPORT"))
    }

    fn read(text: &str, client: &Client) -> Option<Self> {
        let (bucket, place) = text.split_once('.')?;
        let number = u8::from_str_radix(bucket, 16).ok()?;
        let digits = place.as_bytes().chunks(2);
        let bytes = digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        let place: Vec<u8> = bytes.collect::<Option<_>>()?;
        let is_place = place.starts_with(SESSIONS) || place.starts_with(RETIRED);
        is_place.then_some(Self { bucket: Bucket::numbered(number, &client.layout)?, place })
    }
}

/// Adds what one bucket told; where to go on in it.
fn take_in(page: &mut ExportPage, answer: Answer, now: Timestamp) -> Result<Vec<u8>, Problem> {
    let mut parts = answer.parts()?;
    let epoch = parts.bytes()?.as_deref().map(Epoch::read).transpose()?;
    let place = parts.bytes()?.unwrap_or_default();
    for one in parts.rest() {
        match filed(one.parts()?, epoch.as_ref(), now) {
            Ok(filed) => page.items.extend(filed),
            Err(problem) if problem.kind() == ErrorKind::Corrupt => page.damaged += 1,
            Err(problem) => return Err(problem),
        }
    }
    Ok(place)
}

fn filed(mut parts: Parts, epoch: Option<&Epoch>, now: Timestamp) -> Result<Option<Filed>, Problem> {
    let digest = parts.bytes()?.and_then(|text| digest_of(&text)).ok_or(Problem::Value("digest"))?;
    let fate = parts.found()?.fate(epoch, now)?;
    let entry = match fate {
        Fate::Live(live) => Entry::Live(live),
        Fate::Ended { tombstone, created_at, kept_until } => {
            Entry::Ended { tombstone, created_at, kept_until }
        }
        Fate::Retired(retired) => {
            let kept_until = parts.bytes()?.ok_or(Problem::Value("retention"))?;
            Entry::Retired { retired, kept_until: Reader(&kept_until).instant()? }
        }
        Fate::Unknown => return Ok(None),
    };
    Ok(Some(Filed { digest, entry }))
}

/// Buckets asked for the smallest page: of a Cluster that has little in it, an export is sixteen pages.
const LEAST_BUCKETS: usize = 16;
/// Entries on a page that make it worth asking one more bucket.
const ENTRIES_FOR_A_BUCKET: usize = 16;
const SESSIONS: &[u8] = b"p";
const RETIRED: &[u8] = b"r";
