//! The policy in force, in sentences.

use cloakroom_core::{OnLimit, Policy};

use super::telemetry::of_telemetry;
use crate::cli::counted;
use crate::config::{Config, format_bytes, format_duration};

/// The policy in force, one sentence for each rule.
pub(crate) fn of_policy(config: &Config) -> Vec<String> {
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
    sentences.push(match config.store.is_sealed() {
        true => "Why a session ended is known for as long as it could have lived; its attributes have to fit into its cookie."
            .to_owned(),
        false => format!(
            "Why a session ended is known for {}; a session holds up to {} of attributes.",
            format_duration(policy.tombstone_retention()),
            format_bytes(policy.attributes_max_bytes().try_into().unwrap_or(u64::MAX))
        ),
    });
    sentences.push(cookie_sentence(config));
    sentences.push(format!(
        "After {} wrong passwords for one account, or {} from one address, within {}, attempts have to wait.",
        config.sign_in.attempts_per_account,
        config.sign_in.attempts_per_address,
        format_duration(config.sign_in.window)
    ));
    sentences.push(console_sentence(config));
    sentences.extend(of_telemetry(config));
    sentences.extend(super::audit::of_audit(config));
    sentences.extend(super::detection::of_detection(&config.detection));
    sentences.push(format!(
        "Whoever runs this server proves their identity again before they change anything, unless they did within the last {}.",
        format_duration(config.console.fresh_within)
    ));
    sentences
}

fn console_sentence(config: &Config) -> String {
    let sees = match config.console.support_sees_addresses {
        true => "sees from which addresses",
        false => "does not see from which addresses",
    };
    format!("Who helps people (role support) looks at one person at a time, and {sees} they sign in.")
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
