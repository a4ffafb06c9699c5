//! Typed reading of single settings, collecting every problem instead of stopping at the first.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use figment::value::{Num, Value};

use super::error::{Place, Problem};
use super::layer::Layers;
use super::units::{parse_bytes, parse_duration};

/// A type that a setting can have.
pub(super) trait Setting: Sized {
    /// What to write, with an example: completes "expected …".
    const EXPECTED: &'static str;

    /// Reads the setting. Environment and flags know text only, so every type reads text too.
    fn read(value: &Value) -> Result<Self, String>;
}

/// Reads settings out of merged layers and remembers what was wrong.
pub(super) struct Reader<'a> {
    layers: &'a Layers,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layers: &'a Layers) -> Self {
        Self { layers, problems: layers.unknown_keys() }
    }

    /// The setting at the dotted `key`; `None` where it was not made or cannot be read (then there is a problem).
    pub(super) fn get<T: Setting>(&mut self, key: &str) -> Option<T> {
        let path: Vec<&str> = key.split('.').collect();
        self.get_at(&path)
    }

    /// The same for a path with names in it that may have dots themselves.
    pub(super) fn get_at<T: Setting>(&mut self, path: &[&str]) -> Option<T> {
        match T::read(self.layers.value(path)?) {
            Ok(setting) => Some(setting),
            Err(why) => {
                let cause = format!("`{}` {why}", path.join("."));
                self.problem_at(path, cause, format!("expected {}", T::EXPECTED));
                None
            }
        }
    }

    /// The names below a section, for example the roles that have timeouts of their own.
    pub(super) fn sections(&self, path: &[&str]) -> Vec<String> {
        self.layers.sections(path)
    }

    /// Where a setting was made.
    pub(super) fn place(&self, key: &str) -> Option<Place> {
        let path: Vec<&str> = key.split('.').collect();
        self.layers.place(&path).cloned()
    }

    /// Writes down that the setting at `key` cannot be used.
    pub(super) fn problem(&mut self, key: &str, cause: impl Into<String>, remedy: impl Into<String>) {
        let path: Vec<&str> = key.split('.').collect();
        self.problem_at(&path, cause, remedy);
    }

    /// Everything found wrong so far.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| match problem.place() {
            Some(Place::File { line, .. }) => *line,
            Some(Place::Environment(_) | Place::Flag(_)) | None => usize::MAX,
        });
        self.problems
    }

    fn problem_at(&mut self, path: &[&str], cause: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem::new(self.layers.place(path).cloned(), cause, remedy));
    }
}

impl Setting for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Bool(_, setting) => Ok(*setting),
            Value::String(_, text) => text.parse().map_err(|_| "is neither true nor false".to_owned()),
            _ => Err("is neither true nor false".to_owned()),
        }
    }
}

impl Setting for String {
    const EXPECTED: &'static str = "text in quotes";

    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(_, text) => Ok(text.clone()),
            _ => Err("is no text".to_owned()),
        }
    }
}

impl Setting for PathBuf {
    const EXPECTED: &'static str = "a path in quotes";

    fn read(value: &Value) -> Result<Self, String> {
        match String::read(value)? {
            path if path.is_empty() => Err("is empty".to_owned()),
            path => Ok(path.into()),
        }
    }
}

impl Setting for SocketAddr {
    const EXPECTED: &'static str = "an address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"";

    fn read(value: &Value) -> Result<Self, String> {
        String::read(value)?.parse().map_err(|_| "is no address with a port".to_owned())
    }
}

impl Setting for u32 {
    const EXPECTED: &'static str = "a whole number";

    fn read(value: &Value) -> Result<Self, String> {
        let number = match value {
            Value::Num(_, number) => whole(*number).and_then(|n| Self::try_from(n).ok()),
            Value::String(_, text) => text.trim().parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| "is no whole number between 0 and 4294967295".to_owned())
    }
}

impl Setting for Duration {
    const EXPECTED: &'static str = "a duration with its unit, such as \"30m\", \"12h\", \"14d\" or \"1h30m\"";

    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(_, text) => parse_duration(text).map_err(|why| format!("is no duration: {why}")),
            Value::Num(..) => Err("has no unit".to_owned()),
            _ => Err("is no duration".to_owned()),
        }
    }
}

/// A number of bytes.
#[derive(Clone, Copy)]
pub(super) struct ByteSize(pub(super) u64);

impl Setting for ByteSize {
    const EXPECTED: &'static str = "a number of bytes, such as 4096, \"4KiB\" or \"64MiB\"";

    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Num(_, number) => {
                whole(*number).map(ByteSize).ok_or_else(|| "is no whole number".to_owned())
            }
            Value::String(_, text) => {
                parse_bytes(text).map(ByteSize).map_err(|why| format!("is no byte size: it {why}"))
            }
            _ => Err("is no byte size".to_owned()),
        }
    }
}

impl<T: Setting> Setting for Vec<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Array(_, items) => items.iter().map(T::read).collect(),
            // One variable or flag holds a list with commas.
            Value::String(_, text) => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| T::read(&Value::from(item)))
                .collect(),
            _ => Err("is no list".to_owned()),
        }
    }
}

/// The number, where it has no sign and no fraction.
fn whole(number: Num) -> Option<u64> {
    let signed = number.to_i128().and_then(|n| u64::try_from(n).ok());
    signed.or_else(|| number.to_u128().and_then(|n| u64::try_from(n).ok()))
}

/// Implements [`Setting`] for a type that has a fixed set of words.
macro_rules! words {
    ($type:ty, $expected:literal, $($word:literal => $value:expr),+ $(,)?) => {
        impl $crate::config::read::Setting for $type {
            const EXPECTED: &'static str = $expected;

            fn read(value: &figment::value::Value) -> Result<Self, String> {
                match value.as_str() {
                    $(Some($word) => Ok($value),)+
                    Some(other) => Err(format!("has the unknown value \"{}\"", other.escape_debug())),
                    None => Err("is no text".to_owned()),
                }
            }
        }
    };
}
pub(super) use words;
