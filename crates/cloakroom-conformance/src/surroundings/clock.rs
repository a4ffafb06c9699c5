//! A server whose clock is wrong, and set while sessions live.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::EndReason::{IdleTimeout, RevokedByAdmin};
use cloakroom_core::{OnLimit, SessionLimit, Timestamp};
use cloakroom_store::{Inserted, Lookup, Rekeyed, Store, TouchReport, Version};

use crate::fixtures::{Filing, Fixtures, IDLE, T0, at};
use crate::subject::Subject;

/// The clock of a store's server.
pub trait ServerClock {
    /// Sets it, by seconds that it is ahead of the machine's, while the server runs.
    fn set(&self, ahead: i64);

    /// What the machine's clock shows.
    fn true_time(&self) -> Timestamp;
}

/// Sessions live, end and are counted by the instants that come as arguments, whatever the clock of the store's server
/// shows and however it is set meanwhile: ten minutes ahead, ten minutes behind, and back. Where the store tells its
/// server's clock, it tells how wrong that is.
///
/// # Panics
/// Where that is not so.
pub async fn check_clock(store: Arc<dyn Store>, clock: &impl ServerClock) {
    let store = Subject::new(store, false);
    let mut story = Story { store, fixtures: Fixtures::new(1), filed: Vec::new() };
    for (round, ahead) in (0..).zip(SETTINGS) {
        clock.set(ahead);
        // What was filed, ended and exchanged by other settings of the clock is as it was.
        story.is_as_it_was().await;
        story.tells_the_skew(ahead, clock).await;
        story.goes_on().await;
        story.counts_exactly(&format!("somebody{round}")).await;
        story.is_as_it_was().await;
    }
}

struct Story {
    store: Subject,
    fixtures: Fixtures,
    filed: Vec<Filed>,
}

/// A session, and how `get` has to answer for its digest from then on.
struct Filed {
    filing: Filing,
    fate: Fate,
}

enum Fate {
    Lives(Version),
    Ended,
    Retired,
}

impl Story {
    /// One short and one long session of each fate.
    async fn goes_on(&mut self) {
        for idle in [IDLE, LONG] {
            let mut next = || {
                let filing =
                    self.fixtures.signed_in("alice").with_idle_timeout(idle).with_retention(idle * 5);
                filing.with_absolute_at(T0.plus(LONG * 2))
            };
            let [kept, ended, exchanged] = [next(), next(), next()];
            for filing in [&kept, &ended, &exchanged] {
                self.store.file(filing).await;
            }
            let told = self.store.finish_one(ended.id(), RevokedByAdmin, at(1)).await.ended;
            assert_eq!(told, [ended.tombstone(RevokedByAdmin, at(1)).into()]);
            let successor = exchanged.rotated(self.fixtures.next_digest(&exchanged), T0);
            let answer = self.store.exchange(exchanged.digest, Version::FIRST, &successor, T0).await;
            assert_eq!(answer, Rekeyed::Done(Version::FIRST.next()));
            self.filed.push(Filed { filing: kept, fate: Fate::Lives(Version::FIRST) });
            self.filed.push(Filed { filing: ended, fate: Fate::Ended });
            self.filed.push(Filed { filing: exchanged, fate: Fate::Retired });
            self.filed.push(Filed { filing: successor, fate: Fate::Lives(Version::FIRST.next()) });
        }
    }

    async fn is_as_it_was(&self) {
        for Filed { filing, fate } in &self.filed {
            let last = T0.plus(filing.record.lifetime.idle_timeout);
            let before = Timestamp::from_millis(last.as_millis() - 1);
            match fate {
                Fate::Lives(version) => {
                    let mut live = filing.live();
                    live.version = *version;
                    assert_eq!(self.store.look_up(filing.digest, before).await, Lookup::Live(live));
                    let over = Lookup::Ended(filing.tombstone(IdleTimeout, last));
                    assert_eq!(self.store.look_up(filing.digest, last).await, over);
                }
                Fate::Ended => {
                    let tombstone = Lookup::Ended(filing.tombstone(RevokedByAdmin, at(1)));
                    assert_eq!(self.store.look_up(filing.digest, before).await, tombstone);
                }
                Fate::Retired => {
                    let found = self.store.look_up(filing.digest, before).await;
                    assert!(matches!(found, Lookup::Retired(_)), "{found:?}");
                }
            }
        }
    }

    /// Activity counts, and a limit is exact, also where the sessions were issued by another setting of the clock.
    async fn counts_exactly(&mut self, name: &str) {
        let limit = Some(SessionLimit { max: TWO, on_limit: OnLimit::Refuse });
        let filings = [0, 0, 999, 999].map(|issued| self.fixtures.signed_in(name).issued_at(at(issued)));
        let [first, second, third, fourth] = &filings;
        let done = Inserted::Done { ended: Vec::new() };
        assert_eq!(self.store.try_file(first, limit, None, T0).await, done);
        assert_eq!(self.store.note(&[(first.digest, at(500))], at(500)).await, MOVED);
        assert_eq!(self.store.try_file(second, limit, None, T0).await, done);
        assert_eq!(self.store.try_file(third, limit, None, at(999)).await, Inserted::LimitReached);
        // The second is over, the first was active. A store may bury what it comes upon, and says so.
        let over = Inserted::Done { ended: vec![second.tombstone(IdleTimeout, at(1_000)).into()] };
        let answer = self.store.try_file(third, limit, None, at(1_000)).await;
        assert!(answer == done || answer == over, "{answer:?}");
        assert_eq!(self.store.try_file(fourth, limit, None, at(1_000)).await, Inserted::LimitReached);
        self.store.finish_one(first.id(), RevokedByAdmin, at(1_001)).await;
        self.store.finish_one(third.id(), RevokedByAdmin, at(1_001)).await;
    }

    async fn tells_the_skew(&self, ahead: i64, clock: &impl ServerClock) {
        let before = clock.true_time();
        let Some(told) = self.store.ping().await.expect("ping answers") else { return };
        let after = clock.true_time();
        let skew = |instant: Timestamp| told.as_millis() - instant.as_millis();
        let (most, least) = (skew(before), skew(after));
        let ahead = ahead * 1_000;
        assert!(
            (least - TOLERANCE..=most + TOLERANCE).contains(&ahead),
            "{ahead} ms ahead, and told to be {least} to {most}"
        );
    }
}

/// Seconds ahead of the machine's clock.
const SETTINGS: [i64; 5] = [600, -600, 600, 0, -600];

/// As an ordinary idle timeout.
const LONG: Duration = Duration::from_secs(30 * 60);

const TWO: std::num::NonZeroU32 = std::num::NonZeroU32::new(2).expect("two is not zero");
const MOVED: TouchReport = TouchReport { touched: 1, ignored: 0 };

/// Servers may tell whole seconds. Milliseconds.
const TOLERANCE: i64 = 1_000;
