//! The command line, as somebody types it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use cloakroom::{
    Activity, AuthLevel, Authentication, EndReason, Issue, Issued, Method, Principal, PrincipalId, Sessions,
    Validation,
};
use cloakroom_sqlite::{SqliteOptions, SqliteStore};
use serde_json::{Value, json};
use tempfile::TempDir;

const GOOD: &str = "plum tractor 42 lamp";

/// A directory of its own in which the binary is run.
pub(crate) struct Desk {
    pub(crate) dir: TempDir,
    environment: Vec<(&'static str, &'static str)>,
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    pub(crate) fn configured(text: &str) -> Self {
        let desk = Self::new();
        std::fs::write(desk.path("cloakroom.toml"), text).unwrap();
        desk
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
        command.args(args).current_dir(self.dir.path()).env_clear().envs(self.environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.run_with_input(args, "")
    }

    pub(crate) fn run_with_input(&self, args: &[&str], input: &str) -> Run {
        let mut child = self.command(args).spawn().unwrap();
        // A command that fails early does not read its input: then this pipe is closed, and that is fine.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    pub(crate) fn add(&self, name: &str) {
        let run = self.run_with_input(&["users", "add", name, "--role", "staff", "--password-stdin"], GOOD);
        assert_eq!(run.code, Some(0), "{run:?}");
    }

    /// The engine that a server beside the command line would have.
    pub(crate) fn sessions(&self) -> Sessions {
        std::fs::create_dir_all(self.path("cloakroom-data")).unwrap();
        let store = SqliteStore::open(SqliteOptions::new(self.path("cloakroom-data/sessions.db"))).unwrap();
        Sessions::builder(store).build().unwrap()
    }
}

impl Run {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn says(&self, stdout: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(0), stdout), "{self:?}");
    }

    #[track_caller]
    fn fails(&self, code: i32, stderr: &str) {
        assert_eq!((self.code, self.stderr.as_str()), (Some(code), stderr), "{self:?}");
        assert_eq!(self.stdout, "", "a failure says nothing on standard output");
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_key() {
    Desk::configured("[session]\nidle_timout = \"5m\"\n").run(&["config", "check"]).fails(
        1,
        "error: cloakroom.toml:2: unknown key `session.idle_timout`\n  help: did you mean `session.idle_timeout`?\n",
    );
}

#[test]
fn everything_wrong_is_said_at_once_and_by_every_command() {
    let desk = Desk::configured("[session]\ntouch_interval = \"1h\"\n[cookie]\nname = \"sid\"\n");
    for args in [&["config", "show"][..], &["users", "list"], &["doctor"], &["sessions", "list"], &["serve"]]
    {
        desk.run(args).fails(
            1,
            "error: cloakroom.toml:2: session.touch_interval (1h) is not shorter than the idle_timeout (30m) of \
             `session`: activity could not keep a session alive\n  \
             help: lower touch_interval or raise idle_timeout\n\
             error: cloakroom.toml:4: cookie name \"sid\" does not begin with __Host-; browsers only guard names that do\n  \
             help: write \"__Host-sid\"\n",
        );
    }
}

#[test]
fn a_session_cookie_over_plain_http_is_refused() {
    let run = Desk::new().run(&["serve", "--public-url", "http://id.example.org"]);
    run.fails(
        1,
        "error: --public-url: `public_url` is plain http on id.example.org: everybody on the way could take the session \
         cookies\n  help: use https (your own [tls] or a proxy's); only to try something out, set \
         `dangerously_insecure_http = true`\n",
    );
}

#[test]
fn a_named_configuration_file_that_is_not_there_is_an_error_and_the_default_one_is_not() {
    let desk = Desk::new();
    let run = desk.run(&["config", "check", "--config", "other.toml"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("error: the configuration file other.toml cannot be read: "), "{run:?}");
    desk.run(&["config", "check"]).says("The configuration can be used; 0 warnings.\n");
}

#[test]
fn wrong_usage_is_told_from_failure_by_its_code() {
    let desk = Desk::new();
    for args in [&["users"][..], &["users", "fire", "alice"], &["sessions", "revoke"], &["--jsno"], &[]] {
        assert_eq!(desk.run(args).code, Some(2), "{args:?}");
    }
    assert_eq!(desk.run(&["--version"]).code, Some(0));
}

#[test]
fn the_effective_configuration_tells_where_values_come_from() {
    let mut desk = Desk::configured("[session]\nidle_timeout = \"5m\"\n");
    desk.environment =
        vec![("CLOAKROOM__SESSION__ABSOLUTE_TIMEOUT", "2h"), ("CLOAKROOM__DATA_DIR", "elsewhere")];
    let shown = desk.run(&["config", "show", "--data-dir", "here", "--json"]).json();
    let expect = |key: &str, value: Value, source: &str| {
        assert_eq!(shown[key], json!({ "value": value, "source": source }), "{key}");
    };
    expect("session.idle_timeout", json!("5m"), "cloakroom.toml:2");
    expect("session.absolute_timeout", json!("2h"), "CLOAKROOM__SESSION__ABSOLUTE_TIMEOUT");
    expect("data_dir", json!("here"), "--data-dir");
    expect("cookie.name", json!("__Host-cloakroom"), "default");
    let text = desk.run(&["config", "show"]).stdout;
    assert!(text.contains("\n[session]\n") && text.contains("# cloakroom.toml:2\n"), "{text}");
    desk.environment.clear();
    std::fs::write(desk.path("cloakroom.toml"), &text).unwrap();
    assert_eq!(
        desk.run(&["config", "show", "--json"]).json()["session.absolute_timeout"]["value"],
        "2h",
        "{text}"
    );
}

#[test]
fn what_is_weak_is_said_and_stops_nothing() {
    let desk = Desk::configured("store = \"memory:\"\n");
    desk.run(&["config", "check"]).says(
        "warning: store: a restart of the server signs everybody out\n  help: use `store = \"sqlite:\"`\n\
         The configuration can be used; 1 warning.\n",
    );
    assert_eq!(desk.run(&["config", "check", "--json"]).json()["warnings"][0]["key"], "store");
}

/// A mistyped directory is refused, and is still not there afterwards.
#[test]
fn nothing_is_made_by_looking_in_the_wrong_place() {
    let desk = Desk::new();
    for args in [
        &["users", "list"][..],
        &["users", "enable", "alice"],
        &["users", "disable", "alice"],
        &["users", "set-roles", "alice", "--none"],
        &["sessions", "list"],
        &["sessions", "revoke", "--all"],
        &["audit", "verify"],
    ] {
        let run = desk.run(&[args, &["--data-dir", "clokroom-data"]].concat());
        assert_eq!(run.code, Some(1), "{args:?}: {run:?}");
        assert!(
            run.stderr.contains("check --config") && run.stderr.contains("--data-dir"),
            "{args:?}: {run:?}"
        );
        assert!(!desk.path("clokroom-data").exists(), "{args:?} made it");
    }
}

#[test]
fn a_role_that_looks_like_a_slip_is_asked_about_and_a_list_of_roles_is_not_one() {
    let desk = Desk::new();
    let add = |role: &str| {
        let name = role.replace([',', ' '], "");
        desk.run_with_input(&["users", "add", &name, "--role", role, "--password-stdin"], GOOD)
    };
    let slip = add("Admin");
    assert!(slip.code == Some(0) && slip.stderr.contains("did you mean admin?"), "{slip:?}");
    let other = add("billing");
    assert!(other.code == Some(0) && !other.stderr.contains("did you mean"), "{other:?}");
    let list = add("admin,auditor");
    assert!(list.code == Some(2) && list.stderr.contains("--role admin --role billing"), "{list:?}");
}

/// `cloakroom … | head` is no failure.
#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let desk = Desk::new();
    desk.add("alice");
    for args in [&["openapi"][..], &["users", "list"], &["audit", "export"], &["config", "show"]] {
        let mut child = desk.command(args).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn files_that_the_configuration_names_are_opened_by_its_check() {
    let tls =
        "public_url = \"https://example.org\"\n[tls]\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n";
    let desk = Desk::configured(&format!("{tls}[audit]\nkey_file = \"seal.key\"\n"));
    std::fs::create_dir_all(desk.path("cloakroom-data/accounts.db")).unwrap();
    std::fs::write(desk.path("seal.key"), "no key").unwrap();
    let check = desk.run(&["config", "check"]);
    assert_eq!(check.code, Some(1), "{check:?}");
    for named in ["cert.pem", "the key that signs it", "accounts.db"] {
        assert!(check.stderr.contains(named), "{named}: {check:?}");
    }
    let shown = desk.run(&["config", "show"]);
    assert_eq!(shown.code, Some(0), "what is only shown opens nothing: {shown:?}");
}

#[test]
fn accounts_are_added_listed_disabled_and_enabled() {
    let desk = Desk::new();
    let add = |name: &str, password: &str| {
        desk.run_with_input(
            &["users", "add", name, "--role", "staff", "--role", "admin", "--password-stdin"],
            password,
        )
    };
    add("Alice", &format!("{GOOD}\n")).says("Added Alice.\n");
    add("aLICE", GOOD).fails(
        1,
        "error: there is an account named \"aLICE\" already\n  help: choose another name, or change that account\n",
    );
    let users = desk.run(&["users", "list", "--json"]).json();
    let alice = &users["users"][0];
    assert_eq!(
        (&alice["name"], &alice["roles"], &alice["enabled"], &alice["disabled_at"]),
        (&json!("Alice"), &json!(["admin", "staff"]), &json!(true), &json!(null))
    );
    desk.run(&["users", "disable", "alice"]).says("Alice was disabled; 0 sessions ended.\n");
    let table = desk.run(&["users", "list"]).stdout;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..3], ["NAME", "ROLES", "STATE"]);
    assert_eq!(lines[1][..3], ["Alice", "admin,staff", "disabled"]);
    desk.run(&["users", "enable", "alice"]).says("Alice was enabled.\n");
    desk.run(&["users", "set-roles", "alice", "--none"])
        .says("Alice was given other roles; 0 sessions ended.\n");
    desk.run(&["users", "disable", "bob"]).fails(
        1,
        "error: there is no account named \"bob\"\n  help: `cloakroom users list` shows all accounts\n",
    );
}

#[test]
fn weak_passwords_are_refused_and_short_ones_are_advised_against() {
    let desk = Desk::new();
    let add = |password: &str| desk.run_with_input(&["users", "add", "alice", "--password-stdin"], password);
    for (password, cause) in [
        ("password1", "the password is among those that are guessed first"),
        ("short", "the password has fewer than 8 characters; 15 or more are advised"),
        ("", "the password has fewer than 8 characters; 15 or more are advised"),
        ("for alice only, forever", "the password contains the account name"),
    ] {
        let help = "choose another: a few unrelated words, 15 characters or more";
        add(password).fails(1, &format!("error: {cause}\n  help: {help}\n"));
    }
    add(&"x".repeat(1_025))
        .fails(1, "error: the password is longer than 1024 bytes\n  help: choose a shorter one\n");
    let run = add("kX9!vQz2");
    run.says("Added alice.\n");
    assert!(run.stderr.starts_with("note: 15 characters or more are advised"), "{run:?}");
}

#[test]
fn without_a_terminal_a_password_has_to_be_given_on_standard_input() {
    Desk::new().run(&["users", "add", "alice"]).fails(
        2,
        "error: there is no terminal to ask for the password at\n  \
         help: pass --password-stdin and write the password to standard input\n",
    );
}

#[test]
fn of_two_commands_that_add_one_account_at_once_one_does() {
    let desk = Desk::new();
    let mut children: Vec<_> = ["alice", "ALICE"]
        .iter()
        .map(|name| desk.command(&["users", "add", name, "--password-stdin"]).spawn().unwrap())
        .collect();
    for child in &mut children {
        child.stdin.take().unwrap().write_all(GOOD.as_bytes()).unwrap();
    }
    let mut codes: Vec<_> =
        children.into_iter().map(|child| child.wait_with_output().unwrap().status.code()).collect();
    codes.sort();
    assert_eq!(codes, [Some(0), Some(1)]);
    assert_eq!(desk.run(&["users", "list", "--json"]).json()["users"].as_array().unwrap().len(), 1);
}

#[test]
fn no_password_is_kept_or_printed() {
    let desk = Desk::new();
    let run = desk.run_with_input(&["users", "add", "alice", "--password-stdin", "--json"], GOOD);
    assert!(!run.stdout.contains(GOOD) && !run.stderr.contains(GOOD), "{run:?}");
    let mut files = 0;
    for entry in std::fs::read_dir(desk.path("cloakroom-data")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(GOOD.len()).any(|window| window == GOOD.as_bytes()));
        files += 1;
    }
    assert!(files > 0);
}

pub(crate) async fn issue(sessions: &Sessions, name: &str) -> Issued {
    let principal = Principal::new(PrincipalId::new(name).unwrap());
    let proof = Authentication::new(AuthLevel::One, Method::password(), sessions.now());
    sessions.issue(Issue::signed_in(principal, proof)).await.unwrap().expect_issued()
}

async fn end_of(sessions: &Sessions, issued: &Issued) -> Option<EndReason> {
    match sessions.validate(&issued.token, Activity::Counts).await.unwrap() {
        Validation::Active(_) => None,
        Validation::Ended(tombstone) => Some(tombstone.reason),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_change_of_an_account_ends_its_sessions_and_no_others() {
    for (args, input, reason, said) in [
        (
            &["users", "disable", "alice"][..],
            "",
            EndReason::AccountDisabled,
            "Alice was disabled; 2 sessions ended.\n",
        ),
        (
            &["users", "set-password", "alice", "--password-stdin"],
            "another long phrase",
            EndReason::PasswordChanged,
            "Alice was given another password; 2 sessions ended.\n",
        ),
        (
            &["users", "set-roles", "alice", "--role", "x"],
            "",
            EndReason::RevokedByAdmin,
            "Alice was given other roles; 2 sessions ended.\n",
        ),
    ] {
        let desk = Desk::new();
        desk.add("Alice");
        let sessions = desk.sessions();
        let hers = [issue(&sessions, "Alice").await, issue(&sessions, "Alice").await];
        let his = issue(&sessions, "bob").await;
        desk.run_with_input(args, input).says(said);
        for issued in &hers {
            assert_eq!(end_of(&sessions, issued).await, Some(reason), "{args:?}");
        }
        assert_eq!(end_of(&sessions, &his).await, None, "{args:?}");
    }
}

#[tokio::test]
async fn sessions_are_listed_and_ended_beside_a_running_server() {
    let desk = Desk::new();
    let sessions = desk.sessions();
    let first = issue(&sessions, "alice").await;
    let second = issue(&sessions, "alice").await;
    let other = issue(&sessions, "bob").await;
    let id = |issued: &Issued| issued.session.id().to_string();

    let listed = desk.run(&["sessions", "list", "--principal", "alice", "--json"]).json();
    let mut ids: Vec<&str> =
        listed["sessions"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    let mut expected = [id(&first), id(&second)];
    expected.sort_unstable();
    assert_eq!(ids, expected);
    let run = desk.run(&["sessions", "list", "--limit", "2"]);
    assert_eq!(run.stdout.lines().count(), 3, "{run:?}");
    assert_eq!(run.stderr, "note: there are more; raise --limit or name a --principal\n");

    let args =
        ["sessions", "revoke", "--principal", "alice", "--except", &id(&first), "--reason", "compromised"];
    desk.run(&args).says("1 session ended.\n");
    assert_eq!(end_of(&sessions, &second).await, Some(EndReason::Compromised));
    assert_eq!(end_of(&sessions, &first).await, None);
    let settled = desk.run(&["sessions", "revoke", &id(&first), "--settled"]);
    settled.says("1 session ended, and every server refuses them.\n");
    desk.run(&["sessions", "revoke", &id(&first)]).says("0 sessions ended.\n");
    assert_eq!(end_of(&sessions, &first).await, Some(EndReason::RevokedByAdmin));
    assert_eq!(
        desk.run(&["sessions", "revoke", "--all", "--json"]).json(),
        json!({ "revoked": 1, "settled": false })
    );
    assert_eq!(end_of(&sessions, &other).await, Some(EndReason::RevokedByAdmin));

    assert_eq!(desk.run(&["sessions", "list", "--json"]).json()["sessions"], json!([]));
    let token = first.token.expose();
    let everything = desk.run(&["sessions", "list", "--ended", "--json"]).stdout;
    assert!(everything.contains("compromised") && !everything.contains(token.as_str()), "{everything}");
}

#[test]
fn sessions_that_cannot_be_seen_from_here_are_not_said_to_be_none() {
    let desk = Desk::new();
    desk.run(&["sessions", "list", "--store", "memory:"]).fails(
        1,
        "error: sessions in memory live inside the server, where this command cannot see them\n  \
         help: use the account page, or `store = \"sqlite:\"`\n",
    );
    desk.run(&["sessions", "revoke", "--all"]).fails(
        1,
        "error: there are no sessions yet at sqlite:\n  \
         help: check --config, --data-dir and --store, or start the server first\n",
    );
    assert!(!desk.path("cloakroom-data").exists(), "looking makes nothing");
}

#[tokio::test]
async fn the_doctor_says_what_the_configuration_means_and_how_the_stores_are() {
    let desk = Desk::configured("[session]\nper_principal_max = 3\n[cookie]\nsame_site = \"none\"\n");
    let healthy = |run: &Run, parts: &[&str]| {
        assert_eq!(run.code, Some(0), "{run:?}");
        for part in parts {
            assert!(run.stdout.contains(part), "{part:?} is missing: {}", run.stdout);
        }
    };
    healthy(
        &desk.run(&["doctor"]),
        &[
            "A session ends after 30m of silence, and after 12h whatever happens.",
            "One person may have 3 sessions; one more ends the oldest.",
            "There are no accounts yet",
            "There are no sessions yet",
            "1 warning\n  cookie.same_site: ",
        ],
    );
    desk.add("alice");
    let sessions = desk.sessions();
    issue(&sessions, "alice").await;
    healthy(
        &desk.run(&["doctor"]),
        &[
            "readable and writable: 1 account.",
            "1 session signed in, 0 anonymous.\n",
            "What it acknowledged is there after a restart.",
            "Any number of servers on this machine may share it.",
            "A session that was ended is refused by every server within 1s, and normally within milliseconds",
            "up to 64MiB of sessions in memory",
            "All servers of one store need the same `near_cache.lease`",
        ],
    );
    let report = desk.run(&["doctor", "--json"]).json();
    assert_eq!(report["health"].as_array().unwrap().iter().filter(|check| check["ok"] == true).count(), 3);

    damage(&desk.path("cloakroom-data/accounts.db"));
    let run = desk.run(&["doctor"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("help: restore the file from a backup"), "{run:?}");
}

fn damage(file: &Path) {
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", file.display()));
    }
    std::fs::write(file, "no database at all, but long enough to be taken for one at first sight").unwrap();
}

#[test]
fn the_description_of_the_api_is_json_that_names_its_paths() {
    let description = Desk::new().run(&["openapi"]).json();
    assert!(
        description["openapi"].is_string() && description["paths"]["/v1/session"].is_object(),
        "{description}"
    );
}
