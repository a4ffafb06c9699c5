//! Passwords: a type that cannot be printed, and the rules for new ones.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::name::account_key;

/// A password as somebody typed it, after NFKC (NIST SP 800-63B-4 §3.1.1.2), so that it is the same from every keyboard.
///
/// # Security
/// No `Display`, no `Serialize`, no comparison, no `Clone`; `Debug` writes `Password(..)`; the text is wiped when it is
/// dropped. Nothing is cut off: every character counts.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Longest password accepted, in bytes as typed. It bounds what hashing costs; 64 characters of any script fit.
    pub const MAX_BYTES: usize = 1_024;

    /// The password with this text.
    ///
    /// # Errors
    /// [`PasswordTooLong`] beyond [`MAX_BYTES`](Self::MAX_BYTES). Everything else is accepted here: the rules for new
    /// passwords are [`check`](Self::check)'s, and an old password may be older than a rule.
    pub fn new(text: impl Into<String>) -> Result<Self, PasswordTooLong> {
        let typed = Zeroizing::new(text.into());
        if typed.len() > Self::MAX_BYTES {
            return Err(PasswordTooLong);
        }
        // One allocation with room for the usual growth: a buffer that moves leaves a copy behind.
        let mut normal = Zeroizing::new(String::with_capacity(typed.len() * 3));
        normal.extend(typed.nfkc());
        Ok(Self(normal))
    }

    /// Whether an account named `account` may take this as its new password; if so, what would be better still.
    ///
    /// The rules are those of NIST SP 800-63B-4 §3.1.1.2 and ASVS 6.2: length counts, kinds of characters don't;
    /// nothing that guessers try first. Call it off the async threads: it looks for words, dates and keyboard runs.
    ///
    /// # Errors
    /// [`PasswordRefusal`], a sentence for the person who chose it.
    pub fn check(&self, account: &str) -> Result<PasswordAdvice, PasswordRefusal> {
        let length = self.0.chars().count();
        if length < Self::MIN_CHARS {
            return Err(PasswordRefusal::TooShort);
        }
        let folded = Zeroizing::new(account_key(&self.0));
        if contains_name(&folded, account) {
            return Err(PasswordRefusal::ContainsName);
        }
        if folded.contains(PRODUCT) {
            return Err(PasswordRefusal::ContainsProduct);
        }
        if zxcvbn::zxcvbn(&folded, &[account, PRODUCT]).guesses() < MIN_GUESSES {
            return Err(PasswordRefusal::Common);
        }
        Ok(if length < Self::ADVISED_CHARS { PasswordAdvice::Longer } else { PasswordAdvice::Fine })
    }

    /// Fewest characters of a new password.
    pub const MIN_CHARS: usize = 8;
    /// Fewest characters advised where a password is the only proof of identity.
    pub const ADVISED_CHARS: usize = 15;

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What would make an accepted password better.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PasswordAdvice {
    /// Nothing.
    Fine,
    /// At least [`Password::ADVISED_CHARS`] characters, for example a few words.
    Longer,
}

impl PasswordAdvice {
    /// A sentence for the person who chose the password, where there is something to say.
    #[must_use]
    pub fn sentence(self) -> Option<&'static str> {
        match self {
            Self::Fine => None,
            Self::Longer => {
                Some("15 characters or more are advised: a few unrelated words are easy to remember")
            }
        }
    }
}

/// Why a new password is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordRefusal {
    /// Fewer than [`Password::MIN_CHARS`] characters.
    #[error("the password has fewer than 8 characters; 15 or more are advised")]
    TooShort,
    /// It has the account's name in it.
    #[error("the password contains the account name")]
    ContainsName,
    /// It has the product's name in it.
    #[error("the password contains the name of this product")]
    ContainsProduct,
    /// It is on the lists of common passwords, or a simple variation of one.
    #[error("the password is among those that are guessed first")]
    Common,
}

/// A password has more than [`Password::MAX_BYTES`] bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the password is longer than 1024 bytes")]
pub struct PasswordTooLong;

/// Whether the folded password has the account's name in it, or the part before the `@` of an e-mail address.
fn contains_name(folded: &str, account: &str) -> bool {
    let key = account_key(account);
    let local = key.split('@').next().unwrap_or_default();
    [key.as_str(), local]
        .into_iter()
        .any(|name| name.chars().count() >= NAME_MIN_CHARS && folded.contains(name))
}

/// Shorter names are in too many words to be refused.
const NAME_MIN_CHARS: usize = 4;

const PRODUCT: &str = "cloakroom";

/// A password found in fewer guesses is refused. The estimate's lists (30 000 common passwords, and names and words)
/// and their simple variations lie below; ASVS 6.2.4 asks for the 3 000 most common.
const MIN_GUESSES: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) -> Result<PasswordAdvice, PasswordRefusal> {
        Password::new(text).unwrap().check("alice")
    }

    #[test]
    fn length_counts_in_characters_at_below_and_above_the_limits() {
        assert_eq!(check("kX9!vQz"), Err(PasswordRefusal::TooShort));
        assert_eq!(check("kX9!vQz2"), Ok(PasswordAdvice::Longer));
        assert_eq!(check("ñandú→ж"), Err(PasswordRefusal::TooShort), "bytes don't count");
        assert_eq!(check("plum tractor 4"), Ok(PasswordAdvice::Longer));
        assert_eq!(check("plum tractor 42"), Ok(PasswordAdvice::Fine));
    }

    #[test]
    fn long_and_unicode_passwords_are_accepted_and_none_is_cut() {
        for text in [
            "correct horse battery staple".repeat(3),
            "пароль из многих слов".repeat(3),
            "🐎🔋📎✔ plus words".into(),
        ] {
            assert!(check(&text).is_ok(), "{text}");
        }
        assert!(Password::new("x".repeat(Password::MAX_BYTES)).is_ok());
        assert!(Password::new("x".repeat(Password::MAX_BYTES + 1)).is_err());
        let long = Password::new("ж".repeat(512)).unwrap();
        assert_eq!(long.as_bytes().len(), 1_024);
    }

    #[test]
    fn a_password_is_the_same_from_every_keyboard() {
        let bytes = |text: &str| Password::new(text).unwrap().as_bytes().to_vec();
        assert_eq!(bytes("cafe\u{301}"), bytes("caf\u{e9}"));
        assert_eq!(bytes("ｗｉｄｅ"), bytes("wide"));
        assert_ne!(bytes("Case"), bytes("case"));
        assert_ne!(bytes("space "), bytes("space"));
    }

    #[test]
    fn names_of_the_account_and_of_the_product_are_refused() {
        for text in ["xxAliceyy!42", "ALICE-in-chains-77", "ａｌｉｃｅ wonder 99"] {
            assert_eq!(check(text), Err(PasswordRefusal::ContainsName), "{text}");
        }
        assert_eq!(check("my Cloakroom is open"), Err(PasswordRefusal::ContainsProduct));
        let mail = Password::new("wonder-alice-8841").unwrap();
        assert_eq!(mail.check("alice@example.org"), Err(PasswordRefusal::ContainsName));
        assert!(
            Password::new("rhubarb and custard").unwrap().check("bar").is_ok(),
            "short names are in many words"
        );
    }

    #[test]
    fn what_is_guessed_first_is_refused() {
        for text in [
            "password",
            "PASSWORD",
            "Password1",
            "12345678",
            "123456789",
            "qwertyuiop",
            "iloveyou",
            "trustno1",
            "liverpool",
            "1q2w3e4r5t",
            "passw0rd",
            "letmein1",
            "sunshine1",
            "football",
            "baseball",
            "princess",
            "aaaaaaaaaaaaaaaa",
            "abcdefgh",
            "asdfghjkl",
            "passwordpassword",
            "drowssap",
            "ｐａｓｓｗｏｒｄ",
            "19841984",
        ] {
            assert_eq!(check(text), Err(PasswordRefusal::Common), "{text}");
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        assert_eq!(format!("{:?}", Password::new("hunter2hunter2").unwrap()), "Password(..)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_text_makes_the_check_panic(text in ".{0,120}", account in ".{0,30}") {
            if let Ok(password) = Password::new(text) {
                let _ = password.check(&account);
            }
        }
    }
}
