//! Entries for tests: made up, different from each other, and the same in every run.

use cloakroom_core::{EndReason, Route, SessionId, Timestamp};
use cloakroom_store::{RevocationEntry, Scope, Version};

use crate::fixtures::{Seeded, at, principal_id};

/// A source of entries, each with a nonce of its own.
#[derive(Clone, Debug)]
pub struct Ends {
    random: Seeded,
}

impl Ends {
    /// The entries of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { random: Seeded::new(seed) }
    }

    /// An end of this scope, decided at [`T0`](crate::T0), that is over at `until`.
    pub fn of(&mut self, scope: Scope, until: Timestamp) -> RevocationEntry {
        RevocationEntry {
            scope,
            at: at(0),
            until,
            reason: EndReason::RevokedByAdmin,
            nonce: self.random.next_u64(),
        }
    }

    /// The end of a session that no other call names, over at `until`.
    pub fn over_at(&mut self, until: Timestamp) -> RevocationEntry {
        let session = self.session();
        self.of(Scope::Session(session), until)
    }

    /// The same, over long after every test.
    pub fn next_entry(&mut self) -> RevocationEntry {
        self.over_at(at(1_000_000_000))
    }

    /// This many of them.
    pub fn some(&mut self, number: usize) -> Vec<RevocationEntry> {
        std::iter::repeat_with(|| self.next_entry()).take(number).collect()
    }

    /// One entry of every scope and reason, with names, numbers and instants that are hard to keep.
    pub fn of_every_kind(&mut self) -> Vec<RevocationEntry> {
        let (session, other, core) = (self.session(), self.session(), self.random.bytes());
        let mut scopes = vec![
            Scope::Session(session),
            Scope::Session(SessionId::from_bytes([0; 16])),
            Scope::Session(SessionId::from_bytes([0xFF; 16])),
            Scope::Token { session, core },
            Scope::Token { session, core: [0; 16] },
            Scope::Floor { session, version: Version::FIRST },
            Scope::Floor { session, version: Version::from_u64(u64::MAX) },
            Scope::All,
        ];
        for instant in [i64::MIN, -1, 0, 1_800_000_000_000, i64::MAX] {
            scopes.push(Scope::IssuedBefore(Timestamp::from_millis(instant)));
        }
        for name in NAMES.map(str::to_owned).into_iter().chain([longest()]) {
            let principal = principal_id(&name);
            scopes.push(Scope::Principal { principal: principal.clone(), except: None });
            scopes.push(Scope::Principal { principal, except: Some(other) });
        }
        let mut entries: Vec<RevocationEntry> =
            scopes.into_iter().map(|scope| self.of(scope, at(1_000_000))).collect();
        for reason in EndReason::ALL {
            entries.push(RevocationEntry { reason, ..self.next_entry() });
        }
        for nonce in [0, 1, u64::MAX, 1 << 63] {
            entries.push(RevocationEntry { nonce, ..self.next_entry() });
        }
        for (decided, until) in [(i64::MIN, i64::MAX), (-1, 1), (i64::MAX, i64::MAX), (0, at(0).as_millis())]
        {
            let instants = [decided, until].map(Timestamp::from_millis);
            let [decided, until] = instants;
            entries.push(RevocationEntry { at: decided, ..self.over_at(until) });
        }
        entries
    }

    fn session(&mut self) -> SessionId {
        SessionId::from_random(Route::from_bytes(self.random.bytes()), self.random.bytes())
    }
}

/// An instant of the year 2020, for what is over by every clock: a list goes by its own as well.
#[must_use]
pub fn past(millis: i64) -> Timestamp {
    Timestamp::from_millis(PAST.saturating_add(millis))
}

/// The 13th of September 2020.
const PAST: i64 = 1_600_000_000_000;

/// The longest name that a principal can have, of characters of four bytes each.
fn longest() -> String {
    "🦊".repeat(cloakroom_core::PrincipalId::MAX_BYTES / 4)
}

/// What quoting, encodings and comparisons trip over. Control characters, NUL among them, are in no name of a principal.
const NAMES: [&str; 14] = [
    "alice",
    "Alice",
    " alice ",
    "alice@example.org",
    "o'brien",
    "\"; DROP TABLE session; --",
    "\\x00\\n",
    "100%_",
    "{alice}:[1]",
    "$1 ?1 :a @b",
    "straße",
    "e\u{301}",
    "é",
    "管理员",
];
