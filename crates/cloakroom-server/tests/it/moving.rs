//! `store migrate` and `store check`, as somebody types them.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser as _;
use cloakroom::{
    Activity, AuthLevel, Authentication, Clock, EndReason, Issue, Issued, Method, OsRandom, Principal,
    PrincipalId, Renewal, Renewed, Revocation, Selector, SessionId, SessionToken, Sessions, SystemClock,
    Timestamp, Validation,
};
use cloakroom_server::cli::{self, Cli, Host};
use cloakroom_sqlite::{SqliteOptions, SqliteStore};
use futures_util::future::join_all;

use crate::cli::Desk;

const MOVE: [&str; 6] = ["store", "migrate", "--from", "sqlite:old.db", "--to", "sqlite:new.db"];

fn engine(desk: &Desk, file: &str) -> Sessions {
    Sessions::builder(SqliteStore::open(SqliteOptions::new(desk.path(file))).unwrap()).build().unwrap()
}

pub(crate) async fn sign_in(sessions: &Sessions, name: &str) -> Issued {
    let proof = Authentication::new(AuthLevel::One, Method::password(), sessions.now());
    let issue = Issue::signed_in(Principal::new(PrincipalId::new(name).unwrap()), proof);
    sessions.issue(issue).await.unwrap().expect_issued()
}

async fn populated(desk: &Desk, count: usize) -> Vec<Issued> {
    let sessions = engine(desk, "old.db");
    let names: Vec<String> = (0..count).map(|index| format!("user{index}")).collect();
    let issued = join_all(names.iter().map(|name| sign_in(&sessions, name))).await;
    let first = Selector::One(issued[0].session.id());
    sessions.revoke(&first, Revocation::by_system(EndReason::Compromised)).await.unwrap();
    issued
}

/// Sessions of every kind: alive, ended, and with tokens that were exchanged.
pub(crate) struct Crowd {
    pub(crate) alive: Vec<(SessionToken, SessionId)>,
    pub(crate) ended: Vec<SessionToken>,
    pub(crate) exchanged: Vec<(SessionToken, SessionId)>,
}

impl Crowd {
    /// Of every four people that sign in, one is signed out by an administrator, and one has the token exchanged.
    pub(crate) async fn arrive(sessions: &Sessions, count: usize) -> Self {
        let mut crowd = Self { alive: Vec::new(), ended: Vec::new(), exchanged: Vec::new() };
        for index in 0..count {
            let Issued { token, session, .. } = sign_in(sessions, &format!("user{index}")).await;
            let id = session.id();
            match index % 4 {
                1 => {
                    let revocation = Revocation::by_system(EndReason::Compromised);
                    sessions.revoke(&Selector::One(id), revocation).await.unwrap();
                    crowd.ended.push(token);
                }
                2 => match sessions.rotate(&session, Renewal::new()).await.unwrap() {
                    Renewed::Done { token: new, .. } => {
                        crowd.exchanged.push((token, id));
                        crowd.alive.push((new, id));
                    }
                    other => panic!("{other:?}"),
                },
                _ => crowd.alive.push((token, id)),
            }
        }
        crowd
    }

    /// Everybody is what they were, and the ended ones know why.
    pub(crate) async fn check(&self, sessions: &Sessions) {
        for (token, id) in &self.alive {
            let found = sessions.validate(token, Activity::Ignored).await.unwrap();
            assert!(matches!(&found, Validation::Active(session) if session.id() == *id), "{found:?}");
        }
        for token in &self.ended {
            let found = sessions.validate(token, Activity::Ignored).await.unwrap();
            assert!(
                matches!(&found, Validation::Ended(end) if end.reason == EndReason::Compromised),
                "{found:?}"
            );
        }
        for (token, id) in &self.exchanged {
            let found = sessions.validate(token, Activity::Ignored).await.unwrap();
            assert!(matches!(&found, Validation::Retired(retired) if retired.session == *id), "{found:?}");
        }
    }
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
        (&report["moved"]["sessions"], &report["moved"]["tombstones"], &report["resumed"]),
        (&39.into(), &1.into(), &false.into()),
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
    let issued = populated(&desk, 2_000).await;
    let file = desk.path("cloakroom-data/store-migration.json");
    let mut child = desk.command(&MOVE).stdin(Stdio::null()).spawn().unwrap();
    // Killed as soon as the first of four pages is through.
    while !file.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it was still at it");
        tokio::task::yield_now().await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let bookmark: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(bookmark["cursor"].is_string(), "it was in its first pass: {bookmark}");
    // Meanwhile people go on, on servers that know both.
    let desk_config = "store = \"sqlite:new.db\"\nstore_moving_from = \"sqlite:old.db\"\n";
    std::fs::write(desk.path("cloakroom.toml"), desk_config).unwrap();
    let id = issued[1].session.id().to_string();
    let revoked = desk.run(&["sessions", "revoke", &id, "--reason", "compromised"]);
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    let listed = desk.run(&["sessions", "list", "--limit", "5000", "--json"]).json();
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1_998, "each once, wherever it is");

    // The configuration names both.
    let finished = desk.run(&["store", "migrate", "--json"]).json();
    assert_eq!((&finished["verified"], &finished["resumed"]), (&true.into(), &true.into()), "{finished}");
    let count = |name: &str| finished[name].as_u64().unwrap();
    assert!(
        count("looked_at") < count("passes") * count("there_already"),
        "its first pass left out what the other run had moved: {finished}"
    );
    let sessions = engine(&desk, "new.db");
    let one = sessions.validate(&issued[1].token, Activity::Ignored).await.unwrap();
    assert!(matches!(&one, Validation::Ended(t) if t.reason == EndReason::Compromised), "{one:?}");
    drop(sessions);
    let rest: Vec<Issued> =
        issued.into_iter().enumerate().filter(|(index, _)| *index != 1).map(|(_, i)| i).collect();
    check(&desk, &rest).await;
}

/// Runs a command in this process, with this clock, watched by somebody or not.
pub(crate) fn run_here(args: &[String], clock: Arc<dyn Clock>, is_watched: bool) -> (u8, String, String) {
    let cli = Cli::try_parse_from([&["cloakroom".to_owned()], args].concat()).unwrap();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut host = Host {
        environment: Vec::new(),
        clock,
        random: Arc::new(OsRandom),
        cores: 1,
        stdin: &mut std::io::empty(),
        stdout: &mut stdout,
        stderr: &mut stderr,
        is_watched,
        ask: None,
    };
    let code = cli::run(&cli, &mut host).as_u8();
    (code, String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A clock on which a second passes with each look at how long something takes.
#[derive(Debug, Default)]
struct Hurried {
    system: SystemClock,
    looks: AtomicU64,
}

impl Clock for Hurried {
    fn now(&self) -> Timestamp {
        self.system.now()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.looks.fetch_add(1, Ordering::Relaxed))
    }
}

#[test]
fn whoever_watches_a_move_sees_how_far_it_is_and_whoever_does_not_reads_no_line_of_it() {
    let desk = Desk::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(populated(&desk, 1_200));
    let migrate = |to: &str| {
        let address = |file: &str| format!("sqlite:{}", desk.path(file).display());
        let data = desk.path("cloakroom-data").display().to_string();
        ["store", "migrate", "--from", &address("old.db"), "--to", &address(to), "--data-dir", &data]
            .map(str::to_owned)
    };
    let (code, stdout, stderr) = run_here(&migrate("new.db"), Arc::new(Hurried::default()), true);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("Moved 1199 sessions, 1 tombstone"), "{stdout}");
    assert!(stderr.ends_with("\r\x1b[K"), "the line is cleared at the end: {stderr:?}");
    let told: Vec<&str> = stderr.split("\r\x1b[K").filter(|line| !line.is_empty()).collect();
    let first: Vec<(u64, u64)> = told
        .iter()
        .map_while(|line| {
            let (seen, rest) = line.split_once(" of about ")?;
            Some((seen.parse().ok()?, rest.split_once(" entries, ")?.0.parse().ok()?))
        })
        .collect();
    assert_eq!(first.len(), told.len(), "{told:?}");
    // What was filed, what is left of each session that has moved, the mark, and the tombstone that shows that the stores are two.
    assert_eq!(first[..2], [(500, 2_401), (1_000, 2_401)], "page by page, of as many as there are: {told:?}");
    assert!(told[0].ends_with("500 a second, about 3 s to go"), "{told:?}");
    assert!(
        first.iter().skip(2).any(|(seen, _)| *seen == 500),
        "the second pass begins at its beginning: {told:?}"
    );

    // In a log, a line that is written again and again would be noise.
    let (code, _, stderr) = run_here(&migrate("new.db"), Arc::new(Hurried::default()), false);
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[tokio::test]
async fn doctor_says_what_is_in_both_stores_together_and_whether_moving_has_begun() {
    let desk = Desk::configured("store = \"sqlite:new.db\"\nstore_moving_from = \"sqlite:old.db\"\n");
    populated(&desk, 7).await;
    let before = desk.run(&["doctor"]);
    assert_eq!(before.code, Some(0), "{before:?}");
    for sentence in [
        "both stores together: 6 sessions signed in, 0 anonymous.",
        "Sessions stay in sqlite:old.db, which answers, too, until `cloakroom store migrate` begins.",
        "this server knows two stores, sqlite:old.db and sqlite:new.db",
    ] {
        assert!(before.stdout.contains(sentence), "{sentence}: {}", before.stdout);
    }
    assert_eq!(desk.run(&["store", "migrate"]).code, Some(0));
    let after = desk.run(&["doctor"]).stdout;
    assert!(after.contains("both stores together: 6 sessions signed in, 0 anonymous."), "{after}");
    assert!(after.contains("Sessions have been moving from sqlite:old.db since 2"), "{after}");
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
        // Which of the two would be meant?
        (&["store", "migrate", "--store", "sqlite:a", "--from", "sqlite:b"], 2, "a move has two"),
        (&["store", "check", "sqlite:a", "--store", "sqlite:b"], 2, "two stores are named"),
    ] {
        let run = desk.run(args);
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""), "{run:?}");
        assert!(run.stderr.contains(cause) && run.stderr.contains("help: "), "{run:?}");
        assert!(!run.stderr.contains("hunter2"), "{run:?}");
    }
    assert!(!desk.path("a").exists() && !desk.path("none.db").exists());
}

#[test]
fn advice_is_given_where_the_cause_says_not_by_itself_what_to_do() {
    let desk = Desk::new();
    for (url, remedy, is_advised) in [
        ("sqlite:none/sessions.db", "create it, or configure another", false),
        ("postgres://127.0.0.1:1/cloakroom", "start the server, or correct host and port in the URL", false),
        (
            "mysql://shop@127.0.0.1:1/cloakroom",
            "start the server, or correct host and port in the URL",
            false,
        ),
        ("memcached://127.0.0.1:1", "check that it runs and that the address is right", false),
        ("redis://127.0.0.1:1", "see `cloakroom doctor`", true),
    ] {
        let run = desk.run(&["store", "check", url]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
        assert!(run.stderr.contains(remedy), "{run:?}");
        assert_eq!(run.stderr.contains("help: "), is_advised, "{run:?}");
    }
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
    let explained = told.stdout.lines().filter(|line| line.contains("AS LOOK-UPS"));
    assert_eq!(explained.count(), 2, "the column, and what it means: {told:?}");
    assert_eq!(sessions.count().await.unwrap().signed_in, 1, "nothing of it lives on");
}
