//! Which routes have ledgers: so that a sweep need not ask for all 65 536.

use cloakroom_core::Route;

use super::wire::{Reader, Writer};
use crate::error::Problem;

/// One page of the directory: 1 024 routes, a bit each, set before the route's ledger is made. A page that was lost is
/// made anew from what is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Page([u8; Self::BYTES]);

impl Page {
    const BYTES: usize = 128;
    /// How many pages there are.
    pub(crate) const COUNT: u8 = 64;

    pub(crate) const fn empty() -> Self {
        Self([0; Self::BYTES])
    }

    /// The page that a route stands on.
    pub(crate) fn of(route: Route) -> u8 {
        route.as_u16().to_be_bytes()[0] >> 2
    }

    /// Every route of a page.
    pub(crate) fn routes(page: u8) -> impl Iterator<Item = Route> {
        let first = u16::from(page) << 10;
        (0..1_024).map(move |number: u16| Route::from_bytes((first | number).to_be_bytes()))
    }

    pub(crate) fn has(&self, route: Route) -> bool {
        let (byte, bit) = place(route);
        self.0.get(byte).is_some_and(|byte| byte & bit != 0)
    }

    pub(crate) fn put(&mut self, route: Route) {
        let (byte, bit) = place(route);
        if let Some(byte) = self.0.get_mut(byte) {
            *byte |= bit;
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(FORMAT);
        writer.bytes(&self.0);
        writer.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Problem> {
        let mut reader = Reader::new(bytes, FORMAT, "directory")?;
        let page = Self(reader.array()?);
        reader.end()?;
        Ok(page)
    }
}

/// Byte on the page, and bit in it.
fn place(route: Route) -> (usize, u8) {
    let number = usize::from(route.as_u16() & 1_023);
    (number >> 3, 1 << (number & 7))
}

const FORMAT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_a_place_of_its_own() {
        for page in 0..Page::COUNT {
            let mut seen = Page::empty();
            for route in Page::routes(page) {
                assert_eq!(Page::of(route), page);
                assert!(!seen.has(route));
                seen.put(route);
                assert!(seen.has(route));
            }
            assert_eq!(Page::decode(&seen.encode()).unwrap(), seen);
        }
        let all: usize = (0..Page::COUNT).map(|page| Page::routes(page).count()).sum();
        assert_eq!(all, 65_536);
    }
}
