//! One connection, shared by every task that has something to ask.
//!
//! Questions are written as they come and answered in their order; nobody waits for anybody else's answer. A caller
//! that goes away leaves its answers to be read and thrown away, so the next one's are its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::batch::{Batch, Cas};
use super::reply::{self, Kind, Malformed};
use crate::error::Problem;

/// A connection to one server, from its beginning to its end: it is not mended, it is replaced.
#[derive(Debug)]
pub(crate) struct Link {
    server: Arc<str>,
    questions: mpsc::UnboundedSender<Waiting>,
    room: Arc<Semaphore>,
    broken: Arc<Broken>,
}

/// An answer, with its value out of the buffer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    /// The item, or what was asked of it.
    Found(Found),
    /// Stored, or deleted.
    Done,
    /// There is no such item.
    Missing,
    /// There is one already.
    NotStored,
    /// It has changed since it was read.
    Changed,
}

/// An item as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// Empty where only the rest was asked for.
    pub(crate) value: Vec<u8>,
    pub(crate) cas: Cas,
    pub(crate) flags: u32,
}

/// Questions whose answers have not come.
#[derive(Debug)]
struct Waiting {
    batch: Batch,
    answers: Vec<Reply>,
    failure: Option<String>,
    caller: oneshot::Sender<Result<Vec<Reply>, Problem>>,
    _room: OwnedSemaphorePermit,
}

/// What both halves of a connection and its users know of its end.
#[derive(Debug)]
struct Broken {
    server: Arc<str>,
    is_broken: AtomicBool,
    waiting: Mutex<VecDeque<(u64, Waiting)>>,
    /// The number of the next question to be written.
    next: AtomicU64,
}

impl Link {
    /// Opens a connection and makes sure that a memcached of 1.6 or later answers on it. Gives the connection, and what
    /// has to run for it to work, which ends when the connection does.
    pub(crate) async fn open(
        server: &Arc<str>,
        patience: Duration,
    ) -> Result<(Arc<Self>, impl Future<Output = Problem> + Send + use<>), Problem> {
        let unreachable = |source| Problem::Unreachable { server: Arc::clone(server), source };
        let opened = tokio::time::timeout(patience, async {
            let mut stream = TcpStream::connect(&**server).await?;
            stream.set_nodelay(true)?;
            stream.write_all(b"mn\r\n").await?;
            let mut hello = [0; 4];
            stream.read_exact(&mut hello).await?;
            Ok((stream, hello))
        });
        let (stream, hello) = match opened.await {
            Ok(opened) => opened.map_err(unreachable)?,
            Err(_) => return Err(Problem::Silent { server: Arc::clone(server), patience }),
        };
        if &hello != b"MN\r\n" {
            return Err(Problem::Protocol {
                server: Arc::clone(server),
                source: Malformed::Answer(String::from_utf8_lossy(&hello).into_owned()),
            });
        }
        let (questions, asked) = mpsc::unbounded_channel();
        let broken = Arc::new(Broken {
            server: Arc::clone(server),
            is_broken: AtomicBool::new(false),
            waiting: Mutex::default(),
            next: AtomicU64::new(1),
        });
        let room = Arc::new(Semaphore::new(ROOM));
        let link = Self { server: Arc::clone(server), questions, room, broken: Arc::clone(&broken) };
        let (read, write) = stream.into_split();
        let work = async move {
            // Whichever half ends first ends the other one.
            let problem = tokio::select! {
                problem = read_answers(read, &broken, patience) => problem,
                problem = write_questions(write, asked, &broken) => problem,
            };
            broken.give_up();
            problem
        };
        Ok((Arc::new(link), work))
    }

    /// Whether it has ended.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.is_broken.load(Ordering::Acquire)
    }

    /// Sends questions and waits for their answers, which are as many.
    ///
    /// # Errors
    /// Where the connection ends before the answers are there. Then the questions may have been heard, or not.
    pub(crate) async fn ask(&self, batch: Batch) -> Result<Vec<Reply>, Problem> {
        if batch.len() == 0 {
            return Ok(Vec::new());
        }
        let lost = || Problem::Lost { server: Arc::clone(&self.server) };
        let size = u32::try_from(batch.size().div_ceil(ROOM_UNIT)).unwrap_or(u32::MAX).min(LARGEST_ASK);
        let room = Arc::clone(&self.room).acquire_many_owned(size).await.map_err(|_| lost())?;
        let (caller, answer) = oneshot::channel();
        let answers = Vec::with_capacity(batch.len());
        let waiting = Waiting { batch, answers, failure: None, caller, _room: room };
        self.questions.send(waiting).map_err(|_| lost())?;
        answer.await.map_err(|_| lost())?
    }
}

impl Broken {
    /// Whoever waits hears that the connection ended: their part of the channel is dropped.
    fn give_up(&self) {
        self.is_broken.store(true, Ordering::Release);
        self.waiting.lock().clear();
    }

    /// Hands an answer to whom it is for.
    fn accept(&self, answer: &reply::Answer, buffer: &[u8]) -> Result<(), Malformed> {
        let mut queue = self.waiting.lock();
        let (first, waiting) = queue.front_mut().ok_or(Malformed::Order)?;
        let number = first.saturating_add(u64::try_from(waiting.answers.len()).unwrap_or(u64::MAX));
        if answer.opaque.is_some_and(|opaque| opaque != number) {
            return Err(Malformed::Order);
        }
        let reply = match &answer.kind {
            Kind::Done => found(answer, buffer)?,
            Kind::Missing => Reply::Missing,
            Kind::NotStored => Reply::NotStored,
            Kind::Changed => Reply::Changed,
            Kind::Noop => return Err(Malformed::Order),
            Kind::Failed(why) => {
                waiting.failure.get_or_insert_with(|| why.clone());
                Reply::NotStored
            }
        };
        waiting.answers.push(reply);
        if waiting.answers.len() == waiting.batch.len()
            && let Some((_, waiting)) = queue.pop_front()
        {
            drop(queue);
            let answer = match waiting.failure {
                None => Ok(waiting.answers),
                Some(why) => Err(Problem::Refused { server: Arc::clone(&self.server), why }),
            };
            // Nobody listens where the caller has gone away.
            let _ = waiting.caller.send(answer);
        }
        Ok(())
    }
}

fn found(answer: &reply::Answer, buffer: &[u8]) -> Result<Reply, Malformed> {
    match (answer.cas, answer.flags, &answer.value) {
        // To swap what has version 0 is to overwrite whatever is there.
        (Some(0), ..) => Err(Malformed::Versionless),
        (Some(cas), Some(flags), value) => {
            let value = value.clone().and_then(|range| buffer.get(range)).unwrap_or_default().to_vec();
            Ok(Reply::Found(Found { value, cas: Cas::from_u64(cas), flags }))
        }
        (None, None, None) => Ok(Reply::Done),
        _ => Err(Malformed::Answer("an item without its version".to_owned())),
    }
}

async fn write_questions(
    mut stream: OwnedWriteHalf,
    mut asked: mpsc::UnboundedReceiver<Waiting>,
    broken: &Broken,
) -> Problem {
    let mut buffer = Vec::new();
    loop {
        let Some(mut waiting) = asked.recv().await else {
            return Problem::Lost { server: Arc::clone(&broken.server) };
        };
        buffer.clear();
        loop {
            let count = u64::try_from(waiting.batch.len()).unwrap_or(u64::MAX);
            let first = broken.next.fetch_add(count, Ordering::Relaxed);
            waiting.batch.write(first, &mut buffer);
            // Before anything is written: the answer may be there before the write returns.
            broken.waiting.lock().push_back((first, waiting));
            if buffer.len() >= WRITE_AT_ONCE {
                break;
            }
            match asked.try_recv() {
                Ok(next) => waiting = next,
                Err(_) => break,
            }
        }
        if let Err(source) = stream.write_all(&buffer).await {
            return Problem::Unreachable { server: Arc::clone(&broken.server), source };
        }
        buffer.shrink_to(WRITE_AT_ONCE);
    }
}

async fn read_answers(mut stream: OwnedReadHalf, broken: &Broken, patience: Duration) -> Problem {
    let server = || Arc::clone(&broken.server);
    let mut buffer = Vec::with_capacity(READ_AT_ONCE);
    let mut oldest = None;
    loop {
        match tokio::time::timeout(patience, stream.read_buf(&mut buffer)).await {
            Ok(Ok(0)) => return Problem::Lost { server: server() },
            Ok(Ok(_)) => {
                oldest = None;
                let mut from = 0;
                loop {
                    let rest = buffer.get(from..).unwrap_or_default();
                    let read = match reply::read(rest) {
                        Ok(Some(answer)) => broken.accept(&answer, rest).map(|()| Some(answer.length)),
                        Ok(None) => Ok(None),
                        Err(malformed) => Err(malformed),
                    };
                    match read {
                        Ok(Some(length)) => from = from.saturating_add(length),
                        Ok(None) => break,
                        Err(source) => return Problem::Protocol { server: server(), source },
                    }
                }
                buffer.drain(..from);
                if buffer.is_empty() {
                    buffer.shrink_to(READ_AT_ONCE);
                }
            }
            Ok(Err(source)) => return Problem::Unreachable { server: server(), source },
            Err(_) => {
                // Silence is only strange while somebody waits, and has waited for all of it.
                let waiting = broken.waiting.lock().front().map(|(first, _)| *first);
                if waiting.is_some() && waiting == oldest {
                    return Problem::Silent { server: server(), patience };
                }
                oldest = waiting;
            }
        }
    }
}

/// Bytes in one unit of [`ROOM`].
const ROOM_UNIT: usize = 256;
/// Most bytes that wait to be answered on one connection, in units: 32 MiB. More callers wait for room.
const ROOM: usize = 32 * 1_024 * 1_024 / ROOM_UNIT;
/// A single batch that is larger than everything takes everything.
const LARGEST_ASK: u32 = 32 * 1_024 * 1_024 / 256;
/// Written in one piece as far as there is as much.
const WRITE_AT_ONCE: usize = 64 * 1_024;
/// Room for answers that is kept while nobody waits.
const READ_AT_ONCE: usize = 64 * 1_024;
