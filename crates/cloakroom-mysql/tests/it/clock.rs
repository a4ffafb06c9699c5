//! A server whose clock is wrong.

use std::time::{SystemTime, UNIX_EPOCH};

use cloakroom_conformance::{ServerClock, check_clock};
use cloakroom_core::Timestamp;
use cloakroom_servers::{Clock, Mariadb, Surroundings};
use cloakroom_store::Store as _;

use crate::support::{open, runtime};

struct Wall(Mariadb);

impl ServerClock for Wall {
    fn set(&self, ahead: i64) {
        self.0.set_clock(Clock::ahead_by(ahead)).unwrap();
    }

    #[expect(clippy::disallowed_methods, reason = "the clock that the server's is compared with")]
    fn true_time(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_millis(since.as_millis().try_into().unwrap())
    }
}

#[test]
fn a_clock_that_is_wrong_and_set_while_sessions_live_loses_ends_and_revives_none() {
    let ahead = Surroundings::default().with_clock(Clock::ahead_by(600));
    let wall = Wall(Mariadb::start_in(&ahead, &[]).unwrap());
    runtime().block_on(async {
        let store = open(&wall.0.url()).await;
        assert!(store.ping().await.unwrap().is_some(), "the database tells its clock");
        check_clock(store, &wall).await;
    });
}
