//! The scripts: one for each verb, run whole or not at all by the server.

use std::sync::LazyLock;

use redis::Script as Source;

/// A script, known to a server by its digest once it has seen it.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) source: &'static str,
    pub(crate) access: Access,
    pub(crate) keys: Keys,
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

/// Which keys a script is called with: by them a Cluster knows whether it is asked at the right place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keys {
    /// A bucket's epoch, and a key that never exists: while the bucket is on its way, nobody answers for it.
    Bucket,
    /// The list of ends, which is one key: it is here or there.
    Ends,
}

impl Script {
    /// The digest that `EVALSHA` names it by.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }
}

macro_rules! script {
    ($name:ident, $keys:ident, $access:ident, $flags:literal, $($part:literal),+) => {
        pub(crate) static $name: Script = {
            const SOURCE: &str = concat!("#!lua flags=", $flags, "\n", $(include_str!(concat!("scripts/", $part))),+);
            Script {
                name: stringify!($name),
                source: SOURCE,
                access: Access::$access,
                keys: Keys::$keys,
                digest: LazyLock::new(|| Source::new(SOURCE).get_hash().to_owned()),
            }
        };
    };
}

// `allow-oom` where a full server must not keep anybody from it: whatever ends or clears up, and activity, which makes
// nothing larger. Without a flag the server refuses to begin while it is full.
script!(GET, Bucket, Reads, "no-writes", "look.lua", "get.lua");
script!(LIST, Bucket, Reads, "no-writes", "look.lua", "judge.lua", "list.lua");
script!(COUNT, Bucket, Reads, "no-writes", "look.lua", "judge.lua", "count.lua");
script!(EXPORT, Bucket, Reads, "no-writes", "look.lua", "judge.lua", "export.lua");
script!(DUE, Bucket, Reads, "no-writes", "look.lua", "judge.lua", "due.lua");
script!(INSERT, Bucket, Writes, "", "look.lua", "judge.lua", "insert.lua");
script!(IMPORT, Bucket, Writes, "", "look.lua", "judge.lua", "import.lua");
script!(CHANGE, Bucket, Writes, "", "look.lua", "judge.lua", "change.lua");
script!(TOUCH, Bucket, Repeats, "allow-oom", "look.lua", "judge.lua", "touch.lua");
script!(PING, Bucket, Repeats, "", "look.lua", "ping.lua");
script!(END, Bucket, Writes, "allow-oom", "look.lua", "judge.lua", "end.lua");
script!(END_MANY, Bucket, Writes, "allow-oom", "look.lua", "judge.lua", "end_many.lua");
script!(SWEEP, Bucket, Writes, "allow-oom", "look.lua", "judge.lua", "round.lua", "mend.lua", "sweep.lua");
script!(ENDS_READ, Ends, Reads, "no-writes", "ends.lua", "ends_read.lua");
script!(ENDS_ADD, Ends, Writes, "allow-oom", "ends.lua", "ends_add.lua");
script!(ENDS_PRUNE, Ends, Writes, "allow-oom", "ends.lua", "ends_prune.lua");
// What is added to the list is let in while the server is full: so is this.
script!(ENDS_PING, Ends, Repeats, "allow-oom", "look.lua", "ping.lua");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_begins_with_its_flags_and_has_a_digest_of_its_own() {
        let scripts = [
            &GET,
            &LIST,
            &COUNT,
            &EXPORT,
            &DUE,
            &PING,
            &INSERT,
            &IMPORT,
            &CHANGE,
            &TOUCH,
            &END,
            &END_MANY,
            &SWEEP,
            &ENDS_READ,
            &ENDS_ADD,
            &ENDS_PRUNE,
            &ENDS_PING,
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
