//! `doctor`: what the configuration means, in sentences; what is weak; how store and accounts are.

use std::time::Duration;

use cloakroom::Sessions;
use serde_json::{Value, json};

use super::config::warnings_json;
use super::output::counted;
use super::{CliError, GlobalArgs, Host};
use crate::audit;
use crate::config::{Config, Loaded, StoreUrl, format_duration};
use crate::detection::{Detection, DetectionError};
use crate::stores::{self, Weakness};
use crate::{accounts, sentences};

/// Runs `doctor`: succeeds where the server could work, however weak its settings are.
pub(super) async fn run(loaded: &Loaded, global: &GlobalArgs, host: &mut Host<'_>) -> Result<(), CliError> {
    let config = &loaded.config;
    let policy = sentences::of_policy(config);
    let (store, mut weaknesses) = match check_store(config, host).await {
        Ok((told, weaknesses)) => (Ok(told), weaknesses),
        Err(error) => (Err(error), Vec::new()),
    };
    let mut health = vec![check_accounts(config).await, check_audit(config).await, store];
    health.extend(check_detection(config));
    health.extend(check_keys(config, host, &mut weaknesses));
    let broken = health.iter().filter(|check| check.is_err()).count();
    if global.json {
        let health: Vec<_> = health
            .iter()
            .map(|check| match check {
                Ok(sentence) => json!({ "ok": true, "message": sentence }),
                Err(error) => json!({ "ok": false, "message": error.render().trim_end() }),
            })
            .collect();
        let mut warnings = warnings_json(loaded);
        warnings.extend(weaknesses.iter().map(weakness_json));
        let report = json!({ "policy": policy, "warnings": warnings, "health": health });
        writeln!(host.stdout, "{report:#}")?;
    } else {
        writeln!(host.stdout, "Policy")?;
        for sentence in &policy {
            writeln!(host.stdout, "  {sentence}")?;
        }
        writeln!(host.stdout, "\nHealth")?;
        for sentence in health.iter().flatten() {
            writeln!(host.stdout, "  {sentence}")?;
        }
        for error in health.iter().filter_map(|check| check.as_ref().err()) {
            write!(host.stdout, "{}", error.render())?;
        }
        let warnings = config.warnings().len().saturating_add(weaknesses.len());
        writeln!(host.stdout, "\n{}", counted(u64::try_from(warnings).unwrap_or(u64::MAX), "warning"))?;
        for warning in config.warnings() {
            writeln!(
                host.stdout,
                "  {}: {}\n    help: {}",
                warning.key(),
                warning.cause(),
                warning.remedy()
            )?;
        }
        for weakness in &weaknesses {
            writeln!(host.stdout, "  store: {}", weakness.cause)?;
            if let Some(remedy) = &weakness.remedy {
                writeln!(host.stdout, "    help: {remedy}")?;
            }
        }
    }
    if broken == 0 {
        Ok(())
    } else {
        let broken = u64::try_from(broken).unwrap_or(u64::MAX);
        let cause = format!("the server could not work like this: {} found", counted(broken, "error"));
        Err(CliError::failed(cause, "mend what `help:` under Health says, and ask again"))
    }
}

/// What is weak about the store, for programs.
fn weakness_json(Weakness { cause, remedy }: &Weakness) -> Value {
    match remedy {
        Some(remedy) => json!({ "key": "store", "cause": cause, "remedy": remedy }),
        None => json!({ "key": "store", "cause": cause }),
    }
}

/// Where the accounts are, and who shares them.
async fn check_accounts(config: &Config) -> Result<String, CliError> {
    let file = config.accounts_path();
    if let Some(path) = file.as_ref().filter(|path| !path.exists()) {
        return Ok(format!(
            "There are no accounts yet; `serve` will make {} and print a set-up link.",
            path.display()
        ));
    }
    let count = accounts::open(config).await?.count().await?;
    let shared = match file {
        Some(path) => format!("They are in {}: servers of this machine share them.", path.display()),
        None => format!("They are in {}: every server that names it shares them.", config.accounts),
    };
    Ok(format!("The accounts are readable and writable: {}.\n  {shared}", counted(count, "account")))
}

/// Where the audit log is, and under which key of this node.
async fn check_audit(config: &Config) -> Result<String, CliError> {
    let (_, own) = audit::trusted(config).await?;
    let Some(log) = audit::open_existing(config).await? else {
        return Ok("There is no audit log yet; `serve` will make it, and the key that seals it.".to_owned());
    };
    let events = counted(log.head().await?.seq, "event");
    let key = match own {
        Some(key) => {
            format!("This node seals it with {key}: list that in `audit.trusted_keys` of other nodes.")
        }
        None => "This node has no key to seal it yet.".to_owned(),
    };
    Ok(format!(
        "The audit log is readable: {events} so far. Whether anybody changed it, `cloakroom audit verify` says.\n  {key}"
    ))
}

/// Whether the files that detection is given can be used; `None` where it is given none.
fn check_detection(config: &Config) -> Option<Result<String, CliError>> {
    let detection = &config.detection;
    let files = detection.geo_database.len() + usize::from(detection.webhook.is_some());
    (files > 0).then(|| match Detection::open(detection) {
        Ok(_) => {
            Ok("Detection has what it needs: its databases and its webhook's secret are readable.".to_owned())
        }
        Err(DetectionError { cause, remedy }) => Err(CliError::failed(cause, remedy)),
    })
}

/// The keys that seal sessions: how old they are, and what is weak about that; `None` where nothing is sealed.
#[cfg(feature = "sealed")]
fn check_keys(
    config: &Config,
    host: &Host<'_>,
    weaknesses: &mut Vec<Weakness>,
) -> Option<Result<String, CliError>> {
    use crate::sealing::{self, Keys};
    if !config.store.is_sealed() {
        return None;
    }
    let file = config.sealed_keys_path();
    if let Some(path) = file.filter(|path| !path.exists()) {
        return Some(Ok(format!(
            "There are no keys to seal sessions yet; `serve` will make {}.",
            path.display()
        )));
    }
    let told = Keys::of(config).and_then(|keys| {
        let ring = keys.ring()?;
        let (sentences, weak) = sealing::told(&keys, &ring.list(host.clock.now()), host.clock.now());
        weaknesses.extend(weak.into_iter().map(Weakness::from));
        Ok(sentences.join("\n  "))
    });
    Some(told.map_err(CliError::from))
}

#[cfg(not(feature = "sealed"))]
fn check_keys(_: &Config, _: &Host<'_>, _: &mut Vec<Weakness>) -> Option<Result<String, CliError>> {
    None
}

/// What the store is like, and what is weak about it.
async fn check_store(config: &Config, host: &Host<'_>) -> Result<(String, Vec<Weakness>), CliError> {
    if config.store.is_in_the_server() {
        return Ok(("Sessions live in the server's memory.".to_owned(), Vec::new()));
    }
    if config.list_is_in_the_server() {
        let told = "Sessions are sealed; the list of ends lives in the server's memory, out of this command's reach.";
        return Ok((told.to_owned(), Vec::new()));
    }
    let Some(sessions) = stores::beside_the_server(config).await? else {
        let told = match config.store.revocations() {
            Some(list) => format!("There is no list of ends yet; `serve` will make {list}."),
            None => format!("There are no sessions yet; `serve` will make the store {}.", config.store),
        };
        return Ok((told, Vec::new()));
    };
    let before = host.clock.monotonic();
    let store_clock = sessions.ping().await?;
    let took = host.clock.monotonic().saturating_sub(before);
    let skew = match store_clock {
        Some(instant) => {
            let now = host.clock.now();
            let skew = now.since(instant).max(instant.since(now));
            let differs = format!("its clock differs by {}", format_duration(skew));
            if skew > MOST_SKEW { format!("{differs}, which is too much: set both by NTP") } else { differs }
        }
        None if config.sessions_path().is_some() => "it shares this machine's clock".to_owned(),
        None => "its clock is not compared".to_owned(),
    };
    let mut told = match (&config.store, config.store.revocations()) {
        (StoreUrl::Sealed { .. }, None) => "Sessions are sealed, and there is no list of ends".to_owned(),
        (_, Some(list)) => format!("The list of ends, {list}, answers in {took:.1?}; {skew}"),
        (store, None) => format!("The store {store} answers in {took:.1?}; {skew}"),
    };
    if sessions.store().capabilities().listing {
        let whose = if config.store_moving_from.is_some() { "both stores together: " } else { "" };
        told.push_str(&format!("; {whose}{}", live_sessions(&sessions).await?));
    }
    told.push('.');
    for sentence in sentences::of_store(sessions.store().name(), sessions.store().capabilities()) {
        told.push_str(&format!("\n  {sentence}"));
    }
    for sentence in sentences::of_reach(config, &sessions) {
        told.push_str(&format!("\n  {sentence}"));
    }
    if let Some(from) = &config.store_moving_from {
        let stage = match stores::moving_since(from, config, host.clock.now()).await? {
            Some(since) => {
                format!("Sessions have been moving from {from} since {since}; that store answers, too.")
            }
            None => {
                format!(
                    "Sessions stay in {from}, which answers, too, until `cloakroom store migrate` begins."
                )
            }
        };
        told.push_str(&format!("\n  {stage}"));
    }
    Ok((told, stores::weaknesses(&config.store).await?))
}

async fn live_sessions(sessions: &Sessions) -> Result<String, CliError> {
    let counts = sessions.count().await?;
    let signed_in = counted(counts.signed_in, "session");
    Ok(format!("{signed_in} signed in, {} anonymous", counts.anonymous))
}

/// Nodes judge by their own clocks: sessions end that much early or late for one of them.
const MOST_SKEW: Duration = Duration::from_secs(2);
