//! What every handler works with.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{GuardedStore, Random, RandomError, Sessions};
use cloakroom_audit::AuditLog;
use cloakroom_axum::{CookiePolicy, OriginGuard, ReturnPolicy, TrustedProxies};
use cloakroom_core::{FreshnessDemand, SessionId};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::admin::{OpenStreams, StatsMemory};
use crate::accounts::Accounts;
use crate::config::{Config, EffectiveKey};
use crate::detection::Detection;
use crate::ended::can_end;
use crate::limits::{Pace, SignInLimits};
use crate::telemetry::Tracing;

/// What every handler works with. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// What the server is put together from.
#[derive(Debug)]
pub struct AppParts {
    /// The engine.
    pub sessions: Sessions,
    /// The built-in accounts.
    pub accounts: Accounts,
    /// The audit log.
    pub audit: AuditLog,
    /// Notices sessions and accounts in other hands; it has to be among the engine's event sinks, too.
    pub detection: Detection,
    /// The checked configuration.
    pub config: Config,
    /// Makes nonces.
    pub random: Arc<dyn Random>,
    /// Where metrics are read, where they are collected.
    pub metrics: Option<PrometheusHandle>,
    /// What guards the session store against its outages.
    pub guards: Vec<Arc<GuardedStore>>,
    /// The configuration key by key, as people are shown it.
    pub effective: Vec<EffectiveKey>,
}

/// See [`App`].
pub struct Inner {
    pub(crate) sessions: Sessions,
    pub(crate) accounts: Accounts,
    pub(crate) audit: AuditLog,
    /// Each request that may change something holds a receiver while it runs.
    pub(super) running: watch::Sender<()>,
    pub(crate) detection: Detection,
    pub(super) config: Config,
    pub(crate) limits: SignInLimits,
    /// How often a session gets another token because its client asks for one.
    pub(super) renewals: Pace<SessionId>,
    /// How often a session of staff that sees one person at a time looks at one.
    pub(super) looks: Pace<SessionId>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) metrics: Option<PrometheusHandle>,
    pub(super) guards: Vec<Arc<GuardedStore>>,
    pub(super) effective: Vec<EffectiveKey>,
    pub(super) tracing: Tracing,
    pub(super) cookie: CookiePolicy,
    pub(super) guard: OriginGuard,
    pub(super) proxies: TrustedProxies,
    pub(super) returns: ReturnPolicy,
    /// Origins besides our own that a sign-in may lead to, each after a space.
    pub(super) form_targets: String,
    /// When store and accounts were last found ready, by the monotonic clock.
    pub(super) ready_at: Mutex<Option<Duration>>,
    /// How things stood a moment ago.
    pub(super) stats: StatsMemory,
    /// Who follows the audit log.
    pub(super) live: OpenStreams,
    /// Who takes it away.
    pub(super) exports: OpenStreams,
}

impl App {
    /// Puts the server's parts together.
    #[must_use]
    pub fn new(parts: AppParts) -> Self {
        let AppParts { sessions, accounts, audit, detection, config, random, metrics, guards, effective } =
            parts;
        let public = config.public_url.origin().clone();
        let trust = &config.trust;
        let form_targets =
            trust.return_origins.iter().map(|origin| format!(" {}", origin.as_str())).collect();
        Self(Arc::new(Inner {
            form_targets,
            ready_at: Mutex::new(None),
            stats: StatsMemory::default(),
            live: OpenStreams::of_live_views(),
            exports: OpenStreams::of_exports(),
            cookie: config.cookie.clone(),
            guard: OriginGuard::new([public.clone()]).trusting(trust.origins.iter().cloned()),
            proxies: TrustedProxies::new(trust.proxies.iter().copied()).reading(trust.forwarding_header),
            returns: ReturnPolicy::own_paths()
                .and_origins(trust.return_origins.iter().cloned().chain([public])),
            limits: SignInLimits::new(config.sign_in),
            renewals: Pace::new(RENEWALS, RENEWALS_WINDOW),
            looks: Pace::new(LOOKS, LOOKS_WINDOW),
            tracing: Tracing::new(&config.telemetry),
            sessions,
            accounts,
            audit,
            running: watch::Sender::new(()),
            detection,
            config,
            random,
            metrics,
            guards,
            effective,
        }))
    }

    /// Resolves when every request that may change something, and whose client may have left, is done.
    pub(crate) async fn all_done(&self) {
        self.running.closed().await;
    }

    /// Ends every stream that would go on for as long as somebody reads it: before a server waits for what is under way.
    pub fn close_streams(&self) {
        self.live.close();
        self.exports.close();
    }

    /// Whether sessions can be listed, counted and found.
    pub(super) fn can_list(&self) -> bool {
        self.sessions.store().capabilities().listing
    }

    /// Whether sessions can be ended before their time.
    pub(super) fn can_end(&self) -> bool {
        can_end(&self.config)
    }

    /// What changes of account and sessions demand of the proof of identity.
    pub(super) fn fresh(&self) -> FreshnessDemand {
        FreshnessDemand::within(FRESH_WITHIN)
    }

    /// The same for what staff does.
    pub(super) fn fresh_staff(&self) -> FreshnessDemand {
        FreshnessDemand::within(self.config.console.fresh_within)
    }

    /// Random bytes as text, for a nonce or an id.
    pub(super) fn random_text(&self) -> Result<String, RandomError> {
        use base64::Engine as _;
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes)?;
        Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("public_url", &self.config.public_url).finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

/// For how long after a proof of identity people may change their password and end their sessions without another.
const FRESH_WITHIN: Duration = Duration::from_secs(5 * 60);
/// Most renewals of one session at once, and within [`RENEWALS_WINDOW`] from then on: each is an event of the audit log, of
/// which there is room for so many. A client renews when its rights change, or every few minutes.
const RENEWALS: u32 = 20;
const RENEWALS_WINDOW: Duration = Duration::from_secs(20 * 60);
/// Most looks of one session of support at once, and within [`LOOKS_WINDOW`]: more than anybody reads, and few enough that
/// names are not tried out.
const LOOKS: u32 = 300;
const LOOKS_WINDOW: Duration = Duration::from_secs(15 * 60);
