//! A node: a process that validates tokens as fast as it is told to, and writes every answer down.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloakroom::{
    Activity, EndReason, NearCachePolicy, PrincipalId, Reach, Renewal, Renewed, Revocation, Sabotage,
    Selector, SessionId, SessionToken, Sessions, Validation,
};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc, watch};

use crate::clock::now;
use crate::record::{Outcome, Record};
use crate::{Fallible, stores};

/// How a node is started.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where its sessions are
    #[arg(long)]
    pub store: String,
    /// The port on 127.0.0.1 where its driver listens
    #[arg(long)]
    pub control: u16,
    /// The file for its records
    #[arg(long)]
    pub records: PathBuf,
    /// The lease of its near cache
    #[arg(long)]
    pub lease_millis: u64,
    /// A step of the near cache's protocol to be broken
    #[arg(long)]
    pub sabotage: Option<String>,
}

/// The tokens that are validated, by the driver's count.
type Tokens = BTreeMap<u32, Arc<SessionToken>>;

/// Serves until the driver says `quit`, or goes.
///
/// # Errors
/// If the store cannot be opened, the driver not be heard, or the records not be written.
pub async fn serve(options: Options) -> Fallible {
    let near = NearCachePolicy::new(MAX_BYTES, Duration::from_millis(options.lease_millis))?;
    let sabotage = options.sabotage.as_deref().map(sabotage_named).transpose()?;
    let sessions = stores::engine(stores::open(&options.store).await?, near, sabotage)?;
    let upkeep = sessions.clone();
    tokio::spawn(async move { upkeep.upkeep(std::future::pending()).await });

    let (reader, mut writer) = TcpStream::connect(("127.0.0.1", options.control)).await?.into_split();
    let (say, mut said) = mpsc::unbounded_channel::<String>();
    let speaking = tokio::spawn(async move {
        while let Some(line) = said.recv().await {
            writer.write_all(format!("{line}\n").as_bytes()).await?;
        }
        Fallible::Ok(())
    });
    let (tokens, seen) = watch::channel(Tokens::new());
    let records = Arc::new(Mutex::new(BufWriter::new(File::create(&options.records)?)));
    let let_in = Arc::new(AtomicU64::new(0));
    for worker in 0..WORKERS {
        let (sessions, seen) = (sessions.clone(), seen.clone());
        let (records, let_in) = (Arc::clone(&records), Arc::clone(&let_in));
        tokio::spawn(
            async move { validate_again_and_again(worker, &sessions, seen, &records, &let_in).await },
        );
    }
    say.send("ready".to_owned())?;
    let mut lines = BufReader::new(reader).lines();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.split(' ').collect();
        match *words.as_slice() {
            ["watch", number, token] => {
                let (number, token) = (number.parse()?, Arc::new(SessionToken::parse(token.as_bytes())?));
                tokens.send_modify(|tokens| {
                    tokens.insert(number, token);
                });
            }
            ["drop", number] => {
                let number = number.parse()?;
                tokens.send_modify(|tokens| {
                    tokens.remove(&number);
                });
            }
            ["end", request, what, whom] => {
                let (sessions, say) = (sessions.clone(), say.clone());
                let (request, what, whom) = (request.to_owned(), what.to_owned(), whom.to_owned());
                tokio::spawn(async move {
                    let outcome = end(&sessions, &what, &whom).await;
                    let _ = say.send(match outcome {
                        Ok(done) => format!("done {request} {done}"),
                        Err(_) => format!("failed {request}"),
                    });
                });
            }
            ["trust", request] => say.send(format!("done {request} {}", u8::from(is_trusted(&sessions))))?,
            ["let_in", request] => {
                say.send(format!("done {request} {}", let_in.load(Ordering::Relaxed)))?;
            }
            ["quit"] => break,
            _ => return Err(format!("a node does not understand {line}").into()),
        }
    }
    // Whoever holds the lock after this writes nothing more.
    let mut records = records.lock().await;
    records.flush()?;
    say.send("bye".to_owned())?;
    drop(say);
    speaking.await?
}

/// The step with this name.
///
/// # Errors
/// If there is none.
pub fn sabotage_named(name: &str) -> Fallible<Sabotage> {
    let found = Sabotage::ALL.into_iter().find(|sabotage| format!("{sabotage:?}") == name);
    found.ok_or_else(|| format!("there is no sabotage {name}").into())
}

fn is_trusted(sessions: &Sessions) -> bool {
    matches!(sessions.reach(), Reach::NearCache(state) if state.is_trusted())
}

async fn validate_again_and_again(
    worker: u32,
    sessions: &Sessions,
    seen: watch::Receiver<Tokens>,
    records: &Mutex<BufWriter<File>>,
    let_in: &AtomicU64,
) {
    loop {
        let mine: Vec<_> = {
            let tokens = seen.borrow();
            let all = tokens.iter().filter(|(number, _)| *number % WORKERS == worker);
            all.map(|(number, token)| (*number, Arc::clone(token))).collect()
        };
        for (number, token) in mine {
            let asked = now();
            let answer = sessions.validate(&token, Activity::Counts).await;
            let record = Record { token: number, outcome: Outcome::of(&answer), asked, answered: now() };
            if records.lock().await.write_all(&record.to_bytes()).is_err() {
                return;
            }
            let_in.fetch_add(u64::from(record.outcome == Outcome::Active), Ordering::Relaxed);
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Ends something; answers with the instant of the acknowledgement, and the new token where there is one.
async fn end(sessions: &Sessions, what: &str, whom: &str) -> Fallible<String> {
    let because = Revocation::by_system(EndReason::SignedOut);
    let selector = match what {
        "one" => Selector::One(whom.parse::<SessionId>()?),
        "principal" => Selector::Principal { principal: PrincipalId::new(whom)?, except: None },
        "all" => Selector::All,
        "rotate" => return rotate(sessions, whom).await,
        _ => return Err(format!("nobody knows how to end {what}").into()),
    };
    sessions.revoke(&selector, because).await?;
    Ok(now().to_string())
}

async fn rotate(sessions: &Sessions, token: &str) -> Fallible<String> {
    let token = SessionToken::parse(token.as_bytes())?;
    let Validation::Active(session) = sessions.validate_authoritative(&token, Activity::Ignored).await?
    else {
        return Err("it is over".into());
    };
    match sessions.rotate(&session, Renewal::new()).await? {
        Renewed::Done { token, .. } => Ok(format!("{} {}", now(), token.expose().as_str())),
        _ => Err("it is over".into()),
    }
}

/// Memory of a node's near cache: the least that is allowed.
const MAX_BYTES: u64 = NearCachePolicy::MIN_BYTES;
/// Tasks that validate, each some of the tokens: one that waits for the store does not keep the others waiting.
const WORKERS: u32 = 4;
/// Between two rounds.
const PACE: Duration = Duration::from_millis(1);
