//! Where events go besides the database: a file, syslog, journald.
//!
//! Each sink has its own task and its own bounded queue. It gets events once they last, never delays them, and what it
//! cannot take is dropped and counted: the log itself is in the database.

mod file;
mod journald;
mod syslog;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::AuditRow;
use crate::log::metrics;

pub use syslog::{MalformedSyslogAddress, SyslogAddress};

/// Where events go besides the database.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Sink {
    /// JSON lines at the end of this file; opened again where it was moved away.
    File(PathBuf),
    /// Syslog messages (RFC 5424).
    Syslog {
        /// Where they are sent.
        to: SyslogAddress,
        /// The machine they name.
        host: String,
    },
    /// Journald's own protocol, on this socket.
    Journald(PathBuf),
}

impl Sink {
    /// The socket of journald.
    pub const JOURNALD: &'static str = "/run/systemd/journal/socket";

    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Syslog { .. } => "syslog",
            Self::Journald(_) => "journald",
        }
    }
}

/// The sinks of a log, at work.
#[derive(Debug, Default)]
pub(crate) struct Sinks(Vec<Running>);

#[derive(Debug)]
struct Running {
    name: &'static str,
    queue: mpsc::UnboundedSender<Arc<[AuditRow]>>,
    /// Events that wait.
    waiting: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Sinks {
    pub(crate) fn start(sinks: &[Sink]) -> Self {
        Self(sinks.iter().cloned().map(Running::start).collect())
    }

    pub(crate) fn send(&self, rows: Vec<AuditRow>) {
        if self.0.is_empty() || rows.is_empty() {
            return;
        }
        let rows: Arc<[AuditRow]> = rows.into();
        for sink in &self.0 {
            let waiting = sink.waiting.load(Ordering::Relaxed);
            if waiting.saturating_add(rows.len()) > MOST_WAITING {
                metrics::sink(sink.name, "dropped", count(&rows));
                continue;
            }
            sink.waiting.fetch_add(rows.len(), Ordering::Relaxed);
            // Its task ends only after this end.
            let _ = sink.queue.send(Arc::clone(&rows));
        }
    }

    /// Lets each sink finish, for a moment.
    pub(crate) async fn close(self) {
        for Running { name, queue, waiting, mut task } in self.0 {
            drop(queue);
            if tokio::time::timeout(LAST_WORDS, &mut task).await.is_err() {
                task.abort();
                let lost = waiting.load(Ordering::Relaxed);
                metrics::sink(name, "dropped", u64::try_from(lost).unwrap_or(u64::MAX));
                tracing::warn!(sink = name, lost, "a sink of the audit log did not take the last events");
            }
        }
    }
}

impl Running {
    fn start(sink: Sink) -> Self {
        let (queue, queued) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let name = sink.name();
        let task = tokio::spawn(run(sink, queued, Arc::clone(&waiting)));
        Self { name, queue, waiting, task }
    }
}

async fn run(sink: Sink, mut queued: mpsc::UnboundedReceiver<Arc<[AuditRow]>>, waiting: Arc<AtomicUsize>) {
    let name = sink.name();
    let mut outlet = Outlet::of(sink);
    let mut is_failing = false;
    while let Some(rows) = queued.recv().await {
        let (sent, failure) = outlet.send(&rows).await;
        waiting.fetch_sub(rows.len(), Ordering::Relaxed);
        metrics::sink(name, "sent", u64::try_from(sent).unwrap_or(u64::MAX));
        let failed = count(&rows).saturating_sub(u64::try_from(sent).unwrap_or(u64::MAX));
        metrics::sink(name, "failed", failed);
        match failure {
            Some(error) if !is_failing => {
                is_failing = true;
                tracing::warn!(sink = name, %error, "a sink of the audit log takes no events");
            }
            None if is_failing => {
                is_failing = false;
                tracing::info!(sink = name, "the sink of the audit log takes events again");
            }
            _ => {}
        }
    }
}

/// A sink's own way out.
enum Outlet {
    File(file::Lines),
    Syslog(syslog::Syslog),
    Journald(journald::Journal),
}

impl Outlet {
    fn of(sink: Sink) -> Self {
        match sink {
            Sink::File(path) => Self::File(file::Lines::new(path)),
            Sink::Syslog { to, host } => Self::Syslog(syslog::Syslog::new(to, &host)),
            Sink::Journald(path) => Self::Journald(journald::Journal::new(path)),
        }
    }

    /// Sends events; how many went out, and why one did not.
    ///
    /// Datagrams go one by one. A socket that nobody listens at says so at once; the others are tried all the same.
    async fn send(&mut self, rows: &Arc<[AuditRow]>) -> (usize, Option<std::io::Error>) {
        if let Self::File(file) = self {
            return match file.append(Arc::clone(rows)).await {
                Ok(()) => (rows.len(), None),
                Err(error) => (0, Some(error)),
            };
        }
        let (mut sent, mut failure) = (0, None);
        for row in rows.iter() {
            let done = match self {
                Self::File(_) => Ok(()),
                Self::Syslog(syslog) => syslog.send(row).await,
                Self::Journald(journal) => journal.send(row).await,
            };
            match done {
                Ok(()) => sent += 1,
                Err(error) => failure = Some(error),
            }
        }
        (sent, failure)
    }
}

fn count(rows: &[AuditRow]) -> u64 {
    u64::try_from(rows.len()).unwrap_or(u64::MAX)
}

/// Most events that wait for one sink.
const MOST_WAITING: usize = 65_536;
/// How long a sink may take for what is left when the log is closed.
const LAST_WORDS: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
