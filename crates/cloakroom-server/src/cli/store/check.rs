//! `store check`: a quick trial of a store, with sessions of its own.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{EndReason, PrincipalId, SessionToken};
use cloakroom_core::{
    AttributeKey, Lifetime, OnLimit, Principal, Route, SessionId, SessionLimit, SessionRecord, Timestamp,
    TokenDigest,
};
use cloakroom_store::{
    EndRequest, ErrorKind, ExportQuery, InsertRequest, Inserted, ListFilter, ListQuery, Lookup, RekeyRequest,
    Rekeyed, ReplaceRequest, Replaced, Selector, Store, StoreError, Touch, Verb, Version,
};
use serde_json::json;

use super::finding::{Finding, Findings};
use crate::cli::output::table;
use crate::cli::{CliError, GlobalArgs, Host};
use crate::config::{Config, StoreUrl};
use crate::{sentences, stores};

/// Runs `store check`. Everything it files belongs to principals that nobody else has, is ended before it returns, and is
/// removed by the next sweep a minute later.
///
/// All of it is done three times, and the quickest is shown: what is asked for the first time connects, prepares and loads, and a
/// single time says more of what else the machine did.
pub(super) async fn run(
    url: &StoreUrl,
    config: &Config,
    global: &GlobalArgs,
    host: &mut Host<'_>,
) -> Result<(), CliError> {
    let store = stores::open_bare(url, config).await?;
    let (mut findings, mut outcome) = trial(&*store, host).await?;
    for _ in 1..TRIALS {
        if outcome.is_err() || findings.is_any_wrong() {
            break;
        }
        let before = findings;
        (findings, outcome) = trial(&*store, host).await?;
        for (finding, before) in findings.all.iter_mut().zip(before.all) {
            finding.took = finding.took.min(before.took);
        }
    }
    if outcome.is_ok() && Box::pin(stores::may_remove(url)).await? == Some(false) {
        findings.all.push(Finding::broken(Verb::Sweep, "may remove what is over", MAY_NOT_REMOVE));
    }
    let report =
        Report { url, capabilities: sentences::of_store(store.name(), store.capabilities()), findings };
    report.write(global, host)?;
    outcome?;
    report.findings.verdict("store", "do not keep sessions in it; see above")
}

/// One trial: what it found, and whether it came to its end.
async fn trial(store: &dyn Store, host: &Host<'_>) -> Result<(Findings, Result<(), CliError>), CliError> {
    let mut trial = Trial::new(store, host)?;
    let tried = trial.run().await;
    // Whatever happened: nothing of it stays alive.
    let cleared = trial.end_own().await;
    Ok((trial.findings, tried.and(cleared.map_err(CliError::from))))
}

struct Trial<'a> {
    store: &'a dyn Store,
    now: Timestamp,
    principal: PrincipalId,
    sessions: Vec<(SessionRecord, TokenDigest)>,
    findings: Findings,
}

impl<'a> Trial<'a> {
    fn new(store: &'a dyn Store, host: &Host<'_>) -> Result<Self, CliError> {
        let random = |bytes: &mut [u8]| {
            host.random.fill(bytes).map_err(|error| {
                CliError::failed(error.to_string(), "try again on a machine with randomness")
            })
        };
        let mut name = [0; 16];
        random(&mut name)?;
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let principal = PrincipalId::new(format!("cloakroom-store-check-{name}"))
            .map_err(|error| CliError::failed(error.to_string(), "report this as a defect"))?;
        let (now, route) = (host.clock.now(), Route::of_principal(&principal));
        let mut sessions = Vec::new();
        for age in (0..SESSIONS).rev() {
            let (mut id, mut token) = ([0; SessionId::RANDOM_BYTES], [0; SessionToken::RANDOM_BYTES]);
            random(&mut id)?;
            random(&mut token)?;
            let created_at = now.minus(Duration::from_secs(age));
            let lifetime = Lifetime::new(LIFE, now.plus(LIFE), RETENTION);
            let mut record = SessionRecord::new(SessionId::from_random(route, id), created_at, lifetime);
            record.principal = Some(Arc::new(Principal::new(principal.clone())));
            sessions.push((record, SessionToken::from_random(route, token).digest()));
        }
        let findings = Findings::new(Arc::clone(&host.clock));
        Ok(Self { store, now, principal, sessions, findings })
    }

    async fn run(&mut self) -> Result<(), CliError> {
        self.life().await?;
        self.limit().await?;
        self.sight().await?;
        self.end().await?;
        Ok(())
    }

    /// Files, reads, changes and exchanges one session.
    async fn life(&mut self) -> Result<(), StoreError> {
        let store = self.store;
        self.rule(Verb::Ping, "can be written to", store.ping(), |_| true).await?;
        let (record, digest) = self.session(0);
        let now = self.now;
        let get = || store.get(digest, now);
        self.rule(Verb::Get, "knows nothing of a token that was never issued", get(), |a| {
            *a == Lookup::Unknown
        })
        .await?;
        let insert = InsertRequest { record: &record, digest, limit: None, replaces: None, now };
        self.rule(Verb::Insert, "files a session", store.insert(insert), is_done).await?;
        self.rule(Verb::Insert, "never overwrites", store.insert(insert), |a| *a == Inserted::AlreadyExists)
            .await?;
        let expected = record.clone();
        self.rule(Verb::Get, "gives back what was filed", get(), move |a| {
            matches!(a, Lookup::Live(live) if *live.record == expected && live.version == Version::FIRST)
        })
        .await?;
        let mut changed = record.clone();
        let key = AttributeKey::new("check").expect("it is a key");
        changed.attributes.insert_bytes(key, vec![1, 2, 3].into());
        let replace = ReplaceRequest { digest, version: Version::FIRST, record: &changed, now };
        self.rule(Verb::Replace, "changes what is as it was read", store.replace(replace), |a| {
            matches!(a, Replaced::Done(_))
        })
        .await?;
        self.rule(Verb::Replace, "refuses a change of what has changed", store.replace(replace), |a| {
            matches!(a, Replaced::Conflict(_))
        })
        .await?;
        let touches = [Touch { digest, seen_at: now.plus(Duration::from_secs(1)) }];
        let later = now.plus(Duration::from_secs(2));
        self.rule(Verb::Touch, "writes activity down", store.touch(&touches, later), |a| a.touched == 1)
            .await?;
        let (_, new) = self.session(1);
        let rekey =
            RekeyRequest { old: digest, new, version: Version::FIRST.next(), record: &changed, now: later };
        self.rule(Verb::Rekey, "exchanges a token", store.rekey(rekey), |a| matches!(a, Rekeyed::Done(_)))
            .await?;
        self.rule(Verb::Get, "refuses a token that was exchanged", get(), |a| {
            matches!(a, Lookup::Retired(_))
        })
        .await?;
        self.rule(Verb::Get, "takes the token it was exchanged for", store.get(new, later), |a| {
            matches!(a, Lookup::Live(_))
        })
        .await
    }

    /// Never more sessions than allowed.
    async fn limit(&mut self) -> Result<(), StoreError> {
        let store = self.store;
        let limits = store.capabilities().limits;
        let limit = SessionLimit { max: NonZeroU32::MIN, on_limit: OnLimit::EndOldest };
        let first = self.session(0).0.id;
        let (record, digest) = self.session(2);
        let limit = limits.then_some(limit);
        let insert = InsertRequest { record: &record, digest, limit, replaces: None, now: self.now };
        if limits {
            self.rule(Verb::Insert, "ends the oldest beyond the limit", store.insert(insert), move |a| {
                matches!(a, Inserted::Done { ended } if ended.iter().any(|e| e.session == first && e.reason == EndReason::SessionLimit))
            })
            .await
        } else {
            self.rule(Verb::Insert, "files a second session", store.insert(insert), is_done).await
        }
    }

    /// What it says it can show, it shows; what it does not, it says so.
    async fn sight(&mut self) -> Result<(), StoreError> {
        let (store, now, listing) = (self.store, self.now, self.store.capabilities().listing);
        let mut filter = ListFilter::default();
        filter.principal = Some(self.principal.clone());
        let query = ListQuery::new(filter);
        let id = self.session(2).0.id;
        let page = ExportQuery::new(None, NonZeroU16::MIN);
        if listing {
            self.rule(Verb::List, "lists the sessions of one person", store.list(&query, now), move |a| {
                a.items.iter().any(|item| item.cursor().session == id)
            })
            .await?;
            self.rule(Verb::Count, "counts sessions", store.count(now), |a| a.signed_in > 0).await?;
            return self
                .rule(Verb::Export, "tells what is filed, page by page", store.export(&page, now), |_| true)
                .await;
        }
        let unsupported = [
            (Verb::List, store.list(&query, now).await.map(drop)),
            (Verb::Count, store.count(now).await.map(drop)),
            (Verb::Export, store.export(&page, now).await.map(drop)),
        ];
        for (verb, answer) in unsupported {
            let answer = std::future::ready(Ok(answer));
            self.rule(verb, "says that it cannot", answer, |a: &Result<(), StoreError>| {
                matches!(a, Err(error) if error.kind() == ErrorKind::Unsupported)
            })
            .await?;
        }
        Ok(())
    }

    /// What has ended stays ended.
    async fn end(&mut self) -> Result<(), StoreError> {
        let (store, now) = (self.store, self.now);
        let (record, digest) = self.session(2);
        let id = record.id;
        let selector = Selector::Principal { principal: self.principal.clone(), except: None };
        let request = EndRequest { selector: &selector, reason: EndReason::RevokedByAdmin, now };
        self.rule(Verb::End, "ends every session of one person", store.end(request), move |a| {
            a.ended.iter().any(|ended| ended.session == id)
        })
        .await?;
        self.rule(
            Verb::Get,
            "refuses what has ended, and knows why",
            store.get(digest, now),
            |a| matches!(a, Lookup::Ended(tombstone) if tombstone.reason == EndReason::RevokedByAdmin),
        )
        .await?;
        let replace = ReplaceRequest { digest, version: Version::FIRST, record: &record, now };
        self.rule(Verb::Replace, "never revives", store.replace(replace), |a| {
            matches!(a, Replaced::Ended(_))
        })
        .await?;
        self.rule(Verb::End, "ends nothing twice", store.end(request), |a| a.ended.is_empty()).await
    }

    async fn end_own(&self) -> Result<(), StoreError> {
        let selector = Selector::Principal { principal: self.principal.clone(), except: None };
        let request =
            EndRequest { selector: &selector, reason: EndReason::SignedOut, now: self.now.plus(LIFE) };
        self.store.end(request).await.map(drop)
    }

    /// Writes down what a rule came to.
    async fn rule<T: std::fmt::Debug>(
        &mut self,
        verb: Verb,
        rule: &'static str,
        answer: impl Future<Output = Result<T, StoreError>>,
        is_right: impl FnOnce(&T) -> bool,
    ) -> Result<(), StoreError> {
        self.findings.rule(verb, rule, answer, is_right).await
    }

    fn session(&self, index: usize) -> (SessionRecord, TokenDigest) {
        self.sessions.get(index).cloned().expect("there are as many as are asked for")
    }
}

fn is_done(answer: &Inserted) -> bool {
    matches!(answer, Inserted::Done { .. })
}

struct Report<'a> {
    url: &'a StoreUrl,
    capabilities: Vec<&'static str>,
    findings: Findings,
}

impl Report<'_> {
    fn write(&self, global: &GlobalArgs, host: &mut Host<'_>) -> Result<(), CliError> {
        if global.json {
            let report = json!({
                "store": self.url.to_string(),
                "capabilities": self.capabilities,
                "checks": self.findings.json(),
            });
            writeln!(host.stdout, "{report:#}")?;
            return Ok(());
        }
        writeln!(host.stdout, "{}", self.url)?;
        for sentence in &self.capabilities {
            writeln!(host.stdout, "  {sentence}")?;
        }
        let round_trip = self.round_trip();
        let rows: Vec<[String; 5]> =
            self.findings.all.iter().map(|finding| row(finding, round_trip)).collect();
        write!(host.stdout, "\n{}", table(["", "VERB", "RULE", "TIME", "AS LOOK-UPS"], &rows))?;
        writeln!(host.stdout, "\n{EXPLAINED}")?;
        self.findings.tell(host)?;
        writeln!(
            host.stdout,
            "Everything it filed has ended, and is removed by the next sweep in a minute."
        )?;
        Ok(())
    }

    /// The quickest look-up: one round trip, and next to no work.
    fn round_trip(&self) -> Duration {
        let look_ups = self.findings.all.iter().filter(|finding| finding.verb == Verb::Get);
        look_ups.map(|finding| finding.took).min().unwrap_or_default()
    }
}

fn row(finding: &Finding, round_trip: Duration) -> [String; 5] {
    let times = finding.took.as_nanos().checked_div(round_trip.as_nanos()).unwrap_or(1).max(1);
    let Finding { verb, rule, .. } = finding;
    [finding.mark(), verb.to_string(), (*rule).to_owned(), finding.time(), times.to_string()]
}

/// What stands below the table.
const EXPLAINED: &str = "AS LOOK-UPS: how many times as long as the quickest `get` it took. Each was done three times, and the quickest is\n\
    shown: without connecting and preparing.";
const MAY_NOT_REMOVE: &str = "its user may not DELETE: sweeps fail, and everything that ever was filed stays";
const TRIALS: usize = 3;
/// Sessions that a trial may file.
const SESSIONS: u64 = 3;
/// Long enough for the slowest store; what a killed check leaves behind is over by then.
const LIFE: Duration = Duration::from_secs(120);
const RETENTION: Duration = Duration::from_secs(60);
