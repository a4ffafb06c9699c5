//! Sealed sessions at the command line: their keys, their list, and what nobody can do.

use cloakroom_audit::names;
use serde_json::{Value, json};

use super::cli::{Desk, Run};

const SEALED: &str = "store = \"sealed:?revocations=sqlite:\"\n";

fn fails(run: &Run, parts: &[&str]) {
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    for part in parts {
        assert!(run.stderr.contains(part), "{part:?} is not in {run:?}");
    }
}

fn states(run: &Run) -> Vec<String> {
    run.json()["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["state"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn keys_rotate_in_steps_that_sign_nobody_out_and_the_log_knows_of_each() {
    let desk = Desk::configured(SEALED);
    fails(
        &desk.run(&["keys", "list"]),
        &["sealed.keys: there is no such file of keys", "`cloakroom serve` makes it"],
    );
    assert!(!desk.path("cloakroom-data").exists(), "looking makes nothing");
    let made = desk.run(&["keys", "rotate"]);
    assert!(
        made.stdout.starts_with("Made the first key, ") && made.stdout.contains("Copy it to every server."),
        "{made:?}"
    );
    let first = desk.run(&["keys", "list", "--json"]).json()["keys"][0]["id"].as_str().unwrap().to_owned();
    let rotated = desk.run(&["keys", "rotate"]);
    assert!(rotated.stdout.contains(" on; by then every server has read it."), "{rotated:?}");
    assert!(
        rotated.stdout.contains(&format!("Key {first} opens until "))
            && rotated.stdout.contains("Nobody is signed out")
    );
    assert_eq!(states(&desk.run(&["keys", "list", "--json"])), ["will_seal", "seals"]);
    let listed = desk.run(&["keys", "list"]);
    assert!(
        listed.stdout.starts_with("KEY       CREATED") && listed.stdout.contains("seals from "),
        "{listed:?}"
    );

    let later = desk.run(&["keys", "rotate", "--seals-in", "2h", "--json"]).json();
    let (from, since) = (&later["keys"][0]["seals_from"], &later["keys"][0]["created_at"]);
    let instant = |at: &Value| at.as_str().unwrap().parse::<cloakroom::Timestamp>().unwrap();
    assert_eq!(instant(from).since(instant(since)).as_secs(), 2 * 3_600);
    fails(&desk.run(&["keys", "rotate"]), &["later than a new one would", "--seals-in"]);
    for wrong in ["1s", "30d", "soon"] {
        assert_eq!(desk.run(&["keys", "rotate", "--seals-in", wrong]).code, Some(2), "{wrong}");
    }

    let refused = desk.run(&["keys", "rotate", "--revoke", &first]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("is signed out at once") && refused.stderr.contains("add --yes"),
        "{refused:?}"
    );
    assert_eq!(desk.run(&["keys", "rotate", "--yes"]).code, Some(2));
    fails(&desk.run(&["keys", "rotate", "--revoke", "00000000", "--yes"]), &["there is no key 00000000"]);
    let revoked = desk.run(&["keys", "rotate", "--revoke", &first, "--yes", "--json"]);
    let ids: Vec<Value> =
        revoked.json()["keys"].as_array().unwrap().iter().map(|key| key["id"].clone()).collect();
    assert!(!ids.contains(&json!(first)), "{revoked:?}");
    assert_eq!(states(&desk.run(&["keys", "rotate", "--revoke-all", "--yes", "--json"])), ["seals"]);

    check_log(&desk, &[made, rotated, listed, revoked]);
}

/// Each act stands in the log, and no secret anywhere.
fn check_log(desk: &Desk, runs: &[Run]) {
    let log = desk.run(&["audit", "export", "--event", names::AUTHZ_ADMIN]);
    let acts: Vec<Value> = log.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let acts: Vec<_> = acts
        .iter()
        .map(|act| (act["detail"]["act"].as_str().unwrap(), act["detail"]["phase"].as_str().unwrap()))
        .collect();
    assert_eq!(
        acts,
        [
            ("rotate_keys", "begun"),
            ("rotate_keys", "done"),
            ("rotate_keys", "begun"),
            ("rotate_keys", "done"),
            ("rotate_keys", "begun"),
            ("rotate_keys", "done"),
            ("rotate_keys", "begun"),
            ("rotate_keys", "failed"),
            ("revoke_key", "begun"),
            ("revoke_key", "failed"),
            ("revoke_key", "begun"),
            ("revoke_key", "done"),
            ("revoke_all_keys", "begun"),
            ("revoke_all_keys", "done"),
        ]
    );
    let file = std::fs::read_to_string(desk.path("cloakroom-data/sealed.keys")).unwrap();
    let secret = file.lines().last().unwrap().rsplit(' ').next().unwrap();
    assert_eq!(secret.len(), 44, "{file}");
    let done: Value = serde_json::from_str(log.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(done["detail"]["revoked"], json!(0), "no list was made yet");
    for run in runs.iter().chain([&log]) {
        assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret));
    }
}

#[test]
fn keys_of_the_environment_are_used_and_no_command_changes_them() {
    let desk = Desk::configured(SEALED);
    let made = desk.run(&["keys", "generate"]);
    let key = made.stdout.trim().to_owned();
    let with = |args: &[&str], value: &str| {
        let output = desk.command(args).env("CLOAKROOM__SEALED__KEYS", value).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    };
    let listed = with(&["keys", "list", "--json"], &key).json();
    assert_eq!(listed["keys"][0]["id"].as_str(), key.split(':').next());
    assert_eq!((&listed["keys"][0]["state"], &listed["file"]), (&json!("seals"), &Value::Null));
    fails(
        &with(&["keys", "rotate"], &key),
        &["come from CLOAKROOM__SEALED__KEYS", "cloakroom keys generate"],
    );
    let secret = key.split(':').nth(1).unwrap();
    for args in [&["config", "show"][..], &["config", "show", "--json"], &["doctor"], &["config", "check"]] {
        let run = with(args, &key);
        assert!(
            run.code == Some(0) && !run.stdout.contains(secret) && !run.stderr.contains(secret),
            "{args:?}"
        );
    }
    let wrong = with(&["keys", "list"], &format!("{key},nonsense"));
    fails(&wrong, &["CLOAKROOM__SEALED__KEYS: key 2 of the list"]);
    assert!(!wrong.stderr.contains(secret) && !wrong.stderr.contains("nonsense"), "{wrong:?}");
    assert!(!desk.path("cloakroom-data/sealed.keys").exists());
}

#[cfg(unix)]
#[test]
fn keys_that_others_may_read_are_refused_with_the_command_that_helps() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::configured(SEALED);
    assert_eq!(desk.run(&["keys", "rotate"]).code, Some(0));
    let file = desk.path("cloakroom-data/sealed.keys");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    for args in [&["keys", "list"][..], &["keys", "rotate"], &["config", "check"], &["serve"]] {
        let run = desk.run(args);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains("mode 0644") && run.stderr.contains("chmod 600"), "{run:?}");
    }
}

#[test]
fn what_nobody_can_do_with_sealed_sessions_is_said_with_a_remedy() {
    let none = Desk::new();
    fails(&none.run(&["keys", "list"]), &["sessions live in `sqlite:`: no key seals them"]);
    let sealed = Desk::configured(SEALED);
    fails(&sealed.run(&["sessions", "list"]), &["nobody can list them", "audit export"]);
    let list = "sealed:?revocations=sqlite:";
    for (from, to) in [("sqlite:", list), (list, "sqlite:")] {
        let run = sealed.run(&["store", "migrate", "--offline", "--from", from, "--to", to]);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains("sealed sessions are in their cookies"), "{run:?}");
    }
    let alone = Desk::configured("store = \"sealed:\"\n");
    fails(
        &alone.run(&["sessions", "revoke", "--all"]),
        &["no list says what was ended", "sealed:?revocations="],
    );
    assert_eq!(alone.run(&["store", "check", "sealed:"]).code, Some(2));
    alone.add("bob");
    let disabled = alone.run(&["users", "disable", "bob"]);
    assert_eq!(disabled.code, Some(0), "{disabled:?}");
    assert_eq!(disabled.stdout, "bob was disabled; the sessions go on until their time is over.\n");
    assert!(disabled.stderr.contains("no list says what was ended"), "{disabled:?}");
    let again = alone.run(&["users", "disable", "bob", "--json"]).json();
    assert_eq!((&again["sessions_ended"], &again["sessions_live_on"]), (&Value::Null, &json!(true)));
    let memory = Desk::configured("store = \"sealed:?revocations=memory:\"\n");
    fails(&memory.run(&["sessions", "revoke", "--all"]), &["lives inside the server", "use the console"]);
}

#[test]
fn ends_are_written_down_beside_a_server_and_take_no_key() {
    let desk = Desk::configured(SEALED);
    desk.add("bob");
    fails(
        &desk.run(&["sessions", "revoke", "--all"]),
        &["there are no sessions yet at sealed:?revocations=sqlite:"],
    );
    let check = desk.run(&["store", "check", "--json"]).json();
    let checks = check["checks"].as_array().unwrap();
    assert!(checks.len() == 6 && checks.iter().all(|check| check["ok"] == true), "{check:#}");
    assert_eq!(desk.run(&["store", "check"]).stdout.matches("\nok").count(), 6);
    let revoked = desk.run(&["sessions", "revoke", "--principal", "bob", "--json"]).json();
    assert_eq!(revoked, json!({ "revoked": null, "settled": false }));
    let revoked = desk.run(&["sessions", "revoke", "--principal", "bob"]);
    assert_eq!(revoked.stdout, "The sessions ended; how many there were is not known.\n");
    assert_eq!(revoked.stderr, "");
    let mistyped = desk.run(&["sessions", "revoke", "--principal", "bbo"]);
    assert_eq!(
        (mistyped.code, mistyped.stderr.as_str()),
        (Some(0), "note: no account is called bbo; check the spelling\n")
    );
    let named = desk.run(&["sessions", "revoke", "ses_AAAAAAAAAAAAAAAAAAAAAA"]);
    assert_eq!(named.stdout, "ses_AAAAAAAAAAAAAAAAAAAAAA is ended, if there was one.\n");
    let disabled = desk.run(&["users", "disable", "bob"]);
    assert_eq!(disabled.stdout, "bob was disabled; the sessions ended; how many there were is not known.\n");
    assert!(!desk.path("cloakroom-data/sealed.keys").exists(), "no key was needed");
    assert_eq!(desk.run(&["keys", "rotate"]).code, Some(0));
    assert_eq!(desk.run(&["keys", "rotate", "--revoke-all", "--yes"]).code, Some(0));
    let log = desk.run(&["audit", "export", "--event", names::AUTHZ_ADMIN]).stdout;
    let done: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&done["detail"]["act"], &done["detail"]["revoked"]),
        (&json!("revoke_all_keys"), &json!("not_counted"))
    );
}

#[test]
fn the_doctor_says_where_list_and_keys_are_and_what_is_lost() {
    let desk = Desk::configured(SEALED);
    let first = desk.run(&["doctor"]).stdout;
    assert!(first.contains("There is no list of ends yet; `serve` will make sqlite:."), "{first}");
    assert!(first.contains("There are no keys to seal sessions yet"), "{first}");
    assert_eq!(desk.run(&["keys", "rotate"]).code, Some(0));
    assert_eq!(desk.run(&["store", "check"]).code, Some(0));
    let told = desk.run(&["doctor"]).stdout;
    for part in [
        "The list of ends, sqlite:, answers in ",
        "Sessions travel sealed in their cookies",
        "their ends are in the list: keep both, and move both",
        "What was ended is written down in sqlite:, for as long as any cookie may live: ",
        "Any number of servers on this machine may share that list, and it is there after a restart.",
        "is refused by every server within 1s",
        "While the list cannot be read, sessions are unavailable 1s later",
        "Nobody can list or count sessions",
        "The keys that seal sessions are in the file cloakroom-data/sealed.keys",
        " seals; it was made within the last day.",
        "\n0 warnings\n",
    ] {
        assert!(told.contains(part), "{part:?} is not in {told}");
    }
    let old = "cloakroom-sealing-keys 1\n0a0b0c0d 2020-01-01T00:00:00Z 2020-01-01T00:00:00Z - oaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoV4=\n";
    std::fs::write(desk.path("cloakroom-data/sealed.keys"), old).unwrap();
    let aged = desk.run(&["doctor"]).stdout;
    assert!(aged.contains("store: key 0a0b0c0d has sealed sessions for longer than a year"), "{aged}");
    let alone = desk.run(&["doctor", "--store", "sealed:"]).stdout;
    assert!(
        alone.contains("NOTHING CAN BE ENDED before its time") && alone.contains("keys rotate --revoke-all"),
        "{alone}"
    );
    let memory = desk.run(&["doctor", "--store", "sealed:?revocations=memory:"]).stdout;
    assert!(memory.contains("a restart forgets it, and everybody signs in again"), "{memory}");
}
