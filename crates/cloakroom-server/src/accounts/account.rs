//! What is known of an account.

use cloakroom_core::{InvalidName, Principal, Role, Timestamp};

use super::hashing::StoredHash;
use super::name::AccountName;

/// A built-in account, without its secret.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Account {
    /// Its name.
    pub name: AccountName,
    /// Its roles, sorted.
    pub roles: Roles,
    /// When it was added.
    pub created_at: Timestamp,
    /// When its password was set last.
    pub password_changed_at: Timestamp,
    /// Since when it may not sign in, if it may not.
    pub disabled_at: Option<Timestamp>,
    /// Rises with every change of password, roles or state.
    ///
    /// A sign-in remembers the epoch its password was checked under, issues the session, and reads the epoch again:
    /// where it rose in between, the new session must end. Otherwise a password changed at that moment would leave a
    /// session of the old password alive.
    pub credential_epoch: u64,
}

impl Account {
    /// Whom sessions of this account speak for.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal::new(self.name.id().clone())
            .with_roles(self.roles.as_slice().iter().cloned())
            .expect("the number of roles was checked when they became `Roles`")
    }

    /// Whether it may sign in.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.disabled_at.is_none()
    }

    /// Whether it may sign in and then administer.
    pub(super) fn administers(&self) -> bool {
        self.is_enabled() && self.roles.has_administrator()
    }
}

/// The roles of an account: sorted, without repetition, no more than a session can carry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Roles(Vec<Role>);

impl Roles {
    /// The role that may do anything.
    pub const ADMINISTRATOR: &str = "admin";

    /// These roles.
    ///
    /// # Errors
    /// [`InvalidName`] where one cannot be a role's name, or there are more than [`Principal::MAX_ROLES`].
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Self, InvalidName> {
        let roles = names.into_iter().map(Role::new).collect::<Result<Vec<_>, _>>()?;
        let nobody = cloakroom_core::PrincipalId::new("nobody").expect("a plain word is an id");
        Ok(Self(Principal::new(nobody).with_roles(roles)?.roles().to_vec()))
    }

    /// The roles, sorted.
    #[must_use]
    pub fn as_slice(&self) -> &[Role] {
        &self.0
    }

    /// Whether the one that may do anything is among them.
    #[must_use]
    pub fn has_administrator(&self) -> bool {
        self.0.iter().any(|role| role.as_str() == Self::ADMINISTRATOR)
    }

    /// Their names joined by commas, which no role may have.
    #[must_use]
    pub fn joined(&self) -> String {
        self.0.iter().map(Role::as_str).collect::<Vec<_>>().join(",")
    }

    /// The roles that [`joined`](Self::joined) wrote.
    pub(super) fn split(joined: &str) -> Result<Self, InvalidName> {
        Self::new(joined.split(',').filter(|name| !name.is_empty()))
    }
}

/// An account to be added.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its name.
    pub name: AccountName,
    /// Its roles.
    pub roles: Roles,
    /// The hash of its password.
    pub hash: StoredHash,
}

/// An account together with what its password is checked against.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The account.
    pub account: Account,
    /// The hash of its password.
    pub hash: StoredHash,
}

/// What became of adding an account.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Added {
    /// It exists now.
    Created(Account),
    /// There is one of that name already, however it is typed.
    NameTaken,
}

/// Who has to be left when somebody loses their rights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remaining {
    /// Nobody in particular: for operators, who can add an administrator at any time.
    Anybody,
    /// An enabled account with the role `admin`: for administrators, who could not undo it otherwise.
    Administrator,
}

/// What became of changing the roles or the state of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum AccountChange {
    /// The account as it is now.
    Changed(Account),
    /// Nobody with the role `admin` could sign in any more; nothing was done.
    LastAdministrator,
    /// There is no such account.
    NoSuchAccount,
}

/// Under which condition a password is changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guard {
    /// Only if nothing about the account changed since this epoch: for people who proved the old password under it.
    Epoch(u64),
    /// In any case: for administrators.
    None,
}

/// What became of changing a password.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum PasswordSet {
    /// It holds now.
    Changed(Account),
    /// The account changed since the guard's epoch; nothing was done.
    Stale,
    /// There is no such account.
    NoSuchAccount,
}

/// What became of using a set-up token.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum SetupUsed {
    /// The first administrator exists now, and the token is used up.
    Created(Account),
    /// The token is unknown, expired or used, or there is an account already.
    Invalid,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_a_sorted_set_that_reads_back() {
        let roles = Roles::new(["staff", "admin", "staff"]).unwrap();
        assert_eq!(roles.joined(), "admin,staff");
        assert_eq!(Roles::split("admin,staff"), Ok(roles));
        assert_eq!(Roles::split(""), Ok(Roles::default()));
        assert!(Roles::new(["a,b"]).is_err());
        assert!(Roles::new((0..64).map(|n| n.to_string())).is_ok());
        assert!(Roles::new((0..65).map(|n| n.to_string())).is_err());
    }
}
