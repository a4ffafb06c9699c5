//! What is told, and what is not.

use std::num::NonZeroU32;
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0, at, principal_id};
use cloakroom_core::{OnLimit, SessionLimit};
use cloakroom_redis::RedisStore;
use cloakroom_servers::{Authority, Redis};
use cloakroom_store::{
    ErrorKind, Feed, Inserted, Parts, RekeyRequest, Rekeyed, ReplaceRequest, Replaced, Selector, Store as _,
    SweepRequest, Version,
};

use super::super::{alice, end, end_one, file, file_all, is_live, lasting, open, run, sentences, touch};
use super::{Recorder, part, watched, watched_by};

/// What happens between two proofs has been told when the second one is there.
async fn proven(feed: &dyn Feed) {
    assert_eq!(feed.prove().await.unwrap(), Parts::ALL);
}

#[test]
fn each_verb_that_changes_or_ends_a_session_is_told_and_none_other() {
    let server = Redis::start().unwrap();
    run(async {
        let (store, recorder, feed) = watched(&server.url()).await;
        proven(&*feed).await;
        assert_eq!(recorder.times(), 0, "nothing has happened yet");
        let other = open(&server.url()).await;
        let mut fixtures = Fixtures::new(1);
        let filings: Vec<Filing> = (0..8).map(|_| alice(&mut fixtures)).collect();
        file_all(&other, &filings).await;
        proven(&*feed).await;
        recorder.clear();

        touch(&other, &filings[0], at(1)).await.unwrap();
        assert!(is_live(&other, &filings[0]).await.unwrap());
        other.count(at(1)).await.unwrap();
        other.ping().await.unwrap();
        other.sweep(SweepRequest { now: at(1), limit: 100, lease: Duration::from_secs(1) }).await.unwrap();
        proven(&*feed).await;
        assert_eq!(recorder.times(), 0, "activity and questions are no news");

        for handle in [&store, &other] {
            check_changes(handle, &recorder, &*feed, &mut fixtures).await;
        }
        for (selector, gone) in [
            (Selector::One(filings[0].id()), &filings[..1]),
            (
                Selector::Principal { principal: principal_id("alice"), except: Some(filings[1].id()) },
                &filings[2..],
            ),
            (Selector::IssuedBefore(at(1)), &filings[1..2]),
            (Selector::All, &filings[..0]),
        ] {
            recorder.clear();
            end(&other, selector.clone(), at(2)).await.unwrap();
            proven(&*feed).await;
            for filing in gone {
                assert!(recorder.count(filing.digest) > 0, "{selector:?}");
            }
            if matches!(selector, Selector::All | Selector::IssuedBefore(_)) {
                assert_eq!(recorder.anything(), Parts::ALL, "{selector:?}");
            } else {
                assert_eq!(recorder.anything(), Parts::NONE, "{selector:?} is told by name");
            }
        }
    });
}

async fn check_changes(store: &RedisStore, recorder: &Recorder, feed: &dyn Feed, fixtures: &mut Fixtures) {
    let filing = lasting(fixtures.signed_in("bob"));
    file(store, &filing, None).await.unwrap();
    proven(feed).await;
    recorder.clear();
    let request =
        ReplaceRequest { digest: filing.digest, version: Version::FIRST, record: &filing.record, now: T0 };
    assert!(matches!(store.replace(request).await.unwrap(), Replaced::Done(_)));
    proven(feed).await;
    assert_eq!(recorder.changed(filing.digest), 1, "a replaced record");

    recorder.clear();
    let next = filing.rotated(fixtures.next_digest(&filing), at(1));
    let request = RekeyRequest {
        old: filing.digest,
        new: next.digest,
        version: Version::from_u64(2),
        record: &next.record,
        now: at(1),
    };
    assert!(matches!(store.rekey(request).await.unwrap(), Rekeyed::Done(_)));
    proven(feed).await;
    assert_eq!(recorder.changed(filing.digest), 1, "an exchanged token");

    recorder.clear();
    let limit = SessionLimit { max: NonZeroU32::MIN, on_limit: OnLimit::EndOldest };
    let newcomer = lasting(fixtures.signed_in("bob"));
    let Inserted::Done { ended } = file(store, &newcomer, Some(limit)).await.unwrap() else {
        panic!("room is made")
    };
    assert_eq!(ended.len(), 1);
    proven(feed).await;
    assert_eq!(recorder.changed(next.digest), 1, "whom a limit put out");
    end_one(store, &newcomer).await.unwrap();
}

#[test]
fn what_happens_behind_the_stores_back_is_told() {
    let server = Redis::start().unwrap();
    run(async {
        let (store, recorder, feed) = watched(&server.url()).await;
        let mut fixtures = Fixtures::new(1);
        let filing = alice(&mut fixtures);
        file_all(&store, std::slice::from_ref(&filing)).await;
        let entry =
            server.command(&["GETRANGE", &format!("cloakroom:session:{}", filing.id()), "0", "45"]).unwrap();
        let record = format!("cloakroom:record:{}", entry.trim());
        proven(&*feed).await;
        for words in [
            vec!["SETRANGE", &record, "200", "x"],
            vec!["RENAME", &record, "elsewhere"],
            vec!["RENAME", "elsewhere", &record],
            vec!["PEXPIRE", &record, "1000000"],
            vec!["DEL", &record],
            vec!["DEL", "cloakroom:epoch:current"],
            vec!["FLUSHDB"],
            vec!["FLUSHALL"],
            vec!["FLUSHALL", "ASYNC"],
        ] {
            recorder.clear();
            server.command(&words).unwrap();
            proven(&*feed).await;
            assert!(recorder.count(filing.digest) > 0, "{words:?}");
        }
        recorder.clear();
        server.command(&["SCRIPT", "FLUSH"]).unwrap();
        server.command(&["SET", "cloakroom:another", "1"]).unwrap();
        server.command(&["SET", "cloakroom:record:no-digest", "1"]).unwrap();
        proven(&*feed).await;
        assert_eq!(recorder.times(), 0, "nothing of that is a session's");
        // Native expiry.
        let filing = alice(&mut fixtures);
        file_all(&store, std::slice::from_ref(&filing)).await;
        let entry =
            server.command(&["GETRANGE", &format!("cloakroom:session:{}", filing.id()), "0", "45"]).unwrap();
        let record = format!("cloakroom:record:{}", entry.trim());
        proven(&*feed).await;
        recorder.clear();
        server.command(&["PEXPIRE", &record, "1"]).unwrap();
        super::eventually_told("a record that ran out", || recorder.changed(filing.digest) >= 2).await;
    });
}

#[test]
fn where_a_key_was_lost_by_which_a_session_is_found_its_end_is_told_all_the_same() {
    let server = Redis::start().unwrap();
    run(async {
        let (store, recorder, feed) = watched(&server.url()).await;
        let mut fixtures = Fixtures::new(1);
        for (lost, selector) in
            [("session", "one"), ("session", "principal"), ("principal", "one"), ("principal", "principal")]
        {
            server.command(&["FLUSHALL"]).unwrap();
            let filing = alice(&mut fixtures);
            file_all(&store, std::slice::from_ref(&filing)).await;
            let key = match lost {
                "session" => format!("cloakroom:session:{}", filing.id()),
                _ => "cloakroom:principal:alice".to_owned(),
            };
            assert_eq!(server.command(&["DEL", &key]).unwrap().trim(), "1");
            proven(&*feed).await;
            recorder.clear();
            let selector = match selector {
                "one" => Selector::One(filing.id()),
                _ => Selector::Principal { principal: principal_id("alice"), except: None },
            };
            end(&store, selector.clone(), T0).await.unwrap();
            proven(&*feed).await;
            assert!(recorder.count(filing.digest) > 0, "{lost} lost, {selector:?} ended");
            assert!(recorder.anything().without(Parts::one(part(&filing))).is_empty(), "no other part");
        }
        // Nobody ends it: whoever still uses it from a copy tells of its activity, and hears that it is gone.
        for lost in ["session", "principal"] {
            let filing = lasting(fixtures.signed_in("bob"));
            file_all(&store, std::slice::from_ref(&filing)).await;
            let key = match lost {
                "session" => format!("cloakroom:session:{}", filing.id()),
                _ => "cloakroom:principal:bob".to_owned(),
            };
            server.command(&["DEL", &key]).unwrap();
            proven(&*feed).await;
            recorder.clear();
            assert_eq!(touch(&store, &filing, at(1)).await.unwrap().ignored, 1);
            proven(&*feed).await;
            assert_eq!(recorder.changed(filing.digest), 1, "{lost} lost");
        }
        // Nothing is left of what was announced.
        assert_eq!(server.command(&["KEYS", "cloakroom:news:*"]).unwrap().trim(), "");
    });
}

#[test]
fn whatever_eviction_takes_is_told_also_keys_that_are_not_followed_by_name() {
    let server = Redis::start_with(&["--maxmemory", "3mb", "--maxmemory-policy", "allkeys-random"]).unwrap();
    run(async {
        let (store, recorder, feed) = watched(&server.url()).await;
        let mut fixtures = Fixtures::new(1);
        let evicted = || server.info("evicted_keys").unwrap().trim().parse::<u64>().unwrap();
        for _ in 0..20_000 {
            let filing = lasting(fixtures.signed_in("alice")).with_attribute("cart", vec![7; 1_000]);
            let _ = file(&store, &filing, None).await;
            if evicted() > 100 {
                break;
            }
        }
        assert!(evicted() > 100, "a server with a limit removes something at some time");
        proven(&*feed).await;
        // Only keys that nobody follows are removed now, and some of them.
        for number in 0..50_000 {
            recorder.clear();
            let before = evicted();
            server.command(&["SET", &format!("another:{number}"), &"x".repeat(1_000)]).unwrap();
            if evicted() > before {
                proven(&*feed).await;
                assert_eq!(recorder.anything(), Parts::ALL);
                return;
            }
        }
        panic!("a full server removes something for what is new");
    });
}

#[test]
fn whoever_may_not_follow_changes_is_told_what_to_allow_and_keeps_a_store_that_works() {
    let rights: Vec<&str> = include_str!("../rights.txt").split_whitespace().collect();
    let allowed = ["--user", "shop", "on", ">s3cret"].into_iter().chain(rights.iter().copied());
    let denied = ["--user", "deaf", "on", ">s3cret"]
        .into_iter()
        .chain(rights.iter().copied().filter(|right| *right != "+client|tracking"));
    let options: Vec<&str> = allowed.chain(denied).collect();
    let server = Redis::start_with(&options).unwrap();
    run(async {
        let as_user = |user: &str| server.url().replace("redis://", &format!("redis://{user}:s3cret@"));
        let (_store, _recorder, feed) = watched(&as_user("shop")).await;
        proven(&*feed).await;
        let store = open(&as_user("deaf")).await;
        let error = store.watch(std::sync::Arc::new(Recorder::default())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("+client|tracking"), "{cause}");
        let filing = alice(&mut Fixtures::new(1));
        file_all(&store, std::slice::from_ref(&filing)).await;
        assert!(is_live(&store, &filing).await.unwrap());
        let warnings = sentences(&store.facts().await.unwrap().warnings());
        assert!(warnings.contains("nothing is cached"), "{warnings}");
        let warnings = sentences(&open(&as_user("shop")).await.facts().await.unwrap().warnings());
        assert!(!warnings.contains("nothing is cached"), "{warnings}");
        // Who loses the right to be asked for proofs gets none any more.
        server.command(&["ACL", "SETUSER", "shop", "-ping"]).unwrap();
        feed.prove().await.unwrap_err();
        server.command(&["ACL", "SETUSER", "shop", "+ping"]).unwrap();
        proven(&*feed).await;
    });
}

#[test]
fn news_come_over_tls_too() {
    let authority = Authority::new().unwrap();
    let server = Redis::start_tls(&authority, &[]).unwrap();
    let file_of_authority =
        std::env::temp_dir().join(format!("cloakroom-redis-feed-{}.pem", std::process::id()));
    std::fs::write(&file_of_authority, authority.certificate_pem()).unwrap();
    run(async {
        let url = format!("{}?ca_file={}", server.url(), file_of_authority.display());
        let (_store, recorder, feed) = watched(&url).await;
        let (writer, filing) = (open(&url).await, alice(&mut Fixtures::new(1)));
        file_all(&writer, std::slice::from_ref(&filing)).await;
        for _ in 0..100 {
            proven(&*feed).await;
            recorder.clear();
            touch(&writer, &filing, at(1)).await.unwrap();
            proven(&*feed).await;
            assert_eq!(recorder.times(), 0);
            end_one(&writer, &filing).await.unwrap();
            proven(&*feed).await;
        }
    });
    std::fs::remove_file(file_of_authority).unwrap();
}

#[test]
fn stores_with_other_prefixes_and_observers_of_one_store_hear_what_is_theirs() {
    let server = Redis::start().unwrap();
    run(async {
        let (first, first_heard, first_feed) = watched(&server.url()).await;
        let again = std::sync::Arc::new(Recorder::default());
        let again_feed = first.watch(std::sync::Arc::<Recorder>::clone(&again)).await.unwrap();
        let (second, second_heard, second_feed) =
            watched(&format!("{}?prefix=cloakroom:eu", server.url())).await;
        let filing = alice(&mut Fixtures::new(1));
        file_all(&first, std::slice::from_ref(&filing)).await;
        file_all(&second, std::slice::from_ref(&filing)).await;
        for feed in [&first_feed, &again_feed, &second_feed] {
            proven(&**feed).await;
        }
        for recorder in [&first_heard, &again, &second_heard] {
            recorder.clear();
        }
        end_one(&second, &filing).await.unwrap();
        for feed in [&first_feed, &again_feed, &second_feed] {
            proven(&**feed).await;
        }
        assert_eq!((first_heard.times(), again.times(), second_heard.changed(filing.digest)), (0, 0, 1));
        // Whoever drops a feed is told nothing any more, and the others are.
        drop(again_feed);
        end_one(&first, &filing).await.unwrap();
        proven(&*first_feed).await;
        assert_eq!((first_heard.changed(filing.digest), again.times()), (1, 0));
    });
}

#[test]
fn a_proof_costs_two_small_commands_and_a_watch_outlives_its_store() {
    let server = Redis::start().unwrap();
    run(async {
        let (store, recorder, feed) = watched_by(open(&server.url()).await).await;
        let filing = alice(&mut Fixtures::new(1));
        file_all(&store, std::slice::from_ref(&filing)).await;
        proven(&*feed).await;
        drop(store);
        recorder.clear();
        let count = || server.info("total_commands_processed").unwrap().trim().parse::<u64>().unwrap();
        let before = count();
        for _ in 0..100 {
            proven(&*feed).await;
        }
        let asked = count() - before;
        assert!(asked <= 200 + 5, "{asked} commands for a hundred proofs");
        end_one(&open(&server.url()).await, &filing).await.unwrap();
        proven(&*feed).await;
        assert_eq!(recorder.changed(filing.digest), 1);
    });
}
