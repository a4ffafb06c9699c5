//! Any key may vanish, by eviction or by an operator's hand: sessions may be lost by that, never revived.

use cloakroom_conformance::{Filing, Fixtures, T0, at, principal_id};
use cloakroom_servers::Redis;
use cloakroom_store::{Lookup, RekeyRequest, Rekeyed, Selector, Store as _, SweepRequest, Version};

use super::{alice, end, end_one, file_all, is_live, open, run};

/// All keys of the store.
fn keys(server: &Redis) -> Vec<String> {
    server.command(&["KEYS", "cloakroom:*"]).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn whichever_key_of_an_ended_session_vanishes_it_stays_ended() {
    let server = Redis::start().unwrap();
    run(async {
        for how in ["one", "principal", "all"] {
            let count = ended_by(&server, how).await.1.len();
            // One key at a time, then all pairs.
            for first in 0..count {
                for second in first..count {
                    let (filing, keys) = ended_by(&server, how).await;
                    let store = open(&server.url()).await;
                    server.command(&["DEL", &keys[first], &keys[second]]).unwrap();
                    let lost = (&keys[first], &keys[second]);
                    assert!(!is_live(&store, &filing).await.unwrap(), "{how}: {lost:?}");
                    // Neither by what is filed next, nor by clearing up.
                    let other = alice(&mut Fixtures::new(9));
                    file_all(&store, std::slice::from_ref(&other)).await;
                    assert!(!is_live(&store, &filing).await.unwrap(), "{how}: {lost:?}, then a sign-in");
                    assert_eq!(
                        super::touch(&store, &filing, at(1)).await.unwrap().touched,
                        0,
                        "{how}: {lost:?}"
                    );
                    store
                        .sweep(SweepRequest { now: at(1), limit: 100, lease: std::time::Duration::ZERO })
                        .await
                        .unwrap();
                    assert!(!is_live(&store, &filing).await.unwrap(), "{how}: {lost:?}, then a sweep");
                    assert!(is_live(&store, &other).await.unwrap(), "{how}: {lost:?}, the next one lives");
                }
            }
        }
    });
}

/// A session that was ended, beside one that lives, and every key there is by then.
async fn ended_by(server: &Redis, how: &str) -> (Filing, Vec<String>) {
    server.command(&["FLUSHALL"]).unwrap();
    let (store, mut fixtures) = (open(&server.url()).await, Fixtures::new(1));
    let [filing, beside] = std::array::from_fn(|_| alice(&mut fixtures));
    file_all(&store, &[filing.clone(), beside.clone()]).await;
    let selector = match how {
        "one" => Selector::One(filing.id()),
        "principal" => Selector::Principal { principal: principal_id("alice"), except: Some(beside.id()) },
        _ => Selector::All,
    };
    end(&store, selector, T0).await.unwrap();
    let mut keys = keys(server);
    keys.sort();
    (filing, keys)
}

#[test]
fn whichever_key_of_a_live_session_vanished_ending_it_is_final() {
    let server = Redis::start().unwrap();
    run(async {
        let file_one = async || {
            server.command(&["FLUSHALL"]).unwrap();
            let (store, filing) = (open(&server.url()).await, alice(&mut Fixtures::new(1)));
            file_all(&store, std::slice::from_ref(&filing)).await;
            let mut keys = keys(&server);
            keys.sort();
            (store, filing, keys)
        };
        let count = file_one().await.2.len();
        for vanished in 0..count {
            for selector in 0..3 {
                let (store, filing, keys) = file_one().await;
                server.command(&["DEL", &keys[vanished]]).unwrap();
                let selector = match selector {
                    0 => Selector::One(filing.id()),
                    1 => Selector::Principal { principal: principal_id("alice"), except: None },
                    _ => Selector::All,
                };
                end(&store, selector.clone(), T0).await.unwrap();
                for (seed, round) in [(9, "at once"), (10, "after a sign-in")] {
                    assert!(
                        !is_live(&store, &filing).await.unwrap(),
                        "{}: {selector:?} {round}",
                        keys[vanished]
                    );
                    file_all(&store, &[alice(&mut Fixtures::new(seed))]).await;
                }
            }
        }
    });
}

#[test]
fn deleting_the_key_of_a_record_signs_that_session_out_and_no_other() {
    let server = Redis::start().unwrap();
    run(async {
        let (store, mut fixtures) = (open(&server.url()).await, Fixtures::new(1));
        let [one, other] = std::array::from_fn(|_| alice(&mut fixtures));
        file_all(&store, &[one.clone(), other.clone()]).await;
        // From the id that people see to the key of its record.
        let entry =
            server.command(&["GETRANGE", &format!("cloakroom:session:{}", one.id()), "0", "45"]).unwrap();
        let deleted = server.command(&["DEL", &format!("cloakroom:record:{}", entry.trim())]).unwrap();
        assert_eq!(deleted.trim(), "1");
        assert_eq!(store.get(one.digest, T0).await.unwrap(), Lookup::Unknown);
        assert!(is_live(&store, &other).await.unwrap());
        assert_eq!(end_one(&store, &one).await.unwrap().ended, []);
        // Nothing of it is left once everything is over.
        let later = one.record.lifetime.absolute_expires_at.plus(std::time::Duration::from_secs(100));
        for _ in 0..3 {
            store
                .sweep(SweepRequest { now: later, limit: 100, lease: std::time::Duration::ZERO })
                .await
                .unwrap();
        }
        let left = keys(&server);
        assert!(left.iter().all(|key| key.contains(":epoch:") || key.contains(":ping:")), "{left:?}");
    });
}

#[test]
fn what_native_expiry_took_leaves_nothing_in_the_indexes_after_a_sweep_whichever_of_them_were_lost() {
    let server = Redis::start().unwrap();
    for lost in [&[][..], &["due"], &["retired"], &["due", "retired"], &["live:0"], &["ended"]] {
        run(async {
            server.command(&["FLUSHALL"]).unwrap();
            let (store, mut fixtures) = (open(&server.url()).await, Fixtures::new(3));
            let filings: Vec<Filing> = (0..20)
                .map(
                    |number| if number % 2 == 0 { fixtures.signed_in("alice") } else { fixtures.anonymous() },
                )
                .collect();
            file_all(&store, &filings).await;
            end_one(&store, &filings[0]).await.unwrap();
            let next = filings[1].rotated(fixtures.next_digest(&filings[1]), T0);
            let (old, new, version) = (filings[1].digest, next.digest, Version::FIRST);
            let exchange = RekeyRequest { old, new, version, record: &next.record, now: T0 };
            assert!(matches!(store.rekey(exchange).await.unwrap(), Rekeyed::Done(_)));
            for key in keys(&server) {
                let expires = server.command(&["PTTL", &key]).unwrap().trim() != "-1";
                if expires || lost.iter().any(|name| key == format!("cloakroom:index:{name}")) {
                    assert_eq!(server.command(&["DEL", &key]).unwrap().trim(), "1");
                }
            }
            for now in [at(20_000), at(90_000), at(90_001)] {
                let request = SweepRequest { now, limit: 100, lease: std::time::Duration::ZERO };
                assert_eq!(
                    store.sweep(request).await.unwrap().ended,
                    [],
                    "nothing is left to be told of them"
                );
            }
            let left = keys(&server);
            assert!(
                left.iter().all(|key| key.contains(":epoch:") || key.contains(":ping:")),
                "{lost:?}: {left:?}"
            );
            assert_eq!(
                store.count(at(90_000)).await.unwrap(),
                cloakroom_store::Counts::default(),
                "{lost:?}"
            );
        });
    }
}

#[test]
fn every_key_but_those_of_the_bucket_has_a_time_to_live_well_after_it_is_needed() {
    let server = Redis::start().unwrap();
    run(async {
        let (store, mut fixtures) = (open(&server.url()).await, Fixtures::new(3));
        // Instants of 1970 and of another age: only how far they are apart matters.
        for issued in [0, 4_000_000_000_000] {
            let issued = cloakroom_core::Timestamp::from_millis(issued);
            let filing = fixtures.signed_in("alice").issued_at(issued);
            file_all(&store, std::slice::from_ref(&filing)).await;
            assert!(is_live(&store, &filing).await.unwrap());
        }
        for key in keys(&server) {
            let left: i64 = server.command(&["PTTL", &key]).unwrap().trim().parse().unwrap();
            let is_of_the_bucket = [":epoch:", ":index:", ":ping:"].iter().any(|class| key.contains(class));
            // Ten seconds of life, five of retention, an hour each to be sure.
            let expected = if is_of_the_bucket { -1..=-1 } else { 7_200_000..=7_215_000 };
            assert!(expected.contains(&left), "{key}: {left}");
        }
    });
}
