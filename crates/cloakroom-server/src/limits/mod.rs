//! How guessing passwords is slowed down without locking anybody out (ASVS 6.1.1, 6.3.1; NIST SP 800-63B-4 §3.2.2).
//!
//! Three budgets of failed attempts, each refilled evenly over one window:
//!
//! | budget | default per window | stops |
//! |---|---|---|
//! | of an address (IPv6: a /64) | 100 | one machine that tries many accounts |
//! | of an account at an address | 10 | one machine that tries one account |
//! | of an account from everywhere | 10 × that | many machines that try one account |
//!
//! **The owner is not locked out.** From an address where the account signed in lately, only the second budget counts:
//! whatever others do to the account or from elsewhere, that door stays open. Who proves identity inside of a live session has a
//! budget of that session alone: as much as one address has for one account, wherever they are by now. An attempt is counted when it begins, so
//! that parallel guesses cannot slip through; success gives it back.
//!
//! Memory is bounded: each table forgets first what no longer matters, then what matters least.

mod buckets;
mod pace;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{SessionId, Timestamp};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

pub(crate) use self::pace::Pace;

use self::buckets::{Buckets, Rate, evict_lowest, micros};
use crate::accounts::account_key;
use crate::config::SignInConfig;

/// Decides who may try to sign in. Cheap to clone; all clones share their memory.
///
/// ```
/// use cloakroom_core::Timestamp;
/// use cloakroom_server::config::Config;
/// use cloakroom_server::limits::{Admission, SignInLimits};
///
/// let limits = SignInLimits::new(Config::default().sign_in);
/// let (now, address) = (Timestamp::EPOCH, "203.0.113.9".parse().unwrap());
/// for _ in 0..10 {
///     let Admission::Allowed(attempt) = limits.admit("alice", address, now) else { panic!("refused too early") };
///     drop(attempt); // a wrong password
/// }
/// assert!(matches!(limits.admit("alice", address, now), Admission::Refused { .. }));
/// ```
#[derive(Clone, Debug)]
pub struct SignInLimits {
    shared: Arc<Shared>,
}

/// Whether somebody may try to sign in.
#[derive(Debug)]
#[must_use]
pub enum Admission {
    /// Check the password, and say what came of it.
    Allowed(Attempt),
    /// Do not even look at the password.
    Refused {
        /// After this the next attempt is admitted, if there are no others before.
        retry_after: Duration,
    },
}

/// An attempt that was admitted and counted. Dropping it leaves it counted: it failed.
#[derive(Debug)]
#[must_use = "dropping an attempt counts it as failed"]
pub struct Attempt {
    shared: Arc<Shared>,
    pair: Pair,
    at: Timestamp,
    spent: Spent,
}

/// Which budgets an attempt was taken from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Spent {
    /// That of the account at this address, and those of the address and the account.
    All,
    /// That of the account at this address, where it is known.
    Known,
    /// That of a live session.
    Session(SessionId),
}

impl SignInLimits {
    /// Limits as configured.
    #[must_use]
    pub fn new(config: SignInConfig) -> Self {
        Self::with_capacity(config, MAX_TRACKED)
    }

    /// Asks for an attempt on `account`, however its name is typed and whether it exists or not, from `address`.
    ///
    /// # Cost
    /// A short lock and three look-ups; no I/O.
    pub fn admit(&self, account: &str, address: IpAddr, now: Timestamp) -> Admission {
        let pair = Pair { account: AccountHash::of(account), group: AddressGroup::of(address) };
        let mut state = self.shared.state.lock();
        let spent = if state.known.contains(&pair, now) { Spent::Known } else { Spent::All };
        let charged = state.charge(pair, spent, now);
        drop(state);
        self.admission(pair, spent, charged, now)
    }

    /// The same for whoever holds a live session of `account`, and proves identity inside of it.
    ///
    /// # Security
    /// Whatever others guess, from wherever, spends nothing of this budget: only who has the session's token does. A thief of a
    /// token has it, too: as many guesses as one address has, whichever address they come from.
    pub fn admit_within(
        &self,
        session: SessionId,
        account: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Admission {
        let pair = Pair { account: AccountHash::of(account), group: AddressGroup::of(address) };
        let spent = Spent::Session(session);
        let charged = self.shared.state.lock().charge(pair, spent, now);
        self.admission(pair, spent, charged, now)
    }

    fn admission(&self, pair: Pair, spent: Spent, charged: Result<(), Duration>, at: Timestamp) -> Admission {
        match charged {
            Ok(()) => Admission::Allowed(Attempt { shared: self.shared.clone(), pair, at, spent }),
            Err(retry_after) => Admission::Refused { retry_after },
        }
    }

    /// Remembers that `account` belongs at `address`, as after a sign-in there: for a server that starts and finds
    /// sessions alive.
    pub fn remember(&self, account: &str, address: IpAddr, now: Timestamp) {
        let pair = Pair { account: AccountHash::of(account), group: AddressGroup::of(address) };
        self.shared.state.lock().known.insert(pair, now);
    }

    fn with_capacity(config: SignInConfig, capacity: usize) -> Self {
        let per_account_everywhere = config.attempts_per_account.saturating_mul(EVERYWHERE_FACTOR);
        let state = State {
            addresses: Buckets::new(Rate::new(config.attempts_per_address, config.window), capacity),
            pairs: Buckets::new(Rate::new(config.attempts_per_account, config.window), capacity),
            accounts: Buckets::new(Rate::new(per_account_everywhere, config.window), capacity),
            sessions: Buckets::new(Rate::new(config.attempts_per_account, config.window), capacity),
            known: Known { last_success: HashMap::new(), capacity },
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state) }) }
    }
}

impl Attempt {
    /// The password was right: gives the attempt back, forgets the account's failures at this address, and remembers
    /// that the account belongs here.
    pub fn succeeded(self) {
        let mut state = self.shared.state.lock();
        state.give_back(&self);
        match &self.spent {
            Spent::All | Spent::Known => state.pairs.forget(&self.pair),
            Spent::Session(session) => state.sessions.forget(session),
        }
        state.known.insert(self.pair, self.at);
    }

    /// The password was not looked at (the accounts could not be asked): gives the attempt back.
    pub fn withdraw(self) {
        self.shared.state.lock().give_back(&self);
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    addresses: Buckets<AddressGroup>,
    pairs: Buckets<Pair>,
    accounts: Buckets<AccountHash>,
    sessions: Buckets<SessionId>,
    known: Known,
}

impl State {
    /// Takes one from every budget that counts, or from none.
    fn charge(&mut self, pair: Pair, spent: Spent, now: Timestamp) -> Result<(), Duration> {
        let wait = match spent {
            Spent::Session(session) => self.sessions.wait(&session, now),
            Spent::Known => self.pairs.wait(&pair, now),
            Spent::All => {
                let elsewhere =
                    self.addresses.wait(&pair.group, now).max(self.accounts.wait(&pair.account, now));
                self.pairs.wait(&pair, now).max(elsewhere)
            }
        };
        if !wait.is_zero() {
            return Err(wait);
        }
        match spent {
            Spent::Session(session) => self.sessions.take(session, now),
            Spent::Known => self.pairs.take(pair, now),
            Spent::All => {
                self.pairs.take(pair, now);
                self.addresses.take(pair.group, now);
                self.accounts.take(pair.account, now);
            }
        }
        Ok(())
    }

    fn give_back(&mut self, attempt: &Attempt) {
        match &attempt.spent {
            Spent::Session(session) => self.sessions.give_back(session),
            Spent::Known => self.pairs.give_back(&attempt.pair),
            Spent::All => {
                self.pairs.give_back(&attempt.pair);
                self.addresses.give_back(&attempt.pair.group);
                self.accounts.give_back(&attempt.pair.account);
            }
        }
    }
}

/// Where accounts signed in lately.
#[derive(Debug)]
struct Known {
    last_success: HashMap<Pair, i64>,
    capacity: usize,
}

impl Known {
    fn contains(&self, pair: &Pair, now: Timestamp) -> bool {
        self.last_success.get(pair).is_some_and(|&at| micros(now).saturating_sub(at) < KNOWN_FOR_MICROS)
    }

    fn insert(&mut self, pair: Pair, now: Timestamp) {
        if self.last_success.len() >= self.capacity && !self.last_success.contains_key(&pair) {
            evict_lowest(&mut self.last_success, self.capacity);
        }
        self.last_success.insert(pair, micros(now));
    }
}

/// An account and where somebody is who tries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Pair {
    account: AccountHash,
    group: AddressGroup,
}

/// Which account, in a size that the person who types the name does not choose.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct AccountHash([u8; 16]);

impl AccountHash {
    fn of(typed: &str) -> Self {
        // Longer names name nobody; folding them would only cost.
        let cut = typed.get(..typed.floor_char_boundary(MAX_NAME_BYTES)).unwrap_or_default();
        let digest: [u8; 32] = Sha256::digest(account_key(cut).as_bytes()).into();
        let (head, _) = digest.split_first_chunk().expect("32 bytes have 16 first ones");
        Self(*head)
    }
}

/// The addresses that one customer of a network has: an IPv4 address, or an IPv6 /64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct AddressGroup(u128);

impl AddressGroup {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // As mapped addresses, so that no /64 is taken for an IPv4 address.
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Self((v6 & Ipv6Addr::from_bits(u128::MAX << 64)).to_bits()),
        }
    }
}

/// An account's budget from everywhere, as a multiple of that at one address: 100 by default, which is the most that
/// NIST SP 800-63B-4 §3.2.2 allows.
const EVERYWHERE_FACTOR: u32 = 10;
/// Entries per table: about 5 MiB each.
const MAX_TRACKED: usize = 65_536;
/// For how long a place is known after a sign-in.
const KNOWN_FOR_MICROS: i64 = 30 * 24 * 3_600 * 1_000_000;
/// No account has a longer name (bytes; `PrincipalId` allows 256).
const MAX_NAME_BYTES: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const HOME: &str = "198.51.100.7";
    const WINDOW: Duration = Duration::from_secs(900);

    fn limits(capacity: usize) -> SignInLimits {
        SignInLimits::with_capacity(crate::config::Config::default().sign_in, capacity)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn numbered(n: u32) -> IpAddr {
        IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n))
    }

    /// A wrong guess; whether it was admitted.
    fn guess(limits: &SignInLimits, account: &str, address: IpAddr, now: Timestamp) -> bool {
        matches!(limits.admit(account, address, now), Admission::Allowed(_))
    }

    fn sign_in(limits: &SignInLimits, account: &str, address: IpAddr, now: Timestamp) -> bool {
        match limits.admit(account, address, now) {
            Admission::Allowed(attempt) => {
                attempt.succeeded();
                true
            }
            Admission::Refused { .. } => false,
        }
    }

    fn retry_after(limits: &SignInLimits, account: &str, address: IpAddr, now: Timestamp) -> Duration {
        match limits.admit(account, address, now) {
            Admission::Allowed(_) => Duration::ZERO,
            Admission::Refused { retry_after } => retry_after,
        }
    }

    #[test]
    fn ten_failures_are_admitted_and_then_one_per_tenth_of_the_window() {
        let limits = limits(MAX_TRACKED);
        for n in 0..10 {
            assert!(guess(&limits, "alice", ip(HOME), NOW), "attempt {n}");
        }
        let tenth = WINDOW / 10;
        assert_eq!(retry_after(&limits, "alice", ip(HOME), NOW), tenth);
        let at = |millis: i64| Timestamp::from_millis(NOW.as_millis() + 90_000 + millis);
        assert_eq!(retry_after(&limits, "alice", ip(HOME), at(-1)), Duration::from_millis(1));
        assert!(guess(&limits, "alice", ip(HOME), at(0)));
        assert!(!guess(&limits, "alice", ip(HOME), at(1)));
    }

    #[test]
    fn the_whole_budget_is_back_after_a_window_and_no_more_than_that() {
        for (offset, admitted) in [(-1, 9), (0, 10), (1, 10), (1_000_000_000, 10)] {
            let limits = limits(MAX_TRACKED);
            assert_eq!((0..20).filter(|_| guess(&limits, "alice", ip(HOME), NOW)).count(), 10);
            let later = Timestamp::from_millis(NOW.as_millis() + 900_000 + offset);
            let again = (0..20).filter(|_| guess(&limits, "alice", ip(HOME), later)).count();
            assert_eq!(again, admitted, "{offset} ms after the window");
        }
    }

    #[test]
    fn success_gives_back_and_clears_the_failures() {
        let limits = limits(MAX_TRACKED);
        for _ in 0..50 {
            for _ in 0..9 {
                assert!(guess(&limits, "alice", ip(HOME), NOW));
            }
            assert!(sign_in(&limits, "alice", ip(HOME), NOW));
        }
    }

    #[test]
    fn an_attempt_that_was_not_looked_at_does_not_count() {
        let limits = limits(MAX_TRACKED);
        for _ in 0..500 {
            let Admission::Allowed(attempt) = limits.admit("alice", ip(HOME), NOW) else { panic!("refused") };
            attempt.withdraw();
        }
        assert_eq!((0..20).filter(|_| guess(&limits, "alice", ip(HOME), NOW)).count(), 10);
    }

    #[test]
    fn parallel_guesses_count_when_they_begin() {
        let limits = limits(MAX_TRACKED);
        let under_way: Vec<Admission> = (0..1_000).map(|_| limits.admit("alice", ip(HOME), NOW)).collect();
        assert_eq!(under_way.iter().filter(|a| matches!(a, Admission::Allowed(_))).count(), 10);
    }

    #[test]
    fn ten_thousand_guesses_at_one_account_from_one_address() {
        let limits = limits(MAX_TRACKED);
        assert!(sign_in(&limits, "alice", ip(HOME), NOW));
        let admitted = (0..10_000).filter(|_| guess(&limits, "alice", numbered(1), NOW)).count();
        assert_eq!(admitted, 10);
        assert!(sign_in(&limits, "alice", ip(HOME), NOW), "the owner at home");
        assert!(sign_in(&limits, "alice", ip("192.0.2.1"), NOW), "the owner at a new place");
    }

    #[test]
    fn ten_thousand_guesses_at_one_account_from_a_thousand_addresses() {
        let limits = limits(MAX_TRACKED);
        assert!(sign_in(&limits, "alice", ip(HOME), NOW));
        let admitted = (0..10_000).filter(|n| guess(&limits, "ALICE", numbered(n % 1_000), NOW)).count();
        assert_eq!(admitted, 100, "ten times the budget of one address");
        assert!(!sign_in(&limits, "alice", ip("192.0.2.1"), NOW), "a new place has to wait");
        assert!(sign_in(&limits, "alice", ip(HOME), NOW), "the owner at home");
        assert!(sign_in(&limits, "bob", ip("192.0.2.1"), NOW), "other accounts");
    }

    /// A roaming administrator, signed in, has to prove identity at an address that nobody knows, while the account is attacked.
    #[test]
    fn whoever_is_signed_in_proves_identity_whatever_others_guess_meanwhile() {
        let limits = limits(MAX_TRACKED);
        let (session, other) = (SessionId::from_bytes([1; 16]), SessionId::from_bytes([2; 16]));
        while (0..2_000).any(|n| guess(&limits, "alice", numbered(n), NOW)) {}
        let roaming = ip("192.0.2.1");
        assert!(!guess(&limits, "alice", roaming, NOW), "nobody signs in from there now");
        let within = |session| match limits.admit_within(session, "alice", roaming, NOW) {
            Admission::Allowed(attempt) => Some(attempt),
            Admission::Refused { .. } => None,
        };
        within(session).expect("but who is signed in is asked").succeeded();
        // Who stole the token guesses no more often than at one address, wherever they come from.
        assert_eq!((0..100).filter(|_| within(session).is_some()).count(), 10);
        assert!(within(other).is_some(), "each session for itself");
        assert!(sign_in(&limits, "alice", roaming, NOW), "the place is known by now");
        assert_eq!((0..100).filter(|_| guess(&limits, "alice", roaming, NOW)).count(), 10);
    }

    #[test]
    fn one_guess_at_each_of_ten_thousand_accounts_from_one_address() {
        let limits = limits(MAX_TRACKED);
        assert!(sign_in(&limits, "alice", numbered(1), NOW), "the owner shares the attacker's address");
        assert!(sign_in(&limits, "bob", ip(HOME), NOW));
        let admitted = (0..10_000).filter(|n| guess(&limits, &format!("user{n}"), numbered(1), NOW)).count();
        assert_eq!(admitted, 100);
        assert!(sign_in(&limits, "alice", numbered(1), NOW), "the owner, known at that address");
        assert!(sign_in(&limits, "bob", ip(HOME), NOW), "everybody elsewhere");
    }

    #[test]
    fn a_place_is_known_for_thirty_days() {
        let month = Duration::from_micros(KNOWN_FOR_MICROS.unsigned_abs());
        for (age, known) in [(month - Duration::from_millis(1), true), (month, false)] {
            let limits = limits(MAX_TRACKED);
            limits.remember("alice", ip(HOME), NOW);
            let now = NOW.plus(age);
            assert_eq!((0..2_000).filter(|n| guess(&limits, "alice", numbered(*n), now)).count(), 100);
            assert_eq!(sign_in(&limits, "alice", ip(HOME), now), known, "{age:?}");
        }
    }

    #[test]
    fn a_slash_64_and_a_mapped_address_are_one_place() {
        let group = |text: &str| AddressGroup::of(ip(text));
        assert_eq!(group("2001:db8:1:2::1"), group("2001:db8:1:2:ffff::9"));
        assert_ne!(group("2001:db8:1:2::1"), group("2001:db8:1:3::1"));
        assert_eq!(group("::ffff:192.0.2.1"), group("192.0.2.1"));
        assert_ne!(group("192.0.2.1"), group("192.0.2.2"));
        assert_ne!(group("::"), group("0.0.0.0"));
    }

    #[test]
    fn memory_is_bounded_and_what_matters_most_is_kept() {
        let limits = limits(64);
        limits.remember("alice", ip(HOME), NOW);
        for _ in 0..10 {
            guess(&limits, "victim", ip("192.0.2.1"), NOW);
        }
        for n in 0..10_000 {
            guess(&limits, &format!("user{n}"), numbered(n), NOW);
        }
        let state = limits.shared.state.lock();
        assert!(state.addresses.full_at.len() <= 64 && state.pairs.full_at.len() <= 64);
        assert!(state.accounts.full_at.len() <= 64 && state.known.last_success.len() <= 64);
        drop(state);
        assert!(
            !guess(&limits, "victim", ip("192.0.2.1"), NOW),
            "the most hammered budget was not forgotten"
        );
    }

    #[test]
    fn a_clock_that_steps_back_makes_nobody_wait_longer_than_a_window() {
        let limits = limits(MAX_TRACKED);
        while guess(&limits, "alice", ip(HOME), NOW) {}
        let before = NOW.minus(Duration::from_secs(365 * 24 * 3_600));
        assert!(retry_after(&limits, "alice", ip(HOME), before) <= WINDOW);
        limits.remember("bob", ip(HOME), NOW);
        assert!(sign_in(&limits, "bob", ip(HOME), before));
    }
}
