//! The kinds of request.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::stores::Kind;

/// What a request does with its session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Case {
    /// It has none.
    NoCookie,
    /// It presents one that nobody asks for.
    Unused,
    /// It asks who is calling.
    Read,
    /// It changes an attribute.
    Write,
    /// It exchanges the token.
    Rotate,
    /// None of these: it asks the server what its store was asked.
    Verbs,
}

impl Case {
    /// What is measured.
    pub(super) const ALL: [Self; 5] = [Self::NoCookie, Self::Unused, Self::Read, Self::Write, Self::Rotate];

    /// Whether the request presents a token.
    pub(super) fn has_cookie(self) -> bool {
        !matches!(self, Self::NoCookie | Self::Verbs)
    }

    /// Whether the request changes something, and so has to prove where it comes from.
    pub(super) fn is_unsafe(self) -> bool {
        matches!(self, Self::Write | Self::Rotate)
    }

    /// Where the request goes, with the layer or without.
    pub(super) fn path(self, bare: bool) -> &'static str {
        match (self, bare) {
            (Self::Verbs, _) => "/verbs",
            (Self::Write, true) => "/bare/write",
            (Self::Rotate, true) => "/bare/rotate",
            (Self::NoCookie | Self::Unused | Self::Read, true) => "/bare/hello",
            (Self::NoCookie | Self::Unused, false) => "/hello",
            (Self::Read, false) => "/read",
            (Self::Write, false) => "/write",
            (Self::Rotate, false) => "/rotate",
        }
    }

    /// How often the store may be asked (promise G12): a write reads first, since nothing is cached between requests.
    pub(super) fn round_trips(self) -> f64 {
        match self {
            Self::NoCookie | Self::Unused | Self::Verbs => 0.0,
            Self::Read => 1.0,
            Self::Write | Self::Rotate => 2.0,
        }
    }

    pub(super) fn has_aim(self, store: Kind) -> bool {
        self == Self::Read && store == Kind::Memory
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCookie => "no cookie",
            Self::Unused => "session that the handler does not use",
            Self::Read => "read",
            Self::Write => "write",
            Self::Rotate => "rotate",
            Self::Verbs => "verbs",
        })
    }
}
