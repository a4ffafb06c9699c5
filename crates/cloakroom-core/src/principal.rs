//! Whom a session speaks for.

use std::borrow::Borrow;
use std::fmt;

use crate::name::Name;

/// The opaque id of a principal, as the application names it: a user name, a number, a UUID.
///
/// 1 to [`MAX_BYTES`](Self::MAX_BYTES) bytes of UTF-8 without control characters, compared byte by byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrincipalId(Name);

impl PrincipalId {
    /// Longest id: fits an index row of every store and any e-mail address.
    pub const MAX_BYTES: usize = 256;

    /// The id with this text.
    ///
    /// # Errors
    /// [`InvalidName`] where it is empty, too long, or has control characters (which could forge log lines).
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
        checked(text.as_ref(), Self::MAX_BYTES, "principal id", |_| false).map(|text| Self(text.into()))
    }

    /// The text of this id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A role of a principal, for example `admin`. No commas or spaces: proxies receive roles joined by commas.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(Name);

impl Role {
    /// Longest role name.
    pub const MAX_BYTES: usize = 64;

    /// The role with this name.
    ///
    /// # Errors
    /// [`InvalidName`] where it is empty, too long, or has control characters, white space or commas.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
        checked(text.as_ref(), Self::MAX_BYTES, "role", |c| c == ',' || c.is_whitespace())
            .map(|text| Self(text.into()))
    }

    /// The name of this role.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Borrow<str> for Role {
    fn borrow(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Whom a signed-in session speaks for: an id, and roles in alphabetical order without repetition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    id: PrincipalId,
    roles: Box<[Role]>,
}

impl Principal {
    /// Most roles one principal carries in a session; more are a sign of permissions being stored as roles.
    pub const MAX_ROLES: usize = 64;

    /// A principal without roles.
    #[must_use]
    pub fn new(id: PrincipalId) -> Self {
        Self { id, roles: Box::default() }
    }

    /// The same principal with these roles instead of its own.
    ///
    /// # Errors
    /// [`InvalidName`] for more than [`MAX_ROLES`](Self::MAX_ROLES).
    pub fn with_roles(self, roles: impl IntoIterator<Item = Role>) -> Result<Self, InvalidName> {
        let mut roles: Vec<Role> = roles.into_iter().collect();
        roles.sort_unstable();
        roles.dedup();
        if roles.len() > Self::MAX_ROLES {
            return Err(InvalidName { what: "list of roles", problem: "has more than 64 entries" });
        }
        Ok(Self { id: self.id, roles: roles.into() })
    }

    /// The id of this principal.
    #[must_use]
    pub fn id(&self) -> &PrincipalId {
        &self.id
    }

    /// Its roles, sorted.
    #[must_use]
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// Whether it has the role of this name.
    #[must_use]
    pub fn has_role(&self, name: &str) -> bool {
        self.roles.iter().any(|role| role.as_str() == name)
    }
}

/// A name was empty, too long, or held a character that its kind does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct InvalidName {
    what: &'static str,
    problem: &'static str,
}

fn checked<'a>(
    text: &'a str,
    max: usize,
    what: &'static str,
    refused: impl Fn(char) -> bool,
) -> Result<&'a str, InvalidName> {
    // Most names are ASCII, which one pass over their bytes tells: stores check names at every read.
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let problem = if text.is_empty() {
        "is empty"
    } else if text.len() > max {
        "is too long"
    } else if !is_plain && text.chars().any(char::is_control) {
        "has control characters"
    } else if text.chars().any(refused) {
        "has a comma or white space"
    } else {
        return Ok(text);
    };
    Err(InvalidName { what, problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_below_and_above_their_limits() {
        assert!(PrincipalId::new("a".repeat(PrincipalId::MAX_BYTES)).is_ok());
        assert!(PrincipalId::new("a".repeat(PrincipalId::MAX_BYTES + 1)).is_err());
        assert!(PrincipalId::new("").is_err());
        for control in ["a\nb", "a\u{7f}", "\u{85}é", "\0"] {
            assert!(PrincipalId::new(control).is_err(), "{control:?}");
        }
        assert!(PrincipalId::new("Zoë Müller, Ltd").is_ok());
        assert!(Role::new("a".repeat(Role::MAX_BYTES)).is_ok());
        assert!(Role::new("a".repeat(Role::MAX_BYTES + 1)).is_err());
        assert!(Role::new("a,b").is_err());
        assert!(Role::new("a b").is_err());
    }

    #[test]
    fn roles_are_a_sorted_set() {
        let role = |name| Role::new(name).unwrap();
        let alice = PrincipalId::new("alice").unwrap();
        let principal = Principal::new(alice).with_roles([role("b"), role("a"), role("b")]).unwrap();
        assert_eq!(principal.roles(), [role("a"), role("b")]);
        assert!(principal.has_role("a") && !principal.has_role("c"));
    }
}
