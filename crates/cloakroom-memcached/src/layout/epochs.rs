//! A server's era, and its ends of everything.

use std::hash::{BuildHasher as _, Hash, RandomState};

use cloakroom_core::{EndReason, Timestamp};

use super::wire::{Reader, Writer};
use crate::error::Problem;

/// What a server's memory is called from when its first session is filed until that is forgotten.
///
/// Every ledger names the era it was written in. Where the era's own item is lost, the next one has another name, and
/// nothing of the old one is ever looked at again: an end of everything cannot be forgotten without everything that it
/// ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Era([u8; Self::LENGTH]);

impl Era {
    const LENGTH: usize = 16;

    /// A name that no era had before: it has to be unique, not secret.
    pub(crate) fn begin(occasion: &impl Hash) -> Self {
        // Keys from the operating system's generator, others in each call: were it the occasion alone, filing the same
        // session again after its era was lost would bring that era back.
        let half = || RandomState::new().hash_one(occasion).to_le_bytes();
        let mut name = [0; Self::LENGTH];
        name.iter_mut().zip(half().into_iter().chain(half())).for_each(|(byte, random)| *byte = random);
        Self(name)
    }

    pub(super) fn write(self, writer: &mut Writer) {
        writer.bytes(&self.0);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Problem> {
        reader.array().map(Self)
    }
}

/// The era of a server, and its ends of everything: compared with at every look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Epochs {
    pub(crate) era: Era,
    /// How many ends of everything there have been.
    pub(crate) number: u64,
    /// Up to which number everybody who ended has been buried.
    pub(crate) buried: u64,
    /// The latest instant at which all that was there ended, also where the list has forgotten that end for a later one.
    all_until: Timestamp,
    list: Vec<Epoch>,
}

/// One end of many sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Epoch {
    number: u64,
    scope: Scope,
    pub(crate) ended_at: Timestamp,
    pub(crate) reason: EndReason,
}

/// Which sessions an epoch ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// Those that were there.
    All,
    /// Those issued before an instant, also where they arrive late.
    IssuedBefore(Timestamp),
}

impl Epochs {
    pub(crate) const fn begin(era: Era) -> Self {
        Self { era, number: 0, buried: 0, all_until: Timestamp::from_millis(i64::MIN), list: Vec::new() }
    }

    /// The epoch that ended a session first: one filed when `generation` was the number of the last epoch.
    pub(crate) fn first_to_end(&self, created_at: Timestamp, generation: u64) -> Option<&Epoch> {
        self.list.iter().find(|epoch| match epoch.scope {
            Scope::All => generation < epoch.number,
            Scope::IssuedBefore(instant) => created_at < instant,
        })
    }

    /// Sessions issued before this instant are over.
    pub(crate) fn issued_before(&self) -> Timestamp {
        let instants = self.list.iter().filter_map(|epoch| match epoch.scope {
            Scope::All => None,
            Scope::IssuedBefore(instant) => Some(instant),
        });
        instants.max().unwrap_or(Timestamp::from_millis(i64::MIN))
    }

    /// The generation of a session that was issued elsewhere and arrives now: the last end of all that was there ends it
    /// too, where it was issued until then.
    pub(crate) fn generation_of(&self, created_at: Timestamp) -> u64 {
        let mut ends = self.list.iter().rev().filter(|epoch| epoch.scope == Scope::All);
        let last = ends.clone().next().filter(|_| created_at <= self.all_until);
        let about = ends.find(|epoch| created_at <= epoch.ended_at).or(last);
        about.map_or(self.number, |epoch| epoch.number.saturating_sub(1))
    }

    /// Adds an end. Only what a later epoch ends as well is ever forgotten for it: a dead session may change its reason
    /// then, never its state.
    pub(crate) fn end(&mut self, scope: Scope, ended_at: Timestamp, reason: EndReason) {
        if self.list.len() >= MOST {
            let redundant = self.list.iter().position(|epoch| match (epoch.scope, scope) {
                (Scope::IssuedBefore(before), Scope::IssuedBefore(later)) => before <= later,
                (Scope::All, Scope::All) => true,
                _ => false,
            });
            if let Some(redundant) = redundant {
                self.list.remove(redundant);
            }
        }
        if scope == Scope::All {
            self.all_until = self.all_until.max(ended_at);
        }
        self.number = self.number.saturating_add(1);
        self.list.push(Epoch { number: self.number, scope, ended_at, reason });
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(FORMAT);
        self.era.write(&mut writer);
        writer.number(self.number);
        writer.number(self.buried);
        writer.instant(self.all_until);
        writer.count(self.list.len());
        for epoch in &self.list {
            writer.number(epoch.number);
            match epoch.scope {
                Scope::All => writer.byte(0),
                Scope::IssuedBefore(instant) => {
                    writer.byte(1);
                    writer.instant(instant);
                }
            }
            writer.instant(epoch.ended_at);
            writer.reason(epoch.reason);
        }
        writer.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Problem> {
        let mut reader = Reader::new(bytes, FORMAT, "epochs")?;
        let (era, number, buried) = (Era::read(&mut reader)?, reader.number()?, reader.number()?);
        let all_until = reader.instant()?;
        let mut list = Vec::new();
        for _ in 0..reader.count()? {
            let number = reader.number()?;
            let scope = match reader.byte()? {
                0 => Scope::All,
                1 => Scope::IssuedBefore(reader.instant()?),
                _ => return Err(reader.damaged()),
            };
            list.push(Epoch { number, scope, ended_at: reader.instant()?, reason: reader.reason()? });
        }
        reader.end()?;
        Ok(Self { era, number, buried, all_until, list })
    }
}

const FORMAT: u8 = 1;
/// Looks stay cheap however often everything is ended. Two of one kind always make one of them redundant, so there is
/// never one more.
const MOST: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn begun() -> Epochs {
        Epochs::begin(Era::begin(&1))
    }

    #[test]
    fn an_era_never_comes_back_even_for_the_same_session() {
        assert_ne!(begun().era, begun().era);
    }

    #[test]
    fn the_earliest_epoch_that_is_about_a_session_is_its_end() {
        let mut epochs = begun();
        epochs.end(Scope::IssuedBefore(at(50)), at(60), EndReason::Compromised);
        epochs.end(Scope::All, at(70), EndReason::RevokedByAdmin);
        let reason =
            |created, generation| epochs.first_to_end(at(created), generation).map(|epoch| epoch.reason);
        assert_eq!(reason(49, 0), Some(EndReason::Compromised));
        assert_eq!(reason(49, 2), Some(EndReason::Compromised), "also where it arrives late");
        assert_eq!(reason(50, 1), Some(EndReason::RevokedByAdmin));
        assert_eq!(reason(50, 2), None);
    }

    #[test]
    fn whoever_arrives_is_about_the_ends_of_all_until_which_they_were_issued() {
        let mut epochs = begun();
        assert_eq!(epochs.generation_of(at(i64::MIN)), 0);
        epochs.end(Scope::All, at(150), EndReason::Compromised);
        epochs.end(Scope::All, at(40), EndReason::RevokedByAdmin);
        let reason = |epochs: &Epochs, created: i64| {
            epochs.first_to_end(at(created), epochs.generation_of(at(created))).map(|epoch| epoch.reason)
        };
        assert_eq!(reason(&epochs, 40), Some(EndReason::RevokedByAdmin));
        assert_eq!(reason(&epochs, 150), Some(EndReason::Compromised));
        assert_eq!(reason(&epochs, 151), None);
        for _ in 0..100 {
            epochs.end(Scope::All, at(30), EndReason::SignedOut);
        }
        assert_eq!(
            reason(&epochs, 150),
            Some(EndReason::SignedOut),
            "ended, though the first end is forgotten"
        );
        assert_eq!(reason(&epochs, 151), None);
    }

    #[test]
    fn however_many_ends_there_are_nobody_they_ended_is_alive() {
        let mut epochs = begun();
        for turn in 0..200_i64 {
            let scope = if turn % 3 == 0 { Scope::All } else { Scope::IssuedBefore(at(turn)) };
            let generation = epochs.number;
            epochs.end(scope, at(turn), EndReason::Compromised);
            if scope == Scope::All {
                assert!(epochs.first_to_end(at(i64::MAX), generation).is_some());
            }
            assert!(epochs.list.len() <= MOST + 1, "{}", epochs.list.len());
        }
        assert!(epochs.first_to_end(at(i64::MAX), 198).is_some());
        assert!(epochs.first_to_end(at(196), 200).is_some());
        assert!(epochs.first_to_end(at(199), 200).is_none());
        assert_eq!(Epochs::decode(&epochs.encode()).unwrap(), epochs);
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Epochs::decode(&[vec![FORMAT], bytes].concat());
        }
    }
}
