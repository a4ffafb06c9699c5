//! PostgreSQL.

use cloakroom_servers::{Postgres, Relay};

use super::{by, lawful, plan};

#[test]
fn postgres_backends_terminated_server_stopped_and_restarted_links_cut() {
    let postgres = Postgres::start().unwrap();
    let relays: Vec<Relay> = (0..3).map(|_| Relay::to(postgres.port()).unwrap()).collect();
    let plan = plan(&postgres.url(), 7, |number| by(&relays[number], &postgres.url(), postgres.port()));
    lawful("PostgreSQL", &plan, |stage| {
        stage.leases(3.0);
        postgres.sql("postgres", TERMINATE)?;
        stage.leases(2.0);
        relays[0].stall_replies();
        relays[1].stall_requests();
        stage.leases(2.0);
        relays[0].flow();
        relays[1].flow();
        relays[2].cut();
        stage.leases(2.0);
        postgres.pause();
        stage.leases(2.0);
        postgres.resume();
        stage.leases(2.0);
        postgres.kill();
        stage.leases(1.0);
        postgres.restart()?;
        stage.leases(3.0);
        stage.until_all_trust()
    });
}

const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'cloakroom';";
