use std::net::Ipv6Addr;
use std::time::Duration;

use super::*;
use crate::{Grades, Roaming};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const UPDATED: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0";
const HOME: &str = "203.0.113.9";
const ELSEWHERE: &str = "198.51.100.7";

fn graded(signal: Signal, grade: Grade) -> Rules {
    Rules { grades: Grades::default().with(signal, grade).unwrap(), ..Rules::default() }
}

fn session(number: u64) -> SessionId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    SessionId::from_bytes(bytes)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn device(ip: &str, agent: &str) -> Device {
    Device::new().with_ip(ip.parse().unwrap()).with_user_agent(agent)
}

/// A use of a session that was proved at home with Firefox.
fn used(detector: &Detector, id: SessionId, ip: &str, agent: &str, now: Timestamp) -> Seen {
    proved_and_used(detector, id, at(0), (ip, agent), now)
}

fn proved_and_used(
    detector: &Detector,
    id: SessionId,
    proved_at: Timestamp,
    (ip, agent): (&str, &str),
    now: Timestamp,
) -> Seen {
    let proven = device(HOME, FIREFOX);
    let mut sighting = Sighting::new(id, proved_at);
    (sighting.proven, sighting.ip) = (Some(&proven), Some(ip.parse().unwrap()));
    sighting.user_agent = Some(agent.as_bytes());
    detector.seen(&sighting, now)
}

fn signals(seen: &Seen) -> Vec<Signal> {
    seen.findings.iter().map(|finding| finding.signal).collect()
}

#[test]
fn another_program_is_a_signal_and_an_update_or_another_network_of_the_same_is_none() {
    for (ip, agent, expected) in [
        (HOME, FIREFOX, &[][..]),
        (HOME, UPDATED, &[]),
        (ELSEWHERE, FIREFOX, &[]),
        (ELSEWHERE, UPDATED, &[]),
        (HOME, "curl/8.5", &[Signal::UserAgentChanged]),
        (ELSEWHERE, "curl/8.5", &[Signal::UserAgentChanged, Signal::NetworkChanged]),
        (
            ELSEWHERE,
            "Mozilla/5.0 (X11; Linux x86_64; rv:139.0) Gecko/20100101 Firefox/139.0",
            &[Signal::NetworkChanged],
        ),
    ] {
        let seen = used(&Detector::new(Rules::default(), None), session(1), ip, agent, at(60));
        assert_eq!(signals(&seen), expected, "{ip} {agent}");
        assert_eq!(seen.grade, if expected.is_empty() { Grade::Ignore } else { Grade::Log });
    }
}

#[test]
fn where_roaming_is_a_signal_every_change_of_network_is() {
    let mut rules = Rules::default();
    rules.network.roaming = Roaming::Signal;
    let detector = Detector::new(rules, None);
    assert_eq!(signals(&used(&detector, session(1), ELSEWHERE, FIREFOX, at(1))), [Signal::NetworkChanged]);
    assert_eq!(signals(&used(&detector, session(2), "203.0.200.1", FIREFOX, at(1))), []);
}

#[test]
fn a_signal_is_told_once_a_window_and_asked_for_each_time() {
    let detector = Detector::new(graded(Signal::UserAgentChanged, Grade::Reauthenticate), None);
    let look = |now| used(&detector, session(1), HOME, "curl/8.5", now);
    let first = look(at(0));
    assert_eq!((first.grade, signals(&first)), (Grade::Reauthenticate, vec![Signal::UserAgentChanged]));
    for (now, told) in [(1, false), (24 * 3_600 - 1, false), (24 * 3_600, true), (24 * 3_600 + 1, false)] {
        let seen = look(at(now));
        assert_eq!((seen.grade, !seen.findings.is_empty()), (Grade::Reauthenticate, told), "{now}");
    }
    detector.untold(&first.findings[0]);
    assert_eq!(signals(&look(at(24 * 3_600 + 2))), [Signal::UserAgentChanged], "nobody had taken it");
    assert_eq!(signals(&used(&detector, session(2), HOME, "curl/8.5", at(1))), [Signal::UserAgentChanged]);
}

#[test]
fn whoever_makes_up_a_new_program_with_each_request_is_told_of_eight_times() {
    let detector = Detector::new(Rules::default(), None);
    let told: usize =
        (0..1_000).map(|n| used(&detector, session(1), HOME, &format!("a{n}/1"), at(n)).findings.len()).sum();
    assert_eq!(told, 8);
}

#[test]
fn what_is_ignored_is_neither_told_nor_asked_for() {
    let detector = Detector::new(graded(Signal::UserAgentChanged, Grade::Ignore), None);
    assert_eq!(used(&detector, session(1), HOME, "curl/8.5", at(0)), Seen::default());
}

#[test]
fn a_session_that_comes_and_goes_between_two_programs_in_two_networks_is_in_two_hands() {
    let detector = Detector::new(Rules::default(), None);
    let id = session(1);
    let mut fired = Vec::new();
    for step in 0..8 {
        let (ip, agent) = if step % 2 == 0 { (HOME, FIREFOX) } else { (ELSEWHERE, UPDATED) };
        fired.push(signals(&used(&detector, id, ip, agent, at(step * 30))).contains(&Signal::ParallelUse));
    }
    // Home, away, and then back: home, away, home.
    assert_eq!(fired, [false, false, false, false, true, false, false, false]);
}

#[test]
fn returns_count_only_within_their_window() {
    let detector = Detector::new(Rules::default(), None);
    for step in 0..40 {
        let (ip, agent) = if step % 2 == 0 { (HOME, FIREFOX) } else { (ELSEWHERE, UPDATED) };
        let seen = used(&detector, session(1), ip, agent, at(step * 400));
        assert!(!signals(&seen).contains(&Signal::ParallelUse), "{step}");
    }
}

#[test]
fn a_phone_at_the_edge_of_its_network_may_come_and_go_eight_times_as_often() {
    let detector = Detector::new(Rules::default(), None);
    let fired = (0..60).position(|step| {
        let ip = if step % 2 == 0 { HOME } else { ELSEWHERE };
        signals(&used(&detector, session(1), ip, FIREFOX, at(step * 5))).contains(&Signal::ParallelUse)
    });
    // It is away with the second step, and back with each one after.
    assert_eq!(fired, Some(2 + 24 - 1));
}

#[test]
fn two_programs_in_one_network_and_both_families_of_addresses_are_one_household() {
    let detector = Detector::new(Rules::default(), None);
    for step in 0..200 {
        let (ip, agent) = match step % 4 {
            0 => (HOME, FIREFOX),
            1 => ("2001:db8::1", FIREFOX),
            2 => (HOME, UPDATED),
            _ => ("2001:db8::1", UPDATED),
        };
        assert_eq!(signals(&used(&detector, session(1), ip, agent, at(step))), [], "{step}");
    }
}

#[test]
fn a_demand_for_parallel_use_holds_for_everybody_but_the_proven_device_until_it_is_met() {
    let detector = Detector::new(graded(Signal::ParallelUse, Grade::Reauthenticate), None);
    let id = session(1);
    let (home, away) = ((HOME, FIREFOX), (ELSEWHERE, UPDATED));
    for (step, place) in [home, away, home, away, home].into_iter().enumerate() {
        let seen = proved_and_used(&detector, id, at(0), place, at(i64::try_from(step).unwrap()));
        assert!(seen.grade < Grade::Reauthenticate, "the last of them fired at home");
    }
    assert_eq!(proved_and_used(&detector, id, at(0), away, at(9)).grade, Grade::Reauthenticate);
    assert_eq!(proved_and_used(&detector, id, at(0), away, at(90_000)).grade, Grade::Reauthenticate);
    assert!(proved_and_used(&detector, id, at(0), home, at(90_001)).grade < Grade::Reauthenticate);
    assert!(
        proved_and_used(&detector, id, at(90_002), away, at(90_003)).grade < Grade::Reauthenticate,
        "proved"
    );
}

#[test]
fn a_replay_is_ordinary_only_at_once_and_from_the_device_that_exchanged_the_token() {
    let detector = Detector::new(Rules::default(), None);
    let (id, here) = (session(1), device(HOME, FIREFOX));
    detector.exchanged(id, Some(&here), at(0));
    for (device, now, expected) in [
        (device(HOME, FIREFOX), 0, Replay::Ordinary),
        (device(HOME, FIREFOX), 30, Replay::Ordinary),
        (device(HOME, FIREFOX), 31, Replay::Attack),
        (device("2001:db8::1", FIREFOX), 1, Replay::Ordinary),
        (device(ELSEWHERE, FIREFOX), 1, Replay::Attack),
        (device(HOME, "curl/8"), 1, Replay::Attack),
    ] {
        assert_eq!(detector.replayed(id, at(0), Some(&device), at(now)), expected, "{device:?} {now}");
    }
    assert_eq!(detector.replayed(session(2), at(0), Some(&here), at(1)), Replay::Unclear);
    assert_eq!(detector.replayed(session(2), at(0), Some(&here), at(31)), Replay::Attack);
    let seen = detector.replay(id, at(0), Some(&here), at(40));
    assert_eq!((seen.grade, signals(&seen)), (Grade::End, vec![Signal::TokenReplayed]));
    assert!(detector.replay(id, at(0), Some(&here), at(41)).findings.is_empty());
}

#[test]
fn the_first_to_learn_of_an_end_are_ordinary_and_whoever_knew_of_it_is_not() {
    let (here, there) = (device(HOME, FIREFOX), device(ELSEWHERE, "curl/8"));
    for (reason, uses, expected) in [
        (EndReason::RevokedByAdmin, &[(3_600, &here)][..], false),
        (EndReason::RevokedByAdmin, &[(3_600, &here), (3_601, &here), (3_660, &here)], false),
        (EndReason::IdleTimeout, &[(3_600, &here), (3_661, &here)], true),
        (EndReason::IdleTimeout, &[(3_600, &here), (3_601, &there)], true),
        (EndReason::SignedOut, &[(60, &here)], false),
        (EndReason::SignedOut, &[(61, &here)], true),
        (EndReason::Replaced, &[(61, &there)], true),
    ] {
        let detector = Detector::new(Rules::default(), None);
        let fired: Vec<bool> = uses
            .iter()
            .map(|(now, device)| {
                let seen = detector.used_after_end(session(1), (reason, at(0)), Some(device), at(*now));
                !seen.findings.is_empty()
            })
            .collect();
        assert_eq!(fired.last(), Some(&expected), "{reason} {uses:?}");
        assert!(fired.iter().rev().skip(1).all(|fired| !fired), "{reason} {uses:?}");
    }
}

#[test]
fn bursts_are_told_once_and_end_nothing() {
    let detector = Detector::new(Rules::default(), None);
    let alice = PrincipalId::new("alice").unwrap();
    let count = |signal: Signal, number: u32| {
        (0..number)
            .flat_map(|_| {
                let seen = match signal {
                    Signal::TokenGuessing => detector.unknown_token(HOME.parse().unwrap(), at(0)),
                    Signal::SignInFailures => detector.sign_in_failed("alice", at(0)),
                    _ => detector.signed_in(&alice, at(0)),
                };
                assert!(seen.grade <= Grade::Log);
                seen.findings
            })
            .count()
    };
    for (signal, allowed) in
        [(Signal::TokenGuessing, 1_000), (Signal::SignInFailures, 20), (Signal::SignInBurst, 20)]
    {
        assert_eq!(count(signal, allowed), 0, "{signal}");
        assert_eq!(count(signal, 10), 1, "{signal}");
    }
}

#[test]
fn the_addresses_of_one_customer_guess_together() {
    let detector = Detector::new(Rules::default(), None);
    let mut fired = 0;
    for n in 0..1_001_u128 {
        let address = IpAddr::from(Ipv6Addr::from_bits(0x2001_0db8 << 96 | n));
        fired += detector.unknown_token(address, at(0)).findings.len();
    }
    assert_eq!(fired, 1);
}

#[test]
fn whatever_strangers_send_memory_stays_within_its_bounds() {
    let detector = Detector::new(Rules::default(), None);
    let over = u64::try_from(MAX_BURSTS).unwrap() + 10_000;
    for n in 0..over {
        let address = IpAddr::from(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n) << 64));
        detector.unknown_token(address, at(0)).findings.clear();
        detector.sign_in_failed(&n.to_string(), at(0)).findings.clear();
        let used = detector.used_after_end(session(n), (EndReason::SignedOut, at(0)), None, at(100));
        assert_eq!(used.findings.len(), 1);
        detector.exchanged(session(n), None, at(0));
        let _ = used_from(&detector, session(n), &format!("10.{}.{}.1", n / 256 % 256, n % 256));
    }
    assert!(detector.guessing.lock().len() <= MAX_BURSTS);
    assert!(detector.failures.lock().len() <= MAX_BURSTS);
    assert!(detector.afterlives.lock().len() <= MAX_AFTERLIVES);
    assert!(detector.exchanges.lock().len() <= MAX_EXCHANGES);
    assert!(detector.told.lock().len() <= MAX_TOLD);
    let tracks: usize = detector.tracks.iter().map(|shard| shard.lock().len()).sum();
    assert!(tracks <= MAX_TRACKS);
    assert_eq!(detector.tracked.load(Ordering::Relaxed), tracks);
}

fn used_from(detector: &Detector, id: SessionId, ip: &str) -> Seen {
    used(detector, id, ip, FIREFOX, at(1))
}

#[test]
fn a_demand_outlives_a_flood_of_other_sessions_and_a_session_that_ended_is_forgotten() {
    let detector = Detector::new(graded(Signal::ParallelUse, Grade::Reauthenticate), None);
    let (home, away) = ((HOME, FIREFOX), (ELSEWHERE, UPDATED));
    for (step, place) in [home, away, home, away, home].into_iter().enumerate() {
        let _ = proved_and_used(&detector, session(1), at(0), place, at(i64::try_from(step).unwrap()));
    }
    for n in 2..100_000 {
        let _ = used(&detector, session(n), ELSEWHERE, FIREFOX, at(100));
    }
    assert_eq!(proved_and_used(&detector, session(1), at(0), away, at(200)).grade, Grade::Reauthenticate);
    let before = detector.tracked.load(Ordering::Relaxed);
    detector.ended(session(1));
    detector.ended(session(1));
    assert_eq!(detector.tracked.load(Ordering::Relaxed), before - 1);
    assert!(proved_and_used(&detector, session(1), at(0), away, at(201)).grade < Grade::Reauthenticate);
}

#[test]
fn a_clock_that_steps_back_gives_no_signal() {
    let detector = Detector::new(Rules::default(), None);
    detector.exchanged(session(1), Some(&device(HOME, FIREFOX)), at(100));
    assert_eq!(
        detector.replayed(session(1), at(100), Some(&device(HOME, FIREFOX)), at(90)),
        Replay::Ordinary
    );
    assert_eq!(signals(&used(&detector, session(1), ELSEWHERE, FIREFOX, at(-1_000))), []);
    assert_eq!(at(0).since(at(5)), Duration::ZERO);
}
