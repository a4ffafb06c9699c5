//! Reading what test harnesses print: libtest, libtest-mimic and doctests write the same lines.

use std::collections::BTreeSet;

use super::words::Words;
use crate::report::Tally;

/// What the output of test harnesses amounts to so far.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) tally: Tally,
    /// How many summary lines there were. A harness that writes none has crashed.
    pub(crate) summaries: usize,
    /// Tests that failed, to repeat at the end.
    pub(crate) failed: Vec<Failed>,
    /// Names of tests that were ignored, to repeat at the end.
    pub(crate) ignored: Vec<String>,
    /// Tests that came to an end, whichever.
    ended: BTreeSet<String>,
    /// The failed test whose words are being printed.
    speaker: Option<usize>,
}

/// A test that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) name: String,
    /// What it said.
    pub(crate) words: Words,
}

impl Reading {
    /// Takes one line of output into account.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(summary) = summary(line) {
            self.tally.add(summary);
            self.summaries += 1;
            self.speaker = None;
        } else if let Some((name, outcome)) =
            line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
        {
            self.ended.insert(bare(name).to_owned());
            match outcome.split([',', ' ']).next() {
                Some("FAILED") => self.failed.push(Failed::new(name.trim_end(), Words::default())),
                Some("ignored") => self.ignored.push(name.trim_end().to_owned()),
                _ => {}
            }
        } else if let Some(speaker) = self.headline(line) {
            self.speaker = Some(speaker);
        } else if line == LIST_OF_FAILURES {
            self.speaker = None;
        } else if let Some(failed) = self.speaker.and_then(|speaker| self.failed.get_mut(speaker)) {
            failed.words.add(line);
        }
    }

    /// Adds what another reading found, of the program called `program`.
    pub(crate) fn append(&mut self, program: &str, other: Self) {
        self.tally.add(other.tally);
        self.summaries += other.summaries;
        let failed = other.failed.into_iter();
        self.failed
            .extend(failed.map(|failed| Failed { name: format!("{program}: {}", failed.name), ..failed }));
        self.ignored.extend(other.ignored.into_iter().map(|name| format!("{program}: {name}")));
    }

    /// Settles the account when the program has ended: one that failed without a failed test, or that reported
    /// nothing at all, is a failed test itself. Of the tests that it `has`, it says which were not heard of.
    pub(crate) fn close(&mut self, trouble: Option<String>, has: impl FnOnce() -> Vec<String>) {
        let trouble = match trouble {
            Some(trouble) if self.tally.failed == 0 => trouble,
            None if self.summaries == 0 => "ended without a summary of its tests".to_owned(),
            _ => return,
        };
        let has = has();
        let missing: Vec<_> = has.iter().filter(|name| !self.ended.contains(bare(name))).collect();
        let mut words = Words::default();
        if !missing.is_empty() {
            words.add(&format!("{} of its {} tests had not ended:", missing.len(), has.len()));
            missing.into_iter().for_each(|name| words.add(&format!("    {name}")));
        }
        self.fail_with(&trouble, words);
    }

    /// Counts one failed test that no harness reported.
    pub(crate) fn fail(&mut self, what: &str) {
        self.fail_with(what, Words::default());
    }

    /// The same, with what there is to say about it.
    pub(crate) fn fail_with(&mut self, what: &str, words: Words) {
        self.tally.failed += 1;
        self.failed.push(Failed::new(what, words));
    }

    /// The failed test whose words begin below `line`: `---- NAME stdout ----` or `---- NAME ----`.
    fn headline(&self, line: &str) -> Option<usize> {
        let name = line.strip_prefix("---- ")?.strip_suffix(" ----")?;
        let name = name.strip_suffix(" stdout").unwrap_or(name);
        self.failed.iter().position(|failed| bare(&failed.name) == name)
    }
}

impl Failed {
    pub(crate) fn new(name: &str, words: Words) -> Self {
        Self { name: name.to_owned(), words }
    }
}

/// The names in what a harness answers to `--list --format terse`.
pub(crate) fn listed(answer: &str) -> Vec<String> {
    answer.lines().filter_map(|line| line.strip_suffix(": test")).map(|name| bare(name).to_owned()).collect()
}

/// A test's name without what harnesses put around it in their lines of results.
fn bare(name: &str) -> &str {
    let name = name.trim_end();
    let name = match name.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((_kind, name)) => name.trim_start(),
        None => name,
    };
    MODES.iter().find_map(|mode| name.strip_suffix(mode)).unwrap_or(name)
}

/// The line below which harnesses first give the words of failed tests, and then once more their names.
const LIST_OF_FAILURES: &str = "failures:";

/// What libtest and rustdoc write behind names.
const MODES: [&str; 3] = [" - should panic", " - compile fail", " - compile"];

/// The counts of a line like `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; …`.
fn summary(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |what| {
        counts.split("; ").find_map(|part| {
            let (number, name) = part.split_once(' ')?;
            (name == what).then(|| number.parse::<usize>().ok()).flatten()
        })
    };
    Some(Tally { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Reading {
        let mut reading = Reading::default();
        output.lines().for_each(|line| reading.line(line));
        reading
    }

    fn names(reading: &Reading) -> Vec<&str> {
        reading.failed.iter().map(|failed| failed.name.as_str()).collect()
    }

    const GOOD: &str = "\
running 2 tests
test a ... ok
test b      ... ignored, needs a moon
test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.00s";

    const BAD: &str = "\
test tables::the_second - should panic ... FAILED
test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s";

    #[test]
    fn summaries_of_several_harnesses_add_up() {
        let reading = read(&format!("{GOOD}\n{BAD}"));
        assert_eq!(reading.tally, Tally { passed: 5, failed: 1, skipped: 1 });
        assert_eq!(reading.summaries, 2);
    }

    #[test]
    fn failed_and_ignored_tests_are_remembered_by_name() {
        let reading = read(&format!("{GOOD}\n{BAD}"));
        assert_eq!(names(&reading), ["tables::the_second - should panic"]);
        assert_eq!(reading.ignored, ["b"]);
    }

    #[test]
    fn names_are_given_with_the_program_they_are_of() {
        let mut reading = Reading::default();
        reading.append("store tests/it", read(BAD));
        reading.append("store tests/it", read(GOOD));
        assert_eq!(names(&reading), ["store tests/it: tables::the_second - should panic"]);
        assert_eq!(reading.ignored, ["store tests/it: b"]);
    }

    #[test]
    fn what_a_failed_test_said_is_remembered_with_it() {
        let check = |output: &str, expected: &[(&str, &[&str])]| {
            let reading = read(output);
            let said = reading.failed.iter().map(|failed| (failed.name.as_str(), failed.words.lines(100)));
            let expected = expected
                .iter()
                .map(|(name, said)| (*name, said.iter().map(|&line| line.to_owned()).collect::<Vec<_>>()));
            assert_eq!(said.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{output}");
        };
        let libtest = "\
running 3 tests
test a ... ok
test b::c ... FAILED
test d - should panic ... FAILED

failures:

---- b::c stdout ----

thread 'b::c' (7) panicked at src/b.rs:3:5:
assertion failed: false
---- a stdout ----
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace

---- d stdout ----
note: test did not panic as expected

failures:
    b::c
    d

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
said by nobody";
        check(
            libtest,
            &[
                (
                    "b::c",
                    &[
                        "thread 'b::c' (7) panicked at src/b.rs:3:5:",
                        "assertion failed: false",
                        "---- a stdout ----",
                    ],
                ),
                ("d - should panic", &["note: test did not panic as expected"]),
            ],
        );
        let libtest_mimic = "\
test [redis]   get::one    ... FAILED

failures:

---- get::one ----
panicked at src/b.rs:3:5: no

failures:
    get::one

test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        check(libtest_mimic, &[("[redis]   get::one", &["panicked at src/b.rs:3:5: no"])]);
        check("---- a stdout ----\nthis is somebody else's", &[]);
    }

    #[test]
    fn only_a_whole_summary_counts() {
        let check = |line: &str| assert_eq!(read(line).summaries, 0, "{line}");
        check("test result: ok");
        check("test result: ok. some passed; 0 failed; 0 ignored");
        check("test result: ok. 1 passed; 0 failed");
        check("  test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured");
        check("running 5 tests");
    }

    #[test]
    fn a_harness_that_dies_is_one_failed_test() {
        let check = |output: &str, trouble: Option<&str>, failed| {
            let mut reading = read(output);
            reading.close(trouble.map(str::to_owned), Vec::new);
            assert_eq!(reading.tally.failed, failed, "{output} {trouble:?}");
            assert_eq!(reading.failed.len(), failed, "{output} {trouble:?}");
        };
        check(GOOD, None, 0);
        check(GOOD, Some("exit status: 101"), 1);
        check(BAD, Some("exit status: 101"), 1);
        check("test a ... ok", Some("signal: 6"), 1);
        check("", None, 1);
    }

    #[test]
    fn of_a_harness_that_was_ended_it_is_known_which_tests_it_was_at() {
        let list = || listed("[kind] a: test\nb: test\nc: test\nd: bench\n3 tests, 1 benchmark\n");
        let mut reading = read("running 3 tests\ntest [kind] a ... ok\ntest c - should panic ... ok");
        reading.close(Some("still ran after 60 s".to_owned()), list);
        assert_eq!(names(&reading), ["still ran after 60 s"]);
        assert_eq!(reading.failed[0].words.lines(9), ["1 of its 3 tests had not ended:", "    b"]);
    }
}
