//! Databases in MaxMind's format, and what follows from them.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

#[path = "support/mmdb.rs"]
mod mmdb;

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{Device, SessionId, Timestamp};
use cloakroom_detection::{Detector, MaxMindPlaces, Places, Roaming, Rules, Seen, Sighting, Signal, What};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const HOME: &str = "203.0.113.9";
const MOBILE: &str = "198.51.100.7";
const TOKYO: &str = "192.0.2.3";

fn world() -> Vec<MaxMindPlaces> {
    let cities = mmdb::database(
        "GeoLite2-City",
        &[
            ("203.0.113.0/24", mmdb::city("DE", 52.52, 13.40, 20)),
            ("198.51.100.0/24", mmdb::city("DE", 48.14, 11.58, 200)),
            ("192.0.2.0/24", mmdb::city("JP", 35.69, 139.69, 50)),
            ("2001:db8::/32", mmdb::city("DE", 52.52, 13.40, 20)),
            ("100.64.0.0/10", mmdb::Value::Map(vec![("country", mmdb::Value::Text("nonsense"))])),
        ],
    );
    let networks = mmdb::database(
        "GeoLite2-ASN",
        &[("203.0.113.0/24", asn(64_500)), ("198.51.100.0/24", asn(64_501)), ("2001:db8::/32", asn(64_500))],
    );
    [cities, networks].into_iter().map(|bytes| MaxMindPlaces::from_bytes(bytes).unwrap()).collect()
}

/// What GeoLite2 ASN says of a network.
fn asn(number: u32) -> mmdb::Value {
    mmdb::Value::Map(vec![("autonomous_system_number", mmdb::Value::Word(number))])
}

fn minutes(minutes: i64) -> Timestamp {
    Timestamp::from_millis(minutes * 60_000)
}

fn seen(detector: &Detector, ip: &str, at: Timestamp) -> Seen {
    let proven = Device::new().with_ip(HOME.parse().unwrap()).with_user_agent(FIREFOX);
    let mut sighting = Sighting::new(SessionId::from_bytes([1; 16]), minutes(0));
    (sighting.proven, sighting.user_agent) = (Some(&proven), Some(FIREFOX.as_bytes()));
    sighting.ip = Some(ip.parse().unwrap());
    detector.seen(&sighting, at)
}

fn signals(seen: &Seen) -> Vec<Signal> {
    seen.findings.iter().map(|finding| finding.signal).collect()
}

#[test]
fn of_each_address_is_known_what_any_database_says_of_it() {
    let world = world();
    let place = |ip: &str| world.find(ip.parse().unwrap());
    let home = place(HOME);
    assert_eq!((home.country.unwrap().as_str(), home.network), ("DE", Some(64_500)));
    let position = home.position.unwrap();
    assert_eq!((position.latitude, position.longitude, position.accuracy_km), (52.52, 13.40, 20));
    assert_eq!(place("2001:db8::1").network, Some(64_500));
    assert_eq!((place(TOKYO).network, place(TOKYO).country.unwrap().as_str()), (None, "JP"));
    for unknown in ["8.8.8.8", "::1", "100.64.0.1"] {
        assert_eq!(place(unknown), cloakroom_detection::Place::default(), "{unknown}");
    }
}

#[test]
fn a_device_may_move_within_its_country_and_is_noticed_abroad() {
    let detector = Detector::new(Rules::default(), Some(Arc::new(world())));
    assert_eq!(signals(&seen(&detector, MOBILE, minutes(60))), []);
    let abroad = seen(&detector, TOKYO, minutes(60 * 24));
    assert_eq!(signals(&abroad), [Signal::NetworkChanged]);
    let What::Network { from, to } = abroad.findings[0].what else { panic!("{abroad:?}") };
    assert_eq!((from.country.unwrap().as_str(), to.country.unwrap().as_str()), ("DE", "JP"));
}

#[test]
fn one_network_has_addresses_of_both_families_and_of_many_prefixes() {
    let mut rules = Rules::default();
    rules.network.roaming = Roaming::Signal;
    let detector = Detector::new(rules, Some(Arc::new(world())));
    assert_eq!(signals(&seen(&detector, "2001:db8::1", minutes(1))), []);
    assert_eq!(signals(&seen(&detector, MOBILE, minutes(600))), [Signal::NetworkChanged]);
}

#[test]
fn nobody_is_in_berlin_and_an_hour_later_in_tokyo() {
    for (hours, fires) in [(1, true), (7, true), (10, false)] {
        let detector = Detector::new(Rules::default(), Some(Arc::new(world())));
        // Used at home all day, which says where its owner was last.
        for hour in 0..24 {
            assert_eq!(signals(&seen(&detector, HOME, minutes(hour * 60))), []);
        }
        let there = seen(&detector, TOKYO, minutes((23 + hours) * 60));
        assert_eq!(signals(&there).contains(&Signal::ImpossibleTravel), fires, "{hours} hours");
        if let Some(travel) = there.findings.iter().find(|finding| finding.signal == Signal::ImpossibleTravel)
        {
            let What::Travel { km, within, .. } = travel.what else { panic!("{travel:?}") };
            assert!((8_800..8_900).contains(&km), "{km}");
            assert_eq!(within, Duration::from_secs(hours.unsigned_abs() * 3_600));
        }
    }
}

#[test]
fn a_place_that_is_uncertain_and_a_short_way_are_no_travel() {
    let detector = Detector::new(Rules::default(), Some(Arc::new(world())));
    assert_eq!(signals(&seen(&detector, HOME, minutes(0))), []);
    // Berlin to Munich in no time: 504 km, less what both are uncertain by.
    assert_eq!(signals(&seen(&detector, MOBILE, minutes(0))), []);
}
