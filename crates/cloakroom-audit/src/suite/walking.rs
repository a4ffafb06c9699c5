//! Reading along indexes.

use std::sync::Arc;

use cloakroom::Actor;
use cloakroom_core::SessionId;

use super::{Tried, append, at, principal, same, told, walk};
use crate::{Along, AuditRow, AuditStore, Draft, Order, Period, Span};

pub(super) async fn indexes(store: Arc<dyn AuditStore>) -> Tried {
    let session = SessionId::from_bytes([1; SessionId::LENGTH]);
    let mut drafts = Vec::new();
    // One letter's case, an accent and a space behind: other texts, whatever a database's collation says.
    for name in ["alice", "Alice", "álice", "alice b"] {
        drafts.push(Draft::new("a", at(0)).about(Some(principal(name)?)));
        drafts.push(Draft::new("A", at(0)).by(Actor::Admin(principal(name)?)));
    }
    drafts.push(Draft::new("a", at(0)).of_session(session));
    append(&*store, 1, drafts).await?;
    for (along, expected) in [
        (Along::Principal("alice".to_owned()), vec![1]),
        (Along::Principal("Alice".to_owned()), vec![3]),
        (Along::Principal("alic".to_owned()), vec![]),
        (Along::Principal("alice ".to_owned()), vec![]),
        (Along::Actor("alice".to_owned()), vec![2]),
        (Along::Actor("álice".to_owned()), vec![6]),
        (Along::Event("a".to_owned()), vec![1, 3, 5, 7, 9]),
        (Along::Event("A".to_owned()), vec![2, 4, 6, 8]),
        (Along::Session(session.to_string()), vec![9]),
        (Along::Session(String::new()), vec![]),
        (Along::Log, (1..=9).collect()),
    ] {
        let found = walk(&*store, along.clone(), Span::ALL, Order::OldestFirst, 100).await?;
        same(&format!("along {along:?}"), seqs(&found), expected)?;
    }
    Ok(())
}

pub(super) async fn bounds(store: Arc<dyn AuditStore>) -> Tried {
    let draft = |number: u64| Draft::new(if number.is_multiple_of(2) { "even" } else { "odd" }, at(number));
    append(&*store, 1, (1..=20).map(draft).collect()).await?;
    let span = |after, before| Span { after, before };
    for (along, span, order, limit, expected) in [
        (Along::Log, Span::ALL, Order::LatestFirst, 3, vec![20, 19, 18]),
        (Along::Log, Span::ALL, Order::OldestFirst, 3, vec![1, 2, 3]),
        (Along::Log, span(4, 9), Order::OldestFirst, 9, vec![5, 6, 7, 8]),
        (Along::Log, span(4, 9), Order::LatestFirst, 2, vec![8, 7]),
        (Along::Log, span(4, 5), Order::LatestFirst, 2, vec![]),
        (Along::Log, Span::NONE, Order::LatestFirst, 2, vec![]),
        (Along::Event("odd".to_owned()), span(4, 19), Order::LatestFirst, 3, vec![17, 15, 13]),
        (Along::Event("even".to_owned()), span(4, 19), Order::OldestFirst, 9, vec![6, 8, 10, 12, 14, 16, 18]),
    ] {
        let found = walk(&*store, along.clone(), span, order, limit).await?;
        same(&format!("along {along:?} within {span:?}, {order:?}"), seqs(&found), expected)?;
    }
    Ok(())
}

pub(super) async fn periods(store: Arc<dyn AuditStore>) -> Tried {
    // The fourth comes late: another node's clock, or a long queue.
    for (number, seconds) in (1..).zip([0, 60, 180, 70, 200]) {
        append(&*store, number, vec![Draft::new("a", at(seconds))]).await?;
    }
    for (since, until, least) in [
        (None, None, vec![1, 2, 3, 4, 5]),
        (Some(60), None, vec![2, 3, 4, 5]),
        (Some(61), Some(100), vec![4]),
        (None, Some(60), vec![1]),
        (Some(180), Some(180), vec![]),
        (Some(240), None, vec![]),
    ] {
        let period = Period { since: since.map(at), until: until.map(at) };
        let span = told(store.span(period).await)?;
        let found = walk(&*store, Along::Log, span, Order::OldestFirst, 100).await?;
        let inside = |row: &&AuditRow| {
            period.since.is_none_or(|since| row.at >= since)
                && period.until.is_none_or(|until| row.at < until)
        };
        let kept: Vec<u64> = found.iter().filter(inside).map(|row| row.seq).collect();
        same(&format!("from {since:?} until {until:?}"), kept, least)?;
    }
    let span = told(store.span(Period { since: Some(at(240)), until: None }).await)?;
    same("a period without events", span.is_empty(), true)?;
    let span = told(store.span(Period { since: None, until: Some(at(0)) }).await)?;
    same("a period before all events", span.is_empty(), true)
}

fn seqs(rows: &[AuditRow]) -> Vec<u64> {
    rows.iter().map(|row| row.seq).collect()
}
