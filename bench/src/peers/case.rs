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
    /// It changes an attribute.
    Write,
    /// It changes an attribute and exchanges the token.
    Rotate,
    /// It has none and starts one.
    SignIn,
}

impl Case {
    pub(super) const ALL: [Self; 7] = [
        Self::NoCookie,
        Self::Unused,
        Self::WarmRead,
        Self::ColdRead,
        Self::Write,
        Self::Rotate,
        Self::SignIn,
    ];

    pub(super) fn has_cookie(self) -> bool {
        !matches!(self, Self::NoCookie | Self::SignIn)
    }

    pub(super) fn request_line(self, stranger: &str) -> String {
        match self {
            Self::NoCookie | Self::Unused => "GET /hello".to_owned(),
            Self::WarmRead | Self::ColdRead => "GET /read".to_owned(),
            Self::Write => "POST /write".to_owned(),
            Self::Rotate => "POST /rotate".to_owned(),
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
            Self::Write => "write",
            Self::Rotate => "rotate and write",
            Self::SignIn => "sign-in",
        })
    }
}
