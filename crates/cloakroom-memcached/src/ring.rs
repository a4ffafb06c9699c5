//! Which server a route lives on.

use cloakroom_core::Route;

/// The servers in the order in which a route prefers them: highest score first (rendezvous hashing). A server that
/// joins or leaves moves only the routes that it wins or lost.
#[derive(Debug)]
pub(crate) struct Ring {
    seeds: Vec<u64>,
}

impl Ring {
    /// The ring of servers with these names. Their order does not matter, their spelling does.
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { seeds: names.into_iter().map(seed).collect() }
    }

    /// Positions of the servers, the home of `route` first.
    pub(crate) fn order(&self, route: Route) -> Vec<usize> {
        let mut scores: Vec<(u64, usize)> = self
            .seeds
            .iter()
            .enumerate()
            .map(|(position, seed)| (mix(seed ^ mix(u64::from(route.as_u16()))), position))
            .collect();
        scores.sort_unstable_by(|one, other| other.cmp(one));
        scores.into_iter().map(|(_, position)| position).collect()
    }
}

/// FNV-1a of a server's name (Fowler, Noll, Vo): the same in every version and on every machine.
pub(crate) fn seed(name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    name.bytes().fold(0xCBF2_9CE4_8422_2325, step)
}

/// Spreads the bits of a number (the finaliser of SplitMix64, Steele, Lea and Flood 2014).
pub(crate) fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn homes(names: &[&str]) -> Vec<String> {
        let ring = Ring::new(names.iter().copied());
        let home = |route: u16| names[ring.order(Route::from_bytes(route.to_be_bytes()))[0]].to_owned();
        (0..=u16::MAX).map(home).collect()
    }

    #[test]
    fn routes_are_spread_evenly() {
        let homes = homes(&["a:11211", "b:11211", "c:11211"]);
        for name in ["a:11211", "b:11211", "c:11211"] {
            let share = homes.iter().filter(|home| *home == name).count();
            assert!((20_500..=23_200).contains(&share), "{name} has {share} of 65536");
        }
    }

    #[test]
    fn a_server_that_leaves_moves_its_own_routes_only_and_to_whoever_was_next() {
        let names = ["a:11211", "b:11211", "c:11211"];
        let ring = Ring::new(names);
        let (before, after) = (homes(&names), homes(&["a:11211", "c:11211"]));
        for route in 0..=u16::MAX {
            let order = ring.order(Route::from_bytes(route.to_be_bytes()));
            let (before, after) = (&before[usize::from(route)], &after[usize::from(route)]);
            let expected = order.iter().map(|position| names[*position]).find(|name| *name != "b:11211");
            assert_eq!(Some(after.as_str()), expected);
            assert!(before == after || before == "b:11211");
        }
    }

    #[test]
    fn the_order_of_the_list_does_not_matter() {
        assert_eq!(homes(&["a:1", "b:1", "c:1"]), homes(&["c:1", "a:1", "b:1"]));
    }

    #[test]
    fn homes_never_change_from_one_version_to_the_next() {
        let homes = homes(&["a:11211", "b:11211", "c:11211"]);
        let first: String = homes.iter().take(24).map(|home| home.chars().next().unwrap()).collect();
        assert_eq!(first, FIRST_HOMES, "sessions would be looked for on the wrong server");
    }

    const FIRST_HOMES: &str = "bcabcabcccbcacbaaacacabb";
}
