//! `cloakroom-proof reach`: the promise of reach, watched for as long as you like.

#![expect(clippy::print_stdout, reason = "a command-line tool prints")]

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use cloakroom_proof::crew::Wish;
use cloakroom_proof::run::{Plan, Stage, run};
use cloakroom_proof::work::Random;
use cloakroom_proof::{Fallible, clock, node};
use cloakroom_servers::{Postgres, Redis, Relay};

#[derive(Parser)]
#[command(name = "cloakroom-proof", about = "The promise of reach on real servers")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Nodes, people who come and go, and violence; every acceptance is judged
    Reach(Reach),
    /// A node of a run
    #[command(hide = true)]
    Node(node::Options),
}

#[derive(Clone, clap::Args)]
struct Reach {
    /// The kind of store
    #[arg(long, value_enum, default_value = "redis")]
    store: Kind,
    /// How long
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// What decides the schedule
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The lease of all nodes, in milliseconds
    #[arg(long, default_value_t = 1_000)]
    lease_millis: u64,
    /// How many nodes
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// No violence
    #[arg(long)]
    healthy: bool,
    /// Also write the report to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Break this step of the near cache's protocol in the first node
    #[arg(long)]
    sabotage: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Redis,
    Postgres,
    Sqlite,
}

/// What a run may hurt besides nodes and links.
enum Server {
    Redis(Redis),
    Postgres(Postgres),
    File(tempfile::TempDir),
}

impl Server {
    fn start(kind: Kind) -> Fallible<Self> {
        Ok(match kind {
            Kind::Redis => Self::Redis(Redis::start()?),
            Kind::Postgres => Self::Postgres(Postgres::start()?),
            Kind::Sqlite => Self::File(tempfile::tempdir()?),
        })
    }

    /// Where it is; behind a relay, where there is one to be had.
    fn url(&self) -> (String, Option<u16>) {
        match self {
            Self::Redis(redis) => (redis.url(), Some(redis.port())),
            Self::Postgres(postgres) => (postgres.url(), Some(postgres.port())),
            Self::File(directory) => {
                (format!("sqlite:{}", directory.path().join("sessions.db").display()), None)
            }
        }
    }

    fn hurt(&self, stage: &Stage<'_>, random: &mut Random) -> Fallible {
        let leases = f64::from(u32::try_from(random.below(30)).unwrap_or_default()) / 10.0;
        match (self, random.below(3)) {
            (Self::Redis(redis), 0) => {
                redis.kill();
                stage.leases(leases);
                redis.restart()?;
            }
            (Self::Postgres(postgres), 0) => {
                postgres.kill();
                stage.leases(leases);
                postgres.restart()?;
            }
            (Self::Postgres(postgres), 1) => drop(postgres.sql("postgres", TERMINATE)?),
            (Self::Redis(redis), _) => {
                redis.pause();
                stage.leases(leases);
                redis.resume();
            }
            (Self::Postgres(postgres), _) => {
                postgres.pause();
                stage.leases(leases);
                postgres.resume();
            }
            (Self::File(_), _) => {}
        }
        Ok(())
    }
}

fn main() -> Fallible {
    match Arguments::parse().what {
        What::Node(options) => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?
            .block_on(node::serve(options)),
        What::Reach(reach) => watch(&reach),
    }
}

fn watch(reach: &Reach) -> Fallible {
    let server = Server::start(reach.store)?;
    let (direct, port) = server.url();
    let relays: Vec<Relay> = match port {
        Some(port) => (0..reach.nodes).map(|_| Relay::to(port)).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let sabotage = reach.sabotage.as_deref().map(node::sabotage_named).transpose()?;
    let wish = |number: usize| Wish {
        store: match (relays.get(number), port) {
            (Some(relay), Some(port)) => direct.replace(&format!(":{port}"), &format!(":{}", relay.port())),
            _ => direct.clone(),
        },
        sabotage: sabotage.filter(|_| number == 0),
    };
    let plan = Plan {
        program: std::env::current_exe()?,
        nodes: (0..reach.nodes).map(wish).collect(),
        direct: direct.clone(),
        lease: Duration::from_millis(reach.lease_millis),
        seed: reach.seed,
        sign_ins_may_be_lost: false,
    };
    let until = clock::now().saturating_add(clock::nanos(Duration::from_secs_f64(reach.minutes * 60.0)));
    let report = run(&plan, |stage| {
        let mut random = Random(reach.seed);
        let mut turns = 0_u64;
        while clock::now() < until {
            if reach.healthy {
                stage.leases(1.0);
            } else {
                violence(reach, stage, &server, &relays, &mut random)?;
            }
            turns += 1;
            if turns.is_multiple_of(10) {
                println!("{} s left", until.saturating_sub(clock::now()) / 1_000_000_000);
            }
        }
        Ok(())
    })?;
    println!("{report}");
    if let Some(file) = &reach.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)?)?;
    }
    if report.breaches > 0 && reach.sabotage.is_none() { Err("the law was broken".into()) } else { Ok(()) }
}

/// One act of violence, and a while of peace.
fn violence(
    reach: &Reach,
    stage: &Stage<'_>,
    server: &Server,
    relays: &[Relay],
    random: &mut Random,
) -> Fallible {
    let pick = random.below(u64::try_from(reach.nodes).unwrap_or(1));
    let victim = usize::try_from(pick).unwrap_or_default();
    let leases = f64::from(u32::try_from(random.below(30)).unwrap_or_default()) / 10.0;
    match (random.below(6), relays.get(victim)) {
        (0, Some(relay)) => relay.cut(),
        (1, Some(relay)) => {
            relay.stall();
            stage.leases(leases);
            relay.flow();
        }
        (2, Some(relay)) => {
            relay.stall_replies();
            stage.leases(leases);
            relay.flow();
        }
        (3, Some(relay)) => {
            relay.stall_requests();
            stage.leases(leases);
            relay.flow();
        }
        (4, _) => {
            stage.pause(victim);
            stage.leases(leases);
            stage.resume(victim);
        }
        _ => server.hurt(stage, random)?,
    }
    stage.leases(1.0);
    Ok(())
}

const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'cloakroom';";
