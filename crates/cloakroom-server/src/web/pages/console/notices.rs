//! What was done, told after the redirect: by a name and a number, so that no address can put words into a page.

use super::rows::{grouped, sessions};
use crate::ended::Ended as Sessions;
use crate::web::pages::view::Notice;

/// Something that was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Done {
    /// These sessions were ended, and every server refuses them.
    Ended(Sessions),
    /// None was: they had ended already.
    NoneLeft,
    /// The account was added.
    Added,
    /// It may not sign in any more, and this became of its sessions.
    Disabled(Sessions),
    /// It may again.
    Enabled,
    /// It has other roles, and this became of its sessions.
    Roles(Sessions),
    /// It has another password, and this became of its sessions.
    Password(Sessions),
}

impl Done {
    pub(super) const fn ended(ended: Sessions) -> Self {
        if ended.is_none() { Self::NoneLeft } else { Self::Ended(ended) }
    }

    /// As it stands in an address: `ended:12`.
    pub(super) fn written(self) -> String {
        match self {
            Self::Ended(sessions) => format!("ended:{}", Word(sessions)),
            Self::NoneLeft => "none_left".to_owned(),
            Self::Added => "added".to_owned(),
            Self::Disabled(sessions) => format!("disabled:{}", Word(sessions)),
            Self::Enabled => "enabled".to_owned(),
            Self::Roles(sessions) => format!("roles:{}", Word(sessions)),
            Self::Password(sessions) => format!("password:{}", Word(sessions)),
        }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let (name, sessions) = text
            .split_once(':')
            .map_or((text, Some(Sessions::NONE)), |(name, word)| (name, Word::read(word)));
        let sessions = sessions?;
        Some(match name {
            "ended" => Self::Ended(sessions),
            "none_left" => Self::NoneLeft,
            "added" => Self::Added,
            "disabled" => Self::Disabled(sessions),
            "enabled" => Self::Enabled,
            "roles" => Self::Roles(sessions),
            "password" => Self::Password(sessions),
            _ => return None,
        })
    }

    pub(super) fn notice(self) -> Notice {
        let changed = |name, done: &str, became: Sessions| match became {
            Sessions::LiveOn => Notice::bad(
                name,
                format!("{done} Its sessions could not be ended: they go on until their time is over."),
            ),
            Sessions::Uncounted => Notice::good(name, format!("{done} All its sessions were ended.")),
            Sessions::Counted(0) => Notice::good(name, format!("{done} There was no session to end.")),
            Sessions::Counted(1) => Notice::good(name, format!("{done} One session was ended.")),
            Sessions::Counted(count) => {
                Notice::good(name, format!("{done} {} sessions were ended.", grouped(count)))
            }
        };
        match self {
            Self::Ended(Sessions::Counted(count)) => {
                let verb = if count == 1 { "was" } else { "were" };
                Notice::good(
                    "ended",
                    format!("{} {verb} ended. Every server refuses what was ended.", sessions(count)),
                )
            }
            Self::Ended(Sessions::Uncounted) => Notice::good(
                "ended",
                "It was ended. Every server refuses what was ended; how many sessions that was is not known.",
            ),
            Self::Ended(Sessions::LiveOn) => {
                Notice::bad("ended", "Nothing was ended: this server keeps no list of ends.")
            }
            Self::NoneLeft => {
                Notice::neutral("none_left", "Nothing was ended: there was no such session any more.")
            }
            Self::Added => Notice::good("added", "The account was added."),
            Self::Disabled(became) => changed("disabled", "The account is disabled.", became),
            Self::Enabled => Notice::good("enabled", "The account may sign in again."),
            Self::Roles(became) => changed("roles", "The roles were changed.", became),
            Self::Password(became) => changed("password", "The new password holds.", became),
        }
    }
}

/// What became of sessions, as it stands in an address.
struct Word(Sessions);

impl Word {
    fn read(text: &str) -> Option<Sessions> {
        match text {
            ALL => Some(Sessions::Uncounted),
            LIVE_ON => Some(Sessions::LiveOn),
            count => count.parse().ok().map(Sessions::Counted),
        }
    }
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Sessions::Counted(count) => write!(f, "{count}"),
            Sessions::Uncounted => f.write_str(ALL),
            Sessions::LiveOn => f.write_str(LIVE_ON),
        }
    }
}

const ALL: &str = "all";
const LIVE_ON: &str = "live_on";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_reads_back_and_nothing_else_does() {
        for done in [
            Done::Ended(Sessions::Counted(12)),
            Done::Ended(Sessions::Uncounted),
            Done::Ended(Sessions::LiveOn),
            Done::NoneLeft,
            Done::Added,
            Done::Disabled(Sessions::NONE),
            Done::Enabled,
            Done::Roles(Sessions::Counted(1)),
            Done::Password(Sessions::LiveOn),
        ] {
            assert_eq!(Done::read(&done.written()), Some(done));
        }
        for text in ["", "ended:", "ended:many", "ended:-1", "<b>:1", "You were hacked"] {
            assert_eq!(Done::read(text), None, "{text}");
        }
        assert!(Done::Password(Sessions::LiveOn).notice().text.contains("could not be ended"));
        assert!(Done::Ended(Sessions::Counted(1)).notice().text.starts_with("1 session was ended."));
    }
}
