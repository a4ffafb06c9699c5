//! What is written in a key file.

use std::path::Path;

use cloakroom_core::Timestamp;
use zeroize::Zeroizing;

use super::KeyFileError;
use crate::key::{Instants, KeyTextProblem, SealKey, Secret};
use crate::ring::KeyRing;

/// The text of `ring`.
pub(super) fn write(ring: &KeyRing) -> Zeroizing<String> {
    let room = HEADER.len() + EXPLANATION.len() + ring.keys().len() * LINE_MAX;
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push_str(HEADER);
    text.push_str(EXPLANATION);
    for key in ring.keys() {
        let instants = [key.created_at, key.seals_from, key.opens_until].map(instant);
        let [created_at, seals_from, opens_until] = &instants;
        let public = format!("{} {created_at:24} {seals_from:24} {opens_until:24} ", key.id());
        text.push_str(&public);
        text.push_str(&key.secret().to_base64());
        text.push('\n');
    }
    debug_assert!(text.len() <= room, "a text that grows leaves secrets behind");
    text
}

/// The ring that `text` tells of.
pub(super) fn parse(text: &str, path: &Path) -> Result<KeyRing, KeyFileError> {
    let mut keys = Vec::new();
    let mut lines = text.lines().zip(1..);
    let failed = |line, problem| KeyFileError::Line { path: path.to_owned(), line, problem };
    match lines.next() {
        Some((header, _)) if header.trim_end() == HEADER.trim_end() => {}
        _ => return Err(failed(1, KeyTextProblem::Header)),
    }
    for (line, number) in lines {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        keys.push(parse_key(line).map_err(|problem| failed(number, problem))?);
    }
    KeyRing::new(keys).map_err(|source| KeyFileError::Ring { path: path.to_owned(), source })
}

fn parse_key(line: &str) -> Result<SealKey, KeyTextProblem> {
    let mut parts = line.split_ascii_whitespace();
    let mut part = || parts.next().ok_or(KeyTextProblem::Parts);
    let id = part()?.parse()?;
    let mut instant = || parse_instant(part()?);
    let instants = Instants { created_at: instant()?, seals_from: instant()?, opens_until: instant()? };
    let key = SealKey::of(id, Secret::parse(part()?)?);
    if parts.next().is_some() {
        return Err(KeyTextProblem::Parts);
    }
    Ok(key.with_instants(instants))
}

fn parse_instant(text: &str) -> Result<Option<Timestamp>, KeyTextProblem> {
    match text {
        NEVER => Ok(None),
        text => text.parse().map(Some).map_err(|_| KeyTextProblem::Instant),
    }
}

fn instant(at: Option<Timestamp>) -> String {
    at.map_or_else(|| NEVER.to_owned(), |at| at.to_string())
}

/// The first line: what it is, and the version of its form.
const HEADER: &str = "cloakroom-sealing-keys 1\n";
const EXPLANATION: &str = "\
# The keys that seal and open sessions of Cloakroom. Whoever has them can read and make every session.
# Change them by `cloakroom keys rotate`. A key opens what it sealed until `opens until`; `-` is: never, or no end.
# id     created                  seals from               opens until              secret
";
const NEVER: &str = "-";
/// More than a line of a key takes: id, three instants of up to 26 characters, secret, separators.
const LINE_MAX: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyId, NewKey};
    use crate::ring::Rotation;

    fn key(fill: u8) -> NewKey {
        let mut random = [fill; NewKey::RANDOM_BYTES];
        random[35] = !fill;
        NewKey::from_random(&random)
    }

    fn ring() -> KeyRing {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let second = std::time::Duration::from_secs(1);
        let rotation = Rotation { now, spread: second * 30, window: second * 1_800 };
        KeyRing::first(key(0xA1), now.minus(second * 86_400)).rotated(key(0xB2), &rotation).unwrap()
    }

    /// Golden: a file that a released version wrote stays readable.
    const GOLDEN: &str = "\
cloakroom-sealing-keys 1
# The keys that seal and open sessions of Cloakroom. Whoever has them can read and make every session.
# Change them by `cloakroom keys rotate`. A key opens what it sealed until `opens until`; `-` is: never, or no end.
# id     created                  seals from               opens until              secret
a1a1a1a1 2027-01-14T08:00:00.000Z 2027-01-14T08:00:00.000Z 2027-01-15T08:30:30.000Z oaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoV4=
b2b2b2b2 2027-01-15T08:00:00.000Z 2027-01-15T08:00:30.000Z -                        srKysrKysrKysrKysrKysrKysrKysrKysrKysrKysk0=
";

    #[test]
    fn a_ring_is_written_as_it_always_was_and_reads_back() {
        assert_eq!(write(&ring()).as_str(), GOLDEN);
        let read = parse(GOLDEN, Path::new("keys")).unwrap();
        assert_eq!(write(&read).as_str(), GOLDEN);
        assert_eq!(read.list(Timestamp::EPOCH), ring().list(Timestamp::EPOCH));
    }

    #[test]
    fn what_people_do_to_a_text_does_not_matter() {
        let edited =
            GOLDEN.replace('\n', " \r\n").replace("# Change", "\n\n   # Change").replace(" -   ", "\t-\t");
        assert_eq!(write(&parse(&edited, Path::new("keys")).unwrap()).as_str(), GOLDEN);
    }

    #[test]
    fn an_error_names_the_line_and_what_is_wrong_and_never_what_is_there() {
        let secret = "oaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoaGhoV4=";
        for (from, to, line, problem) in [
            ("keys 1", "keys 2", 1, KeyTextProblem::Header),
            ("cloakroom-", "", 1, KeyTextProblem::Header),
            ("a1a1a1a1", "a1a1a1a", 5, KeyTextProblem::Id),
            ("a1a1a1a1", "A1a1a1a1", 5, KeyTextProblem::Id),
            ("a1a1a1a1", "+1a1a1a1", 5, KeyTextProblem::Id),
            ("2027-01-15T08:30:30.000Z", "tomorrow", 5, KeyTextProblem::Instant),
            ("oaGhoaGh", "oaGhoaG", 5, KeyTextProblem::Secret),
            ("oV4=", "oV5=", 5, KeyTextProblem::Secret),
            ("oV4=", "oV4", 5, KeyTextProblem::Secret),
            (secret, &format!("{}oaE=", "oaGh".repeat(10)), 5, KeyTextProblem::Constant),
            (secret, "", 5, KeyTextProblem::Parts),
            (secret, &format!("{secret} {secret}"), 5, KeyTextProblem::Parts),
            ("b2b2b2b2 ", "", 6, KeyTextProblem::Id),
        ] {
            let text = GOLDEN.replacen(from, to, 1);
            let error = parse(&text, Path::new("keys")).unwrap_err();
            assert!(
                matches!(&error, KeyFileError::Line { line: l, problem: p, .. } if (*l, *p) == (line, problem)),
                "{to}: {error}"
            );
            let told = format!("{error} {error:?}");
            assert!(told.starts_with(&format!("keys, line {line}: ")), "{told}");
            assert!(!told.contains("oaGh") && !told.contains("tomorrow"), "{told}");
        }
    }

    #[test]
    fn keys_that_are_no_ring_are_refused() {
        let head: String = GOLDEN.lines().take(4).map(|line| format!("{line}\n")).collect();
        let keys: Vec<&str> = GOLDEN.lines().skip(4).collect();
        let refused = |text: String| parse(&text, Path::new("keys")).unwrap_err().to_string();
        assert_eq!(refused(head.clone()), "keys: there is no key");
        assert_eq!(refused(format!("{GOLDEN}{}", keys[0])), "keys: two keys have the id a1a1a1a1");
        let never = keys[1].replace("2027-01-15T08:00:30.000Z", "-");
        assert_eq!(refused(format!("{head}{never}")), "keys: no key seals");
        let many = |count: u32| {
            let line = |id| keys[1].replace("b2b2b2b2", &KeyId::from_u32(id).to_string()) + "\n";
            head.clone() + &(0..count).map(line).collect::<String>()
        };
        assert!(parse(&many(32), Path::new("keys")).is_ok());
        assert!(refused(many(33)).contains("more than 32 keys"));
    }
}
