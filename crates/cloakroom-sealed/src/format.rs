//! Versions of what is inside a token.

use cloakroom_store::SealRefusal;

/// How the contents of a token are encoded: the first byte inside.
///
/// # Upgrades
/// Nodes are upgraded one after another, so for a while some write what others do not know yet:
/// - A format that gains a field a node may ignore stays the same format: readers skip fields that they do not know, if the
///   writer marked them so. A node that seals anew drops them.
/// - A field that must not be ignored is marked so, and an older node refuses the token ([`SealRefusal::Format`]); so does a
///   node that meets a later format. Hence a program that knows a later format writes the older one until it is told that
///   every node has been upgraded ([`Sealer::writing`](crate::Sealer::writing)).
/// - A format that is older than the one written is read, and its token is stale: sealed anew at the next answer. Once the
///   longest absolute timeout has passed nobody carries it, and reading it may go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Format {
    /// Encoded as `One`, under another number: what tests have for an older one.
    #[cfg(test)]
    Zero,
    /// The first one.
    #[default]
    One,
}

impl Format {
    pub(crate) const fn as_byte(self) -> u8 {
        match self {
            #[cfg(test)]
            Self::Zero => 0,
            Self::One => 1,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Result<Self, SealRefusal> {
        match byte {
            #[cfg(test)]
            0 => Ok(Self::Zero),
            1 => Ok(Self::One),
            _ => Err(SealRefusal::Format),
        }
    }
}
