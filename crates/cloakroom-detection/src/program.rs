//! Whether two user agents are one program.

use woothee::parser::{Parser, WootheeResult};

/// How the program of a request is related to the one that identity was proved with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kinship {
    /// The same text.
    Identical,
    /// The same browser, system and kind of device, in the same version or a newer one.
    Updated,
    /// The same browser, system and kind of device, in an older version.
    Older,
    /// Another browser, system or kind of device.
    Other,
}

impl Kinship {
    /// Compares two user agents, `None` being none at all.
    ///
    /// # Cost
    /// Texts that differ are parsed, which takes microseconds.
    #[must_use]
    pub fn between(proven: Option<&str>, present: Option<&str>) -> Self {
        match (proven, present) {
            (None, None) => Self::Identical,
            (Some(proven), Some(present)) if proven == present => Self::Identical,
            (Some(proven), Some(present)) => Program::of(proven).kinship(&Program::of(present)),
            (None, Some(_)) | (Some(_), None) => Self::Other,
        }
    }

    /// Whether it may well be the same program, perhaps after an update.
    #[must_use]
    pub const fn is_same_program(self) -> bool {
        matches!(self, Self::Identical | Self::Updated)
    }
}

/// What matters of a user agent.
struct Program<'a> {
    agent: &'a str,
    family: &'a str,
    system: &'a str,
    class: &'a str,
    major: u32,
}

impl<'a> Program<'a> {
    fn of(agent: &'a str) -> Self {
        if let Some((product, version)) = tool(agent) {
            return Self { agent, family: product, system: "", class: "", major: major(version) };
        }
        match Parser::new().parse(agent) {
            Some(WootheeResult { name, os, category, version, .. }) => Self {
                agent,
                family: known(name),
                system: system(os),
                class: known(category),
                major: major(version),
            },
            None => Self { agent, family: "", system: "", class: "", major: 0 },
        }
    }

    fn kinship(&self, present: &Self) -> Kinship {
        let traits =
            |of: &Self| (of.family == present.family, of.system == present.system, of.class == present.class);
        if traits(self) != (true, true, true) {
            return Kinship::Other;
        }
        if self.family.is_empty() && !same_but_for_digits(self.agent, present.agent) {
            return Kinship::Other;
        }
        if present.major >= self.major { Kinship::Updated } else { Kinship::Older }
    }
}

/// The product of an agent that does not pretend to be a browser, and its version: `curl/8.5` is `curl`.
fn tool(agent: &str) -> Option<(&str, &str)> {
    let first = agent.split(' ').next()?;
    let (product, version) = first.split_once('/').unwrap_or((first, ""));
    (!product.is_empty() && !matches!(product, "Mozilla" | "Opera")).then_some((product, version))
}

/// Windows 11 calls itself 10, and an update of the system is no other system.
fn system(os: &str) -> &str {
    match known(os) {
        "Windows Phone OS" => "Windows Phone",
        windows if windows.starts_with("Windows") => "Windows",
        other => other,
    }
}

fn known(word: &str) -> &str {
    if word == "UNKNOWN" { "" } else { word }
}

fn major(version: &str) -> u32 {
    let end = version.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(version.len());
    version.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Programs that nobody knows: they are the same where only numbers differ.
fn same_but_for_digits(one: &str, other: &str) -> bool {
    let letters = |text: &str| {
        let text = text.to_owned();
        text.chars().filter(|c| !c.is_ascii_digit() && !matches!(c, '.' | '_')).collect::<String>()
    };
    letters(one) == letters(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

    fn chrome(system: &str, version: u32, rest: &str) -> String {
        format!(
            "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 {rest}Safari/537.36"
        )
    }

    #[test]
    fn an_update_is_the_same_program_and_anything_else_is_another() {
        let (windows, mac) = ("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7");
        let android = "Linux; Android 10; K";
        let iphone = |version: &str| {
            format!(
                "Mozilla/5.0 (iPhone; CPU iPhone OS {version} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/18.4 Mobile/15E148 Safari/604.1"
            )
        };
        let edge = format!("{} Edg/140.0.0.0", chrome(windows, 140, ""));
        for (proven, present, kinship) in [
            (FIREFOX.to_owned(), FIREFOX.to_owned(), Kinship::Identical),
            (FIREFOX.to_owned(), FIREFOX.replace("140", "141"), Kinship::Updated),
            (FIREFOX.to_owned(), FIREFOX.replace("140", "139"), Kinship::Older),
            (FIREFOX.to_owned(), "curl/8.5.0".to_owned(), Kinship::Other),
            (FIREFOX.to_owned(), FIREFOX.replace("X11; Linux x86_64", windows), Kinship::Other),
            (FIREFOX.to_owned(), chrome("X11; Linux x86_64", 140, ""), Kinship::Other),
            (chrome(windows, 140, ""), chrome(windows, 141, ""), Kinship::Updated),
            (chrome(windows, 140, ""), chrome("Windows NT 6.1; Win64; x64", 140, ""), Kinship::Updated),
            (chrome(windows, 140, ""), chrome(mac, 140, ""), Kinship::Other),
            (chrome(windows, 140, ""), edge, Kinship::Other),
            (chrome(android, 140, "Mobile "), chrome(android, 141, "Mobile "), Kinship::Updated),
            (chrome(android, 140, "Mobile "), chrome("X11; Linux x86_64", 140, ""), Kinship::Other),
            (iphone("18_3"), iphone("18_4"), Kinship::Updated),
            ("curl/8.5.0".to_owned(), "curl/8.6.0".to_owned(), Kinship::Updated),
            ("curl/8.5.0".to_owned(), "python-requests/2.32".to_owned(), Kinship::Other),
            ("Shop/3.2 (build 7)".to_owned(), "Shop/3.3 (build 9)".to_owned(), Kinship::Updated),
            ("Mozilla/5.0 (Fridge 1)".to_owned(), "Mozilla/5.0 (Fridge 2)".to_owned(), Kinship::Updated),
            ("Mozilla/5.0 (Fridge 1)".to_owned(), "Mozilla/5.0 (Oven 1)".to_owned(), Kinship::Other),
        ] {
            assert_eq!(Kinship::between(Some(&proven), Some(&present)), kinship, "{proven} -> {present}");
        }
        assert_eq!(Kinship::between(Some(FIREFOX), None), Kinship::Other);
        assert_eq!(Kinship::between(None, Some(FIREFOX)), Kinship::Other);
        assert_eq!(Kinship::between(None, None), Kinship::Identical);
    }
}
