//! A server in this process.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use cloakroom::{
    Activity, AuthLevel, Authentication, Clock as _, Device, EndReason, Issue, ManualClock, Method, OsRandom,
    Persistence, Principal, PrincipalId, Revocation, Role, Selector, SessionId, SessionToken, Sessions,
    SessionsBuilder, Timestamp, Validation,
};
use cloakroom_audit::{AuditEvent, AuditLog, AuditQuery, AuditStore, Draft, MemoryAudit, names};
use cloakroom_conformance::FaultyStore;
use cloakroom_memory::MemoryStore;
use cloakroom_sealed::{KeyRing, NewKey, Place, Sealer, SharedRing};
use cloakroom_server::accounts::{
    AccountChange, AccountName, Accounts, Added, HashingLimits, NewAccount, NewPassword, Password, Remaining,
    Roles, SqliteAccounts, StoredHash,
};
use cloakroom_server::config::{Config, Loaded, Sources, StoreUrl};
use cloakroom_server::detection::{Detection, Means};
use cloakroom_server::web::{self, App, AppParts, Listener};
use cloakroom_store::Store;
use metrics_exporter_prometheus::PrometheusBuilder;
use tempfile::TempDir;

use super::client::Client;
use super::faulty_list::FaultyList;
use super::recorder::Recorder;

/// The password of every account here.
pub(super) const PASSWORD: &str = "plum tractor 42 lamp";

/// A server whose time, randomness and store belong to the test.
pub(super) struct Server {
    pub(super) clock: Arc<ManualClock>,
    pub(super) store: Arc<FaultyStore>,
    pub(super) list: Arc<FaultyList>,
    pub(super) sessions: Sessions,
    pub(super) accounts: Accounts,
    pub(super) audit: AuditLog,
    pub(super) app: App,
    pub(super) recorder: RefCell<Recorder>,
    plain: Router,
    tls: Router,
    _dir: TempDir,
}

/// A session that was started behind the server's back.
pub(super) struct Planted {
    pub(super) id: SessionId,
    pub(super) token: String,
}

impl Server {
    /// As on first run: nobody can sign in.
    pub(super) fn new() -> Self {
        Self::configured("")
    }

    /// With this configuration file.
    pub(super) fn configured(text: &str) -> Self {
        Self::of(text, HashingLimits { parallel: 2, queued: 64 })
    }

    /// With this much hashing at once.
    pub(super) fn hashing(limits: HashingLimits) -> Self {
        Self::of("", limits)
    }

    /// With something around its store.
    pub(super) fn around(wrap: impl FnOnce(Arc<FaultyStore>) -> Arc<dyn Store>) -> Self {
        let limits = HashingLimits { parallel: 2, queued: 64 };
        Self::with_stores("", limits, wrap, Arc::new(MemoryAudit::default()))
    }

    /// With its audit log in this store.
    pub(super) fn recording(log: Arc<dyn AuditStore>) -> Self {
        Self::with_stores("", HashingLimits { parallel: 2, queued: 64 }, |store| store, log)
    }

    fn of(text: &str, limits: HashingLimits) -> Self {
        Self::with_stores(text, limits, |store| store, Arc::new(MemoryAudit::default()))
    }

    fn with_stores(
        text: &str,
        limits: HashingLimits,
        wrap: impl FnOnce(Arc<FaultyStore>) -> Arc<dyn Store>,
        log: Arc<dyn AuditStore>,
    ) -> Self {
        let loaded = Loaded::from_sources(&Sources::of_text(text)).unwrap();
        let (effective, config) = (loaded.effective(), loaded.config);
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::default())));
        let list = Arc::new(FaultyList::default());
        let sessions = match &config.store {
            StoreUrl::Sealed { revocations } => {
                sealed(&config, clock.now(), revocations.as_ref().map(|_| &list))
            }
            _ => Sessions::builder_shared(wrap(store.clone())),
        };
        let audit = AuditLog::new(log);
        let sessions = sessions.policy(config.policy.clone()).clock(clock.clone());
        let detection = Detection::open(&config.detection).unwrap();
        let sessions = sessions.events(audit.clone()).events(detection.clone()).build().unwrap();
        let accounts = Arc::new(SqliteAccounts::open(&dir.path().join("accounts.db")).unwrap());
        let accounts = Accounts::new(accounts, Arc::new(OsRandom), limits).unwrap();
        tokio::spawn({
            let audit = audit.clone();
            async move { audit.run(std::future::pending()).await }
        });
        tokio::spawn({
            let (sessions, accounts, audit) = (sessions.clone(), accounts.clone(), audit.clone());
            let (means, detection) =
                (Means { sessions, accounts, audit, random: Arc::new(OsRandom) }, detection.clone());
            async move { detection.run(means, std::future::pending()).await }
        });
        let app = App::new(AppParts {
            sessions: sessions.clone(),
            accounts: accounts.clone(),
            audit: audit.clone(),
            detection,
            config,
            random: Arc::new(OsRandom),
            metrics: Some(PrometheusBuilder::new().build_recorder().handle()),
            guards: Vec::new(),
            effective,
        });
        Self {
            plain: web::router(&app, Listener::Plain),
            tls: web::router(&app, Listener::Tls),
            app,
            clock,
            store,
            list,
            sessions,
            accounts,
            audit,
            recorder: RefCell::default(),
            _dir: dir,
        }
    }

    /// As on any other day: alice, an administrator, and bob can sign in.
    pub(super) async fn with_people() -> Self {
        Self::new().peopled().await
    }

    /// The same, with sessions sealed in their cookies and a list of ends.
    pub(super) async fn sealed() -> Self {
        Self::configured("store = \"sealed:?revocations=sqlite:\"").peopled().await
    }

    /// The same, without a list.
    pub(super) async fn sealed_alone() -> Self {
        Self::configured("store = \"sealed:\"").peopled().await
    }

    /// Sessions in a store, and sealed: for what has to be the same.
    pub(super) async fn both() -> [Self; 2] {
        [Self::with_people().await, Self::sealed().await]
    }

    async fn peopled(self) -> Self {
        self.add("alice", &["admin"]).await;
        self.add("bob", &[]).await;
        self
    }

    /// Whether the session of this token is alive.
    pub(super) async fn is_live(&self, token: &str) -> bool {
        let token = SessionToken::parse(token.as_bytes()).unwrap();
        let found = self.sessions.validate(&token, Activity::Ignored).await.unwrap();
        matches!(found, Validation::Active(_))
    }

    /// Adds an account with [`PASSWORD`].
    pub(super) async fn add(&self, name: &str, roles: &[&str]) {
        let new = NewAccount {
            name: AccountName::new(name).unwrap(),
            roles: Roles::new(roles).unwrap(),
            hash: self.hash_of_password().await,
        };
        assert!(matches!(self.accounts.add(new, self.sessions.now()).await.unwrap(), Added::Created(_)));
    }

    /// Disables an account behind the server's back.
    pub(super) async fn disable(&self, name: &str) {
        let change = self.accounts.disable(name, Remaining::Anybody, self.sessions.now()).await.unwrap();
        assert!(matches!(change, AccountChange::Changed(_)), "{change:?}");
    }

    /// Starts a session of `name`, who proved identity now, from some device.
    pub(super) async fn plant(&self, name: &str) -> Planted {
        let account = self.accounts.get(name).await.unwrap().expect("the account was added");
        self.plant_for(account.principal()).await
    }

    /// Starts a session of somebody without an account here, as a service would.
    pub(super) async fn plant_with_roles(&self, name: &str, roles: &[&str]) -> Planted {
        let roles = roles.iter().map(|role| Role::new(role).unwrap());
        let principal = Principal::new(PrincipalId::new(name).unwrap()).with_roles(roles).unwrap();
        self.plant_for(principal).await
    }

    async fn plant_for(&self, principal: Principal) -> Planted {
        let proof = Authentication::new(AuthLevel::One, Method::password(), self.sessions.now());
        let device = Device::new().with_ip("198.51.100.23".parse().unwrap()).with_label("Safari on iPhone");
        let issue = Issue::signed_in(principal, proof).device(device).persistence(Persistence::Browser);
        let issued = self.sessions.issue(issue).await.unwrap().expect_issued();
        let token = issued.token.expose().as_str().to_owned();
        self.recorder.borrow_mut().know(&token);
        Planted { id: issued.session.id(), token }
    }

    /// Ends a session from elsewhere.
    pub(super) async fn end(&self, id: SessionId, reason: EndReason) {
        let revoked = self.sessions.revoke(&Selector::One(id), Revocation::by_system(reason)).await.unwrap();
        assert_eq!(revoked.count(), 1);
    }

    /// How many live sessions `name` has.
    pub(super) async fn live(&self, name: &str) -> usize {
        let mut filter = cloakroom::ListFilter::default();
        filter.principal = Some(PrincipalId::new(name).unwrap());
        self.sessions.list(&cloakroom::ListQuery::new(filter)).await.unwrap().items.len()
    }

    /// The events of this name so far, the first of them first.
    pub(super) async fn events(&self, name: &str) -> Vec<AuditEvent> {
        // Events last in the order in which they were noted: those before this one do when it does.
        self.audit.write(Draft::new(names::STARTUP, self.sessions.now())).await.unwrap();
        let mut query = AuditQuery::latest();
        query.event = Some(name.to_owned());
        let mut events = self.audit.page(&query).await.unwrap().events;
        events.reverse();
        events
    }

    pub(super) fn advance(&self, minutes: u64) {
        self.clock.advance(Duration::from_secs(minutes * 60));
    }

    /// Somebody with a browser and no session.
    pub(super) fn browser(&self) -> Client<'_> {
        Client::browser(self)
    }

    /// Somebody with a browser that has this session.
    pub(super) fn browser_with(&self, session: &Planted) -> Client<'_> {
        let mut client = Client::browser(self);
        client.token = Some(session.token.clone());
        client
    }

    /// A program without a session.
    pub(super) fn program(&self) -> Client<'_> {
        Client::program(self)
    }

    pub(super) fn router(&self, listener: Listener) -> Router {
        match listener {
            Listener::Plain => self.plain.clone(),
            Listener::Tls => self.tls.clone(),
        }
    }

    /// The hash of [`PASSWORD`], made once: it takes its time by intention.
    async fn hash_of_password(&self) -> StoredHash {
        static HASH: OnceLock<StoredHash> = OnceLock::new();
        if let Some(hash) = HASH.get() {
            return hash.clone();
        }
        let password = Password::new(PASSWORD).unwrap();
        let NewPassword::Accepted { hash, .. } = self.accounts.hash_new("nobody", password).await.unwrap()
        else {
            panic!("the password is a good one");
        };
        HASH.get_or_init(|| hash).clone()
    }
}

/// An engine whose sessions travel in their cookies.
fn sealed(config: &Config, now: Timestamp, list: Option<&Arc<FaultyList>>) -> SessionsBuilder {
    let ring = SharedRing::new(KeyRing::first(NewKey::from_random(&[7; NewKey::RANDOM_BYTES]), now));
    let place = Place { cookie: config.cookie.name().to_owned(), application: "test".to_owned() };
    let builder = Sessions::sealed(Sealer::new(ring, &place, config.cookie.bytes_around_value()));
    match list {
        Some(list) => builder.revocations(list.clone()),
        None => builder,
    }
}
