//! What failed tests said: kept as they say it, to be repeated at the end of the run.

use std::collections::VecDeque;

/// The beginning and the end of what somebody said.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    first: Vec<String>,
    last: VecDeque<String>,
    left_out: usize,
}

impl Words {
    /// Adds one line. Empty ones at the beginning are not kept, and neither is advice on backtraces.
    pub(crate) fn add(&mut self, line: &str) {
        let line = line.trim_end();
        if (line.is_empty() && self.first.is_empty()) || line.starts_with(ADVICE) {
            return;
        }
        let line = line.chars().take(LONGEST_LINE).collect();
        if self.first.len() < FIRST {
            self.first.push(line);
            return;
        }
        self.last.push_back(line);
        if self.last.len() > LAST {
            self.last.pop_front();
            self.left_out += 1;
        }
    }

    /// The lines to repeat, at most `most` of them and one that says how many were left out.
    pub(crate) fn lines(&self, most: usize) -> Vec<String> {
        let all = || self.first.iter().chain(&self.last);
        let spoken = all().count() - all().rev().take_while(|line| line.is_empty()).count();
        // What failed, and where, is what is said first.
        let first = self.first.len().min(spoken).min(most);
        let last = (spoken - first).min(most - first);
        let left_out = self.left_out + spoken - first - last;
        let mut lines: Vec<String> = all().take(first).cloned().collect();
        if left_out > 0 {
            lines.push(format!("… {left_out} lines, see above …"));
        }
        lines.extend(all().take(spoken).skip(spoken - last).cloned());
        lines
    }
}

impl<L: AsRef<str>> FromIterator<L> for Words {
    fn from_iter<T: IntoIterator<Item = L>>(lines: T) -> Self {
        let mut words = Self::default();
        lines.into_iter().for_each(|line| words.add(line.as_ref()));
        words
    }
}

/// How much of a failure is repeated: its message and its place come first, what surrounded it comes last.
const FIRST: usize = 30;
const LAST: usize = 30;

/// Characters of a line that are repeated: an `assert_eq!` of two pages of text is one line.
const LONGEST_LINE: usize = 500;

/// Printed below a panic.
const ADVICE: &str = "note: run with `RUST_BACKTRACE=";

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(lines: usize) -> Words {
        (1..=lines).map(|number| number.to_string()).collect()
    }

    #[test]
    fn what_is_said_in_few_lines_is_repeated_whole() {
        let check = |said: usize| assert_eq!(numbered(said).lines(100).len(), said, "{said}");
        check(0);
        check(1);
        check(FIRST);
        check(FIRST + LAST);
    }

    #[test]
    fn of_many_lines_the_first_and_the_last_are_repeated() {
        let lines = numbered(FIRST + LAST + 7).lines(100);
        assert_eq!(lines.len(), FIRST + 1 + LAST);
        assert_eq!(lines[0], "1");
        assert_eq!(lines[FIRST], "… 7 lines, see above …");
        assert_eq!(lines[FIRST + 1], (FIRST + 8).to_string());
        assert_eq!(lines[FIRST + LAST], (FIRST + LAST + 7).to_string());
    }

    #[test]
    fn whoever_asks_for_less_gets_the_beginning() {
        let check =
            |said, most, expected: &[&str]| assert_eq!(numbered(said).lines(most), expected, "{said}");
        check(3, 3, &["1", "2", "3"]);
        check(3, 2, &["1", "2", "… 1 lines, see above …"]);
        check(99, 1, &["1", "… 98 lines, see above …"]);
        check(99, 0, &["… 99 lines, see above …"]);
    }

    #[test]
    fn lines_are_cut_and_those_without_news_are_dropped() {
        let said = ["", "thread 'a' panicked at b.rs:1:2:", &"é".repeat(LONGEST_LINE + 1), "", ADVICE, ""];
        let lines = said.iter().collect::<Words>().lines(100);
        assert_eq!(lines, [said[1].to_owned(), "é".repeat(LONGEST_LINE)]);
    }
}
