//! The primary behind sentinels, followed wherever they say it is.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use redis::{Value, cmd};

use crate::error::{Problem, said};
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

    /// Whether most sentinels say, now, that `node` is the primary and well, and none says that another one is.
    ///
    /// A new primary is written to only by those who heard of it from a sentinel: whoever of them can be asked says so here,
    /// too. The others hear of it from each other within seconds; most of them are asked so that a part that was cut off,
    /// together with an old primary, proves nothing. Where one knows of another primary, that is looked for at once.
    pub(crate) async fn confirm(&self, node: &Arc<Node>) -> Result<(), Problem> {
        let mut answers: FuturesUnordered<_> =
            self.sentinels.iter().map(|link| self.ask_sentinel(link)).collect();
        let (mut agreed, mut detail) = (0, String::from("none was asked"));
        let mut other = None;
        while agreed <= self.sentinels.len() / 2 && other.is_none() {
            match answers.next().await {
                Some(Ok(elected)) if elected.host != node.host => other = Some(elected),
                Some(Ok(elected)) if elected.is_doubtful => {
                    detail = format!("one finds it {}", elected.flags)
                }
                Some(Ok(_)) => agreed += 1,
                Some(Err(problem)) => detail = said(&problem),
                None => return Err(Problem::Contested { address: node.host.to_string(), agreed, detail }),
            }
        }
        let rest = async {
            while let Some(answer) = answers.next().await {
                if let Ok(elected) = answer
                    && elected.host != node.host
                {
                    return Some(elected);
                }
            }
            None
        };
        let other = match other {
            Some(other) => Some(other),
            None => tokio::time::timeout(GRACE, rest).await.unwrap_or(None),
        };
        let Some(other) = other else { return Ok(()) };
        self.look_again(node).await;
        let detail = format!("one says that it is {}", other.host);
        Err(Problem::Contested { address: node.host.to_string(), agreed, detail })
    }

    /// Looks whether the sentinels have chosen another primary than `present`.
    async fn look_again(&self, present: &Arc<Node>) {
        if let Ok(node) = self.find().await
            && node.host != present.host
        {
            tracing::info!(from = %present.host, to = %node.host, "the sentinels chose another primary");
            let mut slot = self.slot();
            if slot.as_ref().is_none_or(|current| Arc::ptr_eq(current, present)) {
                *slot = Some(node);
            }
        }
    }

    fn present(&self) -> Option<Arc<Node>> {
        self.slot().clone()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Node>>> {
        // Nothing in here panics while it holds the lock.
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks all sentinels at once, believes the one that knows of the latest election, and asks whoever is there whether
    /// it is the primary: a sentinel that was cut off tells of a server that was one before.
    async fn find(&self) -> Result<Arc<Node>, Problem> {
        let mut answers: FuturesUnordered<_> =
            self.sentinels.iter().map(|link| self.ask_sentinel(link)).collect();
        let (mut latest, mut answered, mut detail) = (None::<Elected>, 0, String::from("none was asked"));
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(elected) => {
                    answered += 1;
                    if latest.as_ref().is_none_or(|latest| latest.epoch < elected.epoch) {
                        latest = Some(elected);
                    }
                    // Nobody is elected without a majority; fewer do where no others answer.
                    if answered > self.sentinels.len() / 2 {
                        break;
                    }
                }
                Err(problem) => detail = said(&problem),
            }
        }
        match latest {
            Some(elected) => self.verified(elected.host).await,
            None => Err(Problem::NoPrimary { name: self.name.clone(), detail }),
        }
    }

    async fn ask_sentinel(&self, link: &Link) -> Result<Elected, Problem> {
        let mut question = cmd("SENTINEL");
        question.arg("MASTER").arg(&self.name);
        let answer = ask(link, &question, self.patience).await?;
        Elected::read(answer).ok_or(Problem::Answer("SENTINEL MASTER"))
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

/// What a sentinel knows of the primary.
struct Elected {
    host: Host,
    /// The number of the election that made it the primary.
    epoch: u64,
    /// What the sentinel finds of it, separated by commas.
    flags: String,
    /// Whether the sentinel finds that it does not answer, or takes part in replacing it.
    is_doubtful: bool,
}

impl Elected {
    /// Names and values, one after the other or in pairs.
    fn read(answer: Value) -> Option<Self> {
        let texts: Vec<Option<String>> = match answer {
            Value::Map(pairs) => {
                pairs.into_iter().flat_map(|(name, value)| [text(name), text(value)]).collect()
            }
            Value::Array(values) => values.into_iter().map(text).collect(),
            _ => return None,
        };
        let field = |name: &str| {
            let pair = texts
                .chunks_exact(2)
                .find(|pair| pair.first().is_some_and(|n| n.as_deref() == Some(name)))?;
            pair.last()?.clone()
        };
        let host = Host { name: field("ip")?, port: field("port")?.parse().ok()? };
        let flags = field("flags").unwrap_or_default();
        let is_doubtful =
            flags.split(',').any(|flag| ["s_down", "o_down", "failover_in_progress"].contains(&flag));
        Some(Self { host, epoch: field("config-epoch")?.parse().ok()?, flags, is_doubtful })
    }
}

/// Looks once in a while whether the sentinels have chosen another primary: one that was cut off from them does not say
/// so by itself, and would be asked for ever.
async fn watch(sentinel: Weak<Sentinel>) {
    loop {
        tokio::time::sleep(WATCH_INTERVAL).await;
        let Some(sentinel) = sentinel.upgrade() else { return };
        if let Some(present) = sentinel.present() {
            sentinel.look_again(&present).await;
        }
    }
}

pub(crate) fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// How long the last sentinels are waited for once most have answered; whoever is slower is as good as gone.
const GRACE: Duration = Duration::from_millis(50);
/// The part of a verb's deadline that one server may use up.
const SHARE: u32 = 4;
/// How long a primary that was replaced behind our back is asked at most. One small question each time.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sentinel_says_is_read_in_both_of_its_forms() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let pairs = [("name", "mymaster"), ("ip", "10.0.0.7"), ("port", "6380"), ("config-epoch", "12")];
        let map = Value::Map(pairs.map(|(name, value)| (bulk(name), bulk(value))).to_vec());
        let list = Value::Array(pairs.iter().flat_map(|(name, value)| [bulk(name), bulk(value)]).collect());
        for answer in [map, list] {
            let elected = Elected::read(answer).unwrap();
            assert_eq!((elected.host.to_string().as_str(), elected.epoch), ("10.0.0.7:6380", 12));
            assert!(!elected.is_doubtful);
        }
        for (flags, is_doubtful) in
            [("master", false), ("master,s_down", true), ("s_down,o_down,master,failover_in_progress", true)]
        {
            let fields = pairs.into_iter().chain([("flags", flags)]);
            let answer = fields.map(|(name, value)| (bulk(name), bulk(value))).collect();
            assert_eq!(Elected::read(Value::Map(answer)).unwrap().is_doubtful, is_doubtful, "{flags}");
        }
        assert!(Elected::read(Value::Array(vec![bulk("ip"), bulk("10.0.0.7")])).is_none());
        assert!(Elected::read(Value::Nil).is_none());
    }
}
