//! `cargo xtask test`: everything that proves the product, each test exactly once.
//!
//! All test programs are built together, then run one after the other, area by area, so that a failure is reported
//! under its area and a harness that dies without a word is noticed.

mod area;
mod build;
mod libtest;
mod provision;
mod words;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use cargo_metadata::Metadata;

pub(crate) use self::area::Area;
use self::{
    build::{Build, Program},
    libtest::{Failed, Reading},
    words::Words,
};
use crate::{
    error::{Doing as _, Error},
    layers,
    process::{self, Ending, Stopwatch},
    report::{Check, Tally},
    secrets, tidy,
};

/// Runs `only`, or everything; the answer says whether all of it passed.
pub(crate) fn run(metadata: &Metadata, only: &[Area]) -> Result<bool, Error> {
    let watch = Stopwatch::start();
    let areas = chosen(metadata, only)?;
    let session = Session { metadata, output: metadata.target_directory.join("test-output").into() };
    session.prepare_output(&areas)?;
    let mut results = Vec::new();
    let blocked = provision::provide(&areas)?;
    let build = session.build(&areas, &blocked, &mut results)?;
    for area in &areas {
        let watch = Stopwatch::start();
        println!("\n── {area} ──");
        let mut reading = Reading::default();
        match blocked.get(area) {
            Some(why) => reading.fail(why),
            None => {
                if let Err(error) = session.run_area(area, &build, &mut reading) {
                    reading.fail(&error.to_string());
                }
            }
        }
        println!("── {area}: {} in {:.1} s ──", reading.tally, watch.elapsed().as_secs_f64());
        results.push((area.to_string(), reading));
    }
    Ok(conclude(&results, &watch))
}

/// The areas to run, in the order in which they run.
fn chosen(metadata: &Metadata, only: &[Area]) -> Result<Vec<Area>, Error> {
    let members = build::members(metadata);
    let stores = members.iter().filter(|(_, kind)| *kind == Some(layers::Kind::Store));
    let mut all = vec![Area::Tidy, Area::Layers, Area::Unit];
    all.extend(stores.map(|(name, _)| area::store_area(name)));
    all.extend([Area::Http, Area::Accounts, Area::Faults, Area::Telemetry, Area::Browser, Area::Secrets]);
    if let Some(stranger) = only.iter().find(|area| !all.contains(area)) {
        let names: Vec<_> = all.iter().map(ToString::to_string).collect();
        return Err(Error::new(
            format!("there is no area `{stranger}`"),
            format!("there are {}", names.join(", ")),
        ));
    }
    all.retain(|area| only.is_empty() || only.contains(area));
    Ok(all)
}

/// One run of the suite.
struct Session<'a> {
    metadata: &'a Metadata,
    /// Where tests leave screenshots, logs, data directories and the secrets they used.
    output: PathBuf,
}

impl Session<'_> {
    /// Empties the output directory, unless all that is asked for is to search what the last run left there.
    fn prepare_output(&self, areas: &[Area]) -> Result<(), Error> {
        let making = || format!("making {} afresh", self.output.display());
        if areas != [Area::Secrets] && self.output.exists() {
            fs::remove_dir_all(&self.output).doing(making)?;
        }
        fs::create_dir_all(secrets::secrets_directory(&self.output)).doing(making)?;
        fs::create_dir_all(secrets::artifacts_directory(&self.output)).doing(making)
    }

    /// Builds what the areas that can run need. What does not compile is one failed test.
    fn build(
        &self,
        areas: &[Area],
        blocked: &BTreeMap<Area, String>,
        results: &mut Vec<(String, Reading)>,
    ) -> Result<Build, Error> {
        let watch = Stopwatch::start();
        let runnable: Vec<_> = areas.iter().filter(|area| !blocked.contains_key(area)).cloned().collect();
        let mut build = build::build(self.metadata, &runnable)?;
        let mut reading = Reading::default();
        if !build.is_whole {
            reading.fail_with("not everything compiles", build.errors.clone());
        }
        let end_to_end =
            [Area::Faults, Area::Telemetry, Area::Browser].iter().any(|area| runnable.contains(area));
        if end_to_end && build.server.is_none() {
            let mut errors = Words::default();
            build.server = build::build_server(self.root(), &mut errors)?;
            if build.server.is_none() {
                reading.fail_with("there is no server to test from outside: it does not compile", errors);
            }
        }
        if !build.programs.is_empty() {
            println!(
                "── built {} test programs in {:.1} s ──",
                build.programs.len(),
                watch.elapsed().as_secs_f64()
            );
        }
        results.push(("build".to_owned(), reading));
        Ok(build)
    }

    fn run_area(&self, area: &Area, build: &Build, reading: &mut Reading) -> Result<(), Error> {
        match area {
            Area::Tidy => count(&tidy::check(self.root())?, reading),
            Area::Layers => count(&layers::check(self.metadata), reading),
            Area::Secrets => count(&secrets::check(&self.output)?, reading),
            _ => {}
        }
        if area.has_programs() {
            self.run_programs(area, build, reading)?;
        }
        if *area == Area::Unit {
            self.run_documentation(build, reading)?;
        }
        if reading.tally == Tally::default() {
            reading.fail("there is no test of this area");
        }
        Ok(())
    }

    fn run_programs(&self, area: &Area, build: &Build, reading: &mut Reading) -> Result<(), Error> {
        for program in &build.programs {
            if program.area() == *area {
                println!("\n{}", program.name());
                let has = || tests_of(program);
                self.run_harness(&program.name(), &mut program.command(), has, build, reading)?;
            }
        }
        Ok(())
    }

    /// Runs the examples in documentation, which only cargo can.
    fn run_documentation(&self, build: &Build, reading: &mut Reading) -> Result<(), Error> {
        let mut cargo = process::cargo(self.root());
        cargo.args(["test", "--doc", "--no-fail-fast"]).args(&build.selection);
        self.run_harness("documentation examples", &mut cargo, Vec::new, build, reading)
    }

    fn run_harness(
        &self,
        name: &str,
        command: &mut Command,
        has: impl FnOnce() -> Vec<String>,
        build: &Build,
        reading: &mut Reading,
    ) -> Result<(), Error> {
        command.env("CLOAKROOM_TEST_OUTPUT", &self.output);
        // Each failure names its place anyway, and tests of sabotage panic by the hundred as they should.
        command.env("RUST_BACKTRACE", "0");
        if let Some(server) = &build.server {
            command.env("CLOAKROOM_BIN", server);
        }
        let mut own = Reading::default();
        let ending = process::stream(command, LONGEST_PROGRAM, |line| {
            own.line(String::from_utf8_lossy(line).trim_end());
            io::stdout().write_all(line).doing(|| "writing to standard output".to_owned())
        })?;
        let trouble = match ending {
            Ending::Exited(status) => (!status.success()).then(|| status.to_string()),
            Ending::TimedOut => Some(format!("still ran after {} s", LONGEST_PROGRAM.as_secs())),
        };
        own.close(trouble, has);
        reading.append(name, own);
        Ok(())
    }

    fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }
}

/// Counts checks of our own as if a harness had reported them.
fn count(checks: &[Check], reading: &mut Reading) {
    reading.tally.add_checks(checks);
    let broken = checks.iter().filter(|check| !check.findings.is_empty());
    reading.failed.extend(broken.map(|check| Failed::new(&check.name, check.findings.iter().collect())));
}

/// The names of all tests of `program`; none if it does not say.
fn tests_of(program: &Program) -> Vec<String> {
    let mut answer = String::new();
    let mut asking = program.command();
    let asked = process::stream(asking.args(["--list", "--format", "terse"]), LONGEST_LIST, |line| {
        answer.push_str(&String::from_utf8_lossy(line));
        Ok(())
    });
    asked.map(|_| libtest::listed(&answer)).unwrap_or_default()
}

/// Repeats what went wrong, and ends with the sum: the last line that is ever printed.
fn conclude(results: &[(String, Reading)], watch: &Stopwatch) -> bool {
    let (report, sum) = conclusion(results);
    println!("\n{report}finished in {:.0} s", watch.elapsed().as_secs_f64());
    println!("{sum}");
    sum.is_good()
}

/// What failed, with what it said, and what was skipped; and the sum.
fn conclusion(results: &[(String, Reading)]) -> (String, Tally) {
    let (mut report, mut sum, mut left) = (String::new(), Tally::default(), MOST_WORDS);
    let mut tell = |line: String| {
        report.push_str(&line);
        report.push('\n');
    };
    for (area, reading) in results {
        sum.add(reading.tally);
        for failed in &reading.failed {
            tell(format!("FAILED   {area}: {}", failed.name));
            let words = failed.words.lines(left.max(FEW_WORDS));
            left = left.saturating_sub(words.len());
            words.iter().for_each(|line| tell(format!("         {line}").trim_end().to_owned()));
        }
        reading.ignored.iter().for_each(|name| tell(format!("SKIPPED  {area}: {name}")));
    }
    (report, sum)
}

/// How many lines of what failed tests said are repeated in all: a log that repeated itself whole would be no help.
const MOST_WORDS: usize = 600;

/// How many lines of each are repeated when those are used up: the place and the message.
const FEW_WORDS: usize = 3;

/// Longer than any test program takes to name its tests.
const LONGEST_LIST: Duration = Duration::from_secs(20);

/// Longer than any test program takes on a slow machine; one that takes longer hangs.
const LONGEST_PROGRAM: Duration = Duration::from_secs(20 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    /// What a harness prints whose tests `0..tests` have all failed, saying so in two lines.
    fn failed(tests: usize) -> Reading {
        let mut own = Reading::default();
        (0..tests).for_each(|test| own.line(&format!("test t{test} ... FAILED")));
        own.line("failures:");
        for test in 0..tests {
            own.line(&format!("---- t{test} stdout ----"));
            own.line(&format!("thread 't{test}' (1) panicked at src/t.rs:{test}:1:"));
            (0..9).for_each(|line| own.line(&format!("said {line}")));
        }
        own.line("failures:");
        own.line(&format!("test result: FAILED. 0 passed; {tests} failed; 0 ignored; 0 measured"));
        let mut reading = Reading::default();
        reading.append("store tests/it", own);
        reading
    }

    #[test]
    fn what_failed_is_repeated_with_its_place_and_its_words() {
        let mut ignored = Reading::default();
        ignored.line("test moon ... ignored");
        let (report, sum) = conclusion(&[("http".to_owned(), failed(1)), ("faults".to_owned(), ignored)]);
        let mut lines = report.lines();
        assert_eq!(lines.next(), Some("FAILED   http: store tests/it: t0"));
        assert_eq!(lines.next(), Some("         thread 't0' (1) panicked at src/t.rs:0:1:"));
        assert_eq!(lines.next(), Some("         said 0"));
        assert_eq!(lines.next_back(), Some("SKIPPED  faults: moon"));
        assert_eq!(lines.next_back(), Some("         said 8"));
        assert_eq!(sum, Tally { passed: 0, failed: 1, skipped: 0 });
    }

    #[test]
    fn where_everything_fails_each_is_named_with_its_place_and_the_report_stays_short() {
        const TESTS: usize = 1_000;
        let (report, sum) = conclusion(&[("http".to_owned(), failed(TESTS))]);
        for test in 0..TESTS {
            assert!(report.contains(&format!("FAILED   http: store tests/it: t{test}\n")), "{test}");
            assert!(report.contains(&format!("panicked at src/t.rs:{test}:1:\n")), "{test}");
        }
        // Its name, and its words with the line that says how many of them were left out.
        assert!(report.lines().count() < MOST_WORDS + TESTS * (1 + FEW_WORDS + 1));
        assert_eq!(sum.failed, TESTS);
    }
}
