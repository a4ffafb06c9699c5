//! How the audit log is kept, in sentences.

use cloakroom_audit::OnFull;

use crate::config::{AccountsUrl, Config, format_duration};

/// How the audit log is kept, and where events go besides.
pub(super) fn of_audit(config: &Config) -> Vec<String> {
    let audit = &config.audit;
    let place = match &config.accounts {
        AccountsUrl::Sqlite { .. } => "beside the accounts".to_owned(),
        AccountsUrl::Remote(url) => format!("in {url}"),
    };
    let mut sentences = vec![format!(
        "What happens is kept in the audit log {place} for {}, {} events at most.",
        format_duration(audit.retention),
        audit.events_max
    )];
    sentences.push(match audit.on_full {
        OnFull::Count => format!(
            "While the log cannot be written, {} events wait; more are dropped, counted, and the log tells how many.",
            audit.queue
        ),
        OnFull::Block => format!(
            "While the log cannot be written, {} events wait; then new requests wait {} for room and are turned away.",
            audit.queue,
            format_duration(audit.wait)
        ),
    });
    let sinks: Vec<String> = [
        audit.file.as_ref().map(|path| format!("the file {}", path.display())),
        audit.syslog.as_ref().map(|to| format!("syslog at {to}")),
        audit.journald.as_ref().map(|path| format!("journald at {}", path.display())),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !sinks.is_empty() {
        sentences.push(format!("Events also go to {}.", sinks.join(" and ")));
    }
    sentences
}
