//! `audit verify` and `audit export`, as somebody types them.

use std::sync::Arc;

use cloakroom::{Actor, Device, ManualClock, OsRandom, PrincipalId, Timestamp};
use cloakroom_audit::{AuditRow, Draft, EventObject, Follower, Head};
use cloakroom_server::audit;
use cloakroom_server::config::{Loaded, Sources};

use crate::cli::Desk;

const AT: Timestamp = Timestamp::from_millis(1_767_268_800_000);

/// A desk with a log of so many events, written as the server writes it.
fn desk(events: u64) -> Desk {
    let desk = Desk::new();
    desk.add("alice");
    let text = format!("data_dir = {:?}", desk.path("cloakroom-data"));
    let config = Loaded::from_sources(&Sources::of_text(&text)).unwrap().config;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let clock = Arc::new(ManualClock::at(AT));
        let log = audit::open(&config, clock, Arc::new(OsRandom)).await.unwrap();
        audit::during(&log, async {
            for n in 1..=events {
                let device = Device::new()
                    .with_ip([203, 0, 113, 9].into())
                    .with_user_agent("=cmd|' /C calc'!A0, \"x\"");
                let draft = Draft::new(
                    if n % 2 == 0 { "session_created" } else { "session_logout" },
                    AT.plus(std::time::Duration::from_secs(n)),
                )
                .about(Some(PrincipalId::new(if n % 10 == 0 { "bob" } else { "alice" }).unwrap()))
                .by(Actor::Service("@shop".into()))
                .from_device(Some(device))
                .with("n", n)
                .with("note", "two\nlines, ä");
                log.note(draft);
            }
        })
        .await;
    });
    desk
}

fn tamper(desk: &Desk, sql: &str) {
    let path = desk.path("cloakroom-data/accounts.db");
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

/// How many events there were before those of [`desk`]: what was done at the command line.
fn earlier(desk: &Desk) -> u64 {
    let path = desk.path("cloakroom-data/accounts.db");
    let sql = "SELECT min(seq) - 1 FROM audit_events WHERE actor_kind = 'service'";
    rusqlite::Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_log_is_checked_and_what_is_known_of_it_is_said() {
    let none = Desk::new().run(&["audit", "verify"]);
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.contains("there is no audit log yet"), "{none:?}");

    let desk = desk(25);
    let last = earlier(&desk) + 25;
    let run = desk.run(&["audit", "verify"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains(&format!("is intact: {last} events, from 1 (")), "{run:?}");
    assert!(run.stdout.contains(&format!("Sealed up to event {last}; all of it.")), "{run:?}");
    assert!(run.stdout.contains("(this node)"), "{run:?}");
    let report = desk.run(&["audit", "verify", "--json"]).json();
    assert_eq!((&report["intact"], &report["events"]), (&true.into(), &last.into()));
    assert_eq!(report["sealed_through"], last);
}

#[test]
fn a_log_that_was_changed_fails_with_the_event_by_name() {
    let desk = desk(25);
    let base = earlier(&desk);
    let (one, last) = (base + 7, base + 25);
    tamper(&desk, &format!("UPDATE audit_events SET principal = 'mallory' WHERE seq = {one}"));
    let run = desk.run(&["audit", "verify"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains(&format!("event {one} was changed")) && run.stdout.is_empty(), "{run:?}");
    let run = desk.run(&["audit", "verify", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, &report["intact"], &report["seq"]), (Some(1), &false.into(), &one.into()));

    // The end cut off, with every seal: what is kept beside the key remembers.
    tamper(&desk, &format!("UPDATE audit_events SET principal = 'alice' WHERE seq = {one}"));
    assert_eq!(desk.run(&["audit", "verify"]).code, Some(0));
    tamper(&desk, &format!("DELETE FROM audit_events WHERE seq > {}; DELETE FROM audit_seals", base + 20));
    let run = desk.run(&["audit", "verify"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains(&format!("event {last} is missing: key")), "{run:?}");
}

#[test]
fn an_export_can_be_checked_without_the_database() {
    let desk = desk(2_500);
    let run = desk.run(&["audit", "export"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let mut follower = Follower::from(Head::START);
    for line in run.stdout.lines() {
        let event: EventObject = serde_json::from_str(line).unwrap();
        follower.check(&AuditRow::try_from(event).unwrap()).unwrap();
    }
    let base = earlier(&desk);
    assert_eq!(follower.head().seq, base + 2_500);

    let since = AT.plus(std::time::Duration::from_secs(11)).to_string();
    let until = AT.plus(std::time::Duration::from_secs(31)).to_string();
    let part = ["audit", "export", "--since", &since, "--until", &until];
    assert_eq!(desk.run(&part).stdout.lines().count(), 20);
    let of_bob = desk.run(&[&part[..], &["--principal", "bob"]].concat());
    assert_eq!(of_bob.stdout.lines().count(), 2);
    let of_kind = desk.run(&[&part[..], &["--event", "session_log*"]].concat());
    assert_eq!(of_kind.stdout.lines().count(), 10);
}

#[test]
fn a_table_cell_is_never_a_formula() {
    let desk = desk(3);
    let run = desk.run(&["audit", "export", "--format", "csv", "--event", "session_logout"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.starts_with("seq,at,event,principal,session,actor_kind,"), "{run:?}");
    assert!(run.stdout.contains("\"'=cmd|' /C calc'!A0, \"\"x\"\"\""), "{run:?}");
    assert!(run.stdout.contains(",\"'@shop\","), "{run:?}");
    assert_eq!(run.stdout.lines().count(), 3, "a line end within a text stands in JSON's way: {run:?}");
}
