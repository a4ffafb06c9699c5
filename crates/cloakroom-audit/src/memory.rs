//! A log in memory, for tests.

use std::collections::BTreeMap;

use cloakroom_core::{Device, Timestamp};
use parking_lot::Mutex;

use crate::{AuditEvent, AuditFuture, AuditPage, AuditQuery, AuditStore, ChainHash, Count, Draft, Head};

/// A log in memory. Forgotten with the process: for tests, and for trying things out.
#[derive(Debug, Default)]
pub struct MemoryAudit {
    events: Mutex<Vec<AuditEvent>>,
}

impl AuditStore for MemoryAudit {
    fn append(&self, drafts: Vec<Draft>) -> AuditFuture<'_, Vec<AuditEvent>> {
        let mut events = self.events.lock();
        let mut appended = Vec::new();
        for draft in drafts {
            let (seq, prev) = events.last().map_or((0, ChainHash::START), |last| (last.seq, last.hash));
            let event = chained(draft, seq + 1, prev);
            events.push(event.clone());
            appended.push(event);
        }
        Box::pin(async move { Ok(appended) })
    }

    fn page<'a>(&'a self, query: &'a AuditQuery) -> AuditFuture<'a, AuditPage> {
        let events = self.events.lock();
        let matching = events.iter().filter(|event| matches(query, event));
        let limit = usize::from(query.limit.get());
        let found: Vec<AuditEvent> = if query.after.is_some() {
            matching.take(limit).cloned().collect()
        } else {
            matching.rev().take(limit).cloned().collect()
        };
        let next = (found.len() == limit).then(|| found.last().map(|event| event.seq)).flatten();
        let read = u64::try_from(events.len()).unwrap_or(u64::MAX);
        Box::pin(async move { Ok(AuditPage { events: found, next, read }) })
    }

    fn head(&self) -> AuditFuture<'_, Head> {
        let head = self.events.lock().last().map(|last| Head { seq: last.seq, hash: last.hash });
        Box::pin(async move { Ok(head.unwrap_or(Head { seq: 0, hash: ChainHash::START })) })
    }

    fn counts(&self, since: Timestamp) -> AuditFuture<'_, Vec<Count>> {
        let mut counts = BTreeMap::<(Timestamp, String, Option<String>), u64>::new();
        for event in self.events.lock().iter().filter(|event| event.at >= since) {
            let minute = Timestamp::from_millis(event.at.as_millis().div_euclid(60_000) * 60_000);
            *counts.entry((minute, event.event.clone(), event.reason.clone())).or_default() += 1;
        }
        let counts =
            counts.into_iter().map(|((at, event, reason), count)| Count { at, event, reason, count });
        let counts = counts.collect();
        Box::pin(async move { Ok(counts) })
    }
}

fn matches(query: &AuditQuery, event: &AuditEvent) -> bool {
    let kind = |wanted: &String| match wanted.strip_suffix('*') {
        Some(beginning) => event.event.starts_with(beginning),
        None => event.event == *wanted,
    };
    query.principal.as_ref().is_none_or(|wanted| {
        let wanted = Some(wanted.as_str());
        event.principal.as_deref() == wanted || event.actor_id.as_deref() == wanted
    }) && query.session.is_none_or(|wanted| event.session == Some(wanted))
        && query.event.as_ref().is_none_or(kind)
        && query.since.is_none_or(|since| event.at >= since)
        && query.until.is_none_or(|until| event.at < until)
        && query.after.is_none_or(|after| event.seq > after)
        && query.before.is_none_or(|before| event.seq < before)
}

fn chained(draft: Draft, seq: u64, prev: ChainHash) -> AuditEvent {
    let Draft { at, event, principal, session, actor, reason, device, detail } = draft;
    let hash = ChainHash::over(&[prev.as_bytes(), &seq.to_be_bytes(), event.as_bytes()]);
    AuditEvent {
        seq,
        at,
        event: event.to_owned(),
        principal: principal.map(|principal| principal.to_string()),
        session,
        actor_kind: actor.kind().to_owned(),
        actor_id: actor.id().map(str::to_owned),
        reason: reason.map(str::to_owned),
        ip: device.as_ref().and_then(Device::ip).map(|ip| ip.to_string()),
        user_agent: device.as_ref().and_then(Device::user_agent).map(str::to_owned),
        detail: detail.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        prev,
        hash,
    }
}
