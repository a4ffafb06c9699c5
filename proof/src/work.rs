//! What people do during a run: they sign in, and their sessions are ended in every way there is.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cloakroom::{
    Activity, AuthLevel, Authentication, EndReason, Issue, Method, Principal, PrincipalId, Renewal, Renewed,
    Revocation, Selector, SessionId, SessionToken, Sessions, Validation,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Fallible;
use crate::clock::{Nanos, now};
use crate::crew::Node;
use crate::law::{End, How};
use crate::ledger::{Ledger, Token};

/// Whoever signs people in and out.
pub struct Work {
    direct: Sessions,
    ledger: Ledger,
    random: Random,
    alive: Vec<Token>,
    /// Principals of whom something is on its way.
    busy: Arc<Mutex<HashSet<String>>>,
    endings: JoinSet<()>,
    renewed: (mpsc::UnboundedSender<Token>, mpsc::UnboundedReceiver<Token>),
}

/// Whether people come and go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// They do.
    Work,
    /// They stay as they are.
    Hold,
    /// The run is over.
    Stop,
}

/// An order to end something, and what it will have ended.
struct Order {
    how: How,
    whom: String,
    principal: String,
    victims: Vec<Token>,
    via: Option<usize>,
}

impl Work {
    /// Work that asks the store by `direct`, and the `nodes`.
    pub fn new(direct: Sessions, ledger: Ledger, seed: u64) -> Self {
        Self {
            direct,
            ledger,
            random: Random(seed),
            alive: Vec::new(),
            busy: Arc::default(),
            endings: JoinSet::new(),
            renewed: mpsc::unbounded_channel(),
        }
    }

    /// Works at this pace until it is to stop; then waits until all that was begun is acknowledged, and a lease and a half longer.
    ///
    /// # Errors
    /// If what was begun is not acknowledged within a minute.
    pub async fn go(mut self, mut pace: watch::Receiver<Pace>) -> Fallible {
        loop {
            let now = *pace.borrow_and_update();
            match now {
                Pace::Work => self.step().await,
                Pace::Hold => {}
                Pace::Stop => break,
            }
            let rest = Duration::from_millis(2 + self.random.below(18));
            let _ = timeout(rest, pace.changed()).await;
        }
        let all_done = async { while self.endings.join_next().await.is_some() {} };
        timeout(PATIENCE, all_done).await.map_err(|_| "ends are not acknowledged after a minute")?;
        sleep(self.ledger.lease() * 3 / 2).await;
        Ok(())
    }

    async fn step(&mut self) {
        while let Ok(token) = self.renewed.1.try_recv() {
            self.alive.push(token);
        }
        while self.endings.try_join_next().is_some() {}
        if self.alive.len() < FEW || (self.alive.len() < MANY && self.random.below(2) == 0) {
            return self.sign_in().await;
        }
        let Some(token) = self.pick() else { return };
        let via = match self.random.below(2 * u64::try_from(self.ledger.nodes().len()).unwrap_or(1)) {
            node if node < u64::try_from(self.ledger.nodes().len()).unwrap_or(0) => {
                usize::try_from(node).ok()
            }
            _ => None,
        };
        match self.random.below(40) {
            0 => {
                while self.endings.join_next().await.is_some() {}
                while let Ok(token) = self.renewed.1.try_recv() {
                    self.alive.push(token);
                }
                let victims = std::mem::take(&mut self.alive);
                let order =
                    Order { how: How::All, whom: "-".to_owned(), principal: String::new(), victims, via };
                // Whoever signs in while everything ends is ended or not: so nobody does.
                self.begin(order);
                while self.endings.join_next().await.is_some() {}
            }
            1..10 => {
                let principal = token.principal.clone();
                let (victims, others) =
                    self.alive.drain(..).partition(|one: &Token| one.principal == principal);
                self.alive = others;
                let whom = principal.clone();
                self.begin(Order { how: How::Principal, whom, principal, victims, via });
            }
            10..22 => {
                self.alive.retain(|one| one.number != token.number);
                let (whom, principal) = (token.text.clone(), token.principal.clone());
                self.begin(Order { how: How::Rotation, whom, principal, victims: vec![token], via });
            }
            _ => {
                self.alive.retain(|one| one.number != token.number);
                let (whom, principal) = (token.session.to_string(), token.principal.clone());
                self.begin(Order { how: How::One, whom, principal, victims: vec![token], via });
            }
        }
    }

    /// Some token of a principal of whom nothing is on its way.
    fn pick(&mut self) -> Option<Token> {
        let busy = lock(&self.busy);
        let free: Vec<_> = self.alive.iter().filter(|token| !busy.contains(&token.principal)).collect();
        let index = self.random.below(u64::try_from(free.len()).unwrap_or(0).max(1));
        free.get(usize::try_from(index).ok()?).map(|token| (*token).clone())
    }

    async fn sign_in(&mut self) {
        let name = format!("person-{}", self.random.below(PEOPLE));
        if lock(&self.busy).contains(&name) {
            return;
        }
        let Ok(id) = PrincipalId::new(name.as_str()) else { return };
        let proof = Authentication::new(AuthLevel::One, Method::password(), self.direct.now());
        let began = now();
        let answer = timeout(PROMPT, self.direct.issue(Issue::signed_in(Principal::new(id), proof))).await;
        let answered = now();
        if let Ok(Ok(outcome)) = answer {
            let issued = outcome.expect_issued();
            let out: Vec<SessionId> = issued.ended.iter().map(|ended| ended.session).collect();
            let (victims, others) = self.alive.drain(..).partition(|one: &Token| out.contains(&one.session));
            self.alive = others;
            for victim in victims {
                let end = End { at: answered, by: None, how: How::Limit };
                self.ledger.note(&victim, began, Some(end));
                self.ledger.forget_later(&victim);
            }
            let text = issued.token.expose().as_str().to_owned();
            self.alive.push(self.ledger.watch(text, issued.session.id(), name, answered));
        } else {
            // It may have happened, and put somebody out; or it may yet.
            self.ledger.doubt(Some(&name), began);
            let (victims, others) = self.alive.drain(..).partition(|one: &Token| one.principal == name);
            self.alive = others;
            let whom = name.clone();
            self.begin(Order { how: How::Principal, whom, principal: name, victims, via: None });
        }
    }

    /// Ends something, however often it has to be asked for.
    fn begin(&mut self, order: Order) {
        lock(&self.busy).insert(order.principal.clone());
        let began = now();
        for victim in &order.victims {
            self.ledger.note(victim, began, None);
        }
        let hands = Hands {
            direct: self.direct.clone(),
            ledger: self.ledger.clone(),
            renewed: self.renewed.0.clone(),
        };
        let busy = Arc::clone(&self.busy);
        self.endings.spawn(async move {
            hands.carry_out(&order).await;
            lock(&busy).remove(&order.principal);
            for victim in &order.victims {
                hands.ledger.forget_later(victim);
            }
        });
    }
}

/// What it takes to carry out an order.
struct Hands {
    direct: Sessions,
    ledger: Ledger,
    renewed: mpsc::UnboundedSender<Token>,
}

impl Hands {
    async fn carry_out(&self, order: &Order) {
        let (mut how, mut whom, mut via) = (order.how, order.whom.clone(), order.via);
        loop {
            let tried = now();
            let done = match via.and_then(|number| self.ledger.nodes().get(number)) {
                Some(node) => self.through(node, how, &whom).await,
                None => timeout(PROMPT, self.directly(how, &whom)).await.unwrap_or(None),
            };
            if let Some((at, token)) = done {
                for victim in &order.victims {
                    self.ledger.note(victim, at, Some(End { at, by: via, how }));
                }
                if let (Some(text), [old, ..]) = (token, order.victims.as_slice()) {
                    let (session, principal) = (old.session, old.principal.clone());
                    let token = self.ledger.watch(text, session, principal, at);
                    let _ = self.renewed.send(token);
                }
                return;
            }
            // Whoever gave up cannot take back what is on its way: it may yet arrive, and end who has come meanwhile.
            match how {
                How::Principal => self.ledger.doubt(Some(&order.principal), tried),
                How::All => self.ledger.doubt(None, tried),
                How::One | How::Limit | How::Rotation => {}
            }
            // An exchange of which nobody knows whether it happened: the session is ended instead.
            if let (How::Rotation, [old, ..]) = (how, order.victims.as_slice()) {
                (how, whom) = (How::One, old.session.to_string());
            }
            via = None;
            sleep(RETRY).await;
        }
    }

    async fn through(&self, node: &Node, how: How, whom: &str) -> Option<(Nanos, Option<String>)> {
        let word = match how {
            How::One | How::Limit => "one",
            How::Principal => "principal",
            How::All => "all",
            How::Rotation => "rotate",
        };
        let answer = node.ask(|number| format!("end {number} {word} {whom}")).await?;
        match answer.split_once(' ') {
            Some((at, token)) => Some((at.parse().ok()?, Some(token.to_owned()))),
            None => Some((answer.parse().ok()?, None)),
        }
    }

    async fn directly(&self, how: How, whom: &str) -> Option<(Nanos, Option<String>)> {
        let selector = match how {
            How::One | How::Limit => Selector::One(whom.parse().ok()?),
            How::Principal => Selector::Principal { principal: PrincipalId::new(whom).ok()?, except: None },
            How::All => Selector::All,
            How::Rotation => return self.rotate(whom).await,
        };
        let because = Revocation::by_system(EndReason::SignedOut);
        self.direct.revoke(&selector, because).await.ok()?;
        Some((now(), None))
    }

    async fn rotate(&self, token: &str) -> Option<(Nanos, Option<String>)> {
        let token = SessionToken::parse(token.as_bytes()).ok()?;
        let Ok(Validation::Active(session)) = self.direct.validate(&token, Activity::Ignored).await else {
            return None;
        };
        match self.direct.rotate(&session, Renewal::new()).await {
            Ok(Renewed::Done { token, .. }) => Some((now(), Some(token.expose().as_str().to_owned()))),
            _ => None,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Numbers that a seed decides (SplitMix64): schedules are repeatable in shape, not in their instants.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

/// Sessions that live at a time.
const FEW: usize = 3;
const MANY: usize = 9;
const PEOPLE: u64 = 6;
/// How long to wait for an answer that the driver asks for itself.
const PROMPT: Duration = Duration::from_secs(3);
/// Between two attempts to end something.
const RETRY: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(60);
