//! What it takes to put a session into its cookie and to take it out again: Cloakroom's sealed token, the private jar of the
//! `cookie` crate, and the format of iron-session.
//!
//! All three hold the same facts, and each goes all the way: from a value in memory to the cookie's text, and from the text to a
//! value again. The two others hold JSON, as people who use them do. iron-session is JavaScript; what is
//! measured is its format (`Fe26.2`, as its version 8 writes it by default), sealed and opened here by the library that
//! Cloakroom uses: what the format costs, not what a language does. That it is the format is checked with a token that
//! iron-session itself made.

mod iron;
mod jar;
mod ours;
mod session;

use peer_common::{Arguments, Counting, counted, pin};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use session::Session;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A way to keep a session in a cookie.
trait Way {
    /// What identifies it in the output.
    const NAME: &'static str;

    /// What it has a session as, in memory.
    type Contents;

    /// A session, as it has it.
    fn contents(&self, session: &Session) -> Self::Contents;

    /// The text of the cookie.
    fn seal(&self, contents: &Self::Contents) -> String;

    /// What is in the text; panics where it is not authentic.
    fn open(&self, text: &str) -> Self::Contents;

    /// Whether two are the same session.
    fn is_same(&self, one: &Self::Contents, other: &Self::Contents) -> bool;

    /// Whether the text is refused.
    fn refuses(&self, text: &str) -> bool;
}

/// What was found of a way.
#[derive(Debug, Serialize)]
struct Found {
    name: &'static str,
    /// Characters of the typical session's cookie, name and attributes apart.
    bytes: usize,
    /// Of one with nobody signed in and nothing in it.
    bytes_bare: usize,
    seal: Cost,
    open: Cost,
    refuse: Cost,
}

/// Median of the turns.
#[derive(Clone, Copy, Debug, Serialize)]
struct Cost {
    nanoseconds: f64,
    allocations: f64,
}

fn main() {
    let arguments = Arguments::of_this_program();
    pin(arguments.cpu);
    iron::check_with_one_that_iron_session_made();
    let (ours, jar, iron) = (ours::Ours::new(), jar::Jar::new(), iron::Iron::new());
    let mut turns: [[Vec<Cost>; 3]; 3] = Default::default();
    for round in 0..=ROUNDS {
        // The first round warms up; which one begins changes.
        for place in 0..3 {
            let who = (place + round) % 3;
            let costs = match who {
                0 => turn(&ours),
                1 => turn(&jar),
                _ => turn(&iron),
            };
            if round > 0 {
                turns[who].iter_mut().zip(costs).for_each(|(all, cost)| all.push(cost));
            }
        }
    }
    let [a, b, c] = turns;
    let found = [found(&ours, a), found(&jar, b), found(&iron, c)];
    println!("{}", serde_json::to_string(&found).expect("numbers"));
}

fn found<W: Way>(way: &W, costs: [Vec<Cost>; 3]) -> Found {
    let [seal, open, refuse] = costs.map(median);
    let bytes = |session: &Session| way.seal(&way.contents(session)).len();
    let (bytes, bytes_bare) = (bytes(&Session::typical()), bytes(&Session::bare()));
    Found { name: W::NAME, bytes, bytes_bare, seal, open, refuse }
}

/// Seals, opens, and refuses what was changed in its last part.
fn turn<W: Way>(way: &W) -> [Cost; 3] {
    let session = way.contents(&Session::typical());
    let text = way.seal(&session);
    assert!(way.is_same(&way.open(&text), &session), "{}", W::NAME);
    let mut forged = text.clone().into_bytes();
    let near_the_end = forged.len() - 8;
    forged[near_the_end] = if forged[near_the_end] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).expect("ASCII");
    [
        cost(|| assert!(!way.seal(&session).is_empty())),
        cost(|| drop(std::hint::black_box(way.open(&text)))),
        cost(|| assert!(way.refuses(&forged))),
    ]
}

fn cost(mut act: impl FnMut()) -> Cost {
    let begun = (processor_nanoseconds(), counted().allocations);
    for _ in 0..TIMES {
        act();
    }
    let each = |sum: f64| sum / f64::from(TIMES);
    Cost {
        nanoseconds: each(processor_nanoseconds() - begun.0),
        allocations: each(counted().allocations.wrapping_sub(begun.1) as f64),
    }
}

/// Of this thread: what else the machine does is not in it.
fn processor_nanoseconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by(|a, b| a.nanoseconds.total_cmp(&b.nanoseconds));
    costs[costs.len() / 2]
}

/// How often each takes its turn.
const ROUNDS: usize = 21;
/// Cookies in a turn.
const TIMES: u32 = 2_000;
