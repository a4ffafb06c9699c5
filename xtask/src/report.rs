//! Counting what was proven, and saying what was not.

use std::fmt;

/// One named rule and what it found; without findings it holds.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) findings: Vec<String>,
}

impl Check {
    pub(crate) fn new(name: impl Into<String>, findings: Vec<String>) -> Self {
        Self { name: name.into(), findings }
    }
}

/// How many tests passed, failed and did not run. Its `Display` is the last line of `cargo xtask test`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Prints each check's outcome and counts it as one test.
    pub(crate) fn add_checks(&mut self, checks: &[Check]) {
        for check in checks {
            if check.findings.is_empty() {
                println!("check {} ... ok", check.name);
                self.passed += 1;
            } else {
                println!("check {} ... FAILED", check.name);
                for finding in &check.findings {
                    println!("    {finding}");
                }
                self.failed += 1;
            }
        }
    }

    /// Whether this proves something and nothing speaks against it: a skipped test is as bad as a failed one, and
    /// nothing at all proves nothing.
    pub(crate) fn is_good(self) -> bool {
        self.failed == 0 && self.skipped == 0 && self.passed > 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passed_tests_and_nothing_else_are_good() {
        let check = |passed, failed, skipped, good| {
            assert_eq!(Tally { passed, failed, skipped }.is_good(), good, "{passed} {failed} {skipped}");
        };
        check(1, 0, 0, true);
        check(0, 0, 0, false);
        check(5, 1, 0, false);
        check(5, 0, 1, false);
    }

    #[test]
    fn a_check_with_findings_is_one_failed_test() {
        let mut tally = Tally::default();
        tally.add_checks(&[
            Check::new("good", vec![]),
            Check::new("bad", vec!["this".to_owned(), "and that".to_owned()]),
        ]);
        assert_eq!(tally, Tally { passed: 1, failed: 1, skipped: 0 });
    }

    #[test]
    fn the_last_line_reads_as_documented() {
        assert_eq!(Tally { passed: 12, failed: 3, skipped: 4 }.to_string(), "12 passed, 3 failed, 4 skipped");
    }
}
