//! Accounts, as administrators change them.

use std::num::NonZeroU16;

use cloakroom::{EndReason, PrincipalId, Revocation, Selector};
use cloakroom_audit::names;
use cloakroom_axum::Rejection;
use cloakroom_http::ProblemCode;
use http::StatusCode;
use zeroize::Zeroizing;

use super::act::noted;
use super::{Settle, Why};
use crate::accounts::{
    Account, AccountChange, AccountKey, AccountName, Added, Guard, NewAccount, NewPassword, Password,
    PasswordSet, Remaining, Roles, StoredHash, account_key,
};
use crate::acts::{Act, Done};
use crate::ended::Ended;
use crate::web::App;
use crate::web::extract::MALFORMED;
use crate::web::refusal::{Refusal, WEAK_PASSWORD};
use crate::web::staff::{Duty, Right, Staff};

/// Which accounts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::web) struct AccountQuery {
    /// A text that the name contains, whatever its case.
    pub(in crate::web) text: Option<String>,
    /// The name that the page before ended with.
    pub(in crate::web) after: Option<String>,
    /// Most accounts on a page; 50 where nobody says otherwise.
    pub(in crate::web) limit: Option<NonZeroU16>,
}

/// A page of accounts, by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::web) struct AccountPage {
    pub(in crate::web) accounts: Vec<Account>,
    /// Pass it back as `after`; `None` where this was the last page.
    pub(in crate::web) next: Option<String>,
}

/// An account to be added.
pub(in crate::web) struct NewPerson {
    pub(in crate::web) name: String,
    pub(in crate::web) roles: Vec<String>,
    pub(in crate::web) secret: NewSecret,
}

/// A new password.
pub(in crate::web) enum NewSecret {
    /// One that somebody chose.
    Chosen(Zeroizing<String>),
    /// One that is made here, and shown once: nobody chose it, nobody has it elsewhere.
    Generated,
}

/// What a change of an account came to.
pub(in crate::web) struct AccountChanged {
    /// The account as it is now.
    pub(in crate::web) account: Account,
    /// What became of its sessions.
    pub(in crate::web) sessions_ended: Ended,
    /// The password that was made, to be shown once.
    pub(in crate::web) generated: Option<Zeroizing<String>>,
}

impl App {
    /// Accounts, by name.
    ///
    /// # Errors
    /// Forbidden; what keeps the accounts from answering.
    pub(in crate::web) async fn list_accounts(
        &self,
        staff: &Staff,
        query: &AccountQuery,
    ) -> Result<AccountPage, Refusal> {
        staff.demand(self, Right::SeeAll)?;
        let text = query.text.as_deref().map(account_key);
        let limit = usize::from(query.limit.map_or(50, NonZeroU16::get));
        let (mut accounts, mut after) = (Vec::new(), query.after.clone());
        // One more than asked for says whether there is a next page.
        while accounts.len() <= limit {
            let page = self.accounts.page(after.as_deref(), LOOKED_AT_ONCE).await?;
            let is_last = page.len() < usize::from(LOOKED_AT_ONCE.get());
            after = page.last().map(|last| last.name.to_string());
            accounts.extend(page.into_iter().filter(|account| {
                text.as_ref().is_none_or(|text| account.name.key().as_str().contains(text.as_str()))
            }));
            if is_last {
                break;
            }
        }
        let leads_on = accounts.len() > limit;
        accounts.truncate(limit);
        let next = accounts.last().filter(|_| leads_on).map(|last| last.name.to_string());
        Ok(AccountPage { accounts, next })
    }

    /// One account.
    ///
    /// # Errors
    /// Forbidden; `not_found`; what keeps the accounts from answering.
    pub(in crate::web) async fn look_at_account(
        &self,
        staff: &Staff,
        name: &str,
    ) -> Result<Account, Refusal> {
        staff.demand(self, Right::SeeAll)?;
        self.accounts.get(name).await?.ok_or_else(Refusal::not_found)
    }

    /// Adds an account.
    ///
    /// # Errors
    /// `malformed_request` where name or roles cannot be used; `name_taken`; `weak_password`; `audit_unavailable`.
    pub(in crate::web) async fn add_account(
        &self,
        staff: &Staff,
        new: NewPerson,
    ) -> Result<AccountChanged, Refusal> {
        self.demand_management(staff).await?;
        let malformed = |error: String| Refusal::new(MALFORMED).detail(error);
        let name = AccountName::new(&new.name).map_err(|error| malformed(error.to_string()))?;
        let roles = Roles::new(&new.roles).map_err(|error| malformed(error.to_string()))?;
        if self.accounts.get(name.as_str()).await?.is_some() {
            return Err(Refusal::new(NAME_TAKEN));
        }
        let (hash, generated) = self.hash_secret(name.as_str(), new.secret).await?;
        let id = name.id().clone();
        let act = Act::new("add_account").about(Some(id.clone())).with("roles", roles.joined());
        let done = Done::default();
        let account = self
            .act(staff, act, &done, async {
                let new = NewAccount { name, roles, hash };
                match self.accounts.add(new, self.sessions.now()).await? {
                    Added::Created(account) => {
                        done.event(staff.draft(names::USER_CREATED, self.sessions.now()).about(Some(id)));
                        Ok(account)
                    }
                    Added::NameTaken => Err(Refusal::new(NAME_TAKEN)),
                }
            })
            .await?;
        Ok(AccountChanged { account, sessions_ended: Ended::NONE, generated })
    }

    /// Lets an account sign in no longer, and ends its sessions.
    ///
    /// # Errors
    /// `own_account`, `last_administrator`, `not_found`, `audit_unavailable`; `store_unavailable` where it is disabled but
    /// its sessions could not be ended: again is safe.
    pub(in crate::web) async fn disable_account(
        &self,
        staff: &Staff,
        name: &str,
        note: Option<String>,
        settle: Settle,
    ) -> Result<AccountChanged, Refusal> {
        let id = self.account_of_another(staff, name).await?;
        let why = Why { reason: EndReason::AccountDisabled, note };
        let act = why.of(Act::new("disable_account")).about(Some(id.clone()));
        let done = Done::default();
        self.act(staff, act, &done, async {
            let (remaining, now) = (Remaining::Administrator, self.sessions.now());
            let account = outcome(self.accounts.disable(id.as_str(), remaining, now).await?)?;
            let event = staff.draft(names::USER_UPDATED, self.sessions.now()).about(Some(id.clone()));
            done.event(event.because("disabled"));
            self.end_after_change(staff, account, &why, settle, &done).await
        })
        .await
    }

    /// Lets an account sign in again.
    ///
    /// # Errors
    /// `not_found`, `audit_unavailable`.
    pub(in crate::web) async fn enable_account(
        &self,
        staff: &Staff,
        name: &str,
        note: Option<String>,
    ) -> Result<AccountChanged, Refusal> {
        let id = self.account_of_another(staff, name).await?;
        let act = noted(Act::new("enable_account").about(Some(id.clone())), note.as_deref());
        let done = Done::default();
        self.act(staff, act, &done, async {
            let changed = self.accounts.enable(id.as_str()).await?;
            let account = changed.ok_or_else(Refusal::not_found)?;
            let event = staff.draft(names::USER_UPDATED, self.sessions.now()).about(Some(id.clone()));
            done.event(event.because("enabled"));
            Ok(AccountChanged { account, sessions_ended: Ended::NONE, generated: None })
        })
        .await
    }

    /// Gives an account these roles instead of its own, and ends its sessions, which carry the old ones.
    ///
    /// # Errors
    /// As [`disable_account`](Self::disable_account); `malformed_request` where a role cannot be used.
    pub(in crate::web) async fn set_roles(
        &self,
        staff: &Staff,
        name: &str,
        roles: &[String],
        note: Option<String>,
        settle: Settle,
    ) -> Result<AccountChanged, Refusal> {
        let id = self.account_of_another(staff, name).await?;
        let roles = Roles::new(roles).map_err(|error| Refusal::new(MALFORMED).detail(error.to_string()))?;
        let why = Why { reason: EndReason::RevokedByAdmin, note };
        let act = why.of(Act::new("set_roles")).about(Some(id.clone()));
        let act = act.with("roles", roles.joined());
        let done = Done::default();
        self.act(staff, act, &done, async {
            let account =
                outcome(self.accounts.set_roles(id.as_str(), roles, Remaining::Administrator).await?)?;
            let event = staff.draft(names::AUTHZ_CHANGE, self.sessions.now()).about(Some(id.clone()));
            done.event(event.with("roles", account.roles.joined()));
            self.end_after_change(staff, account, &why, settle, &done).await
        })
        .await
    }

    /// Gives an account another password, and ends its sessions.
    ///
    /// # Errors
    /// As [`disable_account`](Self::disable_account); `weak_password`. One's own is changed with the present one in hand.
    pub(in crate::web) async fn set_password(
        &self,
        staff: &Staff,
        name: &str,
        secret: NewSecret,
        note: Option<String>,
        settle: Settle,
    ) -> Result<AccountChanged, Refusal> {
        let id = self.account_of_another(staff, name).await?;
        let (hash, generated) = self.hash_secret(id.as_str(), secret).await?;
        let why = Why { reason: EndReason::PasswordChanged, note };
        let act = why.of(Act::new("set_password")).about(Some(id.clone()));
        let done = Done::default();
        let changed = self.act(staff, act, &done, async {
            let now = self.sessions.now();
            match self.accounts.set_password(id.as_str(), hash, Guard::None, now).await? {
                PasswordSet::Changed(account) => {
                    done.event(staff.draft(names::PASSWORD_CHANGE, now).about(Some(id.clone())));
                    self.end_after_change(staff, account, &why, settle, &done).await
                }
                PasswordSet::Stale | PasswordSet::NoSuchAccount => Err(Refusal::not_found()),
            }
        });
        Ok(AccountChanged { generated, ..changed.await? })
    }

    /// Ends the sessions that a change of an account concerns.
    ///
    /// The account changed first: a sign-in under way then notices by the account's epoch that its session must end.
    async fn end_after_change(
        &self,
        staff: &Staff,
        account: Account,
        why: &Why,
        settle: Settle,
        done: &Done,
    ) -> Result<AccountChanged, Refusal> {
        done.say("account_changed", true);
        if !self.can_end() {
            done.say("revoked", Ended::LiveOn.in_log());
            return Ok(AccountChanged { account, sessions_ended: Ended::LiveOn, generated: None });
        }
        let selector = Selector::Principal { principal: account.name.id().clone(), except: None };
        let revocation = Revocation::new(why.reason, staff.actor());
        let revoked = self.sessions.revoke(&selector, revocation).await.map_err(|error| {
            let detail = "the account was changed, but its sessions could not be ended; do it again";
            Refusal::from(Rejection::from(error).problem()).detail(detail).member("account_changed", true)
        })?;
        let ended = Ended::of(&revoked);
        done.say("revoked", ended.in_log());
        if settle == Settle::Wait {
            self.sessions.settle().await;
        }
        Ok(AccountChanged { account, sessions_ended: ended, generated: None })
    }

    /// Whether staff may manage accounts, and their own account still says so: between the moment an administrator is
    /// disabled and the end of their sessions nobody can use what is left of the right.
    async fn demand_management(&self, staff: &Staff) -> Result<(), Refusal> {
        staff.demand(self, Right::ManageAccounts)?;
        let Some(own) = self.accounts.get(staff.id.as_str()).await? else {
            // Somebody whose account is kept elsewhere: their session is all there is.
            return Ok(());
        };
        let is_still = own.is_enabled()
            && Duty::of_roles(own.roles.as_slice()).is_some_and(|duty| duty.has(Right::ManageAccounts));
        if is_still { Ok(()) } else { Err(self.refused_at(staff, &staff.id, ProblemCode::FORBIDDEN)) }
    }

    /// The account that staff is about to change: nobody's own, so that nobody locks themselves out or takes an account
    /// over for good with a session alone.
    async fn account_of_another(&self, staff: &Staff, name: &str) -> Result<PrincipalId, Refusal> {
        self.demand_management(staff).await?;
        let account = self.accounts.get(name).await?.ok_or_else(Refusal::not_found)?;
        if AccountKey::of(staff.id.as_str()) == *account.name.key() {
            return Err(self.refused_at(staff, &staff.id, OWN_ACCOUNT));
        }
        Ok(account.name.id().clone())
    }

    async fn hash_secret(
        &self,
        name: &str,
        secret: NewSecret,
    ) -> Result<(StoredHash, Option<Zeroizing<String>>), Refusal> {
        let weak = |why: String| Refusal::new(WEAK_PASSWORD).detail(why);
        let (text, generated) = match secret {
            NewSecret::Chosen(text) => (text, None),
            NewSecret::Generated => {
                let text = self.generate_password()?;
                (text.clone(), Some(text))
            }
        };
        let password = Password::new(text.as_str()).map_err(|error| weak(error.to_string()))?;
        match self.accounts.hash_new(name, password).await? {
            NewPassword::Accepted { hash, .. } => Ok((hash, generated)),
            NewPassword::Refused(why) => Err(weak(why.to_string())),
        }
    }

    /// 100 random bits, in groups that can be read out.
    fn generate_password(&self) -> Result<Zeroizing<String>, Refusal> {
        let mut bytes = Zeroizing::new([0; 20]);
        self.random.fill(bytes.as_mut()).map_err(|error| {
            tracing::error!(%error, "no random bytes");
            Refusal::new(ProblemCode::INTERNAL)
        })?;
        let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
        for (index, byte) in bytes.iter().enumerate() {
            if index > 0 && index % GROUP == 0 {
                text.push('-');
            }
            // Of 256 values each letter gets eight.
            text.extend(LETTERS.get(usize::from(byte % 32)).copied().map(char::from));
        }
        Ok(text)
    }
}

/// The account that was changed.
fn outcome(change: AccountChange) -> Result<Account, Refusal> {
    match change {
        AccountChange::Changed(account) => Ok(account),
        AccountChange::LastAdministrator => Err(Refusal::new(LAST_ADMINISTRATOR)),
        AccountChange::NoSuchAccount => Err(Refusal::not_found()),
    }
}

/// Accounts read at once where some are looked for.
const LOOKED_AT_ONCE: NonZeroU16 = NonZeroU16::new(200).expect("not zero");
/// Letters and digits that nobody takes for one another (Crockford's base 32).
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const GROUP: usize = 5;
const NAME_TAKEN: ProblemCode =
    ProblemCode::new("name_taken", StatusCode::CONFLICT, "There is an account of this name already");
const OWN_ACCOUNT: ProblemCode = ProblemCode::new(
    "own_account",
    StatusCode::CONFLICT,
    "Nobody changes their own account here; another administrator can",
);
const LAST_ADMINISTRATOR: ProblemCode = ProblemCode::new(
    "last_administrator",
    StatusCode::CONFLICT,
    "Nobody could administer any more: make somebody else an administrator first",
);
