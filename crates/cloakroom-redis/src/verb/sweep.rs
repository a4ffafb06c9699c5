//! Clearing up.

use cloakroom_core::Timestamp;
use cloakroom_store::{SweepRequest, Swept};

use crate::answer::Answer;
use crate::client::{Call, Client, Progress};
use crate::error::Problem;
use crate::keys::Bucket;
use crate::map::{self, duration, instant};
use crate::node::Lane;
use crate::script;

/// One round, by the holder of this name.
pub(crate) async fn sweep(
    client: &Client,
    progress: &Progress,
    request: SweepRequest,
    holder: [u8; 16],
) -> Result<Swept, Problem> {
    let limit = request.limit.clamp(1, MOST_AT_ONCE);
    if !client.layout.is_clustered() {
        let round = Round { request, holder, takes_lease: !request.lease.is_zero() };
        let calls: Vec<Call> = client.layout.buckets().map(|bucket| round.call(bucket, limit)).collect();
        let mut swept = Swept::default();
        for answer in client.call_all(progress, &calls).await? {
            add(&mut swept, answer)?;
        }
        return Ok(swept);
    }
    let round = Round { request, holder, takes_lease: false };
    if !request.lease.is_zero() && !round.take_lease(client, progress).await? {
        return Ok(Swept { elsewhere: true, ..Swept::default() });
    }
    round.sweep_buckets(client, progress, limit).await
}

/// A round of clearing up.
struct Round {
    request: SweepRequest,
    holder: [u8; 16],
    takes_lease: bool,
}

impl Round {
    fn call(&self, bucket: Bucket, limit: usize) -> Call {
        let SweepRequest { now, lease, .. } = self.request;
        let until = if self.takes_lease { instant(now.plus(lease)).to_vec() } else { Vec::new() };
        let arguments = vec![
            instant(now).to_vec(),
            limit.to_string().into_bytes(),
            self.holder.to_vec(),
            until,
            duration(lease).to_vec(),
        ];
        Call { bucket, script: &script::SWEEP, arguments, lane: Lane::Commands }
    }

    /// Takes the lease of all buckets, which is kept in the first of them; whether nobody else has it.
    async fn take_lease(&self, client: &Client, progress: &Progress) -> Result<bool, Problem> {
        let Some(first) = client.layout.buckets().next() else { return Ok(true) };
        let round = Self { request: self.request, holder: self.holder, takes_lease: true };
        let mut swept = Swept::default();
        add(&mut swept, client.call(progress, &round.call(first, 0)).await?)?;
        Ok(!swept.elsewhere)
    }

    /// Asks every bucket how much there is to do, and does as much of it as the limit allows. What is left of that is shared
    /// by those in which something went astray.
    async fn sweep_buckets(
        &self,
        client: &Client,
        progress: &Progress,
        limit: usize,
    ) -> Result<Swept, Problem> {
        let due = dues(client, progress, self.request.now).await?;
        let (mut left, mut calls, mut is_cut) = (limit, Vec::new(), false);
        let in_time = due.iter().fold(0_usize, |sum, one| sum.saturating_add(one.due));
        let troubled = due.iter().filter(|one| one.is_astray).count().max(1);
        let walk = (limit.saturating_sub(in_time) / troubled).max(1);
        for (bucket, one) in client.layout.buckets().zip(due) {
            let share = one.due.min(left);
            is_cut |= share < one.due;
            left -= share;
            let walked = if one.is_astray { walk.min(left) } else { 0 };
            left -= walked;
            if share + walked > 0 {
                calls.push(self.call(bucket, share + walked));
            }
        }
        let mut swept = Swept::default();
        for answer in client.call_all(progress, &calls).await? {
            add(&mut swept, answer)?;
        }
        swept.more |= is_cut;
        Ok(swept)
    }
}

/// What there is to do in one bucket.
struct Due {
    /// Places to look at because of the time, or of an end of everything.
    due: usize,
    /// Whether its indexes disagree: one of them was lost.
    is_astray: bool,
}

/// What there is to do in each bucket.
async fn dues(client: &Client, progress: &Progress, now: Timestamp) -> Result<Vec<Due>, Problem> {
    let call = |bucket| Call {
        bucket,
        script: &script::DUE,
        arguments: vec![instant(now).to_vec()],
        lane: Lane::Commands,
    };
    let calls: Vec<Call> = client.layout.buckets().map(call).collect();
    let answers = client.call_all(progress, &calls).await?;
    let due = |answer: Answer| {
        let mut parts = answer.parts()?;
        Ok(Due { due: size(parts.number()?), is_astray: parts.number()? > 0 })
    };
    answers.into_iter().map(due).collect()
}

/// Adds what one bucket answered.
fn add(swept: &mut Swept, answer: Answer) -> Result<(), Problem> {
    let mut parts = answer.parts()?;
    match parts.word()?.as_str() {
        "elsewhere" => swept.elsewhere = true,
        "done" => {
            swept.removed += size(parts.number()?);
            swept.more |= parts.number()? > 0;
            let mut buried = parts.next().ok_or(Problem::Answer("SWEEP"))?.parts()?;
            while let Some(tombstone) = buried.bytes()? {
                swept.ended.push(map::ended(&tombstone)?);
            }
        }
        _ => return Err(Problem::Answer(parts.of())),
    }
    Ok(())
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Sessions and tombstones in one round, whatever is asked for: the server does nothing else for some twenty
/// milliseconds.
const MOST_AT_ONCE: usize = 1_000;
