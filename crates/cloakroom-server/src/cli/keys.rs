//! `keys …`: the keys that seal sessions. They work beside a running server, which reads them again within seconds.

use std::time::Duration;

use clap::Subcommand;
use cloakroom::{Actor, EndReason, Revocation, Selector, Timestamp};
use cloakroom_audit::AuditLog;
use cloakroom_sealed::{KeyFacts, KeyFile, KeyId, KeyRing, KeyState, Rotation};
use serde_json::{Value, json};

use super::journal::Journal;
use super::output::table;
use super::{CliError, GlobalArgs, Host};
use crate::acts::{Act, Done};
use crate::config::{Config, format_duration, parse_duration};
use crate::ended::{Ended, can_end};
use crate::sealing::{self, Keys, KeysError, LONGEST_SPREAD, LOOK_EVERY, SPREAD, VARIABLE, new_key};
use crate::stores;

/// The keys that seal sessions.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum KeysCommand {
    /// List the keys, never their secrets: which one seals, which ones still open, and until when
    List,
    /// Let a new key seal from half a minute on; nobody is signed out
    ///
    /// With --revoke or --revoke-all, for keys that somebody else has: what these sealed opens nowhere any more.
    Rotate {
        /// Let it seal only then: for keys that are copied by hand, and take longer than half a minute to be everywhere
        #[arg(long, value_name = "DURATION", value_parser = spread, conflicts_with_all = ["revoke", "revoke_all"])]
        seals_in: Option<Duration>,
        /// Forget this key at once, with those that may have sealed anew what its thief made: every later one, and the one that
        /// still sealed when it was made
        #[arg(long, value_name = "KEY", value_parser = key_id, conflicts_with = "revoke_all")]
        revoke: Option<KeyId>,
        /// Forget every key at once, and end every session: everybody is signed out
        #[arg(long)]
        revoke_all: bool,
        /// Do sign people out
        #[arg(long)]
        yes: bool,
    },
    /// Print a new key for the environment, where keys are not kept in a file
    Generate,
}

/// Runs `keys …`.
pub(super) async fn run(
    command: &KeysCommand,
    config: &Config,
    global: &GlobalArgs,
    host: &mut Host<'_>,
) -> Result<(), CliError> {
    match command {
        KeysCommand::Generate => generate(global, host),
        KeysCommand::List => {
            ensure_sealed(config)?;
            list(config, global, host)
        }
        KeysCommand::Rotate { seals_in, revoke, revoke_all, yes } => {
            ensure_sealed(config)?;
            let stolen = match (revoke, revoke_all) {
                (_, true) => Stolen::All,
                (Some(id), false) => Stolen::One(*id),
                (None, false) => Stolen::None,
            };
            if *yes == (stolen == Stolen::None) {
                return Err(unconfirmed(stolen));
            }
            rotate(stolen, seals_in.unwrap_or(SPREAD), config, global, host).await
        }
    }
}

fn ensure_sealed(config: &Config) -> Result<(), CliError> {
    if config.store.is_sealed() {
        return Ok(());
    }
    let cause = format!("sessions live in `{}`: no key seals them", config.store);
    Err(CliError::failed(cause, "set `store = \"sealed:?revocations=STORE-URL\"` first"))
}

/// Keys that somebody else has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stolen {
    None,
    One(KeyId),
    All,
}

fn unconfirmed(stolen: Stolen) -> CliError {
    match stolen {
        Stolen::None => {
            CliError::usage("--yes goes with --revoke or --revoke-all", "leave it out: nobody is signed out")
        }
        Stolen::One(id) => CliError::usage(
            format!(
                "everybody whose cookie was sealed by key {id}, by a later one, or by the one before while {id} only opened, is signed \
                 out at once: what a thief made may have been sealed anew"
            ),
            "add --yes if that is what you want",
        ),
        Stolen::All => CliError::usage(
            "everybody is signed out at once: no cookie that was sealed until now opens any more",
            "add --yes if that is what you want",
        ),
    }
}

fn list(config: &Config, global: &GlobalArgs, host: &mut Host<'_>) -> Result<(), CliError> {
    let keys = Keys::of(config)?;
    let facts = keys.ring()?.list(host.clock.now());
    if global.json {
        let objects: Vec<Value> = facts.iter().map(object).collect();
        let answer =
            json!({ "keys": objects, "file": file_of(&keys).map(|file| file.path().display().to_string()) });
        writeln!(host.stdout, "{answer:#}")?;
        return Ok(());
    }
    let rows: Vec<[String; 4]> = facts.iter().map(row).collect();
    write!(host.stdout, "{}", table(["KEY", "CREATED", "STATE", "OPENS UNTIL"], &rows))?;
    Ok(())
}

/// Makes a key take the others' place.
async fn rotate(
    stolen: Stolen,
    spread: Duration,
    config: &Config,
    global: &GlobalArgs,
    host: &mut Host<'_>,
) -> Result<(), CliError> {
    let keys = Keys::of(config)?;
    let Some(file) = file_of(&keys) else {
        let cause = format!("the keys come from {VARIABLE}, which no command can change");
        let remedy = "make another with `cloakroom keys generate`: add it at the end on every server, then put it in front, and \
                      remove the old one once it is over";
        return Err(CliError::failed(cause, remedy));
    };
    let (now, key) = (host.clock.now(), new_key(&*host.random)?);
    let rotation = sealing::rotation(&config.policy, now, spread);
    let act = match stolen {
        Stolen::None => Act::new("rotate_keys"),
        Stolen::One(id) => Act::new("revoke_key").with("key", id.to_string()),
        Stolen::All => Act::new("revoke_all_keys"),
    };
    let (journal, done) = (Journal::open(config, host).await?, Done::default());
    let changed = journal.act(act, &done, async {
        let ring = change(file, stolen, key, &rotation)?;
        if let Some(newest) = ring.list(now).first() {
            done.say("new_key", newest.id.to_string());
        }
        if stolen == Stolen::All {
            let log = journal.log().clone();
            let ended = Box::pin(end_everything(config, log, now)).await;
            done.say("revoked", ended.map_err(|error| error.after("the keys were replaced"))?.in_log());
        }
        Ok(ring)
    });
    let facts = changed.await?.list(now);
    if global.json {
        let objects: Vec<Value> = facts.iter().map(object).collect();
        let answer = json!({ "keys": objects, "file": file.path().display().to_string() });
        writeln!(host.stdout, "{answer:#}")?;
        return Ok(());
    }
    if let ([first], Stolen::None) = (facts.as_slice(), stolen) {
        let path = file.path().display();
        writeln!(host.stdout, "Made the first key, {}, in {path}. Copy it to every server.", first.id)?;
        return Ok(());
    }
    for sentence in explained(&facts, stolen, &rotation) {
        writeln!(host.stdout, "{sentence}")?;
    }
    let when = if stolen == Stolen::None {
        "by then: they refuse what a key sealed that they do not have"
    } else {
        "at once"
    };
    writeln!(
        host.stderr,
        "note: servers with a file of their own need a copy of {} {when}",
        file.path().display()
    )?;
    Ok(())
}

/// Whoever has every key may have made sessions, and open streams in them: these end by the list, where there is one in reach.
async fn end_everything(config: &Config, log: AuditLog, now: Timestamp) -> Result<Ended, CliError> {
    if !can_end(config) || config.list_is_in_the_server() {
        return Ok(Ended::LiveOn);
    }
    let Some(sessions) = stores::beside_the_server_telling(config, log, now).await? else {
        return Ok(Ended::NONE);
    };
    let because = Revocation::new(EndReason::Compromised, Actor::Operator);
    Ok(Ended::of(&sessions.revoke(&Selector::All, because).await?))
}

fn change(
    file: &KeyFile,
    stolen: Stolen,
    key: cloakroom_sealed::NewKey,
    rotation: &Rotation,
) -> Result<KeyRing, KeysError> {
    let at_once = Rotation { spread: Duration::ZERO, ..*rotation };
    Ok(match stolen {
        Stolen::One(id) => file.revoke(id, key, &at_once)?,
        Stolen::All => file.replace_all(key, rotation.now)?,
        Stolen::None if file.path().exists() => file.rotate(key, rotation)?,
        Stolen::None => match file.create(key, rotation.now)? {
            cloakroom_sealed::Created::Made(ring) | cloakroom_sealed::Created::WasThere(ring) => ring,
        },
    })
}

/// What happens now, and when.
fn explained(facts: &[KeyFacts], stolen: Stolen, rotation: &Rotation) -> Vec<String> {
    let Some((newest, older)) = facts.split_first() else { return Vec::new() };
    let mut told = vec![match newest.state {
        KeyState::SealsFrom(at) => {
            format!("Key {} seals from {at} on; by then every server has read it.", newest.id)
        }
        _ => format!("Key {} seals from now on.", newest.id),
    }];
    for key in older.iter().filter(|key| key.state != KeyState::Over) {
        if let Some(until) = key.opens_until {
            told.push(format!("Key {} opens until {until}, then it is forgotten.", key.id));
        }
    }
    told.push(match stolen {
        Stolen::None => format!(
            "Nobody is signed out: each session is sealed anew when it is used next, and one that is not for {} is over anyway.",
            format_duration(rotation.window)
        ),
        Stolen::One(id) => format!(
            "Key {id} opens nothing any more once servers have read the file again, which takes them {} at most; nor does any later \
             one, nor the one that still sealed when it was made. Whoever's cookie one of them sealed signs in again.",
            format_duration(LOOK_EVERY)
        ),
        Stolen::All => format!(
            "Everybody signs in again once servers have read the file again, which takes them {} at most.",
            format_duration(LOOK_EVERY)
        ),
    });
    told
}

/// Prints a key for the environment. It is kept nowhere.
fn generate(global: &GlobalArgs, host: &mut Host<'_>) -> Result<(), CliError> {
    let key = new_key(&*host.random)?;
    let text = key.expose();
    if global.json {
        let (id, text) = (key.id().to_string(), text.as_str());
        writeln!(host.stdout, "{:#}", json!({ "id": id, "key": text }))?;
    } else {
        writeln!(host.stdout, "{}", text.as_str())?;
        writeln!(host.stderr, "note: this is a secret, kept nowhere; set {VARIABLE} to it on every server")?;
    }
    Ok(())
}

fn spread(text: &str) -> Result<Duration, String> {
    let spread = parse_duration(text)?;
    let (least, most) = (SPREAD, LONGEST_SPREAD);
    let range = || format!("expected {} to {}", format_duration(least), format_duration(most));
    (least..=most).contains(&spread).then_some(spread).ok_or_else(range)
}

fn key_id(text: &str) -> Result<KeyId, String> {
    text.parse().map_err(|_| "a key is named as `cloakroom keys list` shows it, such as 1f3a0c9e".to_owned())
}

fn file_of(keys: &Keys) -> Option<&KeyFile> {
    match keys {
        Keys::File(file) => Some(file),
        Keys::Environment(_) => None,
    }
}

fn row(key: &KeyFacts) -> [String; 4] {
    let instant = |at: Option<cloakroom::Timestamp>, none: &str| {
        at.map_or_else(|| none.to_owned(), |at| at.to_string())
    };
    let state = match key.state {
        KeyState::SealsFrom(at) => format!("seals from {at}"),
        state => state.as_str().to_owned(),
    };
    [
        key.id.to_string(),
        instant(key.created_at, "(not known)"),
        state,
        instant(key.opens_until, "(until it is replaced)"),
    ]
}

fn object(key: &KeyFacts) -> Value {
    let seals_from = match key.state {
        KeyState::SealsFrom(at) => Some(at.to_string()),
        _ => None,
    };
    json!({
        "id": key.id.to_string(),
        "created_at": key.created_at.map(|at| at.to_string()),
        "state": key.state.as_str(),
        "seals_from": seals_from,
        "opens_until": key.opens_until.map(|at| at.to_string()),
    })
}

impl From<KeysError> for CliError {
    fn from(error: KeysError) -> Self {
        Self::failed(error.cause().replace('\n', " "), error.remedy())
    }
}
