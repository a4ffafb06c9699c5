//! The scripts: one for each verb, run whole or not at all by the server.

use std::sync::LazyLock;

use redis::Script as Source;

/// A script, known to a server by its digest once it has seen it.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) source: &'static str,
    pub(crate) access: Access,
    digest: LazyLock<String>,
}

/// What a script may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// It changes nothing: asking twice is as good as once.
    Reads,
    /// It changes something, but a second time nothing more, and answers the same.
    Repeats,
    /// It changes something.
    Writes,
}

impl Script {
    /// The digest that `EVALSHA` names it by.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }
}

macro_rules! script {
    ($name:ident, $access:ident, $flags:literal, $($part:literal),+) => {
        pub(crate) static $name: Script = {
            const SOURCE: &str = concat!("#!lua flags=", $flags, "\n", $(include_str!(concat!("scripts/", $part))),+);
            Script {
                name: stringify!($name),
                source: SOURCE,
                access: Access::$access,
                digest: LazyLock::new(|| Source::new(SOURCE).get_hash().to_owned()),
            }
        };
    };
}

// `allow-oom` where a full server must not keep anybody from it: whatever ends or clears up, and activity, which makes
// nothing larger. Without a flag the server refuses to begin while it is full.
script!(GET, Reads, "no-writes", "look.lua", "get.lua");
script!(LIST, Reads, "no-writes", "look.lua", "judge.lua", "list.lua");
script!(COUNT, Reads, "no-writes", "look.lua", "judge.lua", "count.lua");
script!(EXPORT, Reads, "no-writes", "look.lua", "judge.lua", "export.lua");
script!(DUE, Reads, "no-writes", "look.lua", "judge.lua", "due.lua");
script!(INSERT, Writes, "", "look.lua", "judge.lua", "insert.lua");
script!(IMPORT, Writes, "", "look.lua", "judge.lua", "import.lua");
script!(CHANGE, Writes, "", "look.lua", "judge.lua", "change.lua");
script!(TOUCH, Repeats, "allow-oom", "look.lua", "judge.lua", "touch.lua");
script!(PING, Repeats, "", "look.lua", "ping.lua");
script!(END, Writes, "allow-oom", "look.lua", "judge.lua", "end.lua");
script!(END_MANY, Writes, "allow-oom", "look.lua", "judge.lua", "end_many.lua");
script!(SWEEP, Writes, "allow-oom", "look.lua", "judge.lua", "sweep.lua");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_begins_with_its_flags_and_has_a_digest_of_its_own() {
        let scripts = [
            &GET, &LIST, &COUNT, &EXPORT, &DUE, &PING, &INSERT, &IMPORT, &CHANGE, &TOUCH, &END, &END_MANY,
            &SWEEP,
        ];
        let mut digests: Vec<&str> = scripts.iter().map(|script| script.digest()).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), scripts.len());
        for script in scripts {
            assert!(script.source.starts_with("#!lua flags="), "{}", script.name);
            assert_eq!(
                script.access == Access::Reads,
                script.source.starts_with("#!lua flags=no-writes\n"),
                "{}",
                script.name
            );
        }
    }
}
