//! Listing sessions.

use std::cmp::Reverse;

use cloakroom_core::{PrincipalId, Route, SessionId, Timestamp};
use cloakroom_store::{Cursor, ErrorKind, ListFilter, ListItem, ListPage, ListQuery, StateFilter};

use crate::answer::{Answer, Parts};
use crate::client::{Call, Client, Progress};
use crate::epoch::Epoch;
use crate::error::Problem;
use crate::keys::Bucket;
use crate::map::{self, Fate, Reader, instant};
use crate::node::Lane;
use crate::script;

pub(crate) async fn list(
    client: &Client,
    progress: &Progress,
    query: &ListQuery,
    now: Timestamp,
) -> Result<ListPage, Problem> {
    let limit = usize::from(query.limit.get());
    let route = match (query.filter.session, &query.filter.principal) {
        (Some(session), _) => Some(session.route()),
        (None, Some(principal)) => Some(Route::of_principal(principal)),
        (None, None) => None,
    };
    let buckets: Vec<Bucket> = match route {
        Some(route) => vec![client.layout.bucket(route)],
        None => client.layout.buckets().collect(),
    };
    let take = match (query.filter.ip, buckets.len()) {
        // No index knows of addresses: many have to be looked at.
        (Some(_), buckets) => LOOKED_AT_FOR_AN_ADDRESS / (buckets / 8).max(1),
        (None, 1) => limit.saturating_add(1),
        // Of few buckets come more than a few of the latest; those are asked again.
        (None, buckets) => limit / (buckets / 4).max(1) + 2,
    };
    let mut search = Search { query, now, take, items: Vec::new(), scans: Vec::new() };
    search.scans = buckets.into_iter().map(Scan::of).collect();
    // One more than fits tells whether there is another page.
    while !search.is_settled(limit.saturating_add(1)) {
        search.go_on(client, progress, limit.saturating_add(1)).await?;
    }
    let mut items = search.items;
    items.sort_unstable_by_key(|item| Reverse(item.cursor()));
    let more = items.len() > limit;
    items.truncate(limit);
    Ok(ListPage { next: items.last().filter(|_| more).map(ListItem::cursor), items })
}

/// The search for a page, in one bucket or in all.
struct Search<'a> {
    query: &'a ListQuery,
    now: Timestamp,
    /// How many places of each index to look at in one call.
    take: usize,
    items: Vec<ListItem>,
    scans: Vec<Scan>,
}

/// How far the search has come in one bucket.
struct Scan {
    bucket: Bucket,
    reached: Reached,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Reached {
    /// All of it.
    End,
    /// Everything down to this place, inclusively.
    Place(Cursor),
    /// Nothing yet.
    Start,
}

impl Scan {
    fn of(bucket: Bucket) -> Self {
        Self { bucket, reached: Reached::Start }
    }
}

impl Search<'_> {
    /// The place above which nothing can be missing once `most` items were found; `End` where all is searched.
    fn needed(&self, most: usize) -> Reached {
        let mut places: Vec<Cursor> = self.items.iter().map(ListItem::cursor).collect();
        places.sort_unstable_by_key(|place| Reverse(*place));
        most.checked_sub(1)
            .and_then(|last| places.get(last))
            .map_or(Reached::End, |last| Reached::Place(*last))
    }

    fn is_settled(&self, most: usize) -> bool {
        let needed = self.needed(most);
        self.scans.iter().all(|scan| scan.reached <= needed)
    }

    async fn go_on(&mut self, client: &Client, progress: &Progress, most: usize) -> Result<(), Problem> {
        let needed = self.needed(most);
        let unsettled: Vec<usize> = (0..self.scans.len())
            .filter(|position| self.scans.get(*position).is_some_and(|scan| scan.reached > needed))
            .collect();
        let calls: Vec<Call> = unsettled
            .iter()
            .filter_map(|position| self.scans.get(*position))
            .map(|scan| self.call(scan))
            .collect();
        let answers = client.call_all(progress, &calls).await?;
        for (position, answer) in unsettled.into_iter().zip(answers) {
            self.take_in(position, answer)?;
        }
        Ok(())
    }

    fn call(&self, scan: &Scan) -> Call {
        let filter = &self.query.filter;
        let state: &[u8] = match filter.state {
            StateFilter::Active => b"live",
            StateFilter::Ended => b"ended",
            StateFilter::Any => b"any",
        };
        let below = match scan.reached {
            Reached::Place(place) => Some(place_bytes(place)),
            Reached::Start | Reached::End => {
                let after = self.query.after.map(place_bytes);
                let before = filter.issued_before.map(|at| instant(at).to_vec());
                match (after, before) {
                    (Some(after), Some(before)) => Some(after.min(before)),
                    (after, before) => after.or(before),
                }
            }
        };
        let arguments = vec![
            filter.session.map_or_else(Vec::new, |session| session.as_bytes().to_vec()),
            filter
                .principal
                .as_ref()
                .map_or_else(Vec::new, |principal| principal.as_str().as_bytes().to_vec()),
            state.to_vec(),
            filter.issued_from.map_or_else(Vec::new, |at| instant(at).to_vec()),
            below.unwrap_or_default(),
            self.take.to_string().into_bytes(),
            filter.ip.map(map::address).unwrap_or_default(),
        ];
        Call { bucket: scan.bucket, script: &script::LIST, arguments, lane: Lane::Commands }
    }

    /// Adds what one call found, as far down as all of the bucket's indexes were searched.
    fn take_in(&mut self, position: usize, answer: Answer) -> Result<(), Problem> {
        let mut parts = answer.parts()?;
        let epoch = parts.bytes()?.as_deref().map(Epoch::read).transpose()?;
        let (mut reached, mut items) = (Reached::End, Vec::new());
        for index in parts.rest() {
            let mut index = index.parts()?;
            let place = index.bytes()?.unwrap_or_default();
            if !place.is_empty() {
                reached = reached.max(Reached::Place(place_of(&place)?));
            }
            for found in index.rest() {
                items.extend(self.item(found.parts()?, epoch.as_ref())?);
            }
        }
        items.retain(|item| reached <= Reached::Place(item.cursor()));
        self.items.extend(items);
        if let Some(scan) = self.scans.get_mut(position) {
            scan.reached = reached;
        }
        Ok(())
    }

    fn item(&self, mut parts: Parts, epoch: Option<&Epoch>) -> Result<Option<ListItem>, Problem> {
        let item = match parts.found()?.fate(epoch, self.now) {
            Ok(Fate::Live(live)) => ListItem::Live(live),
            Ok(Fate::Ended { tombstone, created_at, .. }) => ListItem::Ended { tombstone, created_at },
            Ok(Fate::Retired(_) | Fate::Unknown) => return Ok(None),
            // One damaged record hides itself, not the page it is on.
            Err(problem) if problem.kind() == ErrorKind::Corrupt => return Ok(None),
            Err(problem) => return Err(problem),
        };
        Ok(Some(item).filter(|item| meets(item, &self.query.filter, self.query.after)))
    }
}

/// Whether an item meets every condition. Most of them the script has seen to.
fn meets(item: &ListItem, filter: &ListFilter, after: Option<Cursor>) -> bool {
    let place = item.cursor();
    let (state, principal) = match item {
        ListItem::Live(live) => {
            (StateFilter::Active, live.record.principal.as_ref().map(|principal| principal.id()))
        }
        // Only live sessions have an address.
        ListItem::Ended { .. } if filter.ip.is_some() => return false,
        ListItem::Ended { tombstone, .. } => (StateFilter::Ended, tombstone.principal.as_ref()),
    };
    let of = |wanted: &PrincipalId| principal == Some(wanted);
    [state, StateFilter::Any].contains(&filter.state)
        && filter.principal.as_ref().is_none_or(of)
        && filter.session.is_none_or(|session| session == place.session)
        && filter.issued_from.is_none_or(|from| place.created_at >= from)
        && filter.issued_before.is_none_or(|before| place.created_at < before)
        && after.is_none_or(|after| place < after)
}

fn place_bytes(place: Cursor) -> Vec<u8> {
    [instant(place.created_at).as_slice(), place.session.as_bytes()].concat()
}

fn place_of(bytes: &[u8]) -> Result<Cursor, Problem> {
    let mut reader = Reader(bytes);
    Ok(Cursor { created_at: reader.instant()?, session: SessionId::from_bytes(reader.take()?) })
}

/// Sessions looked at in one call in the search for an address, and eight times as many in a round of a Cluster: some ten
/// milliseconds of each server's time.
const LOOKED_AT_FOR_AN_ADDRESS: usize = 1_000;
