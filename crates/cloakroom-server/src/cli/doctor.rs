//! `doctor`: what the configuration means, in sentences; what is weak; how store and accounts are.

use std::time::Duration;

use cloakroom::Sessions;
use cloakroom_core::{OnLimit, Policy};
use serde_json::json;

use super::config::warnings_json;
use super::output::counted;
use super::reach;
use super::store::sentences as sentences_of_store;
use super::{CliError, GlobalArgs, Host};
use crate::accounts::AccountStore;
use crate::config::{Config, Loaded, format_bytes, format_duration};
use crate::stores;

/// Runs `doctor`: succeeds where the server could work, however weak its settings are.
pub(super) async fn run(loaded: &Loaded, global: &GlobalArgs, host: &mut Host<'_>) -> Result<(), CliError> {
    let config = &loaded.config;
    let policy = sentences(config);
    let (store, weaknesses) = match check_store(config, host).await {
        Ok((told, weaknesses)) => (Ok(told), weaknesses),
        Err(error) => (Err(error), Vec::new()),
    };
    let health = [check_accounts(config), store];
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
        warnings.extend(weaknesses.iter().map(|cause| json!({ "key": "store", "cause": cause })));
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
            writeln!(host.stdout, "  store: {weakness}")?;
        }
    }
    if broken == 0 {
        Ok(())
    } else {
        Err(CliError::failed("the server could not work like this", "see above"))
    }
}

/// The policy in force, one sentence for each rule.
fn sentences(config: &Config) -> Vec<String> {
    let policy = &config.policy;
    let mut sentences = vec![format!(
        "A session ends after {} of silence, and after {} whatever happens.",
        format_duration(policy.timeouts().idle),
        format_duration(policy.timeouts().absolute)
    )];
    sentences.push(match policy.remember_me() {
        Some(timeouts) => format!(
            "Who asks to be remembered stays signed in for up to {}, and {} of silence.",
            format_duration(timeouts.absolute),
            format_duration(timeouts.idle)
        ),
        None => "Nobody is remembered after the browser was closed.".to_owned(),
    });
    for (role, timeouts) in policy.roles() {
        sentences.push(format!(
            "With the role {role} it is at most {} of silence and {} in all.",
            format_duration(timeouts.idle),
            format_duration(timeouts.absolute)
        ));
    }
    sentences.push(format!(
        "Activity is written down every {}: a session may end that much early, never late.",
        format_duration(policy.touch_interval())
    ));
    sentences.push(limit_sentence(policy));
    if let Some(interval) = policy.rotate_every() {
        sentences.push(format!("A token is exchanged for a new one every {}.", format_duration(interval)));
    }
    sentences.push(format!(
        "Why a session ended is known for {}; a session holds up to {} of attributes.",
        format_duration(policy.tombstone_retention()),
        format_bytes(policy.attributes_max_bytes().try_into().unwrap_or(u64::MAX))
    ));
    sentences.push(cookie_sentence(config));
    sentences.push(format!(
        "After {} wrong passwords for one account, or {} from one address, within {}, attempts have to wait.",
        config.sign_in.attempts_per_account,
        config.sign_in.attempts_per_address,
        format_duration(config.sign_in.window)
    ));
    sentences
}

fn limit_sentence(policy: &Policy) -> String {
    match policy.limit() {
        None => "One person may have any number of sessions.".to_owned(),
        Some(limit) => {
            let then = match limit.on_limit {
                OnLimit::EndOldest => "one more ends the oldest",
                OnLimit::EndIdlest => "one more ends the one unused for longest",
                OnLimit::Refuse => "one more is refused",
            };
            format!("One person may have {}; {then}.", counted(limit.max.get().into(), "session"))
        }
    }
}

fn cookie_sentence(config: &Config) -> String {
    let cookie = &config.cookie;
    let secure = if cookie.is_secure() { "over https or to this machine only" } else { "also in clear" };
    let whose = match cookie.domain() {
        Some(domain) => format!("{domain} and all its subdomains"),
        None => format!("{} alone", config.public_url.host()),
    };
    format!(
        "The cookie {} goes to {whose}, {secure}, with SameSite={}.",
        cookie.name(),
        cookie.same_site().as_str()
    )
}

fn check_accounts(config: &Config) -> Result<String, CliError> {
    let path = config.accounts_path();
    if !path.exists() {
        return Ok(format!(
            "There are no accounts yet; `serve` will make {} and print a set-up link.",
            path.display()
        ));
    }
    let count = AccountStore::open(&path)?.count()?;
    Ok(format!("The accounts are readable and writable: {}.", counted(count, "account")))
}

/// What the store is like, and what is weak about it.
async fn check_store(config: &Config, host: &Host<'_>) -> Result<(String, Vec<String>), CliError> {
    if config.store.is_in_the_server() {
        return Ok(("Sessions live in the server's memory.".to_owned(), Vec::new()));
    }
    let Some(sessions) = stores::beside_the_server(config).await? else {
        let told = format!("There are no sessions yet; `serve` will make the store {}.", config.store);
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
    let mut told = format!("The store {} answers in {took:.1?}; {skew}", config.store);
    if sessions.store().capabilities().listing {
        told.push_str(&format!("; {}", live_sessions(&sessions).await?));
    }
    told.push('.');
    for sentence in sentences_of_store(sessions.store().name(), sessions.store().capabilities()) {
        told.push_str(&format!("\n  {sentence}"));
    }
    for sentence in reach::sentences(config, &sessions) {
        told.push_str(&format!("\n  {sentence}"));
    }
    if let Some(from) = &config.store_moving_from {
        told.push_str(&format!("\n  Sessions are being moved from {from}; it answers, too."));
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
