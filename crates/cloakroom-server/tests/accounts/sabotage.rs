//! Databases that are wrong in one way each: the suite has to notice.

use std::num::NonZeroU16;
use std::sync::Arc;

use cloakroom::Timestamp;
use cloakroom_conformance::caught;
use cloakroom_server::accounts::{
    Account, AccountChange, AccountFuture, AccountKey, AccountStore, Added, Credentials, Guard, NewAccount,
    PasswordSet, Place as Where, Remaining, Roles, SetupDigest, SetupUsed, StoredHash,
};

use crate::places::{Kind, Place, Wrap};
use crate::{cases, runtime};

/// One way to be wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flaw {
    Upserts,
    IgnoresTheGuard,
    RehashesAnything,
    ForgetsWhoHasToRemain,
    IgnoresTheExpiry,
    BeginsSetUpAnyway,
    SkipsOnePageInTwo,
    DisablesAgain,
    RefusesUnknownAsStale,
}

/// Each with a case that notices it.
pub(crate) const ALL: &[(Flaw, &str)] = &[
    (Flaw::Upserts, "a_name_is_given_once_however_many_ask_for_it"),
    (Flaw::IgnoresTheGuard, "a_password_changes_only_under_the_epoch_it_was_proven_in"),
    (Flaw::IgnoresTheGuard, "of_several_changes_under_one_epoch_one_is_made"),
    (Flaw::RehashesAnything, "a_better_hash_replaces_the_one_it_was_made_from_and_no_other"),
    (Flaw::ForgetsWhoHasToRemain, "the_last_administrator_stays_where_one_has_to_remain"),
    (Flaw::ForgetsWhoHasToRemain, "two_administrators_cannot_remove_each_other"),
    (Flaw::IgnoresTheExpiry, "a_set_up_token_holds_until_its_instant_or_the_next_one"),
    (Flaw::BeginsSetUpAnyway, "no_set_up_token_holds_once_there_is_an_account"),
    (Flaw::SkipsOnePageInTwo, "pages_come_in_the_order_of_the_keys_and_leave_nobody_out"),
    (Flaw::DisablesAgain, "what_changes_nothing_raises_no_epoch"),
    (Flaw::RefusesUnknownAsStale, "nobody_is_made_by_changing_them"),
];

impl Flaw {
    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }

    fn wrap(self) -> Wrap {
        macro_rules! wrap {
            ($($flaw:ident)*) => {
                match self { $(Self::$flaw => |inner| Arc::new(Flawed { inner, flaw: Self::$flaw })),* }
            };
        }
        wrap!(Upserts IgnoresTheGuard RehashesAnything ForgetsWhoHasToRemain IgnoresTheExpiry
              BeginsSetUpAnyway SkipsOnePageInTwo DisablesAgain RefusesUnknownAsStale)
    }
}

/// Runs the case on the flawed store, and fails where it passes.
pub(crate) fn is_noticed(flaw: Flaw, case: &str) {
    let case = cases::ALL.iter().find(|one| one.name == case).expect("a case of the suite");
    let sound = Place::new(Kind::Sqlite);
    runtime().block_on((case.run)(sound));
    let flawed = Place::new(Kind::Sqlite).wrapped(flaw.wrap());
    let outcome = caught(|| runtime().block_on((case.run)(flawed)));
    assert!(outcome.is_err(), "{} passed over {flaw:?}", case.name);
}

#[derive(Debug)]
struct Flawed {
    inner: Arc<dyn AccountStore>,
    flaw: Flaw,
}

impl Flawed {
    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn remaining(&self, asked: Remaining) -> Remaining {
        if self.is(Flaw::ForgetsWhoHasToRemain) { Remaining::Anybody } else { asked }
    }
}

impl AccountStore for Flawed {
    fn place(&self) -> &Where {
        self.inner.place()
    }

    fn add<'a>(&'a self, new: &'a NewAccount, now: Timestamp) -> AccountFuture<'a, Added> {
        Box::pin(async move {
            let added = self.inner.add(new, now).await?;
            if added == Added::NameTaken && self.is(Flaw::Upserts) {
                let set = self.inner.set_password(new.name.key(), &new.hash, Guard::None, now).await?;
                let PasswordSet::Changed(account) = set else { return Ok(added) };
                return Ok(Added::Created(account));
            }
            Ok(added)
        })
    }

    fn get<'a>(&'a self, key: &'a AccountKey) -> AccountFuture<'a, Option<Credentials>> {
        self.inner.get(key)
    }

    fn page<'a>(
        &'a self,
        after: Option<&'a AccountKey>,
        limit: NonZeroU16,
    ) -> AccountFuture<'a, Vec<Account>> {
        Box::pin(async move {
            let page = self.inner.page(after, limit).await?;
            match page.last() {
                Some(last) if self.is(Flaw::SkipsOnePageInTwo) && after.is_some() => {
                    self.inner.page(Some(last.name.key()), limit).await
                }
                _ => Ok(page),
            }
        })
    }

    fn count(&self) -> AccountFuture<'_, u64> {
        self.inner.count()
    }

    fn disable<'a>(
        &'a self,
        key: &'a AccountKey,
        remaining: Remaining,
        now: Timestamp,
    ) -> AccountFuture<'a, AccountChange> {
        Box::pin(async move {
            if self.is(Flaw::DisablesAgain) {
                self.inner.enable(key).await?;
            }
            self.inner.disable(key, self.remaining(remaining), now).await
        })
    }

    fn enable<'a>(&'a self, key: &'a AccountKey) -> AccountFuture<'a, Option<Account>> {
        self.inner.enable(key)
    }

    fn set_roles<'a>(
        &'a self,
        key: &'a AccountKey,
        roles: &'a Roles,
        remaining: Remaining,
    ) -> AccountFuture<'a, AccountChange> {
        self.inner.set_roles(key, roles, self.remaining(remaining))
    }

    fn set_password<'a>(
        &'a self,
        key: &'a AccountKey,
        hash: &'a StoredHash,
        guard: Guard,
        now: Timestamp,
    ) -> AccountFuture<'a, PasswordSet> {
        Box::pin(async move {
            let guard = if self.is(Flaw::IgnoresTheGuard) { Guard::None } else { guard };
            match self.inner.set_password(key, hash, guard, now).await? {
                PasswordSet::NoSuchAccount if self.is(Flaw::RefusesUnknownAsStale) => Ok(PasswordSet::Stale),
                set => Ok(set),
            }
        })
    }

    fn rehash<'a>(
        &'a self,
        key: &'a AccountKey,
        old: &'a StoredHash,
        new: &'a StoredHash,
    ) -> AccountFuture<'a, ()> {
        Box::pin(async move {
            match self.inner.get(key).await? {
                Some(present) if self.is(Flaw::RehashesAnything) => {
                    self.inner.rehash(key, &present.hash, new).await
                }
                _ => self.inner.rehash(key, old, new).await,
            }
        })
    }

    fn begin_setup(&self, token: SetupDigest, expires_at: Timestamp) -> AccountFuture<'_, bool> {
        Box::pin(async move {
            let begun = self.inner.begin_setup(token, expires_at).await?;
            Ok(begun || self.is(Flaw::BeginsSetUpAnyway))
        })
    }

    fn setup_is_open(&self, token: SetupDigest, now: Timestamp) -> AccountFuture<'_, bool> {
        let now = if self.is(Flaw::IgnoresTheExpiry) { Timestamp::EPOCH } else { now };
        self.inner.setup_is_open(token, now)
    }

    fn complete_setup<'a>(
        &'a self,
        token: SetupDigest,
        first: &'a NewAccount,
        now: Timestamp,
    ) -> AccountFuture<'a, SetupUsed> {
        let now = if self.is(Flaw::IgnoresTheExpiry) { Timestamp::EPOCH } else { now };
        self.inner.complete_setup(token, first, now)
    }
}
