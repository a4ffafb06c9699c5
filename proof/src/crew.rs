//! The nodes of a run, as their driver sees them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cloakroom::Sabotage;
use cloakroom_servers::Program;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::Fallible;
use crate::record::Record;

/// How a node of a run differs from others.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Where its store is, perhaps behind a relay of its own.
    pub store: String,
    /// What is broken in it.
    pub sabotage: Option<Sabotage>,
}

/// A node that runs.
#[derive(Debug)]
pub struct Node {
    program: Program,
    records: PathBuf,
    lines: mpsc::UnboundedSender<String>,
    questions: Arc<Questions>,
    last_word: watch::Receiver<String>,
}

#[derive(Debug, Default)]
struct Questions {
    asked: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Option<String>>>>,
}

impl Node {
    /// Starts `program node …`, and returns when it says that it is ready.
    ///
    /// # Errors
    /// If it does not come up; the end of what it printed is in the error.
    pub async fn start(
        program: &Path,
        number: usize,
        wish: &Wish,
        lease: Duration,
        directory: &Path,
    ) -> Fallible<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let records = directory.join(format!("node-{number}.records"));
        let mut command = Command::new(program);
        command.args(["node", "--store", &wish.store]);
        command.args(["--control", &listener.local_addr()?.port().to_string()]);
        command.args(["--lease-millis", &lease.as_millis().to_string()]).arg("--records").arg(&records);
        if let Some(sabotage) = wish.sabotage {
            command.args(["--sabotage", &format!("{sabotage:?}")]);
        }
        let program = Program::start(&command, &directory.join(format!("node-{number}.log")))?;
        let Ok(accepted) = timeout(PATIENCE, listener.accept()).await else {
            return Err(format!("node {number} does not come up: {}", tail(program.log())).into());
        };
        let (lines, questions) = (mpsc::unbounded_channel(), Arc::new(Questions::default()));
        let (word, last_word) = watch::channel(String::new());
        tokio::spawn(talk(accepted?.0, lines.1, Arc::clone(&questions), word));
        let node = Self { program, records, lines: lines.0, questions, last_word };
        node.hear("ready").await?;
        Ok(node)
    }

    /// Tells it something that it does not answer.
    pub fn tell(&self, line: String) {
        // A node that is gone is found out when its records are read.
        let _ = self.lines.send(line);
    }

    /// Asks it; `line` is given the number of the question. `None` where it could not do it, or is gone.
    pub async fn ask(&self, line: impl FnOnce(u64) -> String) -> Option<String> {
        let number = self.questions.asked.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        lock(&self.questions.waiting).insert(number, answer);
        self.tell(line(number));
        answered.await.ok().flatten()
    }

    /// Whether all that it remembers may be believed.
    pub async fn is_trusting(&self) -> bool {
        self.ask(|number| format!("trust {number}")).await.as_deref() == Some("1")
    }

    /// How often it has let somebody in; nothing where it is gone.
    pub async fn let_in(&self) -> u64 {
        let answer = self.ask(|number| format!("let_in {number}")).await;
        answer.and_then(|answer| answer.parse().ok()).unwrap_or_default()
    }

    /// Stops it as `kill -STOP` does, until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.program.pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.program.resume();
    }

    /// Lets it end, and answers with all its records.
    ///
    /// # Errors
    /// If it has ended before, or its records cannot be read.
    pub async fn finish(&self) -> Fallible<Vec<Record>> {
        self.tell("quit".to_owned());
        self.hear("bye").await?;
        Record::read_all(&self.records)
    }

    async fn hear(&self, word: &str) -> Fallible {
        let mut words = self.last_word.clone();
        let heard = timeout(PATIENCE, words.wait_for(|last| last == word)).await;
        match heard {
            Ok(Ok(_)) => Ok(()),
            _ => Err(format!("a node does not say {word}: {}", tail(self.program.log())).into()),
        }
    }
}

/// Carries lines in both directions until either side is gone.
async fn talk(
    stream: TcpStream,
    mut lines: mpsc::UnboundedReceiver<String>,
    questions: Arc<Questions>,
    word: watch::Sender<String>,
) {
    let (reader, mut writer) = stream.into_split();
    let mut heard = BufReader::new(reader).lines();
    loop {
        tokio::select! {
            line = lines.recv() => {
                let Some(line) = line else { return };
                if writer.write_all(format!("{line}\n").as_bytes()).await.is_err() {
                    return;
                }
            }
            line = heard.next_line() => {
                let Ok(Some(line)) = line else {
                    // Nobody will answer these.
                    lock(&questions.waiting).clear();
                    return;
                };
                let answer = match line.split_once(' ') {
                    Some(("done", rest)) => rest.split_once(' ').map(|(number, rest)| (number, Some(rest.to_owned()))),
                    Some(("failed", number)) => Some((number, None)),
                    _ => None,
                };
                match answer.and_then(|(number, answer)| Some((number.parse::<u64>().ok()?, answer))) {
                    Some((number, answer)) => {
                        if let Some(asker) = lock(&questions.waiting).remove(&number) {
                            let _ = asker.send(answer);
                        }
                    }
                    None => drop(word.send_replace(line)),
                }
            }
        }
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().rev().take(5).collect::<Vec<_>>().join(" / ")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a node may take for what takes a moment, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
