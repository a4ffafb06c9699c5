//! Who lives on a route: the one item that decides.

use std::time::Duration;

use cloakroom_core::{
    EndReason, Lifetime, PrincipalId, Route, SessionId, SessionRecord, Timestamp, TokenDigest, Tombstone,
    Verdict, idle_expires_at, judge,
};
use cloakroom_store::Retired;

use super::epochs::{Epochs, Era};
use super::wire::{Reader, Writer};
use crate::error::Problem;

/// Who lives on a route. Every session that begins, ends, is touched or gets another token does so in one swap of this
/// item: whoever is not in it is dead, whatever else is still there of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ledger {
    route: Route,
    pub(crate) era: Era,
    pub(crate) entries: Vec<Entry>,
    /// What ended here and has not been written down where it was filed.
    pub(crate) partings: Vec<Parting>,
}

/// A session that was not seen to end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) id: SessionId,
    /// Of its present token.
    pub(crate) digest: TokenDigest,
    pub(crate) principal: Option<PrincipalId>,
    pub(crate) created_at: Timestamp,
    pub(crate) last_seen_at: Timestamp,
    pub(crate) lifetime: Lifetime,
    /// The number of the last end of everything when it was filed.
    pub(crate) generation: u64,
}

/// A digest that names no live session any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Parting {
    pub(crate) digest: TokenDigest,
    pub(crate) what: Remains,
    /// Until when it is of interest.
    pub(crate) keep_until: Timestamp,
}

/// What is left of a session, or of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Remains {
    Ended(Tombstone),
    Retired(Retired),
}

impl Remains {
    pub(crate) fn session(&self) -> SessionId {
        match self {
            Self::Ended(tombstone) => tombstone.session,
            Self::Retired(retired) => retired.session,
        }
    }
}

impl Entry {
    /// What became of it by `now`; `None` while it lives.
    pub(crate) fn over(&self, epochs: &Epochs, now: Timestamp) -> Option<Tombstone> {
        let (at, reason) = match epochs.first_to_end(self.created_at, self.generation) {
            // Time may have ended it before the epoch did.
            Some(epoch) => self.expired(epoch.ended_at).unwrap_or((epoch.ended_at, epoch.reason)),
            None => self.expired(now)?,
        };
        Some(self.tombstone(at, reason))
    }

    /// What is left of it when a decision ends it now: time may have ended it before. `None` where an end of everything
    /// has, which a sweep reports.
    pub(crate) fn ended_by(&self, epochs: &Epochs, reason: EndReason, now: Timestamp) -> Option<Tombstone> {
        if epochs.first_to_end(self.created_at, self.generation).is_some() {
            return None;
        }
        let (at, reason) = self.expired(now).unwrap_or((now, reason));
        Some(self.tombstone(at, reason))
    }

    /// Whether time has not ended it by `now`.
    pub(crate) fn is_in_time(&self, now: Timestamp) -> bool {
        self.expired(now).is_none()
    }

    fn tombstone(&self, ended_at: Timestamp, reason: EndReason) -> Tombstone {
        Tombstone { session: self.id, principal: self.principal.clone(), ended_at, reason }
    }

    fn expired(&self, now: Timestamp) -> Option<(Timestamp, EndReason)> {
        match judge(&self.record(), self.last_seen_at, now) {
            Verdict::Active => None,
            Verdict::Expired { reason, at } => Some((at, reason)),
        }
    }

    /// The instant at which time ends it if nothing more is heard.
    fn expires_at(&self) -> Timestamp {
        idle_expires_at(&self.record(), self.last_seen_at)
    }

    /// As much of the record as the judgement looks at.
    fn record(&self) -> SessionRecord {
        SessionRecord::new(self.id, self.created_at, self.lifetime)
    }
}

impl Ledger {
    pub(crate) const fn begin(route: Route, era: Era) -> Self {
        Self { route, era, entries: Vec::new(), partings: Vec::new() }
    }

    pub(crate) fn by_digest(&self, digest: TokenDigest) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.digest == digest)
    }

    pub(crate) fn by_id(&self, id: SessionId) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    pub(crate) fn parting(&self, digest: TokenDigest) -> Option<&Parting> {
        self.partings.iter().find(|parting| parting.digest == digest)
    }

    /// Whether a session with this id ended here and that is not written down elsewhere yet.
    pub(crate) fn has_parted(&self, id: SessionId, now: Timestamp) -> bool {
        let parted = |parting: &Parting| {
            matches!(&parting.what, Remains::Ended(tombstone) if tombstone.session == id)
                && now < parting.keep_until
        };
        self.partings.iter().any(parted)
    }

    /// Ends the session of `tombstone`, which lives here.
    pub(crate) fn bury(&mut self, tombstone: &Tombstone) {
        let Some(position) = self.entries.iter().position(|entry| entry.id == tombstone.session) else {
            return;
        };
        let entry = self.entries.swap_remove(position);
        let keep_until = tombstone.ended_at.plus(entry.lifetime.tombstone_retention);
        let what = Remains::Ended(tombstone.clone());
        self.partings.push(Parting { digest: entry.digest, what, keep_until });
    }

    /// Whether nothing would be lost with it.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.partings.is_empty()
    }

    /// The instant from which a sweep has something to do here, as thirty-two bits that stand beside the item: seconds,
    /// rounded down. What lies outside of what they can say is looked at in any case.
    pub(crate) fn due(&self) -> u32 {
        if !self.partings.is_empty() {
            // Whoever was to write them down elsewhere may have died over it.
            return 0;
        }
        self.entries.iter().map(Entry::expires_at).min().map_or(u32::MAX, due)
    }

    /// How long from `now` anything of it can be of interest.
    pub(crate) fn kept_for(&self, now: Timestamp) -> Duration {
        let of = |entry: &Entry| entry.lifetime.absolute_expires_at.plus(entry.lifetime.tombstone_retention);
        let entries = self.entries.iter().map(of);
        let last = entries.chain(self.partings.iter().map(|parting| parting.keep_until)).max();
        last.map_or(Duration::ZERO, |last| last.since(now))
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, Problem> {
        let mut writer = Writer::new(FORMAT);
        self.era.write(&mut writer);
        let mut names: Vec<&PrincipalId> =
            self.entries.iter().filter_map(|entry| entry.principal.as_ref()).collect();
        names.extend(self.partings.iter().filter_map(|parting| match &parting.what {
            Remains::Ended(tombstone) => tombstone.principal.as_ref(),
            Remains::Retired(_) => None,
        }));
        names.sort_unstable();
        names.dedup();
        writer.count(names.len());
        for name in &names {
            writer.text(name.as_str());
        }
        writer.count(self.entries.len());
        for entry in &self.entries {
            self.write_entry(entry, &names, &mut writer)?;
        }
        writer.count(self.partings.len());
        for parting in &self.partings {
            self.write_parting(parting, &names, &mut writer)?;
        }
        let bytes = writer.finish();
        if bytes.len() > LARGEST {
            return Err(Problem::TooLarge {
                what: "who lives on this route",
                bytes: bytes.len(),
                most: LARGEST,
            });
        }
        Ok(bytes)
    }

    pub(crate) fn decode(route: Route, bytes: &[u8]) -> Result<Self, Problem> {
        let mut reader = Reader::new(bytes, FORMAT, "ledger")?;
        let era = Era::read(&mut reader)?;
        let mut names = Vec::new();
        for _ in 0..reader.count()? {
            names.push(reader.principal()?);
        }
        let mut ledger = Self::begin(route, era);
        for _ in 0..reader.count()? {
            ledger.entries.push(read_entry(route, &names, &mut reader)?);
        }
        for _ in 0..reader.count()? {
            ledger.partings.push(read_parting(route, &names, &mut reader)?);
        }
        reader.end()?;
        Ok(ledger)
    }

    fn write_entry(&self, entry: &Entry, names: &[&PrincipalId], writer: &mut Writer) -> Result<(), Problem> {
        write_id(self.route, entry.id, writer)?;
        write_digest(self.route, entry.digest, writer)?;
        write_name(entry.principal.as_ref(), names, writer);
        writer.instant(entry.created_at);
        writer.instant_near(entry.created_at, entry.last_seen_at);
        writer.instant_near(entry.created_at, entry.lifetime.absolute_expires_at);
        writer.number(millis(entry.lifetime.idle_timeout));
        writer.number(millis(entry.lifetime.tombstone_retention));
        writer.number(entry.generation);
        Ok(())
    }

    fn write_parting(
        &self,
        parting: &Parting,
        names: &[&PrincipalId],
        writer: &mut Writer,
    ) -> Result<(), Problem> {
        write_digest(self.route, parting.digest, writer)?;
        write_id(self.route, parting.what.session(), writer)?;
        writer.instant(parting.keep_until);
        match &parting.what {
            Remains::Ended(tombstone) => {
                writer.byte(0);
                write_name(tombstone.principal.as_ref(), names, writer);
                writer.instant(tombstone.ended_at);
                writer.reason(tombstone.reason);
            }
            Remains::Retired(retired) => {
                writer.byte(1);
                writer.instant(retired.rotated_at);
            }
        }
        Ok(())
    }
}

/// An instant in the thirty-two bits beside a ledger.
pub(crate) fn due(instant: Timestamp) -> u32 {
    let seconds = instant.as_millis().div_euclid(1_000);
    u32::try_from(seconds.clamp(0, i64::from(u32::MAX))).unwrap_or(u32::MAX)
}

fn read_entry(route: Route, names: &[PrincipalId], reader: &mut Reader<'_>) -> Result<Entry, Problem> {
    let (id, digest) = (read_id(route, reader)?, read_digest(route, reader)?);
    let principal = read_name(names, reader)?;
    let created_at = reader.instant()?;
    let last_seen_at = reader.instant_near(created_at)?;
    let absolute_expires_at = reader.instant_near(created_at)?;
    let (idle, retention) =
        (Duration::from_millis(reader.number()?), Duration::from_millis(reader.number()?));
    let lifetime = Lifetime::new(idle, absolute_expires_at, retention);
    Ok(Entry { id, digest, principal, created_at, last_seen_at, lifetime, generation: reader.number()? })
}

fn read_parting(route: Route, names: &[PrincipalId], reader: &mut Reader<'_>) -> Result<Parting, Problem> {
    let (digest, session) = (read_digest(route, reader)?, read_id(route, reader)?);
    let keep_until = reader.instant()?;
    let what = match reader.byte()? {
        0 => {
            let principal = read_name(names, reader)?;
            let (ended_at, reason) = (reader.instant()?, reader.reason()?);
            Remains::Ended(Tombstone { session, principal, ended_at, reason })
        }
        1 => Remains::Retired(Retired { session, rotated_at: reader.instant()? }),
        _ => return Err(reader.damaged()),
    };
    Ok(Parting { digest, what, keep_until })
}

/// Everything here has the route of the ledger, which is in its key.
fn write_id(route: Route, id: SessionId, writer: &mut Writer) -> Result<(), Problem> {
    if id.route() != route {
        return Err(Problem::Misuse("an id and a digest of different routes"));
    }
    writer.bytes(id.as_bytes().get(Route::LENGTH..).unwrap_or_default());
    Ok(())
}

fn read_id(route: Route, reader: &mut Reader<'_>) -> Result<SessionId, Problem> {
    Ok(SessionId::from_random(route, reader.array()?))
}

fn write_digest(route: Route, digest: TokenDigest, writer: &mut Writer) -> Result<(), Problem> {
    if digest.route() != route {
        return Err(Problem::Misuse("an id and a digest of different routes"));
    }
    writer.bytes(digest.hash());
    Ok(())
}

fn read_digest(route: Route, reader: &mut Reader<'_>) -> Result<TokenDigest, Problem> {
    let hash: [u8; 32] = reader.array()?;
    let mut bytes = [0; TokenDigest::LENGTH];
    bytes.iter_mut().zip(route.as_bytes().iter().chain(&hash)).for_each(|(to, from)| *to = *from);
    TokenDigest::from_bytes(&bytes).ok_or_else(|| reader.damaged())
}

/// Names stand at the beginning, each once, and are told apart byte by byte.
fn write_name(name: Option<&PrincipalId>, names: &[&PrincipalId], writer: &mut Writer) {
    let position = name.and_then(|name| names.binary_search(&name).ok());
    writer.count(position.map_or(0, |position| position.saturating_add(1)));
}

fn read_name(names: &[PrincipalId], reader: &mut Reader<'_>) -> Result<Option<PrincipalId>, Problem> {
    match reader.number()?.checked_sub(1) {
        None => Ok(None),
        Some(position) => {
            let name = usize::try_from(position).ok().and_then(|position| names.get(position));
            name.cloned().map(Some).ok_or_else(|| reader.damaged())
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const FORMAT: u8 = 1;
/// Largest ledger: half of what memcached takes for an item, some seven thousand sessions on one of 65 536 routes.
pub(crate) const LARGEST: usize = 524_288;

#[cfg(test)]
mod tests {
    use cloakroom_core::SessionToken;
    use proptest::prelude::*;

    use super::*;

    const ROUTE: Route = Route::from_bytes([3, 9]);

    fn digest(seed: u8) -> TokenDigest {
        SessionToken::from_random(ROUTE, [seed; 32]).digest()
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn entry(seed: u8, name: Option<&str>, created: i64) -> Entry {
        let lifetime = Lifetime::new(
            Duration::from_millis(1_000),
            at(created.saturating_add(10_000)),
            Duration::from_millis(50),
        );
        Entry {
            id: SessionId::from_random(ROUTE, [seed; 14]),
            digest: digest(seed),
            principal: name.map(|name| PrincipalId::new(name).unwrap()),
            created_at: at(created),
            last_seen_at: at(created.saturating_add(5)),
            lifetime,
            generation: 3,
        }
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::begin(ROUTE, Era::begin(&1));
        let names = [Some("alice"), None, Some("zoë"), Some("alice"), Some("Alice")];
        for (seed, name) in (1..).zip(names) {
            ledger.entries.push(entry(seed, name, 1_800_000_000_000));
        }
        let epochs = Epochs::begin(ledger.era);
        let tombstone =
            ledger.entries[2].ended_by(&epochs, EndReason::SignedOut, at(1_800_000_000_100)).unwrap();
        ledger.bury(&tombstone);
        ledger.partings.push(Parting {
            digest: digest(99),
            what: Remains::Retired(Retired { session: ledger.entries[0].id, rotated_at: at(-7) }),
            keep_until: at(i64::MAX),
        });
        ledger
    }

    #[test]
    fn a_ledger_reads_back_and_takes_less_than_a_hundred_bytes_a_session() {
        let ledger = ledger();
        let bytes = ledger.encode().unwrap();
        assert_eq!(Ledger::decode(ROUTE, &bytes).unwrap(), ledger);
        let mut larger = ledger;
        let many = 100;
        for _ in 0..many {
            larger.entries.push(entry(200, Some("alice"), 1_800_000_000_000));
        }
        let each = (larger.encode().unwrap().len() - bytes.len()) / many;
        assert!(each < 80, "{each} bytes");
    }

    #[test]
    fn every_truncation_is_an_error_and_no_change_of_a_byte_panics() {
        let bytes = ledger().encode().unwrap();
        for length in 0..bytes.len() {
            assert!(Ledger::decode(ROUTE, &bytes[..length]).is_err(), "cut to {length}");
        }
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[position] ^= 1 << bit;
                let _ = Ledger::decode(ROUTE, &damaged);
            }
        }
        assert!(Ledger::decode(ROUTE, &[bytes, vec![0]].concat()).is_err(), "something follows");
    }

    #[test]
    fn a_ledger_that_is_too_large_is_refused_before_it_is_sent() {
        let mut ledger = Ledger::begin(ROUTE, Era::begin(&1));
        let size = |ledger: &Ledger| ledger.encode().map(|bytes| bytes.len());
        while size(&ledger).is_ok_and(|size| size <= LARGEST - 70) {
            let missing = (LARGEST - size(&ledger).unwrap()) / 80;
            ledger.entries.extend(std::iter::repeat_n(entry(1, None, 0), missing.max(1)));
        }
        ledger.entries.extend(std::iter::repeat_n(entry(1, None, 0), 2));
        assert!(matches!(size(&ledger), Err(Problem::TooLarge { most: LARGEST, .. })));
    }

    #[test]
    fn a_sweep_is_due_at_the_second_in_which_something_ends_and_wherever_seconds_end() {
        let mut ledger = Ledger::begin(ROUTE, Era::begin(&1));
        assert_eq!(ledger.due(), u32::MAX, "never, while nobody is there");
        for (created, expected) in [
            (1_800_000_000_500, 1_800_000_001),
            (-5_000_000, 0),
            (i64::from(u32::MAX) * 1_000 + 5_000, u32::MAX),
            (i64::MAX - 20_000, u32::MAX),
        ] {
            ledger.entries = vec![entry(1, None, created)];
            assert_eq!(ledger.due(), expected, "issued at {created}");
            assert!(ledger.due() <= due(ledger.entries[0].expires_at()), "never too late");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Ledger::decode(ROUTE, &[vec![FORMAT], bytes].concat());
        }

        #[test]
        fn instants_far_away_read_back(created: i64, seen: i64, absolute: i64, idle: u64, retention: u64) {
            let mut ledger = Ledger::begin(ROUTE, Era::begin(&1));
            let mut entry = entry(1, Some("alice"), 0);
            (entry.created_at, entry.last_seen_at) = (at(created), at(seen));
            entry.lifetime = Lifetime::new(Duration::from_millis(idle), at(absolute), Duration::from_millis(retention));
            ledger.entries.push(entry);
            let bytes = ledger.encode().unwrap();
            prop_assert_eq!(Ledger::decode(ROUTE, &bytes).unwrap(), ledger);
        }
    }
}
