//! One connection by which a server tells of changes, and over which it is asked whether it has told of all.
//!
//! # Why an answer proves that all earlier news has come
//! The server notes the name of each key that changes while it executes commands, one at a time. Once in each round of its
//! event loop, before it sleeps (`beforeSleep`), it writes what it noted to every connection that follows
//! (`trackingBroadcastInvalidationMessages`), and only afterwards the answers of that round
//! (`handleClientsWithPendingWrites`, whether or not threads do the writing). So whoever has the answer to a change asks
//! us later than our news of it was written, in nearly every case. The exceptions: a client whose buffer was full already
//! is written to as soon as its socket can take more, in the middle of a round; and threads of Redis 8 send answers before
//! the round is over. Then our question could be answered in the same round, and its answer be written before the news.
//!
//! Therefore two questions, one after the other. The first is executed after the change was. The second is sent once the
//! first is answered: the server reads a connection once in a round, and one that follows changes always on its main
//! thread, so the second belongs to a later round than the first, and between two rounds all that was noted is written.
//! What is written to one connection arrives in its order; [`Link::open`](crate::link::Link::open) keeps it here.
//!
//! A script that takes too long makes the server answer in the middle of a round, but only that it is busy: an error proves
//! nothing.

use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::TokenDigest;
use cloakroom_store::{News, Parts};
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, PushInfo, PushKind, RedisError, Value, cmd};
use tokio::sync::Notify;

use super::coverage::{Coverage, LineNumber};
use super::view::View;
use crate::error::Problem;
use crate::keys::{EPOCHS, Layout, NEWS, RECORDS, digest_of};
use crate::link::{Link, is_answer, prose};

/// A connection by which a server tells of changes.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: LineNumber,
    wire: MultiplexedConnection,
    broken: Arc<Notify>,
    is_clustered: bool,
    _open: Open,
}

/// Closes what it covered however a line ends, also while it is being made.
#[derive(Debug)]
struct Open {
    number: LineNumber,
    coverage: Arc<Coverage>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.coverage.close(self.number);
    }
}

impl Line {
    /// Connects, and makes the server tell of every change from here on.
    pub(super) async fn open(
        link: &Link,
        layout: &Layout,
        coverage: &Arc<Coverage>,
    ) -> Result<Self, Problem> {
        let number = coverage.open();
        let open = Open { number, coverage: Arc::clone(coverage) };
        let (ears, broken) = (Arc::clone(coverage), Arc::new(Notify::new()));
        let (names, breaks) = (Names::of(layout), Arc::clone(&broken));
        let listen = move |push: PushInfo| match push.kind {
            PushKind::Invalidate => hear(&names, &ears, &push.data),
            PushKind::Disconnection => {
                ears.close(number);
                breaks.notify_one();
            }
            _ => {}
        };
        let wire = follow(link, &names_followed(layout), listen).await?;
        Ok(Self { number, wire, broken, is_clustered: layout.is_clustered(), _open: open })
    }

    /// Returns when the other end is gone.
    pub(super) async fn broken(&self) {
        self.broken.notified().await;
    }

    /// What the server says of itself, once all news from before this was called has come.
    pub(super) async fn view(&self, link: &Link) -> Result<View, Problem> {
        let mut wire = self.wire.clone();
        let mut questions = Pipeline::with_capacity(2);
        questions.cmd("INFO").arg("server").arg("replication").arg("stats");
        if self.is_clustered {
            questions.cmd("CLUSTER").arg("NODES");
        }
        let count = questions.len();
        let answers = wire.send_packed_commands(&questions, 0, count).await;
        let mut answers = answers.map_err(|error| refused(link, error))?.into_iter();
        let mut next = || {
            let answer = answers.next().ok_or(Problem::Answer("INFO"))?;
            let answer = answer.extract_error().map_err(|error| refused(link, error))?;
            prose(answer).ok_or(Problem::Answer("INFO"))
        };
        let information = next()?;
        let nodes = if self.is_clustered { Some(next()?) } else { None };
        // Only now: see above.
        let answer = wire.send_packed_command(&cmd("PING")).await.and_then(Value::extract_error);
        answer.map_err(|error| refused(link, error))?;
        View::read(self.number, &information, nodes.as_deref()).ok_or(Problem::Answer("INFO"))
    }
}

/// Whether a server would tell this user of changes; asked on a connection of its own.
pub(crate) async fn try_to_follow(link: &Link, layout: &Layout, patience: Duration) -> Result<(), Problem> {
    let trial = async {
        let mut wire = follow(link, &names_followed(layout), |_| {}).await?;
        let mut questions = Pipeline::with_capacity(2);
        questions.cmd("PING");
        if layout.is_clustered() {
            questions.cmd("CLUSTER").arg("NODES");
        }
        let count = questions.len();
        let answers = wire.send_packed_commands(&questions, 0, count).await;
        for answer in answers.map_err(|error| refused(link, error))? {
            answer.extract_error().map_err(|error| refused(link, error))?;
        }
        Ok(())
    };
    tokio::time::timeout(patience, trial).await.unwrap_or(Err(Problem::Overdue(patience)))
}

/// What the keys begin with that `get` decides by.
fn names_followed(layout: &Layout) -> [String; 3] {
    FOLLOWED.map(|class| layout.class(class))
}

/// A connection on which the server tells of every change of keys that begin with one of these.
pub(crate) async fn follow(
    link: &Link,
    names: &[String],
    listen: impl Fn(PushInfo) + Send + Sync + 'static,
) -> Result<MultiplexedConnection, Problem> {
    let mut wire = link.open(listen).await?;
    let mut question = cmd("CLIENT");
    question.arg("TRACKING").arg("ON").arg("BCAST");
    for name in names {
        question.arg("PREFIX").arg(name);
    }
    let answer = wire.send_packed_command(&question).await.and_then(Value::extract_error);
    answer.map_err(|error| refused(link, error))?;
    Ok(wire)
}

/// A problem of this server on a connection that follows.
pub(crate) fn refused(link: &Link, error: RedisError) -> Problem {
    match error.code() {
        Some("NOPERM") => Problem::Deaf { address: link.address().to_owned(), source: error.into() },
        _ => link.problem(error),
    }
}

/// Whether the server is there and has nothing against us: it answered, or it gave a reason why not.
pub(super) fn holds(problem: &Problem) -> bool {
    match problem {
        Problem::Deaf { .. } | Problem::Answer(_) => true,
        Problem::Server { source, .. } => is_answer(&source.0),
        _ => false,
    }
}

/// Passes on what the server tells: the names of keys, or that all are gone.
fn hear(names: &Names, coverage: &Coverage, data: &[Value]) {
    let [Value::Array(keys)] = data else {
        // Nothing instead of names: everything was removed. Anything else is not known, and may mean as much.
        coverage.tell(News::Anything(Parts::ALL));
        return;
    };
    let (mut changed, mut parts) = (Vec::new(), Parts::NONE);
    for key in keys {
        match key {
            Value::BulkString(key) => match names.subject(key) {
                Some(Subject::One(digest)) => changed.push(digest),
                Some(Subject::Any(some)) => parts = parts.union(some),
                // Nothing of ours: nobody reads it.
                None => {}
            },
            _ => parts = Parts::ALL,
        }
    }
    if !changed.is_empty() {
        coverage.tell(News::Changed(&changed));
    }
    if !parts.is_empty() {
        coverage.tell(News::Anything(parts));
    }
}

/// What a key is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Subject {
    One(TokenDigest),
    Any(Parts),
}

/// How the keys that are followed are named.
#[derive(Debug)]
struct Names {
    records: String,
    epochs: String,
    news: String,
    is_clustered: bool,
}

impl Names {
    fn of(layout: &Layout) -> Self {
        let [records, epochs, news] = names_followed(layout);
        Self { records, epochs, news, is_clustered: layout.is_clustered() }
    }

    /// What a key is about; nothing for one that is not of this store.
    fn subject(&self, key: &[u8]) -> Option<Subject> {
        if let Some(rest) = key.strip_prefix(self.records.as_bytes()) {
            return digest_of(self.untagged(rest)?).map(Subject::One);
        }
        if let Some(rest) = key.strip_prefix(self.epochs.as_bytes()) {
            if !self.is_clustered {
                return Some(Subject::Any(Parts::ALL));
            }
            return number(rest.strip_prefix(b"{")?).map(|number| Subject::Any(Parts::one(number)));
        }
        let part = self.untagged(key.strip_prefix(self.news.as_bytes())?)?;
        number(part).map(|number| Subject::Any(Parts::one(number)))
    }

    fn untagged<'a>(&self, name: &'a [u8]) -> Option<&'a [u8]> {
        if self.is_clustered { name.get(TAG..) } else { Some(name) }
    }
}

/// The number that two hexadecimal digits begin with.
fn number(text: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(text.get(..2)?).ok()?, 16).ok()
}

/// What `get` decides by, but for what each touch or sign-in changes; and what scripts announce of that.
const FOLLOWED: [&str; 3] = [RECORDS, EPOCHS, NEWS];
/// Letters of a bucket's hash tag: `{3f}:`.
const TAG: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::digest_text;

    #[test]
    fn names_of_keys_are_about_one_session_or_about_a_part() {
        let digest = TokenDigest::from_bytes(&[0x3f; TokenDigest::LENGTH]).unwrap();
        for is_clustered in [false, true] {
            let layout = Layout::new("shop:eu", is_clustered);
            let bucket = layout.bucket(digest.route());
            let names = Names::of(&layout);
            let of = |class: &str, name: &str| names.subject(layout.key(bucket, class, name).as_bytes());
            assert_eq!(of(RECORDS, &digest_text(digest)), Some(Subject::One(digest)));
            let whole = if is_clustered { Parts::one(0x3f) } else { Parts::ALL };
            assert_eq!(of(EPOCHS, "current"), Some(Subject::Any(whole)));
            assert_eq!(of(NEWS, "3f"), Some(Subject::Any(Parts::one(0x3f))));
            assert_eq!(of(RECORDS, "x"), None);
            assert_eq!(of("session", "ses_x"), None);
            assert_eq!(names.subject(b"another:record:x"), None);
        }
    }
}
