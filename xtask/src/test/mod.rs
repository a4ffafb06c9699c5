//! `cargo xtask test`: everything that proves the product, each test exactly once.
//!
//! All test programs are built together, then run one after the other, area by area, so that a failure is reported
//! under its area and a harness that dies without a word is noticed.

mod area;
mod build;
mod libtest;
mod provision;

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
use self::{build::Build, libtest::Reading};
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
            Some(why) => reading.fail(why.clone()),
            None => {
                if let Err(error) = session.run_area(area, &build, &mut reading) {
                    reading.fail(error.to_string());
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
            reading.fail("not everything compiles, see above".to_owned());
        }
        let end_to_end =
            [Area::Faults, Area::Telemetry, Area::Browser].iter().any(|area| runnable.contains(area));
        if end_to_end && build.server.is_none() {
            build.server = build::build_server(self.root())?;
            if build.server.is_none() {
                reading.fail(
                    "there is no server to test from outside: it does not compile, see above".to_owned(),
                );
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
            reading.fail("there is no test of this area".to_owned());
        }
        Ok(())
    }

    fn run_programs(&self, area: &Area, build: &Build, reading: &mut Reading) -> Result<(), Error> {
        for program in &build.programs {
            if program.area() == *area {
                println!("\n{}", program.name());
                self.run_harness(&program.name(), &mut program.command(), build, reading)?;
            }
        }
        Ok(())
    }

    /// Runs the examples in documentation, which only cargo can.
    fn run_documentation(&self, build: &Build, reading: &mut Reading) -> Result<(), Error> {
        let mut cargo = process::cargo(self.root());
        cargo.args(["test", "--doc", "--no-fail-fast"]).args(&build.selection);
        self.run_harness("documentation examples", &mut cargo, build, reading)
    }

    fn run_harness(
        &self,
        name: &str,
        command: &mut Command,
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
        own.close(
            name,
            match ending {
                Ending::Exited(status) => (!status.success()).then(|| status.to_string()),
                Ending::TimedOut => Some(format!("still ran after {} s", LONGEST_PROGRAM.as_secs())),
            },
        );
        reading.append(own);
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
    reading.failed.extend(broken.map(|check| check.name.clone()));
}

/// Repeats what went wrong, and ends with the sum: the last line that is ever printed.
fn conclude(results: &[(String, Reading)], watch: &Stopwatch) -> bool {
    let mut sum = Tally::default();
    println!();
    for (area, reading) in results {
        sum.add(reading.tally);
        for name in &reading.failed {
            println!("FAILED   {area}: {name}");
        }
        for name in &reading.ignored {
            println!("SKIPPED  {area}: {name}");
        }
    }
    println!("finished in {:.0} s", watch.elapsed().as_secs_f64());
    println!("{sum}");
    sum.is_good()
}

/// Longer than any test program takes on a slow machine; one that takes longer hangs.
const LONGEST_PROGRAM: Duration = Duration::from_secs(20 * 60);
