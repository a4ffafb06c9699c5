//! The places a configuration comes from, each as one layer: file, environment, flags. Later layers win.

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::{Dict, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::error::{Place, Problem};
use super::keys::{self, Known};

/// What one place says: values, and where exactly each of them stands.
pub(super) struct Layer {
    name: &'static str,
    values: Dict,
    places: BTreeMap<Vec<String>, Place>,
}

impl Layer {
    /// The layer of a configuration file's text.
    pub(super) fn file(path: &Path, text: &str) -> Result<Self, Problem> {
        let broken = |error: &toml::de::Error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            let cause = error.message().lines().next().unwrap_or("is no TOML").to_owned();
            Problem::new(Some(place(path, line)), cause, "correct the TOML syntax in this line")
        };
        let spans = toml::de::DeTable::parse(text).map_err(|e| broken(&e))?;
        let table: toml::Table = toml::from_str(text).map_err(|e| broken(&e))?;
        let values = match Value::serialize(table) {
            Ok(Value::Dict(_, values)) => values,
            _ => {
                return Err(Problem::new(
                    Some(place(path, 1)),
                    "is no TOML table",
                    "write `key = value` lines",
                ));
            }
        };
        let mut places = BTreeMap::new();
        collect_places(spans.get_ref(), &mut Vec::new(), &mut |at, offset| {
            places.insert(at.to_vec(), place(path, line_of(text, offset)));
        });
        Ok(Self { name: "file", values, places })
    }

    /// The layer of the environment: variables whose name begins with `CLOAKROOM__`, `__` between section and key.
    pub(super) fn environment(variables: &[(String, String)]) -> Self {
        let mut layer = Self { name: "environment", values: Dict::new(), places: BTreeMap::new() };
        for (name, text) in variables {
            if let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                let path = rest.split("__").map(str::to_ascii_lowercase).collect();
                layer.insert(path, text, Place::Environment(name.clone()));
            }
        }
        layer
    }

    /// The layer of the command line: key, flag and value.
    pub(super) fn flags(given: &[(&str, &str, &str)]) -> Self {
        let mut layer = Self { name: "flags", values: Dict::new(), places: BTreeMap::new() };
        for (key, flag, text) in given {
            layer.insert(vec![(*key).to_owned()], text, Place::Flag((*flag).to_owned()));
        }
        layer
    }

    /// A problem for each key that is none of ours.
    pub(super) fn unknown_keys(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = Vec::new();
        let mut settled: Vec<&[String]> = Vec::new();
        for (path, place) in &self.places {
            if settled.iter().any(|above| path.starts_with(above)) {
                continue;
            }
            match (keys::lookup(path), self.is_section(path)) {
                // What stands below a key is part of its value, and judged with it.
                (Known::Key, _) => settled.push(path),
                (Known::Section, true) => {}
                (Known::Section, false) => problems.push(Problem::new(
                    Some(place.clone()),
                    format!("`{}` is a section, not a key", path.join(".")),
                    format!("write `[{}]`, and its keys below", path.join(".")),
                )),
                (Known::No, is_section) => {
                    // A section whose keys are known elsewhere is reported key by key: each has its own nearest key.
                    if is_section && self.has_children(path) {
                        continue;
                    }
                    settled.push(path);
                    problems.push(unknown(path, place));
                }
            }
        }
        problems
    }

    fn insert(&mut self, path: Vec<String>, text: &str, place: Place) {
        let mut level = &mut self.values;
        let mut parts = path.iter().peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                level.insert(part.clone(), Value::from(text));
                break;
            }
            let next = level.entry(part.clone()).or_insert_with(|| Value::from(Dict::new()));
            if !matches!(next, Value::Dict(..)) {
                *next = Value::from(Dict::new());
            }
            let Value::Dict(_, inner) = next else { unreachable!("was made a table just above") };
            level = inner;
        }
        self.places.insert(path, place);
    }

    fn is_section(&self, path: &[String]) -> bool {
        matches!(find(&self.values, path), Some(Value::Dict(..)))
    }

    fn has_children(&self, path: &[String]) -> bool {
        matches!(find(&self.values, path), Some(Value::Dict(_, inner)) if !inner.is_empty())
    }
}

impl Provider for &Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<figment::value::Map<Profile, Dict>, figment::Error> {
        Ok([(Profile::Default, self.values.clone())].into_iter().collect())
    }
}

/// All layers, merged.
pub(super) struct Layers {
    layers: Vec<Layer>,
    merged: Dict,
}

impl Layers {
    /// Merges `layers`; a later one wins over an earlier one, key by key.
    pub(super) fn merge(layers: Vec<Layer>) -> Result<Self, Problem> {
        let figment = layers.iter().fold(Figment::new(), |figment, layer| figment.merge(layer));
        match figment.find_value("") {
            Ok(Value::Dict(_, merged)) => Ok(Self { layers, merged }),
            Ok(_) | Err(_) => {
                Err(Problem::new(None, "the configuration cannot be merged", "check its sections"))
            }
        }
    }

    /// The value at `path`.
    pub(super) fn value(&self, path: &[&str]) -> Option<&Value> {
        find(&self.merged, path)
    }

    /// Where the value at `path` was set.
    pub(super) fn place(&self, path: &[&str]) -> Option<&Place> {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        self.layers.iter().rev().find_map(|layer| layer.places.get(&path))
    }

    /// The names of the tables below `path`.
    pub(super) fn sections(&self, path: &[&str]) -> Vec<String> {
        match self.value(path) {
            Some(Value::Dict(_, inner)) => inner.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// Every unknown key of every layer.
    pub(super) fn unknown_keys(&self) -> Vec<Problem> {
        self.layers.iter().flat_map(Layer::unknown_keys).collect()
    }
}

/// What variables of ours begin with.
pub const ENVIRONMENT_PREFIX: &str = "CLOAKROOM__";

fn unknown(path: &[String], place: &Place) -> Problem {
    let spell = |dotted: &str| match place {
        Place::Environment(_) => {
            format!("{ENVIRONMENT_PREFIX}{}", dotted.replace('.', "__").to_ascii_uppercase())
        }
        Place::File { .. } | Place::Flag(_) => dotted.to_owned(),
    };
    let remedy = match keys::nearest(path) {
        Some(key) => format!("did you mean `{}`?", spell(&key)),
        // In this order: like every command, `config show` refuses a configuration with such a key.
        None => "remove it; then `cloakroom config show` lists every key".to_owned(),
    };
    Problem::new(Some(place.clone()), format!("unknown key `{}`", spell(&path.join("."))), remedy)
}

fn find<'a, S: AsRef<str>>(values: &'a Dict, path: &[S]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = values.get(first.as_ref())?;
    match (rest.is_empty(), value) {
        (true, value) => Some(value),
        (false, Value::Dict(_, inner)) => find(inner, rest),
        (false, _) => None,
    }
}

fn collect_places(
    table: &toml::de::DeTable<'_>,
    path: &mut Vec<String>,
    found: &mut impl FnMut(&[String], usize),
) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        found(path, key.span().start);
        if let Some(inner) = value.get_ref().as_table() {
            collect_places(inner, path, found);
        }
        path.pop();
    }
}

fn place(path: &Path, line: usize) -> Place {
    Place::File { path: path.to_owned(), line }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
