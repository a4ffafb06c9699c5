//! One Redis server.

use cloakroom_proof::clock::now;
use cloakroom_servers::{Redis, Relay};

use super::{ENDS, LET_IN, by, lawful, plan};

#[test]
fn redis_healthy_ends_reach_every_node_and_what_is_remembered_is_not_asked_for() {
    let redis = Redis::start().unwrap();
    // The command by which the store reads; it is the server that counts.
    let reads = || calls_of(&redis, "evalsha_ro");
    let mut quiet = (0, 0, 0);
    let report = lawful("Redis, healthy", &plan(&redis.url(), 1, |_| redis.url()), |stage| {
        stage.leases(5.0);
        stage.until_enough(ENDS, LET_IN)?;
        stage.hold();
        // What was begun is over, and what lives has been read once.
        stage.leases(3.0);
        stage.until_all_trust()?;
        let before = (now(), reads());
        stage.until_enough(0, stage.let_in() + MANY)?;
        quiet = (before.0, now(), reads() - before.1);
        Ok(())
    });
    assert!(reads() > 0, "reads are counted under another name");
    let (from, to, asked) = quiet;
    let answers = report.records.iter().flatten().filter(|record| (from..to).contains(&record.asked)).count();
    println!("in {} ms: {answers} answers, {asked} reads at the store", (to - from) / 1_000_000);
    // A node that was kept waiting for a lease by the machine asks for each of a few sessions once more; one whose memory is
    // no use asks each time.
    assert!(asked * 10 < answers.try_into().unwrap(), "{asked} reads for {answers} answers");
}

/// Answers for which a memory that is of use asks a few times at most, however often a busy machine has it forget.
const MANY: u64 = 20_000;

fn calls_of(redis: &Redis, command: &str) -> u64 {
    let all = redis.command(&["INFO", "commandstats"]).unwrap();
    let prefix = format!("cmdstat_{command}:calls=");
    let found =
        all.lines().find_map(|line| line.trim().strip_prefix(&prefix)?.split(',').next()?.parse().ok());
    found.unwrap_or_default()
}

#[test]
fn redis_killed_restarted_and_stopped_for_longer_than_a_lease() {
    let redis = Redis::start().unwrap();
    let report = lawful("Redis, killed and stopped", &plan(&redis.url(), 2, |_| redis.url()), |stage| {
        stage.leases(2.0);
        redis.kill();
        stage.leases(1.5);
        redis.restart()?;
        stage.leases(3.0);
        for leases in [0.5, 2.5] {
            redis.pause();
            stage.leases(leases);
            redis.resume();
            stage.leases(3.0);
        }
        stage.until_all_trust()
    });
    assert!(report.unavailable > 0, "an outage longer than a lease shows: {report}");
}

#[test]
fn links_to_redis_stalled_one_way_cut_and_held_up() {
    let redis = Redis::start().unwrap();
    let relays: Vec<Relay> = (0..3).map(|_| Relay::to(redis.port()).unwrap()).collect();
    let plan = plan(&redis.url(), 3, |number| by(&relays[number], &redis.url(), redis.port()));
    lawful("Redis, links", &plan, |stage| {
        stage.leases(2.0);
        relays[0].stall_replies();
        relays[1].stall_requests();
        stage.leases(0.7);
        relays[2].cut();
        stage.leases(1.8);
        relays[0].flow();
        relays[1].flow();
        stage.leases(2.0);
        // Late again and again: each news and each proof by half a lease.
        for _ in 0..4 {
            relays.iter().for_each(Relay::stall_replies);
            stage.leases(0.5);
            relays.iter().for_each(Relay::flow);
            stage.leases(0.1);
        }
        relays[1].refuse();
        relays[1].cut();
        stage.leases(2.0);
        relays[1].accept()?;
        stage.until_all_trust()
    });
}
