//! The audit log as files: a line for each event.

use cloakroom_audit::AuditEvent;
use serde_json::{Value, json};

/// The first line of a file of comma-separated values.
pub(crate) const CSV_HEAD: &str =
    "seq,at,event,principal,session,actor_kind,actor_id,reason,ip,user_agent,detail,prev,hash\r\n";

/// An event as a line of comma-separated values (RFC 4180).
///
/// # Security
/// User agents, names and notes are other people's texts. Where a spreadsheet would take one for a formula, an apostrophe
/// stands before it (OWASP, CSV injection).
pub(crate) fn csv_line(event: &AuditEvent) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let cells = [
        event.seq.to_string(),
        event.at.to_string(),
        event.event.clone(),
        text(&event.principal),
        event.session.map(|session| session.to_string()).unwrap_or_default(),
        event.actor_kind.clone(),
        text(&event.actor_id),
        text(&event.reason),
        text(&event.ip),
        text(&event.user_agent),
        json!(event.detail).to_string(),
        event.prev.to_string(),
        event.hash.to_string(),
    ];
    let mut line = cells.map(|cell| cell_of(&cell)).join(",");
    line.push_str("\r\n");
    line
}

/// An event as a line of JSON, as the API shows it.
pub(crate) fn json_line(event: &AuditEvent) -> String {
    let mut line = object(event).to_string();
    line.push('\n');
    line
}

fn object(event: &AuditEvent) -> Value {
    json!(cloakroom_audit::EventObject::from(event))
}

fn cell_of(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let mark = if is_formula { "'" } else { "" };
    if text.contains([',', '"', '\r', '\n']) || is_formula {
        format!("\"{mark}{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_taken_for_a_formula_or_for_two() {
        for (text, cell) in [
            ("", ""),
            ("alice", "alice"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\""),
            ("@SUM(1)", "\"'@SUM(1)\""),
            ("-1", "\"'-1\""),
        ] {
            assert_eq!(cell_of(text), cell);
        }
    }
}
