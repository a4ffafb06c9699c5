//! The kinds of request, and what their answers have to be.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a request does with its session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Case {
    /// It has none, and needs none.
    NoCookie,
    /// It presents one that nobody asks for.
    Unused,
    /// It asks who is calling, and so did the one before.
    WarmRead,
    /// It asks who is calling, of a session that the server has not seen for a long time.
    ColdRead,
    /// It changes an attribute of a session that was read before.
    Write,
    /// It changes an attribute of the session that the request before has changed.
    WriteAgain,
    /// It changes an attribute and exchanges the token, of a session that was read before.
    Rotate,
    /// The same of the session whose token the request before has exchanged.
    RotateAgain,
    /// It has none and starts one.
    SignIn,
}

impl Case {
    pub(super) const ALL: [Self; 9] = [
        Self::NoCookie,
        Self::Unused,
        Self::WarmRead,
        Self::ColdRead,
        Self::Write,
        Self::WriteAgain,
        Self::Rotate,
        Self::RotateAgain,
        Self::SignIn,
    ];

    /// Whether each request takes the next of the sessions that there are.
    pub(super) fn goes_round(self) -> bool {
        matches!(self, Self::ColdRead | Self::Write | Self::Rotate)
    }

    /// Whether each session is read before, once, which does not count.
    pub(super) fn follows_a_read(self) -> bool {
        matches!(self, Self::Write | Self::Rotate)
    }

    /// A name that fits below a group of bars.
    pub(super) fn short(self) -> &'static str {
        match self {
            Self::NoCookie => "no cookie",
            Self::Unused => "not used",
            Self::WarmRead => "warm read",
            Self::ColdRead => "cold read",
            Self::Write => "write",
            Self::WriteAgain => "write again",
            Self::Rotate => "rotate",
            Self::RotateAgain => "rotate again",
            Self::SignIn => "sign-in",
        }
    }

    pub(super) fn rotates(self) -> bool {
        matches!(self, Self::Rotate | Self::RotateAgain)
    }

    pub(super) fn has_cookie(self) -> bool {
        !matches!(self, Self::NoCookie | Self::SignIn)
    }

    pub(super) fn request_line(self, stranger: &str) -> String {
        match self {
            Self::NoCookie | Self::Unused => "GET /hello".to_owned(),
            Self::WarmRead | Self::ColdRead => "GET /read".to_owned(),
            Self::Write | Self::WriteAgain => "POST /write".to_owned(),
            Self::Rotate | Self::RotateAgain => "POST /rotate".to_owned(),
            Self::SignIn => format!("POST /sign-in?{stranger}"),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCookie => "no cookie",
            Self::Unused => "session not used",
            Self::WarmRead => "warm read",
            Self::ColdRead => "cold read",
            Self::Write => "write, after a read",
            Self::WriteAgain => "write, again at once",
            Self::Rotate => "rotate and write, after a read",
            Self::RotateAgain => "rotate and write, again at once",
            Self::SignIn => "sign-in",
        })
    }
}
