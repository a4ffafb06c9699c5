//! `store check sealed:?revocations=…`: a quick trial of a list of ends, with the end of a session that nobody has.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::{EndReason, Timestamp};
use cloakroom_core::{Route, SessionId};
use cloakroom_store::{Place, Reading, RevocationEntry, RevocationList, Scope, StoreError, Verb};
use serde_json::json;

use super::finding::{Finding, Findings};
use crate::cli::output::table;
use crate::cli::{CliError, GlobalArgs, Host};
use crate::config::{Config, StoreUrl};
use crate::lists;

/// Runs the trial. What it adds covers nobody, and is removed by a sweep once it is over.
pub(super) async fn run(
    url: &StoreUrl,
    config: &Config,
    global: &GlobalArgs,
    host: &mut Host<'_>,
) -> Result<(), CliError> {
    let Some(place) = url.revocations() else {
        let cause = "sealed sessions without a list are kept nowhere: there is nothing to check";
        return Err(CliError::usage(cause, "write `sealed:?revocations=STORE-URL`"));
    };
    let list = Box::pin(lists::open(place, config)).await?;
    Box::pin(lists::begin(&*list, host.clock.now(), config)).await?;
    let mut trial =
        Trial { list: &*list, now: host.clock.now(), findings: Findings::new(Arc::clone(&host.clock)) };
    let tried = trial.run(entry(host)?).await;
    let findings = trial.findings;
    write(url, &*list, &findings, global, host)?;
    tried?;
    findings.verdict("list", "do not keep ends in it; see above")
}

struct Trial<'a> {
    list: &'a dyn RevocationList,
    now: Timestamp,
    findings: Findings,
}

impl Trial<'_> {
    async fn run(&mut self, entry: RevocationEntry) -> Result<(), StoreError> {
        let list = self.list;
        self.rule(Verb::Ping, "can be written to", list.ping(), |_| true).await?;
        let before = self.end_of_list().await?;
        self.rule(Verb::End, "takes an end", list.add(std::slice::from_ref(&entry)), |()| true).await?;
        let nonce = entry.nonce;
        let has = move |reading: &Reading| matches!(reading, Reading::Entries { entries, .. } if entries.iter().any(|(_, e)| e.nonce == nonce));
        let reading = list.read(before, PAGE);
        self.rule(Verb::Watch, "tells of it whoever begins to read then", reading, has).await?;
        let after = self.end_of_list().await?;
        let reading = list.read(after, PAGE);
        self.rule(Verb::Watch, "tells of nothing twice", reading, move |reading| !has(reading)).await?;
        let foreign = Place { nonce: after.nonce ^ 1, ..after };
        let is_lost = |reading: &Reading| *reading == Reading::Lost;
        self.rule(Verb::Watch, "knows a place that is none of its own", list.read(foreign, PAGE), is_lost)
            .await?;
        self.rule(Verb::Sweep, "removes what is over", list.prune(self.now, 1), |_| true).await
    }

    /// The newest entry's place.
    async fn end_of_list(&mut self) -> Result<Place, StoreError> {
        let mut place = Place::START;
        loop {
            let Reading::Entries { entries, more } = self.list.read(place, PAGE).await? else {
                place = Place::START;
                continue;
            };
            if let Some((number, entry)) = entries.last() {
                place = Place { number: *number, nonce: entry.nonce };
            }
            if !more {
                return Ok(place);
            }
        }
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
}

/// The end of a session that nobody has, over in a minute.
fn entry(host: &Host<'_>) -> Result<RevocationEntry, CliError> {
    let mut bytes = [0; SessionId::RANDOM_BYTES + NONCE];
    let no_random = |error: cloakroom::RandomError| {
        CliError::failed(error.to_string(), "try again on a machine with randomness")
    };
    host.random.fill(&mut bytes).map_err(no_random)?;
    let (nonce, id) = bytes.split_first_chunk::<NONCE>().expect("a nonce is shorter");
    let id = id.first_chunk().expect("the rest is an id");
    let at: Timestamp = host.clock.now();
    Ok(RevocationEntry {
        scope: Scope::Session(SessionId::from_random(Route::from_bytes([0; Route::LENGTH]), *id)),
        at,
        until: at.plus(LIFE),
        reason: EndReason::SignedOut,
        nonce: u64::from_be_bytes(*nonce),
    })
}

fn write(
    url: &StoreUrl,
    list: &dyn RevocationList,
    findings: &Findings,
    global: &GlobalArgs,
    host: &mut Host<'_>,
) -> Result<(), CliError> {
    let standing = list.standing();
    let mut sentences = vec![match standing.durable {
        true => "What was ended is there after a restart.",
        false => "It may forget what was ended. One that is found empty ends every session from before.",
    }];
    sentences.push(if standing.shared { "Servers may share it." } else { "It serves one server alone." });
    if global.json {
        let report =
            json!({ "store": url.to_string(), "capabilities": sentences, "checks": findings.json() });
        writeln!(host.stdout, "{report:#}")?;
        return Ok(());
    }
    writeln!(host.stdout, "{url}")?;
    for sentence in sentences {
        writeln!(host.stdout, "  {sentence}")?;
    }
    let rows: Vec<[String; 4]> = findings.all.iter().map(row).collect();
    write!(host.stdout, "\n{}", table(["", "VERB", "RULE", "TIME"], &rows))?;
    findings.tell(host)
}

fn row(finding: &Finding) -> [String; 4] {
    [finding.mark(), finding.verb.to_string(), finding.rule.to_owned(), finding.time()]
}

const NONCE: usize = 8;
const LIFE: Duration = Duration::from_secs(60);
/// Entries read at once.
const PAGE: usize = 500;
