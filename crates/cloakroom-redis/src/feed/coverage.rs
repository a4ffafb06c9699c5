//! Which part is covered by what, and telling the observer: one thing after the other.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloakroom_store::{News, Observer, Parts};

/// The number of a line: no two of a feed have the same, however often one is made anew.
pub(super) type LineNumber = u64;

/// What stays the same, from one proof of a part to the next, as long as nothing in it was missed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Standing {
    /// On which connection the news come.
    pub(super) line: LineNumber,
    /// Whose history the server continues: another one after it was a replica, or after others took its slots.
    pub(super) history: String,
    /// How often the server made room by removing keys. Only records and ends of everything are followed by name; the other
    /// keys that a look-up needs are not, since each sign-in or touch changes one.
    pub(super) evicted: u64,
}

/// Which part is covered by what; whoever has to be told of something is told through it.
#[derive(Debug)]
pub(super) struct Coverage {
    observer: Arc<dyn Observer>,
    /// Held while the observer is told: what is told, proven and lost happens in one order.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// By part: what covered it when it was last proven; nothing where it was never proven, or lost since.
    standings: Vec<Option<Arc<Standing>>>,
    lines: BTreeSet<LineNumber>,
    next: LineNumber,
    /// Nobody listens any more.
    is_over: bool,
}

impl Coverage {
    pub(super) fn new(observer: Arc<dyn Observer>) -> Self {
        let standings = vec![None; Parts::COUNT];
        Self {
            observer,
            state: Mutex::new(State { standings, lines: BTreeSet::new(), next: 0, is_over: false }),
        }
    }

    /// A line that is about to be made.
    pub(super) fn open(&self) -> LineNumber {
        let mut state = self.state();
        let number = state.next;
        state.next = number.wrapping_add(1);
        state.lines.insert(number);
        number
    }

    /// Whether a line is still what it was.
    pub(super) fn is_open(&self, line: LineNumber) -> bool {
        self.state().lines.contains(&line)
    }

    /// Passes on what came on a line.
    pub(super) fn tell(&self, news: News<'_>) {
        self.tell_in(&self.state(), news);
    }

    /// A line broke, or is given up: anything may have changed in the parts that it covered, and nothing it said before
    /// proves anything any more.
    pub(super) fn close(&self, line: LineNumber) {
        let mut state = self.state();
        if state.lines.remove(&line) {
            let covered = state.forget(|standing| standing.line == line);
            self.tell_anything(&state, covered);
        }
    }

    /// A server said that these parts are not its own any more.
    pub(super) fn left(&self, line: LineNumber, parts: Parts) {
        let mut state = self.state();
        let covered = state.covered_by(|standing| standing.line == line).intersection(parts);
        for number in covered.numbers() {
            state.put(number, None);
        }
        self.tell_anything(&state, covered);
    }

    /// What is proven by what servers answered: of each, the parts it serves.
    ///
    /// A part that was not covered by the same before may have changed unheard: the observer is told so first. With
    /// `Beginning::Yes` it is not, since nothing has been promised yet.
    pub(super) fn prove(&self, answers: Vec<(Standing, Parts)>, beginning: Beginning) -> Parts {
        let mut state = self.state();
        let (mut proven, mut anew) = (Parts::NONE, Parts::NONE);
        for (standing, parts) in answers {
            // It broke after it had answered: what came since is lost.
            if !state.lines.contains(&standing.line) {
                continue;
            }
            let same = state.covered_by(|other| *other == standing);
            anew = anew.union(parts.without(same));
            proven = proven.union(parts);
            let standing = Arc::new(standing);
            for number in parts.without(same).numbers() {
                state.put(number, Some(Arc::clone(&standing)));
            }
        }
        if beginning == Beginning::No {
            self.tell_anything(&state, anew);
        }
        proven
    }

    /// Nobody is told anything any more.
    pub(super) fn end(&self) {
        self.state().is_over = true;
    }

    fn tell_anything(&self, state: &State, parts: Parts) {
        if !parts.is_empty() {
            self.tell_in(state, News::Anything(parts));
        }
    }

    fn tell_in(&self, state: &State, news: News<'_>) {
        if !state.is_over {
            self.observer.told(news);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // An observer does not fail; if one does, what is covered is as it was written before it was called.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a proof is the first one, before anybody relies on the feed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Beginning {
    Yes,
    No,
}

impl State {
    fn covered_by(&self, is_it: impl Fn(&Standing) -> bool) -> Parts {
        let covered = (0..=u8::MAX).zip(&self.standings);
        covered
            .filter(|(_, standing)| standing.as_deref().is_some_and(&is_it))
            .map(|(number, _)| number)
            .collect()
    }

    fn forget(&mut self, is_it: impl Fn(&Standing) -> bool) -> Parts {
        let covered = self.covered_by(is_it);
        for number in covered.numbers() {
            self.put(number, None);
        }
        covered
    }

    fn put(&mut self, number: u8, standing: Option<Arc<Standing>>) {
        if let Some(place) = self.standings.get_mut(usize::from(number)) {
            *place = standing;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Heard(Mutex<Vec<Parts>>);

    impl Observer for Heard {
        fn told(&self, news: News<'_>) {
            if let News::Anything(parts) = news {
                self.0.lock().unwrap().push(parts);
            }
        }
    }

    impl Heard {
        fn take(&self) -> Vec<Parts> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    fn standing(line: LineNumber, history: &str, evicted: u64) -> Standing {
        Standing { line, history: history.to_owned(), evicted }
    }

    fn coverage() -> (Coverage, Arc<Heard>) {
        let heard = Arc::new(Heard::default());
        (Coverage::new(Arc::<Heard>::clone(&heard)), heard)
    }

    #[test]
    fn a_part_that_is_covered_by_something_else_than_before_may_have_changed_unheard() {
        let (coverage, heard) = coverage();
        let (first, second) = (coverage.open(), coverage.open());
        let all = |standing| coverage.prove(vec![(standing, Parts::ALL)], Beginning::No);
        assert_eq!(coverage.prove(vec![(standing(first, "a", 0), Parts::ALL)], Beginning::Yes), Parts::ALL);
        assert_eq!(heard.take(), []);
        for (next, told) in [
            (standing(first, "a", 0), vec![]),
            (standing(first, "b", 0), vec![Parts::ALL]),
            (standing(first, "b", 3), vec![Parts::ALL]),
            (standing(first, "b", 3), vec![]),
            (standing(second, "b", 3), vec![Parts::ALL]),
        ] {
            assert_eq!(all(next.clone()), Parts::ALL);
            assert_eq!(heard.take(), told, "{next:?}");
        }
        let half: Parts = (0..128).collect();
        let answers =
            vec![(standing(first, "x", 0), half), (standing(second, "b", 3), Parts::ALL.without(half))];
        assert_eq!(coverage.prove(answers, Beginning::No), Parts::ALL);
        assert_eq!(heard.take(), [half], "only the half that moved");
    }

    #[test]
    fn a_line_that_broke_loses_what_it_covered_and_proves_nothing_by_what_it_said_before() {
        let (coverage, heard) = coverage();
        let line = coverage.open();
        let some = Parts::one(3).with(200);
        let prove = || coverage.prove(vec![(standing(line, "a", 0), some)], Beginning::No);
        assert_eq!(prove(), some);
        assert_eq!(heard.take(), [some]);
        coverage.close(line);
        assert_eq!(heard.take(), [some]);
        coverage.close(line);
        assert_eq!(prove(), Parts::NONE, "its answer was on its way when it broke");
        assert_eq!(heard.take(), []);
        let again = coverage.open();
        assert_eq!(coverage.prove(vec![(standing(again, "a", 0), some)], Beginning::No), some);
        assert_eq!(heard.take(), [some], "what changed in between was not heard");
    }

    #[test]
    fn a_part_that_a_server_gave_away_is_covered_no_more_and_its_others_are() {
        let (coverage, heard) = coverage();
        let line = coverage.open();
        let prove = |parts| coverage.prove(vec![(standing(line, "a", 0), parts)], Beginning::No);
        prove(Parts::one(1).with(2));
        heard.take();
        coverage.left(line, Parts::one(2).with(9));
        assert_eq!(heard.take(), [Parts::one(2)]);
        assert_eq!(prove(Parts::one(1)), Parts::one(1));
        assert_eq!(heard.take(), []);
        assert_eq!(prove(Parts::one(1).with(2)), Parts::one(1).with(2));
        assert_eq!(heard.take(), [Parts::one(2)], "it was somewhere else in between");
    }

    #[test]
    fn nothing_is_told_after_the_end() {
        let (coverage, heard) = coverage();
        let line = coverage.open();
        coverage.prove(vec![(standing(line, "a", 0), Parts::ALL)], Beginning::Yes);
        coverage.end();
        coverage.tell(News::Anything(Parts::ALL));
        coverage.close(line);
        assert_eq!(heard.take(), []);
    }
}
