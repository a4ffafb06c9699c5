//! What was told already, so that it is not told again with each request.

use std::time::Duration;

use cloakroom_core::Timestamp;

use crate::bounded::Bounded;

/// What was told already.
#[derive(Debug)]
pub(crate) struct Told {
    window: Duration,
    subjects: Bounded<u64, Values>,
}

/// What was told of one signal of one session or account: up to so many values. Whoever makes up new ones with each request
/// is told of so often a window, and no more.
#[derive(Clone, Copy, Debug)]
struct Values {
    since: Timestamp,
    values: [u32; Told::VALUES],
    count: usize,
}

impl Told {
    /// Values of one signal of one session that are told apart.
    pub(crate) const VALUES: usize = 8;

    pub(crate) fn new(window: Duration, capacity: usize) -> Self {
        Self { window, subjects: Bounded::new(capacity) }
    }

    /// Whether `value` of `subject` is news; from now on it is none.
    pub(crate) fn is_news(&mut self, subject: u64, value: u64, now: Timestamp) -> bool {
        let value = short(value);
        let known = self.subjects.get_mut(&subject).filter(|values| now.since(values.since) < self.window);
        if let Some(values) = known {
            return values.add(value);
        }
        let mut values = Values { since: now, values: [0; Self::VALUES], count: 0 };
        let is_news = values.add(value);
        self.subjects.insert(subject, values, |values| values.since.as_millis());
        is_news
    }

    /// `value` of `subject` was told to nobody after all.
    pub(crate) fn forget(&mut self, subject: u64, value: u64) {
        if let Some(values) = self.subjects.get_mut(&subject) {
            values.remove(short(value));
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.subjects.len()
    }
}

impl Values {
    fn known(&self) -> &[u32] {
        self.values.get(..self.count).unwrap_or_default()
    }

    fn add(&mut self, value: u32) -> bool {
        if self.known().contains(&value) {
            return false;
        }
        let Some(place) = self.values.get_mut(self.count) else { return false };
        *place = value;
        self.count += 1;
        true
    }

    fn remove(&mut self, value: u32) {
        if let Some(index) = self.known().iter().position(|known| *known == value) {
            self.count -= 1;
            self.values.swap(index, self.count);
        }
    }
}

/// Half of a value: as good, where eight are compared.
fn short(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(number: u64) -> u64 {
        number << 32
    }

    #[test]
    fn a_value_is_news_once_a_window_and_so_many_of_them_are() {
        let mut told = Told::new(Duration::from_secs(10), 4);
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        assert!(told.is_news(1, value(1), at(0)));
        for (subject, number, now, is_news) in [
            (1, 1, 0, false),
            (1, 2, 1, true),
            (2, 1, 1, true),
            (1, 1, 9, false),
            (1, 1, 10, true),
            (1, 2, 10, true),
            (1, 2, 11, false),
        ] {
            assert_eq!(told.is_news(subject, value(number), at(now)), is_news, "{subject} {number} {now}");
        }
        let news = (0..1_000).filter(|number| told.is_news(3, value(*number), at(20))).count();
        assert_eq!(news, Told::VALUES);
        told.forget(3, value(0));
        told.forget(3, value(0));
        assert!(told.is_news(3, value(0), at(20)) && !told.is_news(3, value(7), at(20)));
        for subject in 10..1_000 {
            told.is_news(subject, value(1), at(30));
            assert!(told.len() <= 4);
        }
    }
}
