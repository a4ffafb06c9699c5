//! What somebody who runs the servers should know: sentences, each with its remedy.

use std::fmt;

use crate::facts::{NO_EVICTION, RedisFacts, ServerFacts, may_evict_everything};

/// What somebody who runs the servers should know, and what to do. Its text is one sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedisWarning {
    cause: String,
    remedy: String,
}

impl RedisWarning {
    fn new(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { cause: cause.into(), remedy: remedy.into() }
    }

    /// What is weak, on which servers, and what comes of it.
    #[must_use]
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// What to do.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

impl fmt::Display for RedisWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.cause, self.remedy)
    }
}

impl RedisFacts {
    /// What somebody who runs this should know; nothing where all is well. What is so on several servers is said once.
    #[must_use]
    pub fn warnings(&self) -> Vec<RedisWarning> {
        self.warnings_of(&SESSIONS)
    }

    /// The same where what is kept there is a list of ends ([`RedisRevocations`](crate::RedisRevocations)): whatever
    /// it loses, lets sessions live again that were ended.
    #[must_use]
    pub fn warnings_of_list(&self) -> Vec<RedisWarning> {
        self.warnings_of(&ENDS)
    }

    fn warnings_of(&self, kept: &Kept) -> Vec<RedisWarning> {
        let mut groups: Vec<(RedisWarning, Vec<&str>)> = Vec::new();
        for server in &self.servers {
            for warning in server.warnings(kept, self.replicas_demanded) {
                match groups.iter_mut().find(|(other, _)| *other == warning) {
                    Some((_, addresses)) => addresses.push(&server.address),
                    None => groups.push((warning, vec![&server.address])),
                }
            }
        }
        let of_servers = groups.into_iter().map(|(RedisWarning { cause, remedy }, addresses)| {
            RedisWarning::new(format!("{}: {cause}", addresses.join(", ")), remedy)
        });
        self.warnings_of_way().into_iter().chain(of_servers).collect()
    }

    fn warnings_of_way(&self) -> Vec<RedisWarning> {
        let mut warnings = Vec::new();
        if self.is_in_clear {
            warnings.push(RedisWarning::new(
                "sessions travel to Redis in clear",
                "write rediss:// and give the server a certificate",
            ));
        }
        if self.is_open {
            warnings.push(RedisWarning::new(
                "Redis is asked without a password: whoever reaches it can end and forge sessions",
                "give it a user, as docs/book/stores/redis.md says",
            ));
        }
        warnings
    }
}

/// What is kept on servers, and what it means to lose some of it.
struct Kept {
    /// What a restart without an append-only file does.
    restarted: &'static str,
    /// What losing the last moments does to what ended in them.
    loses: &'static str,
    may_evict: fn(policy: &str) -> bool,
    /// What a full server may do that evicts it.
    evicted: &'static str,
    /// What comes of not being told of changes.
    deaf: &'static str,
    /// What to allow for being told of them.
    to_hear: &'static str,
    /// Whose URL it is where replicas can be demanded.
    name: &'static str,
}

const SESSIONS: Kept = Kept {
    restarted: "a crash loses the sessions of the last minutes and revives those that ended in them",
    loses: "revives sessions that",
    may_evict: |policy| policy != NO_EVICTION,
    evicted: "signs people out",
    deaf: "nothing is cached and every read asks Redis",
    to_hear: "allow it +client|tracking +ping, in a Cluster also +cluster|nodes",
    name: "store",
};

const ENDS: Kept = Kept {
    restarted: "a restart forgets what ended, and whoever was signed out is let in again",
    loses: "forgets what",
    may_evict: may_evict_everything,
    evicted: "may forget the whole list of ends, and whoever was signed out is let in again",
    deaf: "other nodes hear of an end at their next reading only",
    to_hear: "allow it +client|tracking +ping",
    name: "list",
};

impl ServerFacts {
    fn warnings(&self, kept: &Kept, demanded: u32) -> Vec<RedisWarning> {
        let Kept { evicted, deaf, to_hear, .. } = kept;
        let mut warnings = Vec::from_iter(self.warning_of_file(kept));
        let policy = &self.eviction_policy;
        if (kept.may_evict)(policy) {
            let cause = format!("maxmemory-policy is {policy}: a full server {evicted}");
            warnings.push(RedisWarning::new(cause, "set it to noeviction"));
        }
        if !self.tells_changes {
            let cause = format!("the user may not follow changes: {deaf}");
            warnings.push(RedisWarning::new(cause, *to_hear));
        }
        if self.max_memory == 0 {
            let cause = "maxmemory is not set: a server that grows beyond the machine's memory is killed";
            warnings.push(RedisWarning::new(cause, "set it"));
        }
        warnings.extend(self.warning_of_replicas(kept, demanded));
        warnings
    }

    fn warning_of_file(&self, Kept { restarted, loses, .. }: &Kept) -> Option<RedisWarning> {
        match self.append_fsync.as_deref() {
            _ if !self.append_only => {
                Some(RedisWarning::new(format!("no append-only file: {restarted}"), "set appendonly yes"))
            }
            None => Some(RedisWarning::new(
                "could not ask how often the append-only file is written (CONFIG is denied)",
                format!("see that appendfsync is always, or a crash {loses} ended in the last second"),
            )),
            Some("always") => None,
            Some(other) => Some(RedisWarning::new(
                format!(
                    "appendfsync is {other}: a crash of the machine {loses} ended in the last second or more"
                ),
                "set it to always, or accept that",
            )),
        }
    }

    /// That some are there and not asked for, or that some are asked for and missing.
    fn warning_of_replicas(&self, Kept { loses, name, .. }: &Kept, demanded: u32) -> Option<RedisWarning> {
        let replicas = self.replicas;
        let counted = |count| if count == 1 { "1 replica".to_owned() } else { format!("{count} replicas") };
        if replicas > 0 && demanded == 0 {
            return Some(RedisWarning::new(
                format!(
                    "{} and no wait_replicas: a fail-over {loses} ended just before it",
                    counted(replicas)
                ),
                format!("add ?wait_replicas={replicas} to the {name}'s URL"),
            ));
        }
        (replicas < u64::from(demanded)).then(|| {
            let are_demanded = if demanded == 1 { "is demanded" } else { "are demanded" };
            let are_there = match replicas {
                0 => "none is there".to_owned(),
                1 => "1 is there".to_owned(),
                _ => format!("{replicas} are there"),
            };
            RedisWarning::new(
                format!("{} {are_demanded} and {are_there}: signing out fails", counted(u64::from(demanded))),
                "start the others, or demand fewer",
            )
        })
    }
}
