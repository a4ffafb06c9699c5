//! The command line as types.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgGroup, Args, Parser, Subcommand, ValueEnum};
use cloakroom_audit::names;
use cloakroom_core::{EndReason, PrincipalId, SessionId, Timestamp};
use cloakroom_store::StateFilter;

#[cfg(feature = "sealed")]
use super::keys::KeysCommand;
use super::nearest::nearest;
use crate::config::Overrides;

/// Session-based authentication: a server that keeps the login state, and everything to see and end it.
#[derive(Debug, Parser)]
#[command(name = "cloakroom", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// What every call takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every call takes.
#[derive(Clone, Debug, Default, Args)]
pub struct GlobalArgs {
    /// Configuration file [default: cloakroom.toml, where it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of accounts and, by default, sessions
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where sessions live: sqlite:PATH, postgres://…, mysql://…, redis://…, memcached://…, memory: or sealed:?revocations=URL
    #[arg(long, global = true, value_name = "URL")]
    pub store: Option<String>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,
}

impl GlobalArgs {
    /// These flags as the configuration's last word.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides { data_dir: self.data_dir.clone(), store: self.store.clone(), ..Overrides::default() }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the session server
    Serve(ServeArgs),
    /// Manage the built-in accounts
    #[command(subcommand)]
    Users(UsersCommand),
    /// List and end sessions, also beside a running server
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// Move sessions between stores, and try a store out
    #[command(subcommand)]
    Store(StoreCommand),
    /// Say what the configuration means, what is weak, and how the store is
    Doctor,
    /// Show or check the effective configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check and export the audit log, also beside a running server
    #[command(subcommand)]
    Audit(AuditCommand),
    /// The keys that seal sessions, where these travel in their cookies
    #[cfg(feature = "sealed")]
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Print the API's description as OpenAPI
    Openapi,
}

/// What only the server takes.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Where browsers find the server [default: http://localhost and the port]
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
}

impl ServeArgs {
    /// These flags, with those that every call takes.
    #[must_use]
    pub fn overrides(&self, global: &GlobalArgs) -> Overrides {
        Overrides { listen: self.listen.clone(), public_url: self.public_url.clone(), ..global.overrides() }
    }
}

/// The built-in accounts.
#[derive(Debug, Subcommand)]
pub enum UsersCommand {
    /// Add an account; asks for its password
    Add {
        /// The account's name
        name: String,
        /// A role, for example admin; may be repeated
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// Where the password comes from
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// List the accounts
    List,
    /// Let an account sign in no longer, and end its sessions
    Disable {
        /// The account's name
        name: String,
        /// Whether to wait
        #[command(flatten)]
        settling: SettlingArgs,
    },
    /// Let an account sign in again
    Enable {
        /// The account's name
        name: String,
    },
    /// Set another password, and end the account's sessions
    SetPassword {
        /// The account's name
        name: String,
        /// Where the password comes from
        #[command(flatten)]
        password: PasswordArgs,
        /// Whether to wait
        #[command(flatten)]
        settling: SettlingArgs,
    },
    /// Replace an account's roles, and end its sessions, which carry the old ones
    #[command(group = ArgGroup::new("new_roles").required(true))]
    SetRoles {
        /// The account's name
        name: String,
        /// A role; may be repeated
        #[arg(long = "role", value_name = "ROLE", group = "new_roles")]
        roles: Vec<String>,
        /// Take every role away
        #[arg(long, group = "new_roles")]
        none: bool,
        /// Whether to wait
        #[command(flatten)]
        settling: SettlingArgs,
    },
}

/// Whether a call that ends sessions waits until that is true everywhere.
#[derive(Clone, Copy, Debug, Args)]
pub struct SettlingArgs {
    /// Return only once every server is known to refuse the sessions that ended
    #[arg(long)]
    pub settled: bool,
}

/// Where a password comes from.
#[derive(Clone, Copy, Debug, Args)]
pub struct PasswordArgs {
    /// Read the password from the first line of standard input instead of asking
    #[arg(long)]
    pub password_stdin: bool,
}

/// Sessions.
#[derive(Debug, Subcommand)]
pub enum SessionsCommand {
    /// List live sessions
    List {
        /// Only those of this principal
        #[arg(long, value_name = "NAME")]
        principal: Option<String>,
        /// Only those in this state
        #[arg(long, value_enum, default_value_t = StateArg::Active)]
        state: StateArg,
        /// Also those that ended and are still remembered: --state any
        #[arg(long, conflicts_with = "state")]
        ended: bool,
        /// Only live ones issued to this address
        #[arg(long, value_name = "ADDRESS")]
        ip: Option<IpAddr>,
        /// Only those that mention this in principal, id, address or device; `name*` for principals that begin so
        #[arg(long, value_name = "TEXT")]
        text: Option<String>,
        /// Most sessions listed
        #[arg(long, value_name = "N", default_value_t = 1_000)]
        limit: usize,
    },
    /// End sessions: one, those of a principal, those issued before an instant, or all
    #[command(group = ArgGroup::new("which").required(true))]
    Revoke {
        /// The session to end
        #[arg(group = "which", value_name = "ID")]
        session: Option<SessionId>,
        /// End every session of this principal
        #[arg(long, group = "which", value_name = "NAME")]
        principal: Option<String>,
        /// … but this one
        #[arg(long, value_name = "ID", requires = "principal")]
        except: Option<SessionId>,
        /// End every session issued before this instant: 2026-03-01T09:30:00Z, or 2026-03-01 for its midnight in UTC
        #[arg(long, group = "which", value_name = "INSTANT", value_parser = instant)]
        issued_before: Option<Timestamp>,
        /// End every session
        #[arg(long, group = "which")]
        all: bool,
        /// Why; the people signed in are told
        #[arg(long, value_parser = reasons(), default_value = "revoked_by_admin")]
        reason: EndReason,
        /// One line for those who read the audit log
        #[arg(long, value_name = "TEXT", value_parser = note)]
        note: Option<String>,
        /// Whether to wait
        #[command(flatten)]
        settling: SettlingArgs,
    },
}

/// States of sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum StateArg {
    /// Live ones
    Active,
    /// Those that ended and are still remembered
    Ended,
    /// Both
    Any,
}

impl From<StateArg> for StateFilter {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Active => Self::Active,
            StateArg::Ended => Self::Ended,
            StateArg::Any => Self::Any,
        }
    }
}

/// Stores.
#[derive(Clone, Debug, Subcommand)]
pub enum StoreCommand {
    /// Move every session from one store to another while servers that know both keep running
    ///
    /// May be stopped at any time: the same call again goes on where it stopped.
    ///
    /// Exit codes: 0, everything has moved: servers may forget the old store; 1, something failed; 2, wrong usage; 3, begun: the old
    /// store cannot list its sessions, and servers have to know both until the time that is printed.
    #[command(arg = hidden_store())]
    Migrate {
        /// Where sessions live now [default: store_moving_from of the configuration]
        #[arg(long, value_name = "URL")]
        from: Option<String>,
        /// Where they shall live [default: store of the configuration]
        #[arg(long, value_name = "URL")]
        to: Option<String>,
        /// No server runs: the configuration need not name both stores
        #[arg(long)]
        offline: bool,
    },
    /// Try a store out with sessions of its own, which it ends; safe on a store in use
    #[command(arg = hidden_store())]
    Check {
        /// The store [default: store of the configuration]
        #[arg(value_name = "URL")]
        url: Option<String>,
    },
}

/// The audit log.
#[derive(Clone, Debug, Subcommand)]
pub enum AuditCommand {
    /// Check every event, link, seal and checkpoint, and name the first event that is not as it was written
    Verify,
    /// Write events to standard output, the first of them first
    Export(ExportArgs),
}

/// Which events are exported, and how.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// Only those at or after this instant: 2026-03-01T09:30:00Z, or 2026-03-01 for its midnight in UTC
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub since: Option<Timestamp>,
    /// Only those before this instant, written in the same way
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub until: Option<Timestamp>,
    /// Only those about this principal, or done by it
    #[arg(long, value_name = "NAME", value_parser = principal)]
    pub principal: Option<PrincipalId>,
    /// Only those of this kind; with a * at its end, of every kind that begins so
    #[arg(long, value_name = "NAME", value_parser = event)]
    pub event: Option<String>,
    /// How they are written
    #[arg(long, value_enum, default_value_t = AuditFormat::Jsonl)]
    pub format: AuditFormat,
}

/// How events are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum AuditFormat {
    /// One JSON object per line, as the API shows it
    Jsonl,
    /// Comma-separated values with a line of names
    Csv,
}

/// The effective configuration.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every key with its value and where that comes from, secrets masked
    Show,
    /// Check the configuration and say what is wrong or weak
    Check,
}

/// `--store` for calls that name their stores otherwise: still understood, so that it can be answered with a sentence.
fn hidden_store() -> Arg {
    Arg::new("store").long("store").value_name("URL").hide(true)
}

fn principal(text: &str) -> Result<PrincipalId, String> {
    PrincipalId::new(text).map_err(|error| error.to_string())
}

/// Reasons that a person can give; the others are the engine's own.
fn reasons() -> impl TypedValueParser<Value = EndReason> {
    PossibleValuesParser::new(REVOCATION_REASONS.map(EndReason::as_str)).try_map(|word| word.parse())
}

fn note(text: &str) -> Result<String, String> {
    if text.len() > NOTE_MAX_BYTES || text.chars().any(char::is_control) {
        return Err(format!("a note is one line of at most {NOTE_MAX_BYTES} bytes"));
    }
    Ok(text.to_owned())
}

/// An instant, or a day for the midnight that it begins with in UTC.
fn instant(text: &str) -> Result<Timestamp, String> {
    let whole = text.parse().or_else(|_| format!("{text}T00:00:00Z").parse());
    whole.map_err(|_| {
        "expected an instant such as 2026-03-01T09:30:00Z, or a day such as 2026-03-01".to_owned()
    })
}

/// An event, or the beginning of some.
fn event(text: &str) -> Result<String, String> {
    if names::is_known(text) {
        return Ok(text.to_owned());
    }
    Err(match nearest(text.trim_end_matches('*'), names::ALL) {
        Some(name) => format!("there are no such events; did you mean {name}?"),
        None => "there are no such events; the chapter on the audit log names them all".to_owned(),
    })
}

/// As in the API.
const NOTE_MAX_BYTES: usize = 500;
const REVOCATION_REASONS: [EndReason; 5] = [
    EndReason::RevokedByAdmin,
    EndReason::RevokedByService,
    EndReason::PasswordChanged,
    EndReason::AccountDisabled,
    EndReason::Compromised,
];

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn calls_that_name_their_stores_offer_no_other_way_and_still_see_it() {
        for call in ["migrate", "check"] {
            let help = Cli::try_parse_from(["cloakroom", "store", call, "--help"]).unwrap_err().to_string();
            assert!(help.contains("--data-dir") && !help.contains("--store"), "{help}");
            for args in [&["store", call, "--store", "sqlite:a"][..], &["--store", "sqlite:a", "store", call]]
            {
                let cli = Cli::try_parse_from([&["cloakroom"][..], args].concat()).unwrap();
                assert_eq!(cli.global.store.as_deref(), Some("sqlite:a"), "{args:?}");
            }
        }
        let help = Cli::try_parse_from(["cloakroom", "store", "migrate", "--help"]).unwrap_err().to_string();
        assert!(help.contains("3, begun"), "{help}");
    }

    #[test]
    fn exactly_one_choice_of_sessions_is_revoked() {
        let parse = |args: &str| {
            Cli::try_parse_from(format!("cloakroom sessions revoke {args}").split_whitespace()).map(|_| ())
        };
        for args in
            ["--all", "--principal alice", "--issued-before 2026-03-01T00:00:00Z --reason compromised"]
        {
            assert!(parse(args).is_ok(), "{args}");
        }
        for args in [
            "",
            "--all --principal alice",
            "--except ses_x --all",
            "ses_short",
            "--all --reason bored",
            "--all --reason idle_timeout",
        ] {
            assert!(parse(args).is_err(), "{args}");
        }
    }

    #[test]
    fn a_day_is_its_midnight_and_what_nobody_records_is_not_searched_for() {
        let export = |args: &str| {
            let args = format!("cloakroom audit export {args}");
            match Cli::try_parse_from(args.split_whitespace()).map(|cli| cli.command) {
                Ok(Command::Audit(AuditCommand::Export(args))) => Ok(args),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error.to_string()),
            }
        };
        let day = export("--since 2026-11-01 --until 2026-11-02T00:00:00Z").unwrap();
        assert_eq!(day.since, "2026-11-01T00:00:00Z".parse().ok());
        assert_eq!(day.until, "2026-11-02T00:00:00Z".parse().ok());
        assert!(export("--since yesterday").unwrap_err().contains("a day such as"));
        for known in ["session_revoked", "session_*", "authn_login_fail*", "*"] {
            assert_eq!(export(&format!("--event {known}")).unwrap().event.as_deref(), Some(known));
        }
        let slip = export("--event session_revokd").unwrap_err();
        assert!(slip.contains("did you mean session_revoked?"), "{slip}");
        assert!(export("--event coffee*").is_err());
    }

    #[test]
    fn roles_are_replaced_by_some_or_by_none_but_not_by_accident() {
        let parse = |args: &str| {
            Cli::try_parse_from(format!("cloakroom users set-roles alice {args}").split_whitespace())
        };
        assert!(parse("--role a --role b").is_ok() && parse("--none").is_ok());
        assert!(parse("").is_err() && parse("--none --role a").is_err());
    }
}
