//! `sessions …`: seeing and ending sessions beside a running server.

use std::num::NonZeroU16;

use cloakroom::{
    Actor, EndReason, ListItem, PrincipalId, Revocation, Search, Selector, Sessions, StateFilter,
};
use serde_json::json;

use super::journal::Journal;
use super::output::table;
use super::{CliError, GlobalArgs, Host, SessionsCommand, SettlingArgs};
use crate::accounts::{self, AccountKey};
use crate::acts::{Act, Done};
use crate::config::Config;
use crate::ended::{Ended, LIVE_ON, can_end};
use crate::stores;
use crate::wire::SessionObject;

/// Runs `sessions …`.
pub(super) async fn run(
    command: &SessionsCommand,
    config: &Config,
    global: &GlobalArgs,
    host: &mut Host<'_>,
) -> Result<(), CliError> {
    if config.store.is_in_the_server() {
        let cause = "sessions in memory live inside the server, where this command cannot see them";
        return Err(CliError::failed(cause, "use the account page, or `store = \"sqlite:\"`"));
    }
    if config.store.is_sealed() {
        check_sealed(command, config)?;
    }
    match command {
        SessionsCommand::List { principal, state, ended, ip, text, limit } => {
            let sessions = stores::beside_the_server(config).await?.ok_or_else(|| none_yet(config))?;
            let mut search = Search::default();
            search.filter.principal = principal.as_deref().map(principal_id).transpose()?;
            search.filter.state = if *ended { StateFilter::Any } else { (*state).into() };
            search.filter.ip = *ip;
            search.text.clone_from(text);
            list(&sessions, search, *limit, global, host).await
        }
        SessionsCommand::Revoke {
            session,
            principal,
            except,
            issued_before,
            all: _,
            reason,
            note,
            settling,
        } => {
            let selector = match (session, principal, issued_before) {
                (Some(session), _, _) => Selector::One(*session),
                (None, Some(principal), _) => {
                    Selector::Principal { principal: principal_id(principal)?, except: *except }
                }
                (None, None, Some(instant)) => Selector::IssuedBefore(*instant),
                (None, None, None) => Selector::All,
            };
            let ending = Ending { selector, reason: *reason, note: note.as_deref(), settling: *settling };
            Box::pin(ending.run(config, global, host)).await
        }
    }
}

fn none_yet(config: &Config) -> CliError {
    let cause = format!("there are no sessions yet at {}", config.store);
    CliError::failed(cause, "check --config, --data-dir and --store, or start the server first")
}

/// Sessions that are to be ended.
struct Ending<'a> {
    selector: Selector,
    reason: EndReason,
    note: Option<&'a str>,
    settling: SettlingArgs,
}

impl Ending<'_> {
    async fn run(self, config: &Config, global: &GlobalArgs, host: &mut Host<'_>) -> Result<(), CliError> {
        let Self { selector, reason, note, settling } = self;
        // Asking makes no store; an act in the log would make one for its accounts.
        stores::beside_the_server(config).await?.ok_or_else(|| none_yet(config))?;
        let (journal, done) = (Journal::open(config, host).await?, Done::default());
        let (log, now) = (journal.log().clone(), journal.now());
        let revoked = journal.act(noted(act_of(&selector, reason), note), &done, async {
            let opening = stores::beside_the_server_telling(config, log, now);
            let sessions = Box::pin(opening).await?.ok_or_else(|| none_yet(config))?;
            let revoking = sessions.revoke(&selector, Revocation::new(reason, Actor::Operator));
            let revoked = if settling.settled { revoking.settled().await? } else { revoking.await? };
            let ended = Ended::of(&revoked);
            done.say("revoked", ended.in_log());
            Ok(ended)
        });
        let revoked = revoked.await?;
        if global.json {
            let answer = json!({ "revoked": revoked.count(), "settled": settling.settled });
            writeln!(host.stdout, "{answer:#}")?;
        } else {
            let everywhere = if settling.settled && !revoked.is_none() { SETTLED } else { "" };
            writeln!(host.stdout, "{}{everywhere}.", told(&selector, revoked, config))?;
        }
        note_unknown(&selector, revoked, config, host).await
    }
}

/// What ended, in words that begin a line.
fn told(selector: &Selector, revoked: Ended, config: &Config) -> String {
    if let (Selector::One(id), true) = (selector, config.store.is_sealed()) {
        return format!("{id} is ended, if there was one");
    }
    let sentence = revoked.sentence();
    let (first, rest) = sentence.split_at(sentence.chars().next().map_or(0, char::len_utf8));
    format!("{}{rest}", first.to_uppercase())
}

/// What no command can do about sessions that are sealed in their cookies.
fn check_sealed(command: &SessionsCommand, config: &Config) -> Result<(), CliError> {
    match command {
        SessionsCommand::List { .. } => {
            let cause = "sealed sessions are in their cookies: nobody can list them";
            let remedy = "`cloakroom audit export` says who signed in and what was ended";
            Err(CliError::failed(cause, remedy))
        }
        SessionsCommand::Revoke { .. } if !can_end(config) => {
            Err(CliError::failed(LIVE_ON, "set `store = \"sealed:?revocations=STORE-URL\"`"))
        }
        SessionsCommand::Revoke { .. } if config.list_is_in_the_server() => {
            let cause = "the list of ends lives inside the server, where this command cannot write to it";
            let remedy = "use the console, or keep the list in `sqlite:`, PostgreSQL, MySQL or Redis";
            Err(CliError::failed(cause, remedy))
        }
        SessionsCommand::Revoke { .. } => Ok(()),
    }
}

/// Where nobody can count what ended, a name that was mistyped is not noticed by the number.
async fn note_unknown(
    selector: &Selector,
    revoked: Ended,
    config: &Config,
    host: &mut Host<'_>,
) -> Result<(), CliError> {
    let Selector::Principal { principal, .. } = selector else { return Ok(()) };
    if revoked != Ended::Uncounted {
        return Ok(());
    }
    let account = Box::pin(accounts::open(config)).await?.get(&AccountKey::of(principal.as_str())).await?;
    if account.is_none() {
        writeln!(host.stderr, "note: no account is called {principal}; check the spelling")?;
    }
    Ok(())
}

fn noted(act: Act, note: Option<&str>) -> Act {
    note.into_iter().fold(act, |act, note| act.with("note", note))
}

fn act_of(selector: &Selector, reason: EndReason) -> Act {
    let act = Act::new("end_sessions").because(reason.as_str());
    match selector {
        Selector::One(session) => act.of_session(*session).with("selection", "one"),
        Selector::Principal { principal, except } => {
            let act = act.about(Some(principal.clone())).with("selection", "principal");
            except.iter().fold(act, |act, id| act.with("except", id.to_string()))
        }
        Selector::IssuedBefore(instant) => {
            act.with("selection", "issued_before").with("issued_before", instant.to_string())
        }
        _ => act.with("selection", "all"),
    }
}

async fn list(
    sessions: &Sessions,
    mut search: Search,
    limit: usize,
    global: &GlobalArgs,
    host: &mut Host<'_>,
) -> Result<(), CliError> {
    search.limit = Some(PAGE);
    let mut items: Vec<ListItem> = Vec::new();
    let more = loop {
        let found = sessions.search(&search).await?;
        items.extend(found.items);
        match found.next {
            Some(next) if items.len() < limit => search.after = Some(next),
            next => break next.is_some() || items.len() > limit,
        }
    };
    items.truncate(limit);
    let objects: Vec<SessionObject> = items.iter().map(SessionObject::from).collect();
    if global.json {
        writeln!(host.stdout, "{:#}", json!({ "sessions": objects, "more": more }))?;
        return Ok(());
    }
    let rows: Vec<[String; 6]> = objects.iter().map(row).collect();
    write!(
        host.stdout,
        "{}",
        table(["SESSION", "PRINCIPAL", "STATE", "ISSUED", "LAST SEEN", "DEVICE"], &rows)
    )?;
    if more {
        writeln!(host.stderr, "note: there are more; raise --limit or name a --principal")?;
    }
    Ok(())
}

fn row(session: &SessionObject) -> [String; 6] {
    let principal = session.principal.as_ref().map_or("(anonymous)", |principal| &principal.id);
    let device: Vec<&str> =
        [&session.device.label, &session.device.ip].into_iter().flatten().map(String::as_str).collect();
    [
        session.id.clone(),
        // Control characters are refused in ids; nothing here can move a terminal's cursor.
        principal.to_owned(),
        session.end_reason.unwrap_or(session.state).to_owned(),
        session.created_at.clone(),
        session.last_seen_at.clone().or_else(|| session.ended_at.clone()).unwrap_or_default(),
        device.join(", "),
    ]
}

fn principal_id(name: &str) -> Result<PrincipalId, CliError> {
    PrincipalId::new(name)
        .map_err(|e| CliError::usage(e.to_string(), "name a principal as `sessions list` shows it"))
}

/// What is added where every server is known to refuse them.
pub(super) const SETTLED: &str = ", and every server refuses them";
/// Sessions asked for at once.
const PAGE: NonZeroU16 = NonZeroU16::new(500).expect("not zero");
