//! Durations and byte sizes as people write them.

use std::time::Duration;

/// Writes a duration so that it reads back: `30m`, `1h30m`, `14d`, `250ms`.
pub fn format_duration(duration: Duration) -> String {
    let mut millis = duration.as_millis();
    if millis == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (unit, size) in DURATION_UNITS {
        let count = millis / size;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
            millis %= size;
        }
    }
    text
}

/// Reads a duration with units: `30m`, `1h30m`, `14d`. A number without a unit is refused: nobody can tell what it means.
///
/// # Errors
/// What is wrong with the text, as a sentence fragment.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text.trim()).map_err(|e| e.to_string())?;
    if duration.subsec_nanos() % 1_000_000 != 0 {
        return Err("is finer than a millisecond".into());
    }
    Ok(duration)
}

/// Writes a byte size so that it reads back, in the largest unit that divides it: `64MiB`, `4KiB`, `1000`.
pub fn format_bytes(bytes: u64) -> String {
    BYTE_UNITS
        .iter()
        .filter(|(unit, _)| unit.ends_with("iB"))
        .find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size))
        .map_or_else(|| bytes.to_string(), |(unit, size)| format!("{}{unit}", bytes / size))
}

/// Reads a byte size: a whole number, with `KiB`, `MiB`, `GiB` (powers of 1024) or `kB`, `MB`, `GB` (powers of 1000).
///
/// # Errors
/// What is wrong with the text, as a sentence fragment.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "does not begin with a whole number".to_owned())?;
    let unit = unit.trim();
    let size = match unit {
        "" | "B" => 1,
        unit => BYTE_UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .map(|(_, size)| *size)
            .ok_or_else(|| format!("has the unknown unit `{unit}`"))?,
    };
    number.checked_mul(size).ok_or_else(|| "is too large".to_owned())
}

const DURATION_UNITS: [(&str, u128); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const BYTE_UNITS: [(&str, u64); 6] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, seconds) in
            [("30m", 1_800), ("12h", 43_200), ("14d", 1_209_600), ("1h30m", 5_400), (" 90s ", 90)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "30", "m", "-5m", "5 parsecs", "10ns", "99999999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_and_sizes_are_written_so_that_they_read_back() {
        for (millis, text) in [
            (0, "0s"),
            (1_800_000, "30m"),
            (5_400_000, "1h30m"),
            (1_209_600_000, "14d"),
            (90_061_001, "1d1h1m1s1ms"),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(format_duration(duration), text);
            assert_eq!(parse_duration(text), Ok(duration));
        }
        for (bytes, text) in [
            (0, "0"),
            (1_000, "1000"),
            (4_096, "4KiB"),
            (67_108_864, "64MiB"),
            (1 << 31, "2GiB"),
            (1_025, "1025"),
        ] {
            assert_eq!(format_bytes(bytes), text);
            assert_eq!(parse_bytes(text), Ok(bytes));
        }
    }

    #[test]
    fn byte_sizes_have_binary_and_decimal_units() {
        assert_eq!(parse_bytes("64 MiB"), Ok(64 << 20));
        assert_eq!(parse_bytes("64mb"), Ok(64_000_000));
        assert_eq!(parse_bytes("7B"), Ok(7));
        for text in ["", "MiB", "-1", "1.5MiB", "10 bananas", "99999999999GiB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
