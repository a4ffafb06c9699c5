//! What a driver knows of the tokens of its run, and the nodes that validate them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cloakroom::SessionId;
use tokio::time::sleep;

use crate::clock::Nanos;
use crate::crew::Node;
use crate::law::{End, Story};

/// A token that lives.
#[derive(Clone, Debug)]
pub struct Token {
    /// By the driver's count.
    pub number: u32,
    /// What a client would send.
    pub text: String,
    /// Its session.
    pub session: SessionId,
    /// Whose it is.
    pub principal: String,
}

/// The stories of all tokens, written while they happen.
#[derive(Clone, Debug)]
pub struct Ledger {
    nodes: Arc<Vec<Node>>,
    stories: Arc<Mutex<Vec<Story>>>,
    doubts: Arc<Mutex<Doubts>>,
    lease: Duration,
}

/// Since when ends are on their way of which nobody knows whether they will still arrive.
#[derive(Debug, Default)]
struct Doubts {
    of: HashMap<String, Nanos>,
    of_all: Option<Nanos>,
}

impl Ledger {
    /// An empty one, of these nodes.
    pub fn new(nodes: Arc<Vec<Node>>, lease: Duration) -> Self {
        Self { nodes, stories: Arc::default(), doubts: Arc::default(), lease }
    }

    /// The nodes that validate every token.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Their lease.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// A token that every node validates from now on.
    pub fn watch(&self, text: String, session: SessionId, principal: String, issued: Nanos) -> Token {
        let doubts = lock(&self.doubts);
        let ending = doubts.of.get(&principal).copied().into_iter().chain(doubts.of_all).min();
        drop(doubts);
        let mut stories = lock(&self.stories);
        let number = u32::try_from(stories.len()).unwrap_or(u32::MAX);
        stories.push(Story { issued, ending, ended: None });
        for node in self.nodes() {
            node.tell(format!("watch {number} {text}"));
        }
        Token { number, text, session, principal }
    }

    /// Somebody was told at `began` to end this, and perhaps did.
    pub fn note(&self, token: &Token, began: Nanos, end: Option<End>) {
        let mut stories = lock(&self.stories);
        let Some(story) = usize::try_from(token.number).ok().and_then(|number| stories.get_mut(number))
        else {
            return;
        };
        story.ending = story.ending.or(Some(began));
        story.ended = story.ended.or(end);
    }

    /// An end of all that a principal has (or of everything), asked for at `tried`, was given up while it was on its way.
    /// Sessions that come after it may fall to it, from that instant on and for the rest of the run.
    pub fn doubt(&self, principal: Option<&str>, tried: Nanos) {
        let mut doubts = lock(&self.doubts);
        match principal {
            Some(principal) => drop(doubts.of.entry(principal.to_owned()).or_insert(tried)),
            None => drop(doubts.of_all.get_or_insert(tried)),
        }
    }

    /// How many tokens have ended, with an acknowledgement.
    pub fn ended(&self) -> usize {
        lock(&self.stories).iter().filter(|story| story.ended.is_some()).count()
    }

    /// What ended is validated for a while longer: that is what is looked at.
    pub fn forget_later(&self, token: &Token) {
        let (nodes, lease, number) = (Arc::clone(&self.nodes), self.lease, token.number);
        tokio::spawn(async move {
            sleep(lease * 3 / 2).await;
            nodes.iter().for_each(|node| node.tell(format!("drop {number}")));
        });
    }

    /// What became of each token, by its number.
    pub fn into_stories(self) -> Vec<Story> {
        std::mem::take(&mut *lock(&self.stories))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
