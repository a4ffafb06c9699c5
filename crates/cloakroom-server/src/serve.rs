//! `serve`: the parts put together, the doors opened, and closed in order.

use std::fmt;
use std::future::Future;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{Clock, Random};
use cloakroom_audit::{Draft, names};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::sync::watch;

use crate::accounts::{AccountError, Accounts, HashingLimits};
use crate::audit;
use crate::awaited::{Databases, open_databases};
use crate::config::{Config, EffectiveKey};
use crate::detection::{Detection, DetectionError, Means};
use crate::doors::{Doors, bind, unusable};
use crate::familiar;
use crate::sealed::{SealingKeys, begin_sessions};
use crate::stores;
use crate::telemetry::Telemetry;
use crate::web::{self, App, AppParts};

/// What a server needs of the process it runs in.
#[derive(Debug)]
pub struct Surroundings {
    /// Spans that are recorded, to be sent.
    pub telemetry: Telemetry,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes tokens, salts and nonces.
    pub random: Arc<dyn Random>,
    /// How many cores there are.
    pub cores: usize,
    /// The configuration key by key, as people are shown it.
    pub effective: Vec<EffectiveKey>,
}

/// Why a server does not run: one line of cause, one of remedy.
#[derive(Debug)]
pub struct ServeError {
    cause: String,
    remedy: String,
}

impl ServeError {
    pub(crate) fn new(cause: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self { cause: cause.to_string(), remedy: remedy.into() }
    }

    /// What is wrong.
    #[must_use]
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// What helps.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

/// Serves until `shutdown` resolves; then answers what is under way, writes down what waits, and returns. What people
/// have to know is written to `out`: where it listens, and on first run the set-up link.
///
/// # Errors
/// [`ServeError`] where it cannot start.
pub async fn serve(
    config: Config,
    mut surroundings: Surroundings,
    out: &mut (dyn Write + Send),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    make_data_dir(&config.data_dir)?;
    let listener = bind(config.listen)?;
    let address = listener.local_addr().map_err(|error| unusable(config.listen, &error))?;
    let config = config.bound_to(address);
    let metrics = install_metrics()?;
    let telemetry = std::mem::take(&mut surroundings.telemetry);
    let (clock, random) = (Arc::clone(&surroundings.clock), &*surroundings.random);
    let sending = telemetry
        .send(&config.telemetry, metrics.clone(), clock, random)
        .map_err(|error| ServeError::new(error, "check [telemetry]"))?;
    tokio::pin!(shutdown);
    let databases = tokio::select! {
        biased;
        () = &mut shutdown => return Ok(()),
        opened = Box::pin(open_databases(&config)) => opened?,
    };
    let (app, keys) = assemble(&config, &surroundings, databases, metrics).await?;
    // Before the first request: what it does is written down.
    let (stop_audit, audit_stopped) = watch::channel(false);
    let audit = tokio::spawn({
        let audit = app.audit.clone();
        async move { audit.run(closed(audit_stopped)).await }
    });
    let doors = Doors::open(&app, &config, listener).await?;

    keys.announce(out)?;
    announce(&app, &config, &surroundings, out).await?;
    spawn_remembering(&app);
    let (stop, stopped) = watch::channel(false);
    let draining = tokio::spawn(drain(app.metrics.clone(), stop.subscribe()));
    tokio::spawn(sample(app.clone(), stop.subscribe()));
    let (sessions, clock) = (app.sessions.clone(), Arc::clone(&surroundings.clock));
    tokio::spawn(keys.follow(sessions, clock, closed(stop.subscribe())));
    let (stop_detection, detection_stopped) = watch::channel(false);
    let detection = spawn_detection(&app, detection_stopped);
    let upkeep = tokio::spawn({
        let sessions = app.sessions.clone();
        async move { sessions.upkeep(closed(stopped)).await }
    });
    shutdown.await;
    tracing::info!(event = names::SHUTDOWN, "shutting down");
    app.close_streams();
    doors.close().await;
    if tokio::time::timeout(GRACE, app.all_done()).await.is_err() {
        tracing::warn!("requests that nobody waits for any more were not done in time");
    }
    // After the last request, and before the log closes: what it gave rise to is recorded.
    stop_detection.send_replace(true);
    if detection.await.is_err() {
        tracing::error!("detection had stopped before the server");
    }
    // After the last request: its activity is written down too.
    stop.send_replace(true);
    if upkeep.await.is_err() {
        tracing::error!("upkeep had stopped before the server");
    }
    app.audit.note(Draft::new(names::SHUTDOWN, surroundings.clock.now()));
    stop_audit.send_replace(true);
    if audit.await.is_err() {
        tracing::error!("the audit log had stopped before the server");
    }
    if draining.await.is_err() {
        tracing::error!("the metrics' own upkeep had stopped before the server");
    }
    sending.finish().await;
    Ok(())
}

/// Writes down each minute how many sessions there are, for the console's charts.
async fn sample(app: App, stopped: watch::Receiver<bool>) {
    if !app.sessions.store().capabilities().listing {
        return;
    }
    let mut minute = tokio::time::interval(SAMPLE_EVERY);
    let stopped = closed(stopped);
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return,
            _ = minute.tick() => {}
        }
        // A failure is counted and logged where the store was asked; the minute has no sample.
        if let Ok(counts) = app.sessions.count().await {
            let value = |count: u64| u32::try_from(count).map_or(f64::MAX, f64::from);
            app.audit.sample("sessions_signed_in", value(counts.signed_in));
            app.audit.sample("sessions_anonymous", value(counts.anonymous));
        }
    }
}

/// Tells the limits on guessing where people are signed in.
fn spawn_remembering(app: &App) {
    let app = app.clone();
    // A failure is counted and logged where the store was asked; people from known places then wait like others.
    tokio::spawn(async move { familiar::remember(&app.limits, &app.sessions).await });
}

/// Acts on signals beside the requests.
fn spawn_detection(app: &App, stopped: watch::Receiver<bool>) -> tokio::task::JoinHandle<()> {
    let (detection, random) = (app.detection.clone(), Arc::clone(&app.random));
    let (sessions, accounts, audit) = (app.sessions.clone(), app.accounts.clone(), app.audit.clone());
    let means = Means { sessions, accounts, audit, random };
    tokio::spawn(async move { detection.run(means, closed(stopped)).await })
}

async fn assemble(
    config: &Config,
    surroundings: &Surroundings,
    databases: Databases,
    metrics: PrometheusHandle,
) -> Result<(App, SealingKeys), ServeError> {
    let Databases { store: opened, accounts } = databases;
    let (clock, random) = (Arc::clone(&surroundings.clock), Arc::clone(&surroundings.random));
    let audit = audit::open(config, clock, random).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        ServeError::new(
            format!("{error}{cause}"),
            "check the data directory, its audit.key, and the accounts' database",
        )
    })?;
    let detection = Detection::open(&config.detection)
        .map_err(|DetectionError { cause, remedy }| ServeError::new(cause, remedy))?;
    let (builder, keys) = begin_sessions(opened.keeping, config, surroundings).await?;
    let sessions = builder
        .policy(config.policy.clone())
        .events(audit.clone())
        .events(detection.clone())
        .near_cache(config.near_cache)
        .clock(Shared(Arc::clone(&surroundings.clock)))
        .random(Shared(Arc::clone(&surroundings.random)))
        .build()
        .map_err(|error| ServeError::new(error, "change the policy in [session]"))?;
    let (random, cores) = (Arc::clone(&surroundings.random), surroundings.cores);
    let accounts =
        tokio::task::spawn_blocking(move || Accounts::new(accounts, random, HashingLimits::for_cores(cores)));
    let accounts = accounts
        .await
        .map_err(|error| ServeError::new(error, "report this as a defect"))?
        .map_err(|error: AccountError| ServeError::new(&error, error.remedy()))?;
    let random = Arc::clone(&surroundings.random);
    let app = App::new(AppParts {
        sessions,
        accounts,
        audit,
        detection,
        config: config.clone(),
        random,
        metrics: Some(metrics),
        guards: opened.guards,
        effective: surroundings.effective.clone(),
    });
    Ok((app, keys))
}

async fn announce(
    app: &App,
    config: &Config,
    surroundings: &Surroundings,
    out: &mut (dyn Write + Send),
) -> Result<(), ServeError> {
    let version = env!("CARGO_PKG_VERSION");
    app.audit.note(Draft::new(names::STARTUP, surroundings.clock.now()).with("version", version));
    tracing::info!(event = names::STARTUP, listen = %config.listen, store = %config.store, "listening");
    for warning in config.warnings() {
        tracing::warn!(event = "weak_configuration", key = warning.key(), "{}", warning.cause());
    }
    // A store that answers no more questions is noticed by whoever needs it.
    for weakness in stores::weaknesses(&config.store).await.unwrap_or_default() {
        tracing::warn!(event = "weak_store", store = %config.store, "{weakness}");
    }
    let closed = |error: io::Error| ServeError::new(error, "keep standard output open");
    writeln!(out, "Cloakroom listens on {}", config.public_url.join("/")).map_err(closed)?;
    let link = app.accounts.begin_setup(surroundings.clock.now()).await;
    let link = link.map_err(|error| ServeError::new(&error, error.remedy()))?;
    if let Some(token) = link {
        let link = config.public_url.join(&format!("/setup?key={}", token.expose().as_str()));
        writeln!(
            out,
            "\nNobody can sign in yet. Create the first administrator with this link:\n\n  {link}\n"
        )
        .and_then(|()| writeln!(out, "It works once, within 24 hours. Restart the server for another one."))
        .map_err(closed)?;
    }
    out.flush().map_err(closed)
}

/// Makes the data directory, for its owner alone, where there is none.
pub(crate) fn make_data_dir(path: &Path) -> Result<(), ServeError> {
    let made = std::fs::create_dir_all(path).and_then(|()| restrict(path));
    made.map_err(|error| {
        let cause = format!("the data directory {} cannot be used: {error}", path.display());
        ServeError::new(cause, "name a writable one with --data-dir")
    })
}

/// Sessions and accounts are nobody else's business. A directory that was there before keeps its permissions where
/// they cannot be changed.
#[cfg(unix)]
fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let is_empty = std::fs::read_dir(path)?.next().is_none();
    if is_empty { std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)) } else { Ok(()) }
}

#[cfg(not(unix))]
fn restrict(_: &Path) -> io::Result<()> {
    Ok(())
}

fn install_metrics() -> Result<PrometheusHandle, ServeError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Prefix("cloakroom_http_".to_owned()), &HTTP_BUCKETS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS))
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| ServeError::new(error, "run one server per process"))?;
    web::describe_metrics();
    metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(recorder)
}

/// Sorts what was measured into its buckets every now and then. Fetching metrics does that too; where nobody fetches them,
/// each measurement would wait for it in memory for ever.
async fn drain(metrics: Option<PrometheusHandle>, stopped: watch::Receiver<bool>) {
    let Some(metrics) = metrics else { return };
    let mut turns = tokio::time::interval(DRAIN_INTERVAL);
    let mut stopped = std::pin::pin!(closed(stopped));
    loop {
        tokio::select! {
            biased;
            () = &mut stopped => return,
            _ = turns.tick() => metrics.run_upkeep(),
        }
    }
}

/// Describes the metric that says what runs here.
pub(crate) fn describe_metrics() {
    metrics::describe_gauge!(BUILD_INFO, "1; its labels say which version of the server this is");
}

async fn closed(mut stopped: watch::Receiver<bool>) {
    // An error means that the server is gone: as good a reason.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Lets a shared clock or generator stand where the engine wants one of its own.
#[derive(Debug)]
struct Shared<T: ?Sized>(Arc<T>);

impl Clock for Shared<dyn Clock> {
    fn now(&self) -> cloakroom::Timestamp {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
}

impl Random for Shared<dyn Random> {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), cloakroom::RandomError> {
        self.0.fill(bytes)
    }
}

const SAMPLE_EVERY: Duration = Duration::from_secs(60);
/// Requests under way have this long to end after a signal.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
const BUILD_INFO: &str = "cloakroom_build_info";
/// Between two turns a busy server measures a hundred thousand times: a megabyte.
const DRAIN_INTERVAL: Duration = Duration::from_secs(5);
/// From half a millisecond to ten seconds: an answer takes a round trip to the store, or the hashing of a password and a wait
/// for it.
const HTTP_BUCKETS: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// From one microsecond: looking a session up in memory takes less than one.
const BUCKETS: [f64; 16] = [
    0.000_001, 0.000_002, 0.000_005, 0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001,
    0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0,
];
