//! The primary behind sentinels, followed wherever they say it is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use redis::{Value, cmd};

use crate::error::Problem;
use crate::link::{Dialer, Link};
use crate::node::{Node, ask, role};
use crate::options::{Host, RedisOptions};

/// The primary that sentinels know by a name.
#[derive(Debug)]
pub(crate) struct Sentinel {
    name: String,
    sentinels: Vec<Link>,
    dialer: Dialer,
    /// The longest to wait for one sentinel, or for one candidate: half-dead ones must not use up a verb's deadline.
    patience: Duration,
    present: Mutex<Option<Arc<Node>>>,
    /// Held by whoever looks, so that a fail-over is not met by a herd.
    looking: tokio::sync::Mutex<()>,
    /// Who answered last: asked first.
    helpful: AtomicUsize,
}

impl Sentinel {
    pub(crate) fn new(name: String, dialer: Dialer, options: &RedisOptions) -> Result<Arc<Self>, Problem> {
        let to_sentinels = Dialer::to_sentinels(options)?;
        let sentinels: Result<Vec<Link>, Problem> =
            options.hosts.iter().map(|host| to_sentinels.link(host)).collect();
        let sentinel = Arc::new(Self {
            name,
            sentinels: sentinels?,
            dialer,
            patience: options.deadline / SHARE,
            present: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            helpful: AtomicUsize::new(0),
        });
        tokio::spawn(watch(Arc::downgrade(&sentinel)));
        Ok(sentinel)
    }

    /// The primary, looked for where it is not known.
    pub(crate) async fn node(&self) -> Result<Arc<Node>, Problem> {
        if let Some(node) = self.present() {
            return Ok(node);
        }
        let _looking = self.looking.lock().await;
        if let Some(node) = self.present() {
            return Ok(node);
        }
        let node = self.find().await?;
        *self.slot() = Some(Arc::clone(&node));
        Ok(node)
    }

    /// Forgets the primary, unless somebody else has found another already.
    pub(crate) fn lost(&self, node: &Arc<Node>) {
        let mut slot = self.slot();
        if slot.as_ref().is_some_and(|present| Arc::ptr_eq(present, node)) {
            *slot = None;
        }
    }

    fn present(&self) -> Option<Arc<Node>> {
        self.slot().clone()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Node>>> {
        // Nothing in here panics while it holds the lock.
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks one sentinel after the other for an address, and whoever is there whether it is the primary: a sentinel that
    /// was cut off may tell of a server that is none any more.
    async fn find(&self) -> Result<Arc<Node>, Problem> {
        let mut detail = String::from("none was asked");
        let first = self.helpful.load(Ordering::Relaxed);
        for turn in 0..self.sentinels.len() {
            let position = (first + turn) % self.sentinels.len().max(1);
            let Some(link) = self.sentinels.get(position) else { continue };
            match self.ask_sentinel(link).await {
                Ok(host) => match self.verified(host).await {
                    Ok(node) => {
                        self.helpful.store(position, Ordering::Relaxed);
                        return Ok(node);
                    }
                    Err(problem) => detail = said(&problem),
                },
                Err(problem) => detail = said(&problem),
            }
        }
        Err(Problem::NoPrimary { name: self.name.clone(), detail })
    }

    async fn ask_sentinel(&self, link: &Link) -> Result<Host, Problem> {
        let mut question = cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name);
        let answer = ask(link, &question, self.patience).await?;
        let Value::Array(parts) = answer else {
            return Err(Problem::Unusable(format!("{} knows no such primary", link.address())));
        };
        let mut texts = parts.into_iter().map(text);
        let (name, port) = (texts.next().flatten(), texts.next().flatten());
        match (name, port.and_then(|port| port.parse().ok())) {
            (Some(name), Some(port)) => Ok(Host { name, port }),
            _ => Err(Problem::Answer("SENTINEL")),
        }
    }

    async fn verified(&self, host: Host) -> Result<Arc<Node>, Problem> {
        // The same server keeps its connections.
        let node = match self.present().filter(|node| node.host == host) {
            Some(node) => node,
            None => Node::new(&self.dialer, host)?,
        };
        match node.ask(&role(), self.patience).await? {
            Value::Array(parts) if parts.first().cloned().and_then(text).as_deref() == Some("master") => {
                Ok(node)
            }
            _ => Err(Problem::Replica { address: node.host.to_string() }),
        }
    }
}

/// Looks once in a while whether the sentinels have chosen another primary: one that was cut off from them does not say
/// so by itself, and would be asked for ever.
async fn watch(sentinel: Weak<Sentinel>) {
    loop {
        tokio::time::sleep(WATCH_INTERVAL).await;
        let Some(sentinel) = sentinel.upgrade() else { return };
        let Some(present) = sentinel.present() else { continue };
        if let Ok(node) = sentinel.find().await
            && node.host != present.host
        {
            tracing::info!(from = %present.host, to = %node.host, "the sentinels chose another primary");
            let mut slot = sentinel.slot();
            if slot.as_ref().is_none_or(|current| Arc::ptr_eq(current, &present)) {
                *slot = Some(node);
            }
        }
    }
}

/// A problem with its cause, for a list of what was tried.
fn said(problem: &Problem) -> String {
    match std::error::Error::source(problem) {
        Some(source) => format!("{problem}: {source}"),
        None => problem.to_string(),
    }
}

pub(crate) fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// The part of a verb's deadline that one server may use up.
const SHARE: u32 = 4;
/// How long a primary that was replaced behind our back is asked at most. One small question each time.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
