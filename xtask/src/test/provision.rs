//! Bringing what an area needs from outside: installed where that is possible, asked for where it is not.

use std::{collections::BTreeMap, fs, process::Command};

use crate::{error::Error, process, test::Area};

/// A program that some areas cannot do without.
struct Need {
    areas: &'static [&'static str],
    /// Any one of these, where such programs are found, proves that the need is met.
    programs: &'static [&'static str],
    /// The package that brings it on Debian, and on Ubuntu.
    debian: &'static str,
    ubuntu: &'static str,
}

/// Packages of servers start a server of their own when they are installed, where the system allows it. It is of no use
/// and does no harm: tests start theirs on private ports.
const NEEDS: &[Need] = &[
    Need::of(
        &["store=redis", "http", "faults", "telemetry"],
        &["redis-server", "valkey-server"],
        "redis-server",
    ),
    Need::of(&["store=redis", "http", "faults", "telemetry"], &["redis-cli", "valkey-cli"], "redis-tools"),
    Need::of(&["store=postgres", "http", "accounts", "faults"], &["postgres"], "postgresql"),
    Need::of(&["store=postgres", "http", "accounts", "faults"], &["psql"], "postgresql-client"),
    Need::of(&["store=mysql", "http", "accounts", "faults"], &["mariadbd", "mysqld"], "mariadb-server"),
    Need::of(&["store=mysql", "http", "accounts", "faults"], &["mariadb", "mysql"], "mariadb-client"),
    Need::of(&["store=memcached", "http", "faults"], &["memcached"], "memcached"),
    // Servers by a clock that is wrong. A library, not a program: see `is_met`.
    Need::of(
        &["store=redis", "store=postgres", "store=mysql", "store=memcached", "http", "faults"],
        &[FAKETIME],
        "libfaketime",
    ),
    // The package starts a server of its own where the system allows it, on port 9090: ours listen elsewhere.
    Need::of(&["telemetry"], &["prometheus"], "prometheus"),
    Need::of(&["telemetry"], &["promtool"], "prometheus"),
    Need::of(&["http", "faults"], &["haproxy"], "haproxy"),
    Need::of(&["http", "faults"], &["nginx"], "nginx"),
    Need {
        areas: &["browser"],
        programs: &["chromium", "chromium-browser", "google-chrome", "chrome"],
        debian: "chromium",
        ubuntu: "chromium-browser",
    },
    Need {
        areas: &["browser"],
        programs: &["chromedriver", "chromium.chromedriver"],
        debian: "chromium-driver",
        ubuntu: "chromium-chromedriver",
    },
    // Fetches axe-core, which examines the pages.
    Need::of(&["browser"], &["npm"], "npm"),
];

const FAKETIME: &str = "libfaketime";

/// Brings what `areas` need and this machine lacks; answers with the areas that cannot run, and why.
pub(crate) fn provide(areas: &[Area]) -> Result<BTreeMap<Area, String>, Error> {
    let wanted: Vec<_> =
        areas.iter().flat_map(|area| NEEDS.iter().filter(|need| need.serves(area))).collect();
    let missing = missing(&wanted);
    let Some(installation) = Installation::of(&missing, distribution()) else { return Ok(BTreeMap::new()) };
    let rights = installation.is_possible().then(rights).flatten();
    if let Some(rights) = rights {
        println!("installing what is missing: {}", installation.packages.join(" "));
        for command in installation.commands() {
            // A failed step is not the end: what counts is whether the programs are there afterwards.
            process::succeeds(&mut rights.command(&command))?;
        }
    }
    let missing = self::missing(&wanted);
    Ok(areas
        .iter()
        .filter_map(|area| {
            let lacks: Vec<_> =
                missing.iter().filter(|need| need.serves(area)).map(|need| need.program()).collect();
            let why = format!("did not run: {} is missing; {}", lacks.join(", "), installation.advice());
            (!lacks.is_empty()).then(|| (area.clone(), why))
        })
        .collect())
}

impl Need {
    /// A need that is met by the package of one name everywhere.
    const fn of(
        areas: &'static [&'static str],
        programs: &'static [&'static str],
        package: &'static str,
    ) -> Self {
        Self { areas, programs, debian: package, ubuntu: package }
    }

    fn serves(&self, area: &Area) -> bool {
        self.areas.contains(&area.to_string().as_str())
    }

    /// Servers are found where tests find them: PostgreSQL's programs, for one, are not in the search path.
    fn is_met(&self) -> bool {
        self.programs.iter().any(|program| match *program {
            FAKETIME => cloakroom_servers::find_faketime().is_some(),
            program => cloakroom_servers::find_program(program).is_some(),
        })
    }

    fn program(&self) -> &'static str {
        self.programs.first().copied().unwrap_or(self.debian)
    }
}

fn missing(wanted: &[&'static Need]) -> Vec<&'static Need> {
    wanted.iter().copied().filter(|need| !need.is_met()).collect()
}

/// Whose packages this machine takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Distribution {
    Debian,
    Ubuntu,
    Other,
}

fn distribution() -> Distribution {
    Distribution::from_os_release(&fs::read_to_string("/etc/os-release").unwrap_or_default())
}

impl Distribution {
    /// Reads the format of os-release(5).
    fn from_os_release(text: &str) -> Self {
        let named: Vec<_> = ["ID=", "ID_LIKE="]
            .into_iter()
            .filter_map(|key| text.lines().find_map(|line| line.strip_prefix(key)))
            .flat_map(|names| names.trim_matches('"').split_whitespace())
            .collect();
        if named.contains(&"ubuntu") {
            Self::Ubuntu
        } else if named.contains(&"debian") {
            Self::Debian
        } else {
            Self::Other
        }
    }
}

/// What has to be installed, and how.
#[derive(Debug)]
struct Installation {
    distribution: Distribution,
    packages: Vec<&'static str>,
}

impl Installation {
    /// `None` if nothing is missing.
    fn of(missing: &[&'static Need], distribution: Distribution) -> Option<Self> {
        let package = |need: &&Need| match distribution {
            Distribution::Ubuntu => need.ubuntu,
            Distribution::Debian | Distribution::Other => need.debian,
        };
        let mut packages: Vec<_> = missing.iter().map(package).collect();
        // One package may bring two programs.
        packages.dedup();
        (!packages.is_empty()).then_some(Self { distribution, packages })
    }

    fn is_possible(&self) -> bool {
        self.distribution != Distribution::Other
    }

    fn commands(&self) -> [Vec<&'static str>; 2] {
        let mut install = vec!["apt-get", "install", "-y", "--no-install-recommends"];
        install.extend(&self.packages);
        [vec!["apt-get", "update"], install]
    }

    /// What a person has to do instead.
    fn advice(&self) -> String {
        if self.is_possible() {
            format!("run: {}", self.commands().map(|words| words.join(" ")).join(" && "))
        } else {
            format!("install the equivalent of Debian's packages {}", self.packages.join(" "))
        }
    }
}

/// The right to install packages without asking anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    Root,
    Sudo,
}

fn rights() -> Option<Rights> {
    let user = Command::new("id").arg("-u").output().ok()?;
    if user.stdout.trim_ascii() == b"0" {
        return Some(Rights::Root);
    }
    let sudo = process::which("sudo")?;
    let allowed = Command::new(sudo).args(["--non-interactive", "true"]).output().ok()?;
    allowed.status.success().then_some(Rights::Sudo)
}

impl Rights {
    fn command(self, words: &[&str]) -> Command {
        let prefix: &[&str] = match self {
            Self::Root => &["env"],
            Self::Sudo => &["sudo", "--non-interactive", "env"],
        };
        let mut all = prefix.iter().chain(&["DEBIAN_FRONTEND=noninteractive"]).chain(words);
        let mut command = Command::new(all.next().copied().unwrap_or("env"));
        command.args(all);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_is_read_from_os_release() {
        let check = |text, expected| assert_eq!(Distribution::from_os_release(text), expected, "{text}");
        check("NAME=\"Debian GNU/Linux\"\nID=debian\n", Distribution::Debian);
        check("ID=ubuntu\nID_LIKE=debian\n", Distribution::Ubuntu);
        check("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Distribution::Ubuntu);
        check("ID=fedora\n", Distribution::Other);
        check("VERSION_ID=debian\n", Distribution::Other);
        check("", Distribution::Other);
    }

    #[test]
    fn nothing_missing_means_nothing_to_install() {
        assert!(Installation::of(&[], Distribution::Debian).is_none());
    }

    #[test]
    fn the_advice_is_the_exact_command_where_there_is_one() {
        let check = |distribution, advice: &str| {
            let missing: Vec<_> = NEEDS.iter().filter(|need| need.areas.contains(&"browser")).collect();
            assert_eq!(Installation::of(&missing, distribution).unwrap().advice(), advice);
        };
        check(
            Distribution::Debian,
            "run: apt-get update && apt-get install -y --no-install-recommends chromium chromium-driver npm",
        );
        check(
            Distribution::Ubuntu,
            "run: apt-get update && apt-get install -y --no-install-recommends chromium-browser chromium-chromedriver npm",
        );
        check(
            Distribution::Other,
            "install the equivalent of Debian's packages chromium chromium-driver npm",
        );
    }

    #[test]
    fn packages_are_installed_without_questions_and_with_the_right_to() {
        let words = |rights: Rights| {
            let command = rights.command(&["apt-get", "update"]);
            let mut words = vec![command.get_program().to_string_lossy().into_owned()];
            words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
            words.join(" ")
        };
        assert_eq!(words(Rights::Root), "env DEBIAN_FRONTEND=noninteractive apt-get update");
        assert_eq!(
            words(Rights::Sudo),
            "sudo --non-interactive env DEBIAN_FRONTEND=noninteractive apt-get update"
        );
    }

    #[test]
    fn every_need_belongs_to_an_area() {
        for need in NEEDS {
            assert!(!need.areas.is_empty() && !need.programs.is_empty(), "{}", need.debian);
            for name in need.areas {
                let area: Area = name.parse().unwrap();
                assert!(!matches!(area, Area::Other(_)), "{name}");
            }
        }
    }

    #[test]
    fn every_store_on_a_server_brings_its_server_and_the_client_that_tests_ask_it_with() {
        let check = |area: &str, packages: &str| {
            let area = area.parse().unwrap();
            let found: Vec<_> =
                NEEDS.iter().filter(|need| need.serves(&area)).map(|need| need.debian).collect();
            assert_eq!(found.join(" "), packages, "{area}");
        };
        check("store=redis", "redis-server redis-tools libfaketime");
        check("store=postgres", "postgresql postgresql-client libfaketime");
        check("store=mysql", "mariadb-server mariadb-client libfaketime");
        check("store=memcached", "memcached libfaketime");
        check("store=sqlite", "");
        let all = "redis-server redis-tools postgresql postgresql-client mariadb-server mariadb-client memcached \
                   libfaketime haproxy nginx";
        check("telemetry", "redis-server redis-tools prometheus prometheus");
        check("faults", all);
        check("http", all);
    }
}
