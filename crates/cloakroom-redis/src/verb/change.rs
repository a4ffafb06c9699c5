//! Replacing a record, with or without its token.

use cloakroom_core::{Timestamp, TokenDigest};
use cloakroom_store::{Lookup, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Version};

use super::get::found;
use crate::client::{Call, Client, Progress};
use crate::error::Problem;
use crate::keys::digest_text;
use crate::map::{Filing, instant};
use crate::node::Lane;
use crate::script;

pub(crate) async fn replace(
    client: &Client,
    progress: &Progress,
    request: ReplaceRequest<'_>,
) -> Result<Replaced, Problem> {
    let ReplaceRequest { digest, version, record, now } = request;
    let filing = Filing::new(record, digest, version.next())?;
    let change = Change { filing, version, now, old: digest, moves_to: None };
    Ok(match change.apply(client, progress).await? {
        Outcome::Done => Replaced::Done(version.next()),
        Outcome::Taken => return Err(Problem::Disagreement),
        Outcome::Refused(Lookup::Live(live)) => Replaced::Conflict(live),
        Outcome::Refused(Lookup::Ended(tombstone)) => Replaced::Ended(tombstone),
        Outcome::Refused(Lookup::Retired(retired)) => Replaced::Retired(retired),
        Outcome::Refused(Lookup::Unknown) => Replaced::Unknown,
    })
}

pub(crate) async fn rekey(
    client: &Client,
    progress: &Progress,
    request: RekeyRequest<'_>,
) -> Result<Rekeyed, Problem> {
    let RekeyRequest { old, new, version, record, now } = request;
    let filing = Filing::new(record, new, version.next())?;
    if client.layout.bucket(new.route()) != client.layout.bucket(old.route()) {
        return Err(Problem::Misuse("a new token of another route"));
    }
    let change = Change { filing, version, now, old, moves_to: Some(digest_text(new)) };
    Ok(match change.apply(client, progress).await? {
        Outcome::Done => Rekeyed::Done(version.next()),
        Outcome::Taken => Rekeyed::AlreadyExists,
        Outcome::Refused(Lookup::Live(live)) => Rekeyed::Conflict(live),
        Outcome::Refused(Lookup::Ended(tombstone)) => Rekeyed::Ended(tombstone),
        Outcome::Refused(Lookup::Retired(retired)) => Rekeyed::Retired(retired),
        Outcome::Refused(Lookup::Unknown) => Rekeyed::Unknown,
    })
}

/// A record to take the place of another.
struct Change {
    filing: Filing,
    /// The version it was read at.
    version: Version,
    now: Timestamp,
    old: TokenDigest,
    moves_to: Option<String>,
}

/// What came of a change.
enum Outcome {
    Done,
    /// The new digest is in use.
    Taken,
    /// There is this instead.
    Refused(Lookup),
}

impl Change {
    async fn apply(self, client: &Client, progress: &Progress) -> Result<Outcome, Problem> {
        let Self { filing, version, now, old, moves_to } = self;
        let (life, principal) = (filing.life(now), filing.principal().as_bytes().to_vec());
        let lane = if moves_to.is_some() { client.durable() } else { Lane::Commands };
        let arguments = vec![
            instant(now).to_vec(),
            digest_text(old).into_bytes(),
            version.as_u64().to_be_bytes().to_vec(),
            filing.id.as_bytes().to_vec(),
            instant(filing.created_at).to_vec(),
            principal,
            filing.value,
            life.to_vec(),
            moves_to.unwrap_or_default().into_bytes(),
        ];
        let bucket = client.layout.bucket(old.route());
        let call = Call { bucket, script: &script::CHANGE, arguments, lane };
        let mut parts = client.call(progress, &call).await?.parts()?;
        let word = parts.word()?;
        if word == "done" {
            return Ok(Outcome::Done);
        }
        let (found, epoch) = found(parts)?;
        let lookup = Lookup::from(found.fate(epoch.as_ref(), now)?);
        let is_at_version = matches!(&lookup, Lookup::Live(live) if live.version == version);
        match (word.as_str(), is_at_version) {
            ("taken", true) => Ok(Outcome::Taken),
            ("another", true) => Err(Problem::Misuse("the record of another session")),
            ("over" | "conflict", false) => Ok(Outcome::Refused(lookup)),
            _ => Err(Problem::Disagreement),
        }
    }
}
