//! One server, asked about one route.

use std::sync::Arc;

use cloakroom_core::{Route, Timestamp, TokenDigest, Verdict, judge};
use cloakroom_store::{Live, Lookup};

use crate::client::{Batch, Cas, Expiry, Found, Item, Link, Reply};
use crate::error::Problem;
use crate::layout::epochs::Epochs;
use crate::layout::filed::{Filed, Record};
use crate::layout::keys::Keys;
use crate::layout::ledger::{Entry, Ledger, Parting, Remains};
use crate::stake::Stake;

/// One server, asked about one route through one connection: a version that was read is only worth something on the
/// connection it was read through.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) link: Arc<Link>,
    pub(crate) keys: &'a Keys,
    pub(crate) route: Route,
}

/// What a server has of a route: who lives there, and what has ended everybody.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    /// `None` where the server has no era: it is new, or has forgotten.
    pub(crate) epochs: Option<Epochs>,
    ledger: Shelf,
}

/// The ledger of a route as it was found.
#[derive(Clone, Debug)]
enum Shelf {
    Empty,
    /// Of an era that is over, or damaged: nobody in it lives, and it may be replaced.
    Void(Cas, Void),
    Of(Cas, Ledger),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Void {
    Era,
    Damaged,
}

/// What a server has of a digest.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) scene: Scene,
    filed: Option<(Result<Filed, &'static str>, Cas)>,
}

impl<'a> Place<'a> {
    pub(crate) fn new(link: Arc<Link>, keys: &'a Keys, route: Route) -> Self {
        Self { link, keys, route }
    }

    /// Who lives here: one round trip.
    pub(crate) async fn scene(&self) -> Result<Scene, Problem> {
        let [ledger, epochs] = self.read([self.keys.ledger(self.route), self.keys.epochs()]).await?;
        self.set(ledger, epochs)
    }

    /// What there is of a digest: one round trip.
    ///
    /// The ledger is read before the record, since a token is filed before it is listed; the epochs after the ledger,
    /// since an era begins before anybody is listed in it.
    pub(crate) async fn sight(&self, digest: TokenDigest) -> Result<Sight, Problem> {
        let keys = [self.keys.ledger(self.route), self.keys.record(digest), self.keys.epochs()];
        let [ledger, filed, epochs] = self.read(keys).await?;
        Sight::new(self.set(ledger, epochs)?, filed)
    }

    /// Reads items, in this order, in one round trip.
    pub(crate) async fn read<const N: usize>(
        &self,
        keys: [String; N],
    ) -> Result<[Option<Found>; N], Problem> {
        let batch = keys.iter().fold(Batch::default(), |batch, key| batch.get(key));
        let replies = self.link.ask(batch).await?;
        let found: Result<Vec<Option<Found>>, Problem> = replies.into_iter().map(item).collect();
        <[Option<Found>; N]>::try_from(found?).map_err(|_| Problem::Damaged("number of answers"))
    }

    /// The scene made of what was read.
    pub(crate) fn set(&self, ledger: Option<Found>, epochs: Option<Found>) -> Result<Scene, Problem> {
        let epochs = epochs.map(|found| Epochs::decode(&found.value)).transpose()?;
        let ledger = match ledger {
            None => Shelf::Empty,
            Some(found) => match (Ledger::decode(self.route, &found.value), &epochs) {
                (Ok(ledger), Some(epochs)) if ledger.era == epochs.era => Shelf::Of(found.cas, ledger),
                (Ok(_), _) => Shelf::Void(found.cas, Void::Era),
                (Err(later @ Problem::Later(_)), _) => return Err(later),
                (Err(_), _) => Shelf::Void(found.cas, Void::Damaged),
            },
        };
        Ok(Scene { epochs, ledger })
    }

    /// Makes `ledger` the one that decides, if the one in `scene` still does; whether it did. An empty one is removed.
    pub(crate) async fn commit(
        &self,
        scene: &Scene,
        ledger: &Ledger,
        now: Timestamp,
        stake: &Stake,
    ) -> Result<bool, Problem> {
        let key = self.keys.ledger(self.route);
        let batch = match (scene.cas(), ledger.is_empty()) {
            (None, true) => return Ok(true),
            (Some(cas), true) => Batch::default().delete(&key, cas),
            (cas, false) => {
                let expiry = Expiry::after(ledger.kept_for(now));
                let item = Item { value: ledger.encode()?, expiry, flags: ledger.due() };
                match cas {
                    Some(cas) => Batch::default().swap(&key, cas, item),
                    None => Batch::default().add(&key, item),
                }
            }
        };
        self.write(batch, stake).await
    }

    /// A single write that decides something; whether its condition held.
    pub(crate) async fn write(&self, batch: Batch, stake: &Stake) -> Result<bool, Problem> {
        stake.raise();
        let replies = match self.link.ask(batch).await {
            Ok(replies) => replies,
            Err(problem @ Problem::Refused { .. }) => {
                stake.lower();
                return Err(problem);
            }
            Err(problem) => return Err(problem),
        };
        let is_done = replies.iter().all(|reply| *reply == Reply::Done);
        if is_done {
            stake.win()
        } else {
            stake.lower()
        }
        Ok(is_done)
    }
}

impl Scene {
    /// Who lives here, by what that is judged, if anybody does.
    pub(crate) fn living(&self) -> Option<(&Ledger, &Epochs)> {
        match (&self.ledger, &self.epochs) {
            (Shelf::Of(_, ledger), Some(epochs)) => Some((ledger, epochs)),
            _ => None,
        }
    }

    /// The session of a digest, and by what it is judged.
    pub(crate) fn entry(&self, digest: TokenDigest) -> Option<(&Entry, &Epochs)> {
        let (ledger, epochs) = self.living()?;
        Some((ledger.by_digest(digest)?, epochs))
    }

    /// Whether there is a ledger here that could not be read.
    pub(crate) fn is_damaged(&self) -> bool {
        matches!(self.ledger, Shelf::Void(_, Void::Damaged))
    }

    /// Whether there is a ledger here that nobody lives in any more.
    pub(crate) fn is_void(&self) -> bool {
        matches!(self.ledger, Shelf::Void(..))
    }

    pub(crate) fn cas(&self) -> Option<Cas> {
        match &self.ledger {
            Shelf::Empty => None,
            Shelf::Void(cas, _) | Shelf::Of(cas, _) => Some(*cas),
        }
    }
}

impl Sight {
    pub(crate) fn new(scene: Scene, filed: Option<Found>) -> Result<Self, Problem> {
        let filed = match filed {
            None => None,
            Some(found) => Some(match Filed::decode(&found.value) {
                Ok(filed) => (Ok(filed), found.cas),
                Err(later @ Problem::Later(_)) => return Err(later),
                // Whether that matters is for the ledger to say.
                Err(_) => (Err("record"), found.cas),
            }),
        };
        Ok(Self { scene, filed })
    }

    /// The record filed here, and its version on the server.
    pub(crate) fn record(&self) -> Option<(&Record, Cas)> {
        match &self.filed {
            Some((Ok(Filed::Record(record)), cas)) => Some((record, *cas)),
            _ => None,
        }
    }

    /// What a look-up of `digest` finds.
    pub(crate) fn lookup(&self, digest: TokenDigest, now: Timestamp) -> Result<Lookup, Problem> {
        if self.scene.is_damaged() {
            return Err(Problem::Damaged("ledger"));
        }
        let Some((entry, epochs)) = self.scene.entry(digest) else {
            let parting = self.scene.living().and_then(|(ledger, _)| ledger.parting(digest));
            return Ok(match (parting, &self.filed) {
                (Some(Parting { what, keep_until, .. }), _) => remains(what, *keep_until, now),
                (None, Some((Ok(Filed::Remains { what, keep_until }), _))) => remains(what, *keep_until, now),
                // A record that is not listed: forgotten, or not filed yet.
                (None, _) => Lookup::Unknown,
            });
        };
        if let Some(tombstone) = entry.over(epochs, now) {
            return Ok(Lookup::Ended(tombstone));
        }
        match &self.filed {
            Some((Ok(Filed::Record(Record { record, version, .. })), _)) if record.id == entry.id => {
                // A record whose lifetime was changed a moment ago may be stricter than its ledger knows.
                match judge(record, entry.last_seen_at, now) {
                    Verdict::Active => Ok(Lookup::Live(Live {
                        record: Arc::clone(record),
                        version: *version,
                        last_seen_at: entry.last_seen_at,
                    })),
                    Verdict::Expired { reason, at: ended_at } => {
                        let (session, principal) = (entry.id, entry.principal.clone());
                        Ok(Lookup::Ended(cloakroom_core::Tombstone { session, principal, ended_at, reason }))
                    }
                }
            }
            // It ended, or got another token, between the two looks.
            Some((Ok(Filed::Remains { what, keep_until }), _)) => Ok(remains(what, *keep_until, now)),
            Some(_) => Err(Problem::Damaged("record")),
            None => Ok(Lookup::Unknown),
        }
    }
}

/// An item that was asked for, or that there is none.
pub(crate) fn item(reply: Reply) -> Result<Option<Found>, Problem> {
    match reply {
        Reply::Found(found) => Ok(Some(found)),
        Reply::Missing => Ok(None),
        Reply::Done | Reply::NotStored | Reply::Changed => Err(Problem::Damaged("answer of another kind")),
    }
}

fn remains(what: &Remains, keep_until: Timestamp, now: Timestamp) -> Lookup {
    match what {
        _ if now >= keep_until => Lookup::Unknown,
        Remains::Ended(tombstone) => Lookup::Ended(tombstone.clone()),
        Remains::Retired(retired) => Lookup::Retired(*retired),
    }
}
