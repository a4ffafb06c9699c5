//! Where a session lives.

use sha2::{Digest as _, Sha256};

use crate::PrincipalId;

/// Two bytes in front of every token and session id that say where a session lives.
///
/// Random for an anonymous session, derived from the principal for a signed-in one. Stores use it as their shard key,
/// so that all sessions of one principal lie in one place: limits, listing and "end all" need no second shard.
///
/// # Security
/// A route is public. It tells whoever holds a session id sixteen bits of a hash of the principal's name, which
/// identifies nobody, and it is no part of the token's 256 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Route([u8; Route::LENGTH]);

impl Route {
    /// Bytes in a route.
    pub const LENGTH: usize = 2;

    /// The route made of these bytes; random ones for an anonymous session.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The route of every signed-in session of `principal`.
    #[must_use]
    pub fn of_principal(principal: &PrincipalId) -> Self {
        let hash = Sha256::new().chain_update(DOMAIN).chain_update(principal.as_str().as_bytes()).finalize();
        let [first, second, ..] = <[u8; 32]>::from(hash);
        Self([first, second])
    }

    /// The bytes of this route.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// This route as a number, for choosing a shard.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        u16::from_be_bytes(self.0)
    }
}

/// Separates this hash from every other use of SHA-256 over a principal.
const DOMAIN: &[u8] = b"cloakroom route v1\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sessions_of_a_principal_share_a_route_and_it_never_changes() {
        let alice = PrincipalId::new("alice").unwrap();
        assert_eq!(Route::of_principal(&alice), Route::of_principal(&alice));
        assert_eq!(
            Route::of_principal(&alice).as_u16(),
            ROUTE_OF_ALICE,
            "stored sessions depend on this value"
        );
    }

    const ROUTE_OF_ALICE: u16 = 63_752;
}
