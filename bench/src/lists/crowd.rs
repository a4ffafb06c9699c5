//! Very many sessions, of whom there are few of one sort and many of another.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{EndReason, Selector, Store};
use cloakroom_conformance::{Filing, Fixtures, T0, at};
use cloakroom_core::{SessionId, Timestamp};
use cloakroom_store::{EndRequest, InsertRequest, Inserted};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::error::{Doing as _, Error, Outcome};

/// Sessions, twenty for each person and address, but for one in ten in an office, one in twenty of a service, and one in
/// a hundred that has ended.
pub(super) struct Crowd {
    store: Arc<dyn Store>,
    fixtures: Fixtures,
    size: usize,
    /// One that lives.
    somebody: Option<SessionId>,
}

impl Crowd {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, fixtures: Fixtures::new(1), size: 0, somebody: None }
    }

    /// Files sessions until there are `size`, and ends some of them.
    pub(super) async fn grow_to(&mut self, size: usize) -> Outcome {
        let (from, fixtures) = (self.size, &mut self.fixtures);
        let filings = (from..size).map(|number| {
            let filing = filing(fixtures, number);
            self.somebody = Some(filing.id());
            (number, filing)
        });
        let store = &self.store;
        let work = stream::iter(filings).map(|(number, filing)| {
            let store = Arc::clone(store);
            async move { file(&*store, &filing, number % 100 == 50).await }
        });
        work.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        self.size = size;
        Ok(())
    }

    pub(super) fn somebody(&self) -> SessionId {
        self.somebody.unwrap_or(SessionId::from_bytes([0; SessionId::LENGTH]))
    }

    /// The instant at which half of them had been issued.
    pub(super) fn middle(&self) -> Timestamp {
        at(i64::try_from(self.size / 2).unwrap_or_default())
    }

    pub(super) fn person(&self) -> String {
        person(self.size / 2)
    }

    /// What two hundred sessions' names begin with.
    pub(super) fn beginning(&self) -> String {
        let mut name = self.person();
        name.pop();
        name
    }

    pub(super) fn address(&self) -> IpAddr {
        address(self.size / 2 + 1)
    }
}

fn filing(fixtures: &mut Fixtures, number: usize) -> Filing {
    let name = if number % 20 == 7 { SERVICE.to_owned() } else { person(number) };
    let ip = if number % 10 == 3 { IpAddr::from(OFFICE) } else { address(number) };
    let issued = at(i64::try_from(number).unwrap_or_default());
    fixtures
        .signed_in(&name)
        .with_ip(ip)
        .issued_at(issued)
        .with_idle_timeout(LONG)
        .with_absolute_at(T0.plus(LONG))
        .with_retention(LONG)
}

/// Whose sessions lie far from each other: people come back.
fn person(number: usize) -> String {
    format!("user-{:06}", number.wrapping_mul(SPREAD) % PEOPLE)
}

fn address(number: usize) -> IpAddr {
    let number = u32::try_from(number.wrapping_mul(SPREAD) % PEOPLE).unwrap_or_default();
    Ipv4Addr::from_bits(0x0A00_0000 + number).into()
}

async fn file(store: &dyn Store, filing: &Filing, ends: bool) -> Outcome {
    let Filing { record, digest } = filing;
    let request = InsertRequest { record, digest: *digest, limit: None, replaces: None, now: NOW };
    match store.insert(request).await.doing("filing a session")? {
        Inserted::Done { .. } => {}
        other => return Err(Error::new("filing a session", format!("{other:?}"))),
    }
    if ends {
        let selector = Selector::One(record.id);
        let request = EndRequest { selector: &selector, reason: EndReason::SignedOut, now: NOW };
        store.end(request).await.doing("ending a session")?;
    }
    Ok(())
}

/// Who has one session in twenty.
pub(super) const SERVICE: &str = "service";
/// Where one session in ten is from.
pub(super) const OFFICE: [u8; 4] = [203, 0, 113, 1];
/// When everything is asked: after the last was issued.
pub(super) const NOW: Timestamp = Timestamp::from_millis(T0.as_millis() + 100_000_000);
const LONG: Duration = Duration::from_secs(30 * 24 * 3600);
/// Inserts under way at once.
const AT_ONCE: usize = 256;
/// Twenty sessions each, of a million.
const PEOPLE: usize = 50_000;
/// A prime that has no part in the number of people: it brings them in an order that looks like chance.
const SPREAD: usize = 7_919;
