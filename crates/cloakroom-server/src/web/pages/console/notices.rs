//! What was done, told after the redirect: by a name and a number, so that no address can put words into a page.

use super::rows::{grouped, sessions};
use crate::web::pages::view::Notice;

/// Something that was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Done {
    /// So many sessions were ended, and every server refuses them.
    Ended(u64),
    /// None was: they had ended already.
    NoneLeft,
    /// The account was added.
    Added,
    /// It may not sign in any more, and so many sessions ended.
    Disabled(u64),
    /// It may again.
    Enabled,
    /// It has other roles, and so many sessions ended.
    Roles(u64),
    /// It has another password, and so many sessions ended.
    Password(u64),
}

impl Done {
    pub(super) const fn ended(count: u64) -> Self {
        if count == 0 { Self::NoneLeft } else { Self::Ended(count) }
    }

    /// As it stands in an address: `ended:12`.
    pub(super) fn written(self) -> String {
        match self {
            Self::Ended(count) => format!("ended:{count}"),
            Self::NoneLeft => "none_left".to_owned(),
            Self::Added => "added".to_owned(),
            Self::Disabled(count) => format!("disabled:{count}"),
            Self::Enabled => "enabled".to_owned(),
            Self::Roles(count) => format!("roles:{count}"),
            Self::Password(count) => format!("password:{count}"),
        }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let (name, count) =
            text.split_once(':').map_or((text, Some(0)), |(name, count)| (name, count.parse().ok()));
        let count = count?;
        Some(match name {
            "ended" => Self::Ended(count),
            "none_left" => Self::NoneLeft,
            "added" => Self::Added,
            "disabled" => Self::Disabled(count),
            "enabled" => Self::Enabled,
            "roles" => Self::Roles(count),
            "password" => Self::Password(count),
            _ => return None,
        })
    }

    pub(super) fn notice(self) -> Notice {
        let and_ended = |count| match count {
            0 => "There was no session to end.".to_owned(),
            1 => "One session was ended.".to_owned(),
            count => format!("{} sessions were ended.", grouped(count)),
        };
        match self {
            Self::Ended(count) => {
                let verb = if count == 1 { "was" } else { "were" };
                Notice::good(
                    "ended",
                    format!("{} {verb} ended. Every server refuses what was ended.", sessions(count)),
                )
            }
            Self::NoneLeft => {
                Notice::neutral("none_left", "Nothing was ended: there was no such session any more.")
            }
            Self::Added => Notice::good("added", "The account was added."),
            Self::Disabled(count) => {
                Notice::good("disabled", format!("The account is disabled. {}", and_ended(count)))
            }
            Self::Enabled => Notice::good("enabled", "The account may sign in again."),
            Self::Roles(count) => {
                Notice::good("roles", format!("The roles were changed. {}", and_ended(count)))
            }
            Self::Password(count) => {
                Notice::good("password", format!("The new password holds. {}", and_ended(count)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_reads_back_and_nothing_else_does() {
        for done in [
            Done::Ended(12),
            Done::NoneLeft,
            Done::Added,
            Done::Disabled(0),
            Done::Enabled,
            Done::Roles(1),
            Done::Password(3),
        ] {
            assert_eq!(Done::read(&done.written()), Some(done));
        }
        for text in ["", "ended:", "ended:many", "ended:-1", "<b>:1", "You were hacked"] {
            assert_eq!(Done::read(text), None, "{text}");
        }
        assert!(Done::Ended(1).notice().text.starts_with("1 session was ended."));
    }
}
