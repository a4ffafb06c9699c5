//! A parent for the tests to kill: starts one server, says which, and waits to be killed.

#![expect(clippy::print_stdout, reason = "the test reads it")]

use std::{io::Read as _, path::Path};

use cloakroom_servers::{Clock, Failure, Memcached, Outcome, Postgres, Redis, Surroundings};

fn main() -> Outcome {
    let mut request = String::new();
    let reading = |error| Failure::new("reading the request", error);
    std::io::stdin().read_to_string(&mut request).map_err(reading)?;
    match request.trim() {
        "redis" => {
            let server = Redis::start()?;
            hold(server.pid(), server.directory());
        }
        "postgres" => {
            let server = Postgres::start()?;
            hold(server.pid(), server.directory());
        }
        "paused postgres" => {
            let server = Postgres::start()?;
            server.pause();
            hold(server.pid(), server.directory());
        }
        "redis on a small disk, by its own clock" => {
            let surroundings = Surroundings::default().with_clock(Clock::right()).with_disk(4);
            let server = Redis::start_in(&surroundings, &[])?;
            hold(server.pid(), server.directory());
        }
        "panic" => {
            let server = Memcached::start()?;
            show(server.pid(), server.directory());
            panic!("as asked");
        }
        other => return Err(Failure::new("holding a server", format!("what is `{other}`?"))),
    }
    Ok(())
}

fn hold(pid: Option<u32>, directory: &Path) {
    show(pid, directory);
    loop {
        std::thread::park();
    }
}

fn show(pid: Option<u32>, directory: &Path) {
    println!("{} {}", pid.unwrap_or_default(), directory.display());
}
