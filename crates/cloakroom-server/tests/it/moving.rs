//! `store migrate` and `store check`, as somebody types them.

use std::process::Stdio;

use cloakroom::{
    Activity, AuthLevel, Authentication, EndReason, Issue, Issued, Method, Principal, PrincipalId,
    Revocation, Selector, Sessions, Validation,
};
use cloakroom_sqlite::{SqliteOptions, SqliteStore};

use crate::cli::Desk;

const MOVE: [&str; 6] = ["store", "migrate", "--from", "sqlite:old.db", "--to", "sqlite:new.db"];

fn engine(desk: &Desk, file: &str) -> Sessions {
    Sessions::builder(SqliteStore::open(SqliteOptions::new(desk.path(file))).unwrap()).build().unwrap()
}

async fn sign_in(sessions: &Sessions, name: &str) -> Issued {
    let proof = Authentication::new(AuthLevel::One, Method::password(), sessions.now());
    let issue = Issue::signed_in(Principal::new(PrincipalId::new(name).unwrap()), proof);
    sessions.issue(issue).await.unwrap().expect_issued()
}

async fn populated(desk: &Desk, count: usize) -> Vec<Issued> {
    let sessions = engine(desk, "old.db");
    let mut issued = Vec::new();
    for index in 0..count {
        issued.push(sign_in(&sessions, &format!("user{index}")).await);
    }
    let first = Selector::One(issued[0].session.id());
    sessions.revoke(&first, Revocation::by_system(EndReason::Compromised)).await.unwrap();
    issued
}

/// The new store knows all that the old one knew.
async fn check(desk: &Desk, issued: &[Issued]) {
    let sessions = engine(desk, "new.db");
    for (index, issued) in issued.iter().enumerate() {
        match sessions.validate(&issued.token, Activity::Ignored).await.unwrap() {
            Validation::Ended(tombstone) if index == 0 => {
                assert_eq!(tombstone.reason, EndReason::Compromised)
            }
            Validation::Active(session) if index > 0 => assert_eq!(session.id(), issued.session.id()),
            other => panic!("session {index}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn every_session_moves_and_that_is_proved_and_told() {
    let desk = Desk::new();
    let issued = populated(&desk, 40).await;
    let report = desk.run(&[&MOVE[..], &["--json"]].concat()).json();
    assert_eq!(report["verified"], true, "{report}");
    assert_eq!(
        (&report["moved"]["sessions"], &report["moved"]["tombstones"]),
        (&39.into(), &1.into()),
        "{report}"
    );
    assert_eq!(
        (&report["old"]["signed_in"], &report["new"]["signed_in"]),
        (&0.into(), &39.into()),
        "{report}"
    );
    check(&desk, &issued).await;
    let again = desk.run(&MOVE);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.contains("Moved 0 sessions, 0 tombstones"), "idempotent: {}", again.stdout);
    assert!(
        again.stdout.contains("The old store has 0 live sessions left, the new one 39 live sessions."),
        "{}",
        again.stdout
    );
    assert!(!desk.path("cloakroom-data/store-migration.json").exists(), "nothing is left behind");
}

#[tokio::test]
async fn a_move_that_was_killed_goes_on_where_it_stopped() {
    let desk = Desk::new();
    let issued = populated(&desk, 600).await;
    let file = desk.path("cloakroom-data/store-migration.json");
    let mut child = desk.command(&MOVE).stdin(Stdio::null()).spawn().unwrap();
    // Killed as soon as the first page is through.
    while !file.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it was still at it");
        tokio::task::yield_now().await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // Meanwhile people go on, on servers that know both.
    let desk_config = "store = \"sqlite:new.db\"\nstore_moving_from = \"sqlite:old.db\"\n";
    std::fs::write(desk.path("cloakroom.toml"), desk_config).unwrap();
    let id = issued[1].session.id().to_string();
    let revoked = desk.run(&["sessions", "revoke", &id, "--reason", "compromised"]);
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    let listed = desk.run(&["sessions", "list", "--json"]).json();
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 598, "each once, wherever it is");

    let finished = desk.run(&["store", "migrate"]);
    assert_eq!(finished.code, Some(0), "the configuration names both: {finished:?}");
    let sessions = engine(&desk, "new.db");
    let one = sessions.validate(&issued[1].token, Activity::Ignored).await.unwrap();
    assert!(matches!(&one, Validation::Ended(t) if t.reason == EndReason::Compromised), "{one:?}");
    drop(sessions);
    let rest: Vec<Issued> =
        issued.into_iter().enumerate().filter(|(index, _)| *index != 1).map(|(_, i)| i).collect();
    check(&desk, &rest).await;
}

#[tokio::test]
async fn a_store_that_sessions_were_moved_away_from_takes_none_back_and_says_so() {
    let desk = Desk::new();
    let issued = populated(&desk, 5).await;
    assert_eq!(desk.run(&MOVE).code, Some(0));
    let back = desk.run(&["store", "migrate", "--from", "sqlite:new.db", "--to", "sqlite:old.db"]);
    assert_eq!((back.code, back.stdout.as_str()), (Some(1), ""), "{back:?}");
    assert!(back.stderr.contains("moved away from sqlite:old.db before"), "{back:?}");
    check(&desk, &issued).await;
    // Another place takes them.
    let on = desk
        .run(&["store", "migrate", "--from", "sqlite:new.db", "--to", "sqlite:third.db", "--json"])
        .json();
    assert_eq!(on["moved"]["sessions"], 4, "{on}");
}

#[test]
fn a_move_that_would_sign_people_out_of_running_servers_is_refused() {
    let desk = Desk::configured("store = \"sqlite:old.db\"\n");
    drop(engine(&desk, "old.db"));
    let refused = desk.run(&MOVE);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("know sqlite:old.db alone") && refused.stderr.contains("store_moving_from"),
        "{refused:?}"
    );
    assert!(!desk.path("new.db").exists());
    assert_eq!(desk.run(&[&MOVE[..], &["--offline"]].concat()).code, Some(0));
    // The other way round than the servers move.
    let swapped = "store = \"sqlite:old.db\"\nstore_moving_from = \"sqlite:new.db\"\n";
    std::fs::write(desk.path("cloakroom.toml"), swapped).unwrap();
    let refused = desk.run(&MOVE);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("move from sqlite:new.db to sqlite:old.db"),
        "{refused:?}"
    );
}

#[test]
fn what_cannot_be_moved_is_refused_before_anything_happens() {
    let desk = Desk::new();
    for (args, code, cause) in [
        (&["store", "migrate"][..], 2, "nothing says where sessions live now"),
        (&["store", "migrate", "--from", "sqlite:a", "--to", "sqlite:a"], 2, "both addresses are the same"),
        (&["store", "migrate", "--from", "memory:", "--to", "sqlite:a"], 2, "live inside a server"),
        (
            &["store", "migrate", "--from", "sqlite:none.db", "--to", "sqlite:a"],
            1,
            "there is no store at sqlite:none.db",
        ),
        (&["store", "migrate", "--from", "mongodb://x", "--to", "sqlite:a"], 2, "unknown scheme `mongodb`"),
        (&["store", "check", "redis://:hunter2@127.0.0.1:1/x"], 2, "error: "),
    ] {
        let run = desk.run(args);
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""), "{run:?}");
        assert!(run.stderr.contains(cause) && run.stderr.contains("help: "), "{run:?}");
        assert!(!run.stderr.contains("hunter2"), "{run:?}");
    }
    assert!(!desk.path("a").exists() && !desk.path("none.db").exists());
}

#[tokio::test]
async fn a_store_is_tried_out_without_touching_what_is_in_it() {
    let desk = Desk::new();
    let sessions = desk.sessions();
    let alice = sign_in(&sessions, "alice").await;
    let report = desk.run(&["store", "check", "--json"]).json();
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.len() >= 18 && checks.iter().all(|check| check["ok"] == true), "{report:#}");
    assert!(matches!(
        sessions.validate(&alice.token, Activity::Ignored).await.unwrap(),
        Validation::Active(_)
    ));
    assert_eq!(sessions.count().await.unwrap().signed_in, 1, "nothing of it lives on");
    let told = desk.run(&["store", "check"]);
    assert!(told.stdout.contains("What it acknowledged is there after a restart."), "{told:?}");
    assert!(told.stdout.contains("never revives"), "{told:?}");
}
