//! Names of accounts: one account however its name is typed.

use std::fmt;

use cloakroom_core::{InvalidName, PrincipalId};
use unicode_normalization::UnicodeNormalization as _;

/// The name of a built-in account.
///
/// It is shown, and names the principal, as it was first written; it is found however it is typed: `Alice`, `alice`
/// and `ＡＬＩＣＥ` are one account (NFKC, then lower case).
#[derive(Clone)]
pub struct AccountName {
    id: PrincipalId,
    key: AccountKey,
}

impl AccountName {
    /// The name with this text.
    ///
    /// # Errors
    /// [`InvalidAccountName`] where it can't be a [`PrincipalId`], begins or ends with white space, or has invisible
    /// characters, which would make two names look alike.
    pub fn new(text: &str) -> Result<Self, InvalidAccountName> {
        let id = PrincipalId::new(text).map_err(InvalidAccountName::Principal)?;
        if text.trim() != text {
            return Err(InvalidAccountName::OuterSpace);
        }
        if text.chars().any(is_invisible) {
            return Err(InvalidAccountName::Invisible);
        }
        Ok(Self { id, key: AccountKey::of(text) })
    }

    /// The principal that sessions of this account speak for.
    #[must_use]
    pub fn id(&self) -> &PrincipalId {
        &self.id
    }

    /// The name as it was first written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.id.as_str()
    }

    /// What the account is found by.
    #[must_use]
    pub fn key(&self) -> &AccountKey {
        &self.key
    }
}

impl PartialEq for AccountName {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for AccountName {}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl fmt::Debug for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.id, f)
    }
}

/// What an account is found by: what [`account_key`] makes of any text that somebody typed as a name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AccountKey(String);

impl AccountKey {
    /// Most bytes of a key: no name makes a longer one (the longest is 256 bytes, which NFKC makes eleven times as long), and
    /// every database has an index for it.
    pub const MAX_BYTES: usize = 3_072;

    /// The key of what was typed. Text that no account can have is the key of none, and is looked up like any other.
    #[must_use]
    pub fn of(typed: &str) -> Self {
        let key = account_key(typed);
        let fits = key.len() <= Self::MAX_BYTES && !key.contains(char::is_control);
        Self(if fits { key } else { String::new() })
    }

    /// Its text; empty for the key of none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an account is found by, for any text that somebody typed as a name: NFKC, lower case, NFKC.
///
/// The second normalisation is needed because lower case can leave the normal form (`İ`).
#[must_use]
pub fn account_key(typed: &str) -> String {
    let lower: String = typed.nfkc().flat_map(char::to_lowercase).collect();
    lower.nfkc().collect()
}

/// A text cannot name an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAccountName {
    /// It can't be a principal's id.
    #[error("the account name cannot be used: {0}")]
    Principal(InvalidName),
    /// It begins or ends with white space.
    #[error("the account name begins or ends with white space")]
    OuterSpace,
    /// It has characters that nobody can see.
    #[error("the account name has invisible characters")]
    Invisible,
}

/// Zero-width and direction-changing characters.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_account_has_one_key_however_its_name_is_typed() {
        for (typed, key) in [
            ("alice", "alice"),
            ("Alice", "alice"),
            ("ＡＬＩＣＥ", "alice"),
            ("ÅNGSTRÖM", "ångström"),
            ("a\u{30a}ngstro\u{308}m", "ångström"),
            ("ﬁona", "fiona"),
        ] {
            assert_eq!(account_key(typed), key, "{typed}");
            assert_eq!(account_key(key), key, "a key is its own key");
        }
    }

    #[test]
    fn a_name_is_shown_as_it_was_written() {
        let name = AccountName::new("Zoë Müller").unwrap();
        assert_eq!((name.as_str(), name.key().as_str()), ("Zoë Müller", "zoë müller"));
        assert_eq!(name, AccountName::new("zoë müller").unwrap());
    }

    #[test]
    fn what_no_account_can_be_named_has_the_key_of_none() {
        let longest = AccountName::new(&"\u{fdfa}".repeat(85)).unwrap();
        assert!(
            (2_000..=AccountKey::MAX_BYTES).contains(&longest.key().as_str().len()),
            "the worst name fits"
        );
        for text in ["", "a\0b", "a\nb", "a\u{85}b", &"a".repeat(AccountKey::MAX_BYTES + 1)] {
            assert_eq!(AccountKey::of(text).as_str(), "", "{text:?}");
        }
        assert_ne!(AccountKey::of(&"a".repeat(AccountKey::MAX_BYTES)).as_str(), "");
    }

    #[test]
    fn names_that_would_deceive_are_refused() {
        for text in ["", "a\nb", " alice", "alice\u{a0}", "al\u{200b}ice", "\u{202e}ecila", &"a".repeat(257)]
        {
            assert!(AccountName::new(text).is_err(), "{text:?}");
        }
    }
}
