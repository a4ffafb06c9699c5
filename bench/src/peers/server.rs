//! A subject at work: its server, its Redis, and the load on it.

use std::path::Path;

use cloakroom_servers::Redis;
use serde::Deserialize;
use tempfile::TempDir;

use crate::affinity::Processors;
use crate::child::Child;
use crate::error::{Doing as _, Error, Outcome};
use crate::statistics::{each, number};

use super::case::Case;
use super::load::{Done, Length, Turn};
use super::subject::{SESSIONS_EACH, Store, Subject};

/// A subject at work. What it is made of ends when this is dropped: the load first, the store last.
pub(super) struct Running {
    pub(super) subject: Subject,
    load: Child,
    server: Child,
    pub(super) redis: Option<Redis>,
    _directory: TempDir,
}

/// What a turn cost.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(super) struct Spent {
    /// The server's processor time for a request.
    pub(super) nanoseconds: f64,
    /// Requests in a second: of both sides together, since they wait for each other.
    pub(super) requests_per_second: f64,
}

#[derive(Deserialize)]
struct Address {
    port: u16,
}

impl Running {
    /// Starts it, and signs in.
    pub(super) fn start(subject: Subject, programs: &Path, processors: Processors) -> Outcome<Self> {
        let directory = TempDir::with_prefix("cloakroom-bench-").doing("making a directory")?;
        let redis = match subject.store {
            Store::Redis => Some(Redis::start_with(&["--appendonly", "no"]).doing("starting Redis")?),
            Store::None | Store::Memory | Store::Sqlite => None,
        };
        let mut arguments = vec![subject.variant.to_owned()];
        arguments.extend(["--cpu".to_owned(), processors.measured.to_string()]);
        arguments.extend(["--directory".to_owned(), directory.path().display().to_string()]);
        if let Some(redis) = &redis {
            arguments.extend(["--redis".to_owned(), redis.url()]);
        }
        let mut server = Child::start_program(&programs.join(subject.program), arguments)?;
        let Address { port } = server.hear()?;
        let mut arguments = vec![
            format!("--port={port}"),
            format!("--connections={CONNECTIONS}"),
            format!("--sessions-each={}", subject.sessions_each()),
            format!("--cpu={}", processors.rest),
        ];
        arguments.extend(subject.is_bare().then(|| "--bare".to_owned()));
        let mut load = Child::start("peers-load", arguments)?;
        answer(&mut load, &subject)?;
        Ok(Self { subject, load, server, redis, _directory: directory })
    }

    /// What requests of this case cost, for so long. A little goes before that is not counted: others have had the
    /// processor since.
    pub(super) fn spend(&mut self, case: Case, milliseconds: u64) -> Outcome<Spent> {
        let length = if case.follows_a_read() {
            self.turn(Case::ColdRead, Length::RequestsEach(SESSIONS_EACH))?;
            Length::RequestsEach(SESSIONS_EACH)
        } else {
            self.turn(case, Length::Milliseconds(milliseconds / 8))?;
            Length::Milliseconds(milliseconds)
        };
        let before = self.server.processor_nanoseconds()?;
        let (requests, seconds) = self.turn(case, length)?;
        let spent = self.server.processor_nanoseconds()?.saturating_sub(before);
        Ok(Spent {
            nanoseconds: each(number(spent), requests),
            requests_per_second: f64::from(u32::try_from(requests).unwrap_or(u32::MAX)) / seconds,
        })
    }

    /// Makes so many requests of this case on each connection; answers how many they were in all.
    pub(super) fn requests(&mut self, case: Case, each_connection: usize) -> Outcome<usize> {
        Ok(self.turn(case, Length::RequestsEach(each_connection))?.0)
    }

    fn turn(&mut self, case: Case, length: Length) -> Outcome<(usize, f64)> {
        self.load.tell(&Turn { case, length })?;
        answer(&mut self.load, &self.subject)
    }
}

fn answer(load: &mut Child, subject: &Subject) -> Outcome<(usize, f64)> {
    match load.hear()? {
        Done::Requests { count, seconds } => Ok((count, seconds)),
        Done::Failed(why) => Err(Error::new(format!("{} ({})", subject.name(), subject.variant), why)),
    }
}

/// As many as the figures that the issue quotes were measured with.
const CONNECTIONS: usize = 32;
