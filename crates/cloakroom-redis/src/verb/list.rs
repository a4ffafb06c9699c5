//! Listing sessions.

use cloakroom_core::{Route, SessionId, Timestamp};
use cloakroom_store::{
    Cursor, ErrorKind, Gathering, ListItem, ListOrder, ListPage, ListQuery, Part, StateFilter,
};

use crate::answer::{Answer, Parts};
use crate::client::{Call, Client, Progress};
use crate::epoch::Epoch;
use crate::error::Problem;
use crate::keys::Bucket;
use crate::map::{self, Fate, Reader, instant};
use crate::node::Lane;
use crate::script;

/// A page, gathered from one bucket or from all of them.
///
/// Principals and instants of issue are indexed. No index knows of addresses or of beginnings of names: for those as many
/// sessions are looked at as one page allows.
pub(crate) async fn list(
    client: &Client,
    progress: &Progress,
    query: &ListQuery,
    now: Timestamp,
) -> Result<ListPage, Problem> {
    let route = match (query.filter.session, &query.filter.principal) {
        (Some(session), _) => Some(session.route()),
        (None, Some(principal)) => Some(Route::of_principal(principal)),
        (None, None) => None,
    };
    let buckets: Vec<Bucket> = match route {
        Some(route) => vec![client.layout.bucket(route)],
        None => client.layout.buckets().collect(),
    };
    let mut gathering = Gathering::new(query, buckets.len(), indexes(query));
    loop {
        let round = gathering.next_round();
        let calls: Vec<Call> =
            round.iter().filter_map(|part| Some(call(query, *buckets.get(part.number)?, part))).collect();
        if calls.is_empty() {
            return Ok(gathering.finish());
        }
        let answers = client.call_all(progress, &calls).await?;
        for (part, answer) in round.into_iter().zip(answers) {
            take_in(&mut gathering, query, part.number, answer, now)?;
        }
    }
}

/// How many indexes of a bucket the script goes through, at most.
fn indexes(query: &ListQuery) -> usize {
    let filter = &query.filter;
    let live = match filter.state {
        StateFilter::Ended => 0,
        _ if filter.principal.is_some() || filter.principal_prefix.is_some() => 1,
        // Of those who are signed in and of those who are not.
        _ => 2,
    };
    live + usize::from(filter.state != StateFilter::Active && filter.ip.is_none())
}

fn call(query: &ListQuery, bucket: Bucket, part: &Part) -> Call {
    let filter = &query.filter;
    let state: &[u8] = match filter.state {
        StateFilter::Active => b"live",
        StateFilter::Ended => b"ended",
        StateFilter::Any => b"any",
    };
    let order: &[u8] = match query.order {
        ListOrder::NewestFirst => b"newest",
        ListOrder::OldestFirst => b"oldest",
    };
    let at = |at: Option<Timestamp>| at.map_or_else(Vec::new, |at| instant(at).to_vec());
    let name = |name: &Option<cloakroom_core::PrincipalId>| {
        name.as_ref().map_or_else(Vec::new, |name| name.as_str().as_bytes().to_vec())
    };
    let arguments = vec![
        filter.session.map_or_else(Vec::new, |session| session.as_bytes().to_vec()),
        name(&filter.principal),
        state.to_vec(),
        at(filter.issued_from),
        at(filter.issued_before),
        part.after.map(place_bytes).unwrap_or_default(),
        order.to_vec(),
        part.rows.to_string().into_bytes(),
        filter.ip.map(map::address).unwrap_or_default(),
        name(&filter.principal_prefix),
    ];
    Call { bucket, script: &script::LIST, arguments, lane: Lane::Commands }
}

/// Adds what one call found, as far as all of the bucket's indexes were searched.
fn take_in(
    gathering: &mut Gathering<'_>,
    query: &ListQuery,
    part: usize,
    answer: Answer,
    now: Timestamp,
) -> Result<(), Problem> {
    let mut parts = answer.parts()?;
    let epoch = parts.bytes()?.as_deref().map(Epoch::read).transpose()?;
    let (mut reached, mut read, mut items): (Option<Cursor>, _, _) = (None, 0, Vec::new());
    for index in parts.rest() {
        let mut index = index.parts()?;
        let place = index.bytes()?.filter(|place| !place.is_empty());
        let place = place.as_deref().map(place_of).transpose()?;
        let first = |one: &Cursor, other: &Cursor| query.order.compare(*one, *other);
        reached = [reached, place].into_iter().flatten().min_by(first);
        read += usize::try_from(index.number()?).unwrap_or(usize::MAX);
        for found in index.rest() {
            items.extend(item(found.parts()?, epoch.as_ref(), now)?);
        }
    }
    items.retain(|item| query.filter.lets_through(item) && query.is_behind(item.cursor()));
    gathering.take_in(part, items.into_iter().map(|item| (item.cursor(), item)), read, reached);
    Ok(())
}

fn item(mut parts: Parts, epoch: Option<&Epoch>, now: Timestamp) -> Result<Option<ListItem>, Problem> {
    match parts.found()?.fate(epoch, now) {
        Ok(Fate::Live(live)) => Ok(Some(ListItem::Live(live))),
        Ok(Fate::Ended { tombstone, created_at, .. }) => Ok(Some(ListItem::Ended { tombstone, created_at })),
        Ok(Fate::Retired(_) | Fate::Unknown) => Ok(None),
        // One damaged record hides itself, not the page it is on.
        Err(problem) if problem.kind() == ErrorKind::Corrupt => Ok(None),
        Err(problem) => Err(problem),
    }
}

fn place_bytes(place: Cursor) -> Vec<u8> {
    [instant(place.created_at).as_slice(), place.session.as_bytes()].concat()
}

fn place_of(bytes: &[u8]) -> Result<Cursor, Problem> {
    let mut reader = Reader(bytes);
    Ok(Cursor { created_at: reader.instant()?, session: SessionId::from_bytes(reader.take()?) })
}
