//! `users …`: the built-in accounts, and the end of the sessions that a change concerns.

use cloakroom::{Actor, EndReason, PrincipalId, Revocation, Selector};
use cloakroom_audit::{Draft, names};
use serde_json::{Value, json};

use super::journal::Journal;
use super::nearest::nearest;
use super::output::table;
use super::sessions::SETTLED;
use super::{CliError, GlobalArgs, Host, PasswordArgs, SettlingArgs, UsersCommand};
use crate::accounts::{
    self, Account, AccountChange, AccountName, Accounts, Added, Guard, HashingLimits, NewAccount,
    NewPassword, Password, PasswordSet, Remaining, Roles, StoredHash,
};
use crate::acts::{Act, Done, operators};
use crate::config::Config;
use crate::ended::{Ended, LIVE_ON, can_end};
use crate::stores;
use crate::web::Duty;

/// Runs `users …`.
pub(super) async fn run(
    command: &UsersCommand,
    config: &Config,
    global: &GlobalArgs,
    host: &mut Host<'_>,
) -> Result<(), CliError> {
    let is_first = matches!(command, UsersCommand::Add { .. });
    if let Some(path) = config.accounts_path().filter(|path| !is_first && !path.exists()) {
        let cause = format!("there are no accounts yet at {}", path.display());
        let remedy = "check --config and --data-dir, or add one with `cloakroom users add`";
        return Err(CliError::failed(cause, remedy));
    }
    let store = accounts::open(config).await?;
    let accounts = Accounts::new(store, host.random.clone(), HashingLimits::for_cores(host.cores))?;
    let call = Call { accounts, config, json: global.json };
    match command {
        UsersCommand::Add { name, roles, password } => call.add(name, roles, *password, host).await,
        UsersCommand::List => call.list(host).await,
        UsersCommand::Disable { name, settling } => call.disable(name, *settling, host).await,
        UsersCommand::Enable { name } => call.enable(name, host).await,
        UsersCommand::SetPassword { name, password, settling } => {
            call.set_password(name, *password, *settling, host).await
        }
        UsersCommand::SetRoles { name, roles, none: _, settling } => {
            call.set_roles(name, roles, *settling, host).await
        }
    }
}

/// Roles as they were typed. Any may be given, for the application that they mean something to; what looks like a slip of one
/// that means something here is said to.
fn read_roles(names: &[String], config: &Config, host: &mut Host<'_>) -> Result<Roles, CliError> {
    let mut known: Vec<&str> = Duty::ALL.into_iter().map(Duty::role).collect();
    known.extend(config.policy.roles().keys().map(cloakroom::Role::as_str));
    for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
        if let Some(meant) = nearest(name, known.iter().copied()) {
            writeln!(
                host.stderr,
                "warning: the role {} means nothing here; did you mean {meant}?",
                name.escape_debug()
            )?;
        }
    }
    Roles::new(names).map_err(|error| {
        let remedy = if names.iter().any(|name| name.contains(',')) {
            "repeat the flag for each role: --role admin --role billing"
        } else {
            "name roles in up to 64 bytes, without spaces or commas"
        };
        CliError::usage(error.to_string(), remedy)
    })
}

/// The account that a command changed. An operator, who can always add another, may take away the last administrator.
fn outcome(change: AccountChange, name: &str) -> Result<Account, CliError> {
    match change {
        AccountChange::Changed(account) => Ok(account),
        AccountChange::LastAdministrator => unreachable!("nobody in particular has to remain"),
        AccountChange::NoSuchAccount => Err(no_such_account(name)),
    }
}

/// A change of an account.
struct Change {
    act: Act,
    /// What else the log will have of it.
    event: Draft,
    /// What became of the account, in words.
    what: &'static str,
    /// Why its sessions end, where they do.
    ends: Option<(EndReason, SettlingArgs)>,
}

struct Call<'a> {
    accounts: Accounts,
    config: &'a Config,
    json: bool,
}

impl Call<'_> {
    async fn add(
        &self,
        name: &str,
        roles: &[String],
        password: PasswordArgs,
        host: &mut Host<'_>,
    ) -> Result<(), CliError> {
        let usable = |e: &dyn std::fmt::Display| CliError::usage(e.to_string(), "choose another name");
        let account = AccountName::new(name).map_err(|e| usable(&e))?;
        let roles = read_roles(roles, self.config, host)?;
        if self.accounts.get(name).await?.is_some() {
            return Err(name_taken(name));
        }
        let hash = self.new_password(name, password, host).await?;
        let id = account.id().clone();
        let act = Act::new("add_account").about(Some(id.clone())).with("roles", roles.joined());
        let (journal, done, now) =
            (Journal::open(self.config, host).await?, Done::default(), host.clock.now());
        let added = journal.act(act, &done, async {
            match self.accounts.add(NewAccount { name: account, roles, hash }, now).await? {
                Added::Created(account) => {
                    done.event(operators(names::USER_CREATED, now).about(Some(id)));
                    Ok(account)
                }
                Added::NameTaken => Err(name_taken(name)),
            }
        });
        let account = added.await?;
        self.say(&account, &format!("Added {}.", account.name), Ended::NONE, host)
    }

    async fn disable(&self, name: &str, settling: SettlingArgs, host: &mut Host<'_>) -> Result<(), CliError> {
        let (id, now) = (self.known(name).await?, host.clock.now());
        let change = Change {
            act: Act::new("disable_account").about(Some(id.clone())),
            event: operators(names::USER_UPDATED, now).because("disabled"),
            what: "disabled",
            ends: Some((EndReason::AccountDisabled, settling)),
        };
        let disable =
            async { outcome(self.accounts.disable(id.as_str(), Remaining::Anybody, now).await?, name) };
        self.change(change, disable, host).await
    }

    async fn enable(&self, name: &str, host: &mut Host<'_>) -> Result<(), CliError> {
        let id = self.known(name).await?;
        let change = Change {
            act: Act::new("enable_account").about(Some(id.clone())),
            event: operators(names::USER_UPDATED, host.clock.now()).because("enabled"),
            what: "enabled",
            ends: None,
        };
        let enable = async {
            let enabled = self.accounts.enable(id.as_str()).await?;
            enabled.ok_or_else(|| no_such_account(name))
        };
        self.change(change, enable, host).await
    }

    async fn set_roles(
        &self,
        name: &str,
        roles: &[String],
        settling: SettlingArgs,
        host: &mut Host<'_>,
    ) -> Result<(), CliError> {
        let (id, roles) = (self.known(name).await?, read_roles(roles, self.config, host)?);
        let change = Change {
            act: Act::new("set_roles").about(Some(id.clone())).with("roles", roles.joined()),
            event: operators(names::AUTHZ_CHANGE, host.clock.now()).with("roles", roles.joined()),
            what: "given other roles",
            ends: Some((EndReason::RevokedByAdmin, settling)),
        };
        let set =
            async { outcome(self.accounts.set_roles(id.as_str(), roles, Remaining::Anybody).await?, name) };
        self.change(change, set, host).await
    }

    /// The principal of an account that there is.
    async fn known(&self, name: &str) -> Result<PrincipalId, CliError> {
        let account = self.accounts.get(name).await?.ok_or_else(|| no_such_account(name))?;
        Ok(account.name.id().clone())
    }

    async fn list(&self, host: &mut Host<'_>) -> Result<(), CliError> {
        let accounts = self.accounts.list().await?;
        if self.json {
            let users: Vec<Value> = accounts.iter().map(account_json).collect();
            writeln!(host.stdout, "{:#}", json!({ "users": users }))?;
            return Ok(());
        }
        let rows: Vec<[String; 5]> = accounts
            .iter()
            .map(|account| {
                let state = if account.is_enabled() { "enabled" } else { "disabled" };
                [
                    account.name.to_string(),
                    account.roles.joined(),
                    state.to_owned(),
                    account.created_at.to_string(),
                    account.password_changed_at.to_string(),
                ]
            })
            .collect();
        write!(host.stdout, "{}", table(["NAME", "ROLES", "STATE", "ADDED", "PASSWORD SET"], &rows))?;
        Ok(())
    }

    async fn set_password(
        &self,
        name: &str,
        password: PasswordArgs,
        settling: SettlingArgs,
        host: &mut Host<'_>,
    ) -> Result<(), CliError> {
        let id = self.known(name).await?;
        let hash = self.new_password(name, password, host).await?;
        let now = host.clock.now();
        let change = Change {
            act: Act::new("set_password").about(Some(id.clone())),
            event: operators(names::PASSWORD_CHANGE, now),
            what: "given another password",
            ends: Some((EndReason::PasswordChanged, settling)),
        };
        let set = async {
            match self.accounts.set_password(id.as_str(), hash, Guard::None, now).await? {
                PasswordSet::Changed(account) => Ok(account),
                PasswordSet::Stale => unreachable!("an unguarded change is never stale"),
                PasswordSet::NoSuchAccount => Err(no_such_account(name)),
            }
        };
        self.change(change, set, host).await
    }

    async fn new_password(
        &self,
        name: &str,
        from: PasswordArgs,
        host: &mut Host<'_>,
    ) -> Result<StoredHash, CliError> {
        let password = read_password(from, host)?;
        match self.accounts.hash_new(name, password).await? {
            NewPassword::Accepted { hash, advice } => {
                if let Some(sentence) = advice.sentence() {
                    writeln!(host.stderr, "note: {sentence}")?;
                }
                Ok(hash)
            }
            NewPassword::Refused(refusal) => {
                let remedy = "choose another: a few unrelated words, 15 characters or more";
                Err(CliError::failed(refusal.to_string(), remedy))
            }
        }
    }

    /// Changes an account as an act of the operator, ends the sessions that this concerns, and says what was done.
    ///
    /// The account changes first: a sign-in under way then notices by the account's epoch that its session must end.
    async fn change(
        &self,
        change: Change,
        work: impl Future<Output = Result<Account, CliError>>,
        host: &mut Host<'_>,
    ) -> Result<(), CliError> {
        let Change { act, event, what, ends } = change;
        let act = ends.iter().fold(act, |act, (reason, _)| act.because(reason.as_str()));
        let (journal, done) = (Journal::open(self.config, host).await?, Done::default());
        let changed = journal.act(act, &done, async {
            let account = work.await?;
            done.say("account_changed", true);
            done.event(event.about(Some(account.name.id().clone())));
            let Some((reason, settling)) = ends else { return Ok((account, Ended::NONE)) };
            let was = format!("{} was {what}", account.name);
            let ended = Box::pin(self.end_sessions(&account, reason, settling, &journal)).await;
            let ended = ended.map_err(|error| error.after(&was))?;
            done.say("revoked", ended.in_log());
            Ok((account, ended))
        });
        let (account, ended) = changed.await?;
        let Some((_, settling)) = ends else {
            return self.say(&account, &format!("{} was {what}.", account.name), Ended::NONE, host);
        };
        if self.config.store.is_in_the_server() {
            let note = "sessions in memory live inside the server; restart it to end those of";
            writeln!(host.stderr, "note: {note} {}", account.name)?;
        } else if self.config.list_is_in_the_server() {
            let note =
                "the list of ends lives inside the server; end the sessions there, or in its console, of";
            writeln!(host.stderr, "note: {note} {}", account.name)?;
        } else if ended == Ended::LiveOn {
            writeln!(host.stderr, "note: {LIVE_ON}")?;
        }
        let is_settled = settling.settled && !ended.is_none() && ended != Ended::LiveOn;
        let everywhere = if is_settled { SETTLED } else { "" };
        let sentence = format!("{} was {what}; {}{everywhere}.", account.name, ended.sentence());
        self.say(&account, &sentence, ended, host)
    }

    async fn end_sessions(
        &self,
        account: &Account,
        reason: EndReason,
        settling: SettlingArgs,
        journal: &Journal,
    ) -> Result<Ended, CliError> {
        if !can_end(self.config) || self.config.list_is_in_the_server() {
            return Ok(Ended::LiveOn);
        }
        let log = journal.log().clone();
        let opening = Box::pin(stores::beside_the_server_telling(self.config, log, journal.now()));
        let Some(sessions) = opening.await? else {
            return Ok(Ended::NONE);
        };
        let selector = Selector::Principal { principal: account.name.id().clone(), except: None };
        let revoking = sessions.revoke(&selector, Revocation::new(reason, Actor::Operator));
        let revoked = if settling.settled { revoking.settled().await? } else { revoking.await? };
        Ok(Ended::of(&revoked))
    }

    fn say(
        &self,
        account: &Account,
        sentence: &str,
        ended: Ended,
        host: &mut Host<'_>,
    ) -> Result<(), CliError> {
        if self.json {
            let mut answer = json!({ "user": account_json(account), "sessions_ended": ended.count() });
            if ended == Ended::LiveOn
                && let Some(answer) = answer.as_object_mut()
            {
                answer.insert("sessions_live_on".to_owned(), true.into());
            }
            writeln!(host.stdout, "{answer:#}")?;
        } else {
            writeln!(host.stdout, "{sentence}")?;
        }
        Ok(())
    }
}

fn read_password(from: PasswordArgs, host: &mut Host<'_>) -> Result<Password, CliError> {
    let text = if from.password_stdin {
        host.read_secret_line()?
    } else {
        let Some(ask) = host.ask else {
            let cause = "there is no terminal to ask for the password at";
            return Err(CliError::usage(
                cause,
                "pass --password-stdin and write the password to standard input",
            ));
        };
        let first = zeroize::Zeroizing::new(ask("Password: ")?);
        let second = zeroize::Zeroizing::new(ask("Again: ")?);
        if first != second {
            return Err(CliError::failed("the two passwords differ", "type the same password twice"));
        }
        first
    };
    Password::new(text.as_str()).map_err(|e| CliError::failed(e.to_string(), "choose a shorter one"))
}

fn account_json(account: &Account) -> Value {
    let roles: Vec<&str> = account.roles.as_slice().iter().map(cloakroom::Role::as_str).collect();
    json!({
        "name": account.name.as_str(),
        "roles": roles,
        "enabled": account.is_enabled(),
        "created_at": account.created_at.to_string(),
        "password_changed_at": account.password_changed_at.to_string(),
        "disabled_at": account.disabled_at.map(|at| at.to_string()),
    })
}

fn no_such_account(name: &str) -> CliError {
    let cause = format!("there is no account named \"{}\"", name.escape_debug());
    CliError::failed(cause, "`cloakroom users list` shows all accounts")
}

fn name_taken(name: &str) -> CliError {
    let cause = format!("there is an account named \"{}\" already", name.escape_debug());
    CliError::failed(cause, "choose another name, or change that account")
}
