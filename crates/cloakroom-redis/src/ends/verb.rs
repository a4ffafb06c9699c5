//! What the list's scripts are called with, what they answer, and who vouches for whoever answered.

use std::sync::Arc;

use cloakroom_core::Timestamp;
use cloakroom_store::{MOST_ENTRIES, Place, Reading, RevocationEntry, decode_entry, encode_entry};
use futures_util::future::join;

use crate::answer::Answer;
use crate::client::{Call, Client, Progress};
use crate::error::Problem;
use crate::map::{Reader, instant};
use crate::node::{Lane, Node};
use crate::script::{self, Script};
use crate::verb::clock;

/// Adds entries, all or none; they have reached as many replicas as are demanded.
pub(super) async fn add(
    client: &Client,
    progress: &Progress,
    entries: &[RevocationEntry],
) -> Result<(), Problem> {
    if entries.len() > MOST_ENTRIES {
        return Err(Problem::Misuse("more entries than the list takes at once"));
    }
    let mut arguments = Vec::with_capacity(entries.len() * 2);
    for entry in entries {
        arguments.push(instant(entry.until).to_vec());
        let mut bytes = entry.nonce.to_be_bytes().to_vec();
        encode_entry(entry, &mut bytes)?;
        arguments.push(bytes);
    }
    let call = call(client, &script::ENDS_ADD, arguments, client.durable());
    vouched(client, progress, &call).await?.number().map(|_| ())
}

/// What follows a place, as whoever is the primary has it.
pub(crate) async fn read(
    client: &Client,
    progress: &Progress,
    place: Place,
    limit: usize,
) -> Result<Reading, Problem> {
    let at = if place == Place::START {
        Vec::new()
    } else {
        [place.number.to_be_bytes(), place.nonce.to_be_bytes()].concat()
    };
    let arguments = vec![at, limit.clamp(1, MOST_ENTRIES).to_string().into_bytes()];
    let call = call(client, &script::ENDS_READ, arguments, Lane::Commands);
    let mut parts = vouched(client, progress, &call).await?.parts()?;
    match parts.word()?.as_str() {
        "lost" => Ok(Reading::Lost),
        "entries" => {
            let more = parts.number()? > 0;
            let mut members = parts.next().ok_or(Problem::Answer(parts.of()))?.parts()?;
            let mut entries = Vec::new();
            while let Some(member) = members.bytes()? {
                entries.push(entry(&member)?);
            }
            Ok(Reading::Entries { entries, more })
        }
        _ => Err(Problem::Answer(parts.of())),
    }
}

/// Removes entries that are over.
pub(super) async fn prune(
    client: &Client,
    progress: &Progress,
    now: Timestamp,
    limit: usize,
) -> Result<usize, Problem> {
    let arguments = vec![instant(now).to_vec(), limit.clamp(1, MOST_ENTRIES).to_string().into_bytes()];
    let call = call(client, &script::ENDS_PRUNE, arguments, Lane::Commands);
    let removed = client.call(progress, &call).await?.number()?;
    Ok(usize::try_from(removed).unwrap_or(usize::MAX))
}

/// Writes where the list is; the reading of that server's clock.
pub(crate) async fn ping(client: &Client, progress: &Progress) -> Result<Option<Timestamp>, Problem> {
    let call = call(client, &script::ENDS_PING, Vec::new(), Lane::Commands);
    clock(client.call(progress, &call).await?.parts()?).map(Some)
}

fn call(client: &Client, script: &'static Script, arguments: Vec<Vec<u8>>, lane: Lane) -> Call {
    Call { bucket: client.layout.bucket_of_ends(), script, arguments, lane }
}

/// The answer of a server of which it is said, after this was called, that it is the one to be asked.
///
/// What was acknowledged before was acknowledged by whoever was the primary then. If that is still the same one, it has it;
/// if it was another one, whoever is asked about this one knows.
async fn vouched(client: &Client, progress: &Progress, call: &Call) -> Result<Answer, Problem> {
    let expected = client.topology.owner(call.bucket).await?;
    let vouching = client.topology.vouch(call.bucket, &expected);
    let (answered, vouching) = join(client.call_somebody(progress, call), vouching).await;
    let (answer, node) = answered?;
    if Arc::ptr_eq(&node, &expected) {
        vouching?;
    } else {
        client.topology.vouch(call.bucket, &node).await?;
    }
    is_one_server(client, &node).await?;
    Ok(answer)
}

/// Whether what is added and what is read goes to the same server: behind a name there may be several, one after the other.
/// Asked once for each connection.
async fn is_one_server(client: &Client, node: &Node) -> Result<(), Problem> {
    let of = async |lane| node.link(lane).process(client.deadline()).await;
    let (commands, durable) = (of(Lane::Commands).await?, of(Lane::Durable).await?);
    if commands.is_some() && durable.is_some() && commands != durable {
        // Which of them is at the right place cannot be seen from here: both are looked up again.
        node.hang_up();
        return Err(Problem::Ambiguous { address: node.host.to_string() });
    }
    Ok(())
}

/// A member of the sorted set, as src/scripts/ends.lua describes it.
fn entry(member: &[u8]) -> Result<(u64, RevocationEntry), Problem> {
    let mut reader = Reader(member);
    let ([b'L'], number, nonce) = (reader.take()?, reader.take()?, reader.take()?) else {
        return Err(Problem::Value("entry of the list of ends"));
    };
    let entry = decode_entry(reader.0)?;
    if entry.nonce != u64::from_be_bytes(nonce) {
        return Err(Problem::Value("nonce in the list of ends"));
    }
    Ok((u64::from_be_bytes(number), entry))
}

#[cfg(test)]
mod tests {
    use cloakroom_core::EndReason;
    use cloakroom_store::Scope;

    use super::*;

    #[test]
    fn a_member_that_was_tampered_with_is_an_error_and_no_other_entry() {
        let at = Timestamp::from_millis(7);
        let whole =
            RevocationEntry { scope: Scope::All, at, until: at, reason: EndReason::RevokedByAdmin, nonce: 9 };
        let mut member = [b"L".as_slice(), &5_u64.to_be_bytes(), &9_u64.to_be_bytes()].concat();
        encode_entry(&whole, &mut member).unwrap();
        assert_eq!(entry(&member).unwrap(), (5, whole));
        for length in 0..member.len() {
            assert!(entry(&member[..length]).is_err(), "{length}");
        }
        for (position, byte) in [(0, b'U'), (16, 8), (17, 9)] {
            let mut member = member.clone();
            member[position] = byte;
            assert!(entry(&member).is_err(), "{position}");
        }
    }
}
