//! Filing something new: taking a digest, and entering the session that it names into a ledger.

use std::hash::Hash;

use cloakroom_core::{SessionId, SessionRecord, Timestamp, TokenDigest};

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
    pub(super) async fn file(&self, place: &Place<'_>, now: Timestamp) -> Result<Option<Desk>, Problem> {
        let key = place.keys.record(self.digest);
        let batch = self.desk_batch(place, Batch::default().add(&key, self.item()));
        let mut replies = place.link.ask(batch).await?.into_iter();
        if replies.next() == Some(Reply::Done) {
            return desk_of(place, replies).map(Some);
        }
        // What is left of another session whose retention is over may give its place away, once its ledger knows no
        // more of it: whoever writes it down there would write over what is filed now.
        settle(place, now).await?;
        let [filed] = place.read([key.clone()]).await?;
        let Some(found) = filed else { return Ok(None) };
        let is_free =
            matches!(Filed::decode(&found.value), Ok(Filed::Remains { keep_until, .. }) if keep_until <= now);
        if !is_free
            || place.link.ask(Batch::default().swap(&key, found.cas, self.item())).await? != [Reply::Done]
        {
            return Ok(None);
        }
        self.read_desk(place).await.map(Some)
    }

    /// Reads again what decides about it.
    pub(super) async fn read_desk(&self, place: &Place<'_>) -> Result<Desk, Problem> {
        let replies = place.link.ask(self.desk_batch(place, Batch::default())).await?;
        desk_of(place, replies.into_iter())
    }

    /// Removes it where it was refused, as far as it is still what was filed.
    pub(super) async fn withdraw(&self, place: &Place<'_>) {
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
    let key = place.keys.directory(Page::of(place.route));
    let mut page = page.cloned();
    loop {
        let batch = match &page {
            None => {
                let mut entered = Page::empty();
                entered.put(place.route);
                Batch::default().add(&key, Item { value: entered.encode(), expiry: Expiry::NEVER, flags: 0 })
            }
            Some(found) => {
                let mut entered = Page::decode(&found.value).unwrap_or(Page::empty());
                if entered.has(place.route) {
                    return Ok(());
                }
                entered.put(place.route);
                let item = Item { value: entered.encode(), expiry: Expiry::NEVER, flags: 0 };
                Batch::default().swap(&key, found.cas, item)
            }
        };
        if place.link.ask(batch).await? == [Reply::Done] {
            return Ok(());
        }
        [page] = place.read([key.clone()]).await?;
    }
}
