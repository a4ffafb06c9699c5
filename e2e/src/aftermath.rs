//! What surrounded a test when it failed, printed with its failure: in a log nobody sees a picture.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::{Browser, Outcome};

impl Browser {
    /// What the browser shows, for whoever was not there: the page and its state, what has the focus, the notices, and
    /// the beginning of the text.
    pub(crate) async fn testify(&self) -> Outcome<String> {
        let told = self.script(PAGE).await?;
        Ok(told.as_str().unwrap_or_default().to_owned())
    }
}

/// The last lines of the logs in `artifacts` that were written to last, each below its name.
pub(crate) fn last_lines(artifacts: &Path) -> String {
    let files = fs::read_dir(artifacts).into_iter().flatten().filter_map(Result::ok);
    let logs = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "log"));
    let mut logs: Vec<_> = logs.map(|log| (written_at(&log), log)).collect();
    logs.sort_by_key(|(at, _)| *at);
    let last = logs.iter().skip(logs.len().saturating_sub(LOGS));
    let told = last.map(|(_, log)| {
        format!("── {} ──\n{}\n", log.file_name().display(), last_words(&log.path(), LINES_OF_A_LOG))
    });
    told.collect()
}

/// The last `most` lines of a log.
pub(crate) fn last_words(log: &Path, most: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(most)..).unwrap_or_default().join("\n")
}

fn written_at(file: &fs::DirEntry) -> Option<SystemTime> {
    file.metadata().and_then(|file| file.modified()).ok()
}

/// Asked in one go, so that all of it was so at one moment.
const PAGE: &str = "
    const name = it => it ? [it.tagName.toLowerCase(), it.name, it.dataset && it.dataset.test].filter(Boolean).join(' ')
        : 'nothing';
    const shown = it => it.checkVisibility();
    const notices = [...document.querySelectorAll('[data-notice]')].filter(shown).map(it => it.dataset.notice);
    const text = document.body ? document.body.innerText : '';
    return [
        `${location.href} (${document.title}), ${document.readyState}, ${document.visibilityState}`,
        `focus: ${name(document.activeElement)}${document.hasFocus() ? '' : ' (the page has none)'}`,
        `notices: ${notices.join(', ') || 'none'}; open dialogs: ${document.querySelectorAll('dialog[open]').length}`,
        ...text.split('\\n').map(line => line.trim()).filter(Boolean).slice(0, 12).map(line => `| ${line.slice(0, 160)}`),
    ].join('\\n');";

/// How many logs are shown: those of the servers that a test has at most, as far as they were at work when it failed.
const LOGS: usize = 2;

/// How many lines of each.
const LINES_OF_A_LOG: usize = 12;
