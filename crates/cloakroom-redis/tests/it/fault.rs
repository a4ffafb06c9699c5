//! A server that is killed, stopped, or cut off: bounded waiting, nothing lost, nothing revived, nobody restarts.

use std::num::NonZeroU32;
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, Seeded, T0, principal_id};
use cloakroom_core::{EndReason, OnLimit, SessionLimit};
use cloakroom_servers::{Redis, Relay};
use cloakroom_store::{
    Applied, ErrorKind, Inserted, Lookup, ReplaceRequest, Replaced, Selector, Store as _, Version,
};

use super::{
    HASTE, alice, end, end_one, eventually, file, file_all, is_live, lasting, open, open_hasty, open_patient,
    run, take_any,
};

/// Each write survives by itself; a primary that dies takes nothing along that it acknowledged.
const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

#[test]
fn nothing_acknowledged_is_lost_and_nothing_ended_lives_after_the_server_was_killed() {
    let server = Redis::start_with(DURABLE).unwrap();
    run(async {
        // Whoever was killed refuses at once; an acknowledgement may take as long as the disk does.
        let (store, mut fixtures) = (open_patient(&server.url()).await, Fixtures::new(1));
        let mut random = Seeded::new(0x5eed);
        let (mut live, mut ended): (Vec<Filing>, Vec<Filing>) = (Vec::new(), Vec::new());
        for round in 0..3 {
            for step in 0..100 {
                let filing = lasting(if step % 3 == 0 { fixtures.anonymous() } else { alice(&mut fixtures) });
                file_all(&store, std::slice::from_ref(&filing)).await;
                live.push(filing);
                if random.below(3) == 0 {
                    let victim = take_any(&mut random, &mut live);
                    assert_eq!(end_one(&store, &victim).await.unwrap().ended.len(), 1);
                    ended.push(victim);
                }
            }
            server.kill();
            let error = store.get(live[0].digest, T0).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "round {round}");
            let error = end_one(&store, &live[0]).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.applied()),
                (ErrorKind::Unavailable, Applied::No),
                "nothing was sent"
            );
            server.restart().unwrap();
            eventually("the store", || store.ping()).await;
            for filing in &live {
                assert!(is_live(&store, filing).await.unwrap(), "round {round}: acknowledged and lost");
            }
            for filing in &ended {
                assert!(
                    matches!(store.get(filing.digest, T0).await.unwrap(), Lookup::Ended(_)),
                    "round {round}"
                );
            }
        }
        let before = live.iter().filter(|filing| filing.principal().is_some()).count();
        let selector = Selector::Principal { principal: principal_id("alice"), except: None };
        assert_eq!(end(&store, selector, T0).await.unwrap().ended.len(), before, "its indexes came back too");
    });
}

#[test]
fn a_stopped_server_is_a_timeout_within_the_deadline_and_heals() {
    let server = Redis::start().unwrap();
    run(async {
        let (store, mut fixtures) = (open_hasty(&server.url()).await, Fixtures::new(1));
        let patient = open_patient(&server.url()).await;
        let [one, other] = std::array::from_fn(|_| alice(&mut fixtures));
        file_all(&patient, &[one.clone(), other.clone()]).await;
        server.pause();
        for _ in 0..2 {
            // Twice the deadline is already too long for whoever waits; the timer of a busy machine is not exact.
            let waited = tokio::time::timeout(HASTE * 2, store.get(one.digest, T0)).await;
            let error = waited.expect("a deadline bounds it").unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable), "{error:?}");
            assert_eq!(error.applied(), Applied::No, "a look-up changes nothing");
            let waited = tokio::time::timeout(HASTE * 2, end_one(&store, &one)).await;
            assert!(waited.expect("a deadline bounds it").is_err());
        }
        let error = store.ping().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable), "{error:?}");
        server.resume();
        eventually("the store", || store.ping()).await;
        assert!(is_live(&patient, &other).await.unwrap());
        let ending = end_one(&patient, &one).await.unwrap();
        let found = patient.get(one.digest, T0).await.unwrap();
        assert!(
            matches!(found, Lookup::Ended(_)),
            "ended now or by the call that timed out: {ending:?}, {found:?}"
        );
    });
}

#[test]
fn an_end_whose_answer_timed_out_says_that_it_may_have_been_applied() {
    let server = Redis::start().unwrap();
    run(async {
        let (store, filing) = (open_hasty(&server.url()).await, alice(&mut Fixtures::new(1)));
        file_all(&open_patient(&server.url()).await, std::slice::from_ref(&filing)).await;
        server.pause();
        let error = end_one(&store, &filing).await.unwrap_err();
        server.resume();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Timeout, Applied::Unknown));
    });
}

#[test]
fn a_reply_cut_in_the_middle_is_an_error_that_admits_what_may_have_happened_and_is_never_replayed() {
    let server = Redis::start().unwrap();
    let relay = Relay::to(server.url().rsplit(':').next().unwrap().parse().unwrap()).unwrap();
    let url = format!("redis://127.0.0.1:{}", relay.port());
    run(async {
        let (store, direct) = (open_patient(&url).await, open_patient(&server.url()).await);
        let mut fixtures = Fixtures::new(1);
        // The server knows the scripts from here on: a reply that is cut is that to the change itself.
        let first = alice(&mut fixtures);
        file_all(&direct, std::slice::from_ref(&first)).await;
        let request =
            ReplaceRequest { digest: first.digest, version: Version::FIRST, record: &first.record, now: T0 };
        direct.replace(request).await.unwrap();
        for bytes in [0, 1, 2, 7] {
            let filing = alice(&mut fixtures);
            relay.cut_replies_after(bytes);
            let error = file(&store, &filing, None).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.applied()),
                (ErrorKind::Unavailable, Applied::Unknown),
                "{bytes}"
            );
            assert!(is_live(&direct, &filing).await.unwrap(), "the server did it before the link broke");
            assert_eq!(end_one(&direct, &filing).await.unwrap().ended.len(), 1);

            let changed = alice(&mut fixtures);
            eventually("filing", || file(&store, &changed, None)).await;
            relay.cut_replies_after(bytes);
            let request = ReplaceRequest {
                digest: changed.digest,
                version: Version::FIRST,
                record: &changed.record,
                now: T0,
            };
            assert_eq!(store.replace(request).await.unwrap_err().applied(), Applied::Unknown);
            let Lookup::Live(live) = direct.get(changed.digest, T0).await.unwrap() else {
                panic!("it lives")
            };
            assert_eq!(live.version, Version::from_u64(2), "once, not twice");
            // The next call works without anybody's help.
            let request = ReplaceRequest {
                digest: changed.digest,
                version: live.version,
                record: &changed.record,
                now: T0,
            };
            assert_eq!(store.replace(request).await.unwrap(), Replaced::Done(Version::from_u64(3)));
        }
        // A look-up may be asked twice, and is.
        let filing = alice(&mut fixtures);
        file_all(&store, std::slice::from_ref(&filing)).await;
        relay.cut_replies_after(3);
        assert!(is_live(&store, &filing).await.unwrap());
        relay.cut();
        eventually("looking up", || store.get(filing.digest, T0)).await;
    });
}

#[test]
fn a_link_that_is_stalled_or_refused_is_bounded_and_heals() {
    let server = Redis::start().unwrap();
    let relay = Relay::to(server.url().rsplit(':').next().unwrap().parse().unwrap()).unwrap();
    run(async {
        let store = open_hasty(&format!("redis://127.0.0.1:{}", relay.port())).await;
        let filing = alice(&mut Fixtures::new(1));
        file_all(&open_patient(&server.url()).await, std::slice::from_ref(&filing)).await;
        relay.stall();
        let waited = tokio::time::timeout(HASTE * 2, store.get(filing.digest, T0)).await;
        assert!(waited.expect("a deadline bounds it").is_err());
        relay.flow();
        eventually("looking up", || store.get(filing.digest, T0)).await;
        relay.refuse();
        relay.cut();
        let error = tokio::time::timeout(HASTE * 2, store.get(filing.digest, T0)).await.unwrap().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error:?}");
        relay.accept().unwrap();
        eventually("looking up", || store.get(filing.digest, T0)).await;
    });
}

#[test]
fn scripts_that_the_server_forgot_are_taught_again_while_they_are_in_use() {
    let server = Redis::start().unwrap();
    run(async {
        let store = std::sync::Arc::new(open(&server.url()).await);
        let mut fixtures = Fixtures::new(1);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (store, filings) =
                (std::sync::Arc::clone(&store), Vec::from_iter((0..50).map(|_| alice(&mut fixtures))));
            tasks.spawn(async move {
                for filing in &filings {
                    file_all(&store, std::slice::from_ref(filing)).await;
                    assert!(is_live(&store, filing).await.unwrap());
                    assert_eq!(end_one(&store, filing).await.unwrap().ended.len(), 1);
                }
            });
        }
        while !tasks.is_empty() {
            server.command(&["SCRIPT", "FLUSH"]).unwrap();
            if let Ok(done) = tokio::time::timeout(Duration::from_millis(5), tasks.join_next()).await {
                done.unwrap().unwrap();
            }
        }
    });
}

#[test]
fn a_limit_is_exact_under_sixty_four_parallel_sign_ins_from_two_nodes() {
    let server = Redis::start().unwrap();
    run(async {
        let stores = [open(&server.url()).await, open(&server.url()).await];
        let mut fixtures = Fixtures::new(1);
        let filings: Vec<Filing> = (0..64).map(|_| alice(&mut fixtures)).collect();
        let limit = SessionLimit { max: NonZeroU32::new(5).unwrap(), on_limit: OnLimit::EndOldest };
        let sign_ins =
            filings.iter().zip(stores.iter().cycle()).map(|(filing, store)| file(store, filing, Some(limit)));
        let mut reported = Vec::new();
        for inserted in futures_util::future::join_all(sign_ins).await {
            let Inserted::Done { ended } = inserted.unwrap() else { panic!("room is made for everybody") };
            reported.extend(ended.into_iter().inspect(|one| assert_eq!(one.reason, EndReason::SessionLimit)));
        }
        assert_eq!(reported.len(), 59);
        let mut live = 0;
        for filing in &filings {
            live += usize::from(is_live(&stores[0], filing).await.unwrap());
        }
        assert_eq!(live, 5);
    });
}
