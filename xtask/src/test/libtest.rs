//! Reading what test harnesses print: libtest, libtest-mimic and doctests write the same lines.

use crate::report::Tally;

/// What the output of test harnesses amounts to so far.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) tally: Tally,
    /// How many summary lines there were. A harness that writes none has crashed.
    pub(crate) summaries: usize,
    /// Names of tests that failed or were ignored, to repeat at the end.
    pub(crate) failed: Vec<String>,
    pub(crate) ignored: Vec<String>,
}

impl Reading {
    /// Takes one line of output into account.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(summary) = summary(line) {
            self.tally.add(summary);
            self.summaries += 1;
        } else if let Some((name, outcome)) =
            line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
        {
            match outcome.split([',', ' ']).next() {
                Some("FAILED") => self.failed.push(name.trim_end().to_owned()),
                Some("ignored") => self.ignored.push(name.trim_end().to_owned()),
                _ => {}
            }
        }
    }

    /// Adds what another reading found.
    pub(crate) fn append(&mut self, other: Self) {
        self.tally.add(other.tally);
        self.summaries += other.summaries;
        self.failed.extend(other.failed);
        self.ignored.extend(other.ignored);
    }

    /// Settles the account when the program has ended: one that failed without a failed test, or that reported
    /// nothing at all, is a failed test itself.
    pub(crate) fn close(&mut self, what: &str, trouble: Option<String>) {
        let trouble = match trouble {
            Some(trouble) if self.tally.failed == 0 => trouble,
            None if self.summaries == 0 => "ended without a summary of its tests".to_owned(),
            _ => return,
        };
        self.fail(format!("{what}: {trouble}"));
    }

    /// Counts one failed test that no harness reported.
    pub(crate) fn fail(&mut self, what: String) {
        self.tally.failed += 1;
        self.failed.push(what);
    }
}

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
        assert_eq!(reading.failed, ["tables::the_second - should panic"]);
        assert_eq!(reading.ignored, ["b"]);
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
            reading.close("suite", trouble.map(str::to_owned));
            assert_eq!(reading.tally.failed, failed, "{output} {trouble:?}");
            assert_eq!(reading.failed.len(), failed, "{output} {trouble:?}");
        };
        check(GOOD, None, 0);
        check(GOOD, Some("exit status: 101"), 1);
        check(BAD, Some("exit status: 101"), 1);
        check("test a ... ok", Some("signal: 6"), 1);
        check("", None, 1);
    }
}
