//! The configuration as types: what is left after merging, reading and checking.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cloakroom::NearCachePolicy;
use cloakroom_core::{AalPreset, Policy};
use cloakroom_http::{CookiePolicy, ForwardingHeader, Origin, SameSite};
use ipnet::IpNet;

use super::accounts_url::AccountsUrl;
use super::audit::AuditConfig;
use super::console::ConsoleConfig;
use super::detection::DetectionConfig;
use super::public_url::PublicUrl;
use super::read::words;
use super::sealed::SealedConfig;
use super::store_url::StoreUrl;
use super::telemetry::TelemetryConfig;

/// A configuration that was checked: every combination in it can be kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Where browsers find it.
    pub public_url: PublicUrl,
    /// Whether [`public_url`](Self::public_url) follows from [`listen`](Self::listen) because nobody set it.
    pub public_url_is_derived: bool,
    /// Where accounts and sessions are kept by default.
    pub data_dir: PathBuf,
    /// Where sessions live.
    pub store: StoreUrl,
    /// Where sessions lived before, while they are being moved from there.
    pub store_moving_from: Option<StoreUrl>,
    /// Where the built-in accounts and the audit log are kept.
    pub accounts: AccountsUrl,
    /// A listener of its own for metrics, where asked for.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether cookies go over plain http to hosts other than this machine: everybody on the way can take them.
    pub dangerously_insecure_http: bool,
    /// The assurance level that the policy declares.
    pub preset: AalPreset,
    /// The rules sessions are issued under.
    pub policy: Policy,
    /// The session cookie.
    pub cookie: CookiePolicy,
    /// How much of a shared store is kept in memory, and for how long it is believed.
    pub near_cache: NearCachePolicy,
    /// How sessions are sealed, where they travel in their cookies.
    pub sealed: SealedConfig,
    /// How guessing is slowed down.
    pub sign_in: SignInConfig,
    /// How the audit log is kept.
    pub audit: AuditConfig,
    /// Whom the server believes.
    pub trust: TrustConfig,
    /// TLS of the server's own, where asked for.
    pub tls: Option<TlsConfig>,
    /// What staff sees.
    pub console: ConsoleConfig,
    /// How stolen sessions are noticed, and what is done about them.
    pub detection: DetectionConfig,
    /// What is logged and how.
    pub log: LogConfig,
    /// Where traces and metrics are sent.
    pub telemetry: TelemetryConfig,
}

impl Config {
    /// The database file of the built-in accounts and the audit log, where they are in one.
    #[must_use]
    pub fn accounts_path(&self) -> Option<PathBuf> {
        match &self.accounts {
            AccountsUrl::Sqlite { path } => {
                Some(path.clone().unwrap_or_else(|| self.default_accounts_path()))
            }
            AccountsUrl::Remote(_) => None,
        }
    }

    /// The database file of `accounts = "sqlite:"`.
    #[must_use]
    pub fn default_accounts_path(&self) -> PathBuf {
        self.data_dir.join("accounts.db")
    }

    /// The database file of the session store, where it has one; of sealed sessions, that of the list of ends.
    #[must_use]
    pub fn sessions_path(&self) -> Option<PathBuf> {
        match &self.store {
            StoreUrl::Sqlite { path } => Some(path.clone().unwrap_or_else(|| self.default_sessions_path())),
            StoreUrl::Sealed { revocations: Some(list) } => match &**list {
                StoreUrl::Sqlite { path } => {
                    Some(path.clone().unwrap_or_else(|| self.default_revocations_path()))
                }
                _ => None,
            },
            StoreUrl::Memory { .. } | StoreUrl::Remote(_) | StoreUrl::Sealed { revocations: None } => None,
        }
    }

    /// The database file of `sqlite:` without a path.
    #[must_use]
    pub fn default_sessions_path(&self) -> PathBuf {
        self.data_dir.join("sessions.db")
    }

    /// The same configuration, bound to the address that the system gave; matters where the port was 0.
    #[must_use]
    pub fn bound_to(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        if self.public_url_is_derived {
            self.public_url = PublicUrl::local(address, self.tls.is_some());
        }
        self
    }
}

/// How many attempts to sign in are admitted per window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SignInConfig {
    /// Failed attempts on one account.
    pub attempts_per_account: u32,
    /// Failed attempts from one address (IPv6: one /64).
    pub attempts_per_address: u32,
    /// The window for both.
    pub window: Duration,
}

/// Whom the server believes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct TrustConfig {
    /// Networks of proxies whose forwarding headers are believed.
    pub proxies: Vec<IpNet>,
    /// In which header field they write for whom they ask.
    pub forwarding_header: ForwardingHeader,
    /// Origins, besides the public URL, that may send state-changing requests.
    pub origins: Vec<Origin>,
    /// Hosts, besides the public URL's, that people may be sent back to after sign-in, as they were written.
    pub return_hosts: Vec<String>,
    /// The origins of these hosts: over https, and on this machine over http too.
    pub return_origins: Vec<Origin>,
}

/// TLS of the server's own.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TlsConfig {
    /// The certificate chain, PEM.
    pub cert_file: PathBuf,
    /// The private key, PEM.
    pub key_file: PathBuf,
    /// A plain http listener that sends browsers to https, where asked for.
    pub redirect_listen: Option<SocketAddr>,
}

/// What is logged and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LogConfig {
    /// For people or for programs.
    pub format: LogFormat,
    /// The least important level that is written.
    pub level: LogLevel,
}

/// The form of log lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    /// The word in configuration files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// How important a log line must be to be written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What should be looked at.
    Warn,
    /// What happened.
    Info,
    /// Why it happened.
    Debug,
    /// Every step.
    Trace,
}

impl LogLevel {
    /// The word in configuration files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// What may be set on the command line; it wins over everything else.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<String>,
    /// `--public-url`
    pub public_url: Option<String>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--store`
    pub store: Option<String>,
}

/// What a configuration is made of. Reading the environment and finding the file is the binary's business.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The configuration file and its text, where there is one.
    pub file: Option<(PathBuf, String)>,
    /// Environment variables; those of other programs are ignored.
    pub environment: Vec<(String, String)>,
    /// Command line flags.
    pub overrides: Overrides,
}

impl Sources {
    /// Only the text of a configuration file, as tests and examples need it.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        Self { file: Some((Path::new(DEFAULT_FILE).to_owned(), text.to_owned())), ..Self::default() }
    }
}

/// The configuration file that is read, where it exists, when no other is named.
pub const DEFAULT_FILE: &str = "cloakroom.toml";

words!(
    ForwardingHeader,
    "\"x-forwarded-for\" or \"forwarded\"",
    "x-forwarded-for" => ForwardingHeader::XForwardedFor,
    "forwarded" => ForwardingHeader::Forwarded,
);
words!(SameSite, "\"strict\", \"lax\" or \"none\"", "strict" => SameSite::Strict, "lax" => SameSite::Lax, "none" => SameSite::None);
words!(LogFormat, "\"text\" or \"json\"", "text" => LogFormat::Text, "json" => LogFormat::Json);
words!(
    LogLevel,
    "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
    "error" => LogLevel::Error,
    "warn" => LogLevel::Warn,
    "info" => LogLevel::Info,
    "debug" => LogLevel::Debug,
    "trace" => LogLevel::Trace,
);
