//! What is done about stolen sessions, in sentences.

use cloakroom_detection::{Grade, Roaming, Signal};

use crate::config::{DetectionConfig, format_duration};

/// What is noticed and done, one sentence for each answer, and whom it is told to.
pub(super) fn of_detection(config: &DetectionConfig) -> Vec<String> {
    let mut sentences: Vec<String> = [
        (Grade::End, "A session ends"),
        (Grade::Reauthenticate, "Identity has to be proved again"),
        (Grade::Log, "It is recorded"),
        (Grade::Ignore, "Nothing is done"),
    ]
    .into_iter()
    .filter_map(|(grade, then)| {
        let signals = Signal::ALL.into_iter().filter(|signal| config.rules.grades.of(*signal) == grade);
        let signals: Vec<&str> = signals.map(words).collect();
        (!signals.is_empty()).then(|| format!("{then} when {}.", signals.join("; or ")))
    })
    .collect();
    if config.rules.network.roaming == Roaming::Signal {
        sentences.push("A phone or laptop that moves counts as another network.".to_owned());
    }
    sentences.push(match config.geo_database.len() {
        0 => "No database says where addresses are: impossible travel is not noticed, and a network is a prefix.".to_owned(),
        1 => "A database says where addresses are.".to_owned(),
        several => format!("{several} databases say where addresses are."),
    });
    if let Some(webhook) = &config.webhook {
        let events = match webhook.events.len() {
            all if all == Signal::ALL.len() => "each of these".to_owned(),
            _ => webhook.events.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        let (url, timeout) = (webhook.masked_url(), format_duration(webhook.timeout));
        sentences.push(format!("{url} is called at {events}, and has {timeout} to answer."));
    }
    sentences
}

fn words(signal: Signal) -> &'static str {
    match signal {
        Signal::UserAgentChanged => "it comes with another program or device",
        Signal::NetworkChanged => {
            "it comes from another network without its device having moved, or from another country"
        }
        Signal::ImpossibleTravel => "it travels faster than anybody can",
        Signal::ParallelUse => "it is used in several places alternately",
        Signal::UsedAfterEnd => "it is used after its end by somebody who was told",
        Signal::TokenReplayed => "a token that was exchanged is used again",
        Signal::TokenGuessing => "an address tries many tokens that nobody knows",
        Signal::SignInFailures => "many sign-ins to an account fail",
        Signal::SignInBurst => "somebody signs in many times",
        _ => signal.as_str(),
    }
}
