//! Whatever makes a server forget: whoever had read what is gone is told so, and nothing is passed by in silence.

use std::time::Duration;

use cloakroom_conformance::{Ends, past};
use cloakroom_core::Timestamp;
use cloakroom_servers::Redis;
use cloakroom_store::{ErrorKind, Place, Reading, RevocationList as _};

use super::super::{eventually, run, sentences};
use super::{Copy, open};

#[test]
fn a_list_that_was_emptied_and_grew_past_a_place_does_not_know_the_place() {
    let server = Redis::start().unwrap();
    run(async {
        let (list, mut ends) = (open(&server.url()).await, Ends::new(1));
        list.add(&ends.some(3)).await.unwrap();
        let mut copy = Copy::of(&list).await;
        let first = Place { number: copy.numbers[0], nonce: copy.known[0].nonce };
        for emptied in [&["FLUSHALL"][..], &["FLUSHALL", "ASYNC"], &["DEL", "cloakroom:ends:list"]] {
            server.command(emptied).unwrap();
            for _ in 0..2 {
                assert!(!copy.read(&list).await.unwrap(), "empty, then grown past it: {emptied:?}");
                assert_eq!(list.read(first, 10).await.unwrap(), Reading::Lost);
                list.add(&ends.some(5)).await.unwrap();
            }
            let before = copy.place.number;
            copy = Copy::of(&list).await;
            assert_eq!(copy.known.len(), 10);
            assert!(copy.numbers.iter().all(|number| *number > before), "no number is given twice");
        }
    });
}

#[test]
fn an_entry_that_is_added_again_with_its_old_nonce_is_not_at_its_old_place() {
    let server = Redis::start().unwrap();
    run(async {
        let (list, mut ends) = (open(&server.url()).await, Ends::new(1));
        let known = ends.some(10);
        list.add(&known).await.unwrap();
        let mut copy = Copy::of(&list).await;
        server.command(&["FLUSHALL"]).unwrap();
        // Somebody was signed out before another node had offered what it knew of the rest.
        let unheard = ends.next_entry();
        list.add(std::slice::from_ref(&unheard)).await.unwrap();
        list.add(&known[1..]).await.unwrap();
        assert!(!copy.read(&list).await.unwrap(), "else it would never hear of the first one");
        assert!(Copy::of(&list).await.known.contains(&unheard));
    });
}

#[test]
fn a_backup_that_is_restored_and_goes_on_is_not_taken_for_what_followed_it() {
    let server = Redis::start().unwrap();
    run(async {
        let (list, mut ends) = (open(&server.url()).await, Ends::new(1));
        list.add(&ends.some(4)).await.unwrap();
        let mut early = Copy::of(&list).await;
        server.command(&["COPY", "cloakroom:ends:list", "backup"]).unwrap();
        list.add(&ends.some(3)).await.unwrap();
        let mut late = Copy::of(&list).await;
        server.command(&["COPY", "backup", "cloakroom:ends:list", "REPLACE"]).unwrap();
        assert!(!late.read(&list).await.unwrap(), "what it has read is gone");
        list.add(&ends.some(3)).await.unwrap();
        assert!(!late.read(&list).await.unwrap(), "there is as much as before, and it is something else");
        assert!(early.read(&list).await.unwrap());
        assert_eq!(early.known, Copy::of(&list).await.known);
        assert_eq!(early.known.len(), 7);
    });
}

#[test]
fn a_clock_that_is_set_back_or_absurd_numbers_nothing_twice() {
    let server = Redis::start().unwrap();
    run(async {
        let (list, mut ends) = (open(&server.url()).await, Ends::new(1));
        // What a server left that was ahead by a century, and one whose clock was beyond everything.
        for ahead in [2_u64.pow(51), 2_u64.pow(53) - 1_000] {
            let entry = ends.next_entry();
            let mut member = [b"L".as_slice(), &ahead.to_be_bytes(), &entry.nonce.to_be_bytes()].concat();
            cloakroom_store::encode_entry(&entry, &mut member).unwrap();
            plant(&server, &member);
            list.add(&ends.some(2)).await.unwrap();
            let copy = Copy::of(&list).await;
            assert_eq!(copy.numbers[copy.numbers.len() - 3..], [ahead, ahead + 1, ahead + 2]);
        }
        let error = list.add(&ends.some(2_000)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "rather than two of one number");
    });
}

/// Puts a member into the list, as the server's own client does.
fn plant(server: &Redis, member: &[u8]) {
    let hex: String = member.iter().map(|byte| format!("{byte:02x}")).collect();
    let script = "redis.call('ZADD', KEYS[1], 0, (string.gsub(ARGV[1], '..', function(two) return \
                  string.char(tonumber(two, 16)) end)))";
    server.command(&["EVAL", script, "1", "cloakroom:ends:list", &hex]).unwrap();
}

#[test]
fn an_entry_that_is_damaged_is_an_error_and_not_passed_by() {
    let server = Redis::start().unwrap();
    run(async {
        let (list, mut ends) = (open(&server.url()).await, Ends::new(1));
        list.add(&ends.some(2)).await.unwrap();
        let place = Copy::of(&list).await.place;
        plant(&server, &[b"L".as_slice(), &(place.number + 1).to_be_bytes(), b"damaged!", b"\x01"].concat());
        list.add(&ends.some(2)).await.unwrap();
        for from in [Place::START, place] {
            assert_eq!(list.read(from, 100).await.unwrap_err().kind(), ErrorKind::Corrupt);
        }
    });
}

#[test]
fn a_restart_with_a_file_forgets_nothing_and_one_without_is_said() {
    let server = Redis::start().unwrap();
    run(async {
        let (list, mut ends) = (open(&server.url()).await, Ends::new(1));
        assert!(list.standing().durable && list.standing().shared);
        list.add(&ends.some(3)).await.unwrap();
        let mut copy = Copy::of(&list).await;
        server.kill();
        let error = copy.read(&list).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let error = list.add(&ends.some(1)).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, cloakroom_store::Applied::No));
        server.restart().unwrap();
        eventually("the list", || list.ping()).await;
        assert!(copy.read(&list).await.unwrap());
        list.add(&ends.some(1)).await.unwrap();
        assert!(copy.read(&list).await.unwrap());
        assert_eq!(copy.known.len(), 4);
    });
    let server = Redis::start_with(&["--appendonly", "no"]).unwrap();
    run(async {
        let (list, mut ends) = (open(&server.url()).await, Ends::new(1));
        assert!(!list.standing().durable);
        let warnings = sentences(&list.facts().await.unwrap().warnings_of_list());
        assert!(warnings.contains("set appendonly yes"), "{warnings}");
        list.add(&ends.some(3)).await.unwrap();
        let mut copy = Copy::of(&list).await;
        server.kill();
        server.restart().unwrap();
        eventually("the list", || list.ping()).await;
        assert!(!copy.read(&list).await.unwrap(), "empty");
        list.add(&ends.some(4)).await.unwrap();
        assert!(!copy.read(&list).await.unwrap(), "another one");
    });
}

#[test]
fn a_list_that_was_evicted_is_lost_as_a_whole_and_never_in_part() {
    let server = Redis::start_with(&["--maxmemory", "4mb", "--maxmemory-policy", "allkeys-random"]).unwrap();
    run(async {
        let (list, mut ends) = (open(&server.url()).await, Ends::new(1));
        assert!(!list.standing().durable);
        let warnings = sentences(&list.facts().await.unwrap().warnings_of_list());
        assert!(warnings.contains("the whole list of ends"), "{warnings}");
        let mut losses = 0;
        while losses < 5 {
            list.add(&ends.some(20)).await.unwrap();
            let mut copy = Copy::of(&list).await;
            let known = copy.known.clone();
            while copy.read(&list).await.unwrap() {
                assert_eq!(copy.known, known, "nobody adds: all of it, or nothing");
                // Another tenant of the server.
                let fill = "for i = 1, 500 do redis.call('SET', KEYS[1] .. math.random(1e9), string.rep('x', 500)) end";
                let _ = server.command(&["EVAL", fill, "1", "other:"]);
            }
            losses += 1;
            assert_eq!(Copy::of(&list).await.known, [], "nothing is left of it");
        }
    });
}

#[test]
fn a_full_server_still_takes_ends_down_and_forgets_none() {
    let server = Redis::start_with(&["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]).unwrap();
    run(async {
        let (list, mut ends) = (open(&server.url()).await, Ends::new(1));
        let fill = "for i = 1, 50 do redis.call('SET', KEYS[1] .. ARGV[1] .. i, string.rep('x', 5000)) end";
        let mut round = 0;
        while server.command(&["EVAL", fill, "1", "other:", &format!("{round}:")]).is_ok() {
            round += 1;
        }
        assert!(server.command(&["SET", "other:more", "x"]).is_err(), "nothing else fits");
        let entries = ends.some(10);
        list.add(&entries).await.unwrap();
        assert_eq!(Copy::of(&list).await.known, entries);
        list.ping().await.unwrap();
        list.prune(past(0), 10).await.unwrap();
    });
}

#[test]
fn what_is_over_goes_and_the_newest_stays_as_the_place_of_whoever_has_read_it() {
    let server = Redis::start().unwrap();
    run(async {
        let (list, mut ends) = (open(&server.url()).await, Ends::new(1));
        let (lasting, over) = (ends.next_entry(), ends.over_at(past(5)));
        list.add(&[over.clone(), lasting.clone(), ends.over_at(past(3)), over.clone()]).await.unwrap();
        let mut copy = Copy::of(&list).await;
        assert_eq!(list.prune(past(2), 10).await.unwrap(), 0);
        assert_eq!(list.prune(past(4), 10).await.unwrap(), 1);
        assert_eq!(list.prune(past(5), 10).await.unwrap(), 1);
        assert_eq!(
            list.prune(past(5).plus(Duration::from_secs(9)), 10).await.unwrap(),
            0,
            "the newest stays"
        );
        assert!(copy.read(&list).await.unwrap());
        assert_eq!(Copy::of(&list).await.known, [lasting.clone(), over]);
        let next = ends.next_entry();
        list.add(std::slice::from_ref(&next)).await.unwrap();
        assert!(copy.read(&list).await.unwrap());
        assert_eq!(list.prune(past(5), 1).await.unwrap(), 1);
        assert_eq!(Copy::of(&list).await.known, [lasting, next]);
    });
}

#[test]
fn a_node_whose_clock_is_ahead_makes_nobody_forget() {
    let server = Redis::start().unwrap();
    run(async {
        let (list, mut ends) = (open(&server.url()).await, Ends::new(1));
        let year_3000 = Timestamp::from_millis(32_503_680_000_000);
        let entries = [ends.over_at(year_3000), ends.over_at(past(0)), ends.over_at(year_3000)];
        list.add(&entries).await.unwrap();
        for ahead in [year_3000, Timestamp::from_millis(i64::MAX)] {
            list.prune(ahead, 10).await.unwrap();
            assert_eq!(Copy::of(&list).await.known, [entries[0].clone(), entries[2].clone()]);
        }
        for behind in [i64::MIN, -1, 0, 1] {
            assert_eq!(list.prune(Timestamp::from_millis(behind), 10).await.unwrap(), 0);
        }
    });
}
