//! Filing something new: taking a digest, and entering the session that it names into a ledger.

use std::hash::Hash;

use cloakroom_core::{SessionId, SessionRecord, Timestamp, TokenDigest};

use super::count::make_page;
use super::settle::settle;
use crate::client::{Batch, Expiry, Found, Item, Reply};
use crate::error::Problem;
use crate::layout::directory::Page;
use crate::layout::epochs::{Epochs, Era};
use crate::layout::filed::{Filed, decode_used};
use crate::layout::ledger::Ledger;
use crate::place::{Place, Scene, item};

/// What is to be filed under a digest.
#[derive(Clone, Debug)]
pub(super) struct Paper {
    pub(super) digest: TokenDigest,
    pub(super) id: SessionId,
    /// A session that this one replaces.
    pub(super) replaces: Option<SessionId>,
    pub(super) value: Vec<u8>,
    pub(super) expiry: Expiry,
}

/// What was read to decide by.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) scene: Scene,
    pub(super) used: Option<Found>,
    pub(super) replaced: Option<Found>,
    page: Option<Found>,
}

/// Where what is filed came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// There was nothing.
    Added,
    /// It, or something that nobody needs any more, was there. Whoever filed it may be about to list it: it stays.
    TakenOver,
}

/// How long the record of a live session may be of interest.
pub(super) fn record_expiry(record: &SessionRecord, now: Timestamp) -> Expiry {
    let kept_until = record.lifetime.absolute_expires_at.plus(record.lifetime.tombstone_retention);
    Expiry::after(kept_until.since(now))
}

impl Paper {
    fn item(&self) -> Item {
        Item { value: self.value.clone(), expiry: self.expiry, flags: 0 }
    }

    /// Files it under its digest, and reads what decides about it, in one round trip; `None` where the digest is taken.
    pub(super) async fn file(
        &self,
        place: &Place<'_>,
        now: Timestamp,
    ) -> Result<Option<(Desk, Origin)>, Problem> {
        let key = place.keys.record(self.digest);
        let batch = self.desk_batch(place, Batch::default().add(&key, self.item()));
        let mut replies = place.link.ask(batch).await?.into_iter();
        if replies.next() == Some(Reply::Done) {
            return Ok(Some((desk_of(place, replies)?, Origin::Added)));
        }
        // What is left of another session whose retention is over may give its place away, once its ledger knows no
        // more of it: whoever writes it down there would write over what is filed now.
        settle(place, now).await?;
        for _ in 0..MOST_TRIES {
            let desk = self.read_desk(place).await?;
            if desk.scene.living().is_some_and(|(ledger, _)| self.is_digest_listed(ledger)) {
                return Ok(None);
            }
            let [filed] = place.read([key.clone()]).await?;
            let swap = match filed {
                None => Batch::default().add(&key, self.item()),
                Some(found) if self.may_take_over(&found.value, now) => {
                    Batch::default().swap(&key, found.cas, self.item())
                }
                Some(_) => return Ok(None),
            };
            if place.link.ask(swap).await? == [Reply::Done] {
                return Ok(Some((self.read_desk(place).await?, Origin::TakenOver)));
            }
        }
        Err(Problem::Damaged("record that changes all the time"))
    }

    /// Whether what is filed may become this: what is left of somebody, after its retention; or the same record, filed by
    /// somebody who has not listed it, and may be dead. Whoever lists it first has filed it.
    fn may_take_over(&self, found: &[u8], now: Timestamp) -> bool {
        match (Filed::decode(found), Filed::decode(&self.value)) {
            (Ok(Filed::Remains { keep_until, .. }), _) => keep_until <= now,
            (Ok(there), Ok(own)) => there == own,
            _ => false,
        }
    }

    /// Reads again what decides about it.
    pub(super) async fn read_desk(&self, place: &Place<'_>) -> Result<Desk, Problem> {
        let replies = place.link.ask(self.desk_batch(place, Batch::default())).await?;
        desk_of(place, replies.into_iter())
    }

    /// Removes it where it was refused, as far as it was added and nobody has taken it over since.
    pub(super) async fn withdraw(&self, place: &Place<'_>, origin: Origin) {
        if origin == Origin::TakenOver {
            return;
        }
        let key = place.keys.record(self.digest);
        if let Ok([Some(found)]) = place.read([key.clone()]).await
            && found.value == self.value
        {
            // What stays where this fails is never listed, and leaves when it expires.
            let _ = place.link.ask(Batch::default().delete(&key, found.cas)).await;
        }
    }

    /// Whether its digest or its id are taken, by somebody who lives or by what is left of somebody.
    pub(super) fn is_taken(&self, ledger: &Ledger, desk: &Desk, now: Timestamp) -> bool {
        self.is_digest_listed(ledger)
            || ledger.by_id(self.id).is_some()
            || ledger.has_parted(self.id, now)
            || is_used(desk.used.as_ref(), now)
    }

    /// Whether the ledger knows its digest.
    pub(super) fn is_digest_listed(&self, ledger: &Ledger) -> bool {
        ledger.by_digest(self.digest).is_some() || ledger.parting(self.digest).is_some()
    }

    fn desk_batch(&self, place: &Place<'_>, batch: Batch) -> Batch {
        let batch = batch
            .get(&place.keys.ledger(place.route))
            .get(&place.keys.id(self.id))
            .get(&place.keys.directory(Page::of(place.route)))
            .get(&place.keys.epochs());
        match self.replaces {
            Some(replaced) => batch.get(&place.keys.id(replaced)),
            None => batch,
        }
    }
}

fn desk_of(place: &Place<'_>, replies: impl Iterator<Item = Reply>) -> Result<Desk, Problem> {
    let mut replies = replies.map(item);
    let mut next = || replies.next().transpose().map(Option::flatten);
    let (ledger, used, page, epochs, replaced) = (next()?, next()?, next()?, next()?, next()?);
    Ok(Desk { scene: place.set(ledger, epochs)?, used, replaced, page })
}

/// Whether it is written down that an id was used.
pub(super) fn is_used(found: Option<&Found>, now: Timestamp) -> bool {
    found.is_some_and(|found| decode_used(&found.value).is_ok_and(|until| now < until))
}

impl Desk {
    /// The ledger to be changed, and the epochs it is judged by; an era is begun, and the route entered into the
    /// directory, where they are not.
    pub(super) async fn open(
        &self,
        place: &Place<'_>,
        occasion: &impl Hash,
    ) -> Result<(Epochs, Ledger), Problem> {
        if let Some((ledger, epochs)) = self.scene.living() {
            return Ok((epochs.clone(), ledger.clone()));
        }
        let epochs = match &self.scene.epochs {
            Some(epochs) => epochs.clone(),
            None => begin_era(place, occasion).await?,
        };
        enter(place, self.page.as_ref()).await?;
        Ok((epochs.clone(), Ledger::begin(place.route, epochs.era)))
    }
}

/// Begins an era, unless somebody else just has; the one that is.
pub(super) async fn begin_era(place: &Place<'_>, occasion: &impl Hash) -> Result<Epochs, Problem> {
    let epochs = Epochs::begin(Era::begin(occasion));
    let key = place.keys.epochs();
    // Nothing expires here: whatever it ended must not outlive it. A page of the directory that is not there now has no
    // ledger of this era on it.
    let item = |value| Item { value, expiry: Expiry::NEVER, flags: 0 };
    let pages = (0..Page::COUNT).map(|page| place.keys.directory(page));
    let pages = pages.fold(Batch::default(), |batch, page| batch.add(&page, item(Page::empty().encode())));
    if place.link.ask(pages.add(&key, item(epochs.encode()))).await?.last() == Some(&Reply::Done) {
        return Ok(epochs);
    }
    let [found] = place.read([key]).await?;
    let found = found.ok_or(Problem::Damaged("epochs that come and go: is the server out of memory?"))?;
    Epochs::decode(&found.value)
}

/// Enters a route into the directory, before there is a ledger that a sweep would miss.
async fn enter(place: &Place<'_>, page: Option<&Found>) -> Result<(), Problem> {
    let number = Page::of(place.route);
    let key = place.keys.directory(number);
    let mut page = page.cloned();
    loop {
        if page.is_none() {
            // It may have been made meanwhile, with the era; else it was lost, and has to be made of what is there.
            [page] = place.read([key.clone()]).await?;
        }
        let Some(found) = &page else {
            make_page(place, number, Some(place.route)).await?;
            continue;
        };
        let mut entered = Page::decode(&found.value).unwrap_or(Page::empty());
        if entered.has(place.route) {
            return Ok(());
        }
        entered.put(place.route);
        let item = Item { value: entered.encode(), expiry: Expiry::NEVER, flags: 0 };
        if place.link.ask(Batch::default().swap(&key, found.cas, item)).await? == [Reply::Done] {
            return Ok(());
        }
        page = None;
    }
}

/// Takes over what somebody else files at the same time at most so often.
const MOST_TRIES: usize = 16;
