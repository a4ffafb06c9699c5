//! Building the test programs once, all with the same features, whatever areas they serve.

use std::{
    collections::BTreeSet,
    io::{self, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use cargo_metadata::{Artifact, Message, Metadata, Package, TargetKind, diagnostic::DiagnosticLevel};

use crate::{
    error::{Doing as _, Error},
    layers::Kind,
    process,
    test::{
        area::{Area, Origin, area_of, store_area},
        words::Words,
    },
};

/// A built test program.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) package: String,
    target: String,
    origin: Origin,
    kind: Option<Kind>,
    executable: PathBuf,
    /// The package's own directory, in which cargo runs tests.
    directory: PathBuf,
}

impl Program {
    /// The area that this program belongs to.
    pub(crate) fn area(&self) -> Area {
        area_of(self.kind, &self.package, self.origin, &self.target)
    }

    /// What to call it in messages.
    pub(crate) fn name(&self) -> String {
        match self.origin {
            Origin::Inside => self.package.clone(),
            Origin::Integration => format!("{} tests/{}", self.package, self.target),
        }
    }

    /// The command that runs it as `cargo test` would.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        command
            .current_dir(&self.directory)
            .env("CARGO_MANIFEST_DIR", &self.directory)
            .env("CARGO_PKG_NAME", &self.package);
        command
    }
}

/// What building has brought.
#[derive(Debug, Default)]
pub(crate) struct Build {
    pub(crate) programs: Vec<Program>,
    /// The server's binary, if it was built along with its tests.
    pub(crate) server: Option<PathBuf>,
    /// The arguments by which cargo selected the packages: with the same ones it has nothing to compile again.
    pub(crate) selection: Vec<String>,
    /// Whether everything compiled.
    pub(crate) is_whole: bool,
    /// What the compiler refused.
    pub(crate) errors: Words,
}

/// Builds the test programs of `areas`.
pub(crate) fn build(metadata: &Metadata, areas: &[Area]) -> Result<Build, Error> {
    let Some(selection) = selection(&members(metadata), areas) else {
        return Ok(Build { is_whole: true, ..Build::default() });
    };
    let mut cargo = process::cargo(metadata.workspace_root.as_std_path());
    // Unlike `test --no-run`, this goes on after an error, so that what does compile can run.
    cargo.args(["build", "--keep-going", JSON]).args(&selection);
    if !selection.iter().any(|argument| argument == "--test") {
        cargo.arg("--tests");
    }
    let mut build = Build { selection, ..Build::default() };
    let mut errors = Words::default();
    build.is_whole = artifacts(&mut cargo, &mut errors, |artifact| {
        let Some(executable) = &artifact.executable else { return };
        if is_server(&artifact) {
            build.server = Some(executable.into());
        } else if let Some(program) = program(metadata, &artifact, executable.as_std_path()) {
            build.programs.push(program);
        }
    })?;
    build.errors = errors;
    build.programs.sort_by_key(Program::name);
    Ok(build)
}

/// Builds the server's binary alone, for areas whose own build does not contain it.
pub(crate) fn build_server(root: &Path, errors: &mut Words) -> Result<Option<PathBuf>, Error> {
    let mut cargo = process::cargo(root);
    cargo.args(["build", JSON, "--package", SERVER_PACKAGE, "--bin", SERVER_BINARY]);
    let mut server = None;
    artifacts(&mut cargo, errors, |artifact| {
        if is_server(&artifact) {
            server = artifact.executable.map(Into::into);
        }
    })?;
    Ok(server)
}

/// The arguments by which cargo selects what `areas` need: everything is built at once wherever possible, because
/// packages that are built in different company get different features and are compiled again. `None` if no package
/// serves them.
fn selection(members: &[(String, Option<Kind>)], areas: &[Area]) -> Option<Vec<String>> {
    if areas.contains(&Area::Unit) {
        let mut arguments = vec!["--workspace".to_owned()];
        if ![Area::Browser, Area::Faults, Area::Telemetry].iter().any(|area| areas.contains(area)) {
            let left_out = members.iter().filter(|(_, kind)| *kind == Some(Kind::EndToEnd));
            arguments.extend(left_out.flat_map(|(name, _)| ["--exclude".to_owned(), name.clone()]));
        }
        return Some(arguments);
    }
    let packages: BTreeSet<_> =
        members.iter().filter(|(name, kind)| areas.iter().any(|area| serves(area, name, *kind))).collect();
    let mut arguments: Vec<_> =
        packages.iter().flat_map(|(name, _)| ["--package".to_owned(), name.clone()]).collect();
    if packages.iter().all(|(_, kind)| *kind == Some(Kind::Store)) {
        arguments.extend(["--test".to_owned(), EVERY_INTEGRATION_TEST.to_owned()]);
    }
    (!packages.is_empty()).then_some(arguments)
}

/// The workspace's packages and what they are.
pub(crate) fn members(metadata: &Metadata) -> Vec<(String, Option<Kind>)> {
    metadata
        .workspace_packages()
        .into_iter()
        .map(|package| (package.name.to_string(), Kind::of_package(metadata, package)))
        .collect()
}

fn serves(area: &Area, package: &str, kind: Option<Kind>) -> bool {
    match area {
        Area::Store(_) => kind == Some(Kind::Store) && store_area(package) == *area,
        Area::Http => matches!(kind, Some(Kind::Http | Kind::Axum | Kind::Server | Kind::Example)),
        Area::Accounts => kind == Some(Kind::Server),
        Area::Faults => matches!(kind, Some(Kind::EndToEnd | Kind::Servers | Kind::Tool)),
        Area::Browser | Area::Telemetry => kind == Some(Kind::EndToEnd),
        Area::Unit | Area::Tidy | Area::Layers | Area::Secrets | Area::Other(_) => false,
    }
}

/// Runs a cargo that speaks JSON, shows each artifact to `on_artifact`, passes on what the compiler says, keeps what of
/// it are `errors`, and says whether everything was built.
fn artifacts(
    cargo: &mut Command,
    errors: &mut Words,
    mut on_artifact: impl FnMut(Artifact),
) -> Result<bool, Error> {
    let building = || "building the tests".to_owned();
    let mut child = cargo.stdout(Stdio::piped()).spawn().doing(building)?;
    if let Some(output) = child.stdout.take() {
        for message in Message::parse_stream(BufReader::new(output)) {
            match message.doing(building)? {
                Message::CompilerArtifact(artifact) => on_artifact(artifact),
                Message::CompilerMessage(said) => {
                    let text = said.message.rendered.as_deref().unwrap_or(&said.message.message);
                    io::stderr().write_all(text.as_bytes()).doing(building)?;
                    if said.message.level == DiagnosticLevel::Error {
                        text.lines().for_each(|line| errors.add(line));
                    }
                }
                _ => {}
            }
        }
    }
    Ok(child.wait().doing(building)?.success())
}

fn is_server(artifact: &Artifact) -> bool {
    !artifact.profile.test
        && artifact.target.name == SERVER_BINARY
        && artifact.target.kind.contains(&TargetKind::Bin)
}

fn program(metadata: &Metadata, artifact: &Artifact, executable: &Path) -> Option<Program> {
    if !artifact.profile.test {
        return None;
    }
    let package: &Package = metadata.packages.iter().find(|package| package.id == artifact.package_id)?;
    let is_integration = artifact.target.kind.contains(&TargetKind::Test);
    Some(Program {
        package: package.name.to_string(),
        target: artifact.target.name.clone(),
        origin: if is_integration { Origin::Integration } else { Origin::Inside },
        kind: Kind::of_package(metadata, package),
        executable: executable.to_path_buf(),
        directory: package.manifest_path.parent()?.into(),
    })
}

/// As cargo's own pattern.
const EVERY_INTEGRATION_TEST: &str = "*";
const JSON: &str = "--message-format=json";
const SERVER_PACKAGE: &str = "cloakroom-server";
const SERVER_BINARY: &str = "cloakroom";

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> Vec<(String, Option<Kind>)> {
        [
            ("cloakroom-core", Some(Kind::Core)),
            ("cloakroom-memory", Some(Kind::Store)),
            ("cloakroom-sqlite", Some(Kind::Store)),
            ("cloakroom-servers", Some(Kind::Servers)),
            ("cloakroom-server", Some(Kind::Server)),
            ("e2e", Some(Kind::EndToEnd)),
            ("xtask", Some(Kind::Tool)),
        ]
        .map(|(name, kind)| (name.to_owned(), kind))
        .to_vec()
    }

    fn check(areas: &[&str], expected: Option<&str>) {
        let areas: Vec<Area> = areas.iter().map(|name| name.parse().unwrap()).collect();
        let found = selection(&workspace(), &areas).map(|arguments| arguments.join(" "));
        assert_eq!(found.as_deref(), expected, "{areas:?}");
    }

    #[test]
    fn everything_is_built_in_one_company() {
        check(&["unit", "http", "browser", "secrets"], Some("--workspace"));
        check(&["unit", "store=memory"], Some("--workspace --exclude e2e"));
    }

    #[test]
    fn a_narrow_choice_builds_only_what_it_runs() {
        check(&["store=memory"], Some("--package cloakroom-memory --test *"));
        check(
            &["store=sqlite", "store=memory"],
            Some("--package cloakroom-memory --package cloakroom-sqlite --test *"),
        );
        check(
            &["store=sqlite", "faults"],
            Some("--package cloakroom-servers --package cloakroom-sqlite --package e2e --package xtask"),
        );
        check(&["browser"], Some("--package e2e"));
    }

    #[test]
    fn areas_without_programs_build_nothing() {
        check(&["secrets", "tidy", "layers"], None);
        check(&["store=redis"], None);
    }
}
