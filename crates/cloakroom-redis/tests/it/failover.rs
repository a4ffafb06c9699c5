//! Another server takes over: nothing acknowledged with replicas is lost, nothing ended lives, nobody restarts.

use std::io::{BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_conformance::{Filing, Fixtures, T0};
use cloakroom_redis::{RedisOptions, RedisStore};
use cloakroom_servers::{Redis, RedisCluster, RedisSentinel, Relay};
use cloakroom_store::{Applied, ErrorKind, Lookup, Store as _};

use super::{PATIENCE, alice, end_one, eventually, file, is_live, lasting, open, run};

/// The same for ends of which each has to be acknowledged, however busy the machine is.
async fn open_patient_with(url: &str, replicas: u32) -> RedisStore {
    let options =
        RedisOptions::from_url(url).unwrap().with_replicas(replicas, PATIENCE).with_deadline(PATIENCE * 2);
    RedisStore::connect(options).await.unwrap()
}

/// The store at `url`, whose ends have to reach `replicas`.
async fn open_with(url: &str, replicas: u32) -> RedisStore {
    let options = RedisOptions::from_url(url).unwrap().with_replicas(replicas, Duration::from_millis(1_500));
    RedisStore::connect(options).await.unwrap()
}

#[test]
fn after_a_fail_over_by_sentinel_whatever_replicas_acknowledged_is_ended_and_service_goes_on() {
    let servers = RedisSentinel::start().unwrap();
    run(async {
        let (store, mut fixtures) = (open_with(&servers.url(), 2).await, Fixtures::new(1));
        let patient = open_patient_with(&servers.url(), 2).await;
        let filings: Vec<Filing> = (0..40).map(|_| alice(&mut fixtures)).collect();
        for filing in &filings {
            file(&patient, filing, None).await.unwrap();
        }
        let (gone, kept) = filings.split_at(20);
        for filing in gone {
            assert_eq!(end_one(&patient, filing).await.unwrap().ended.len(), 1);
        }
        let old = servers.kill_primary().unwrap();
        let error = store.get(kept[0].digest, T0).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error:?}");
        let new = servers.wait_for_failover(old).unwrap();
        assert_ne!(old, new);
        eventually("looking up", || store.get(kept[0].digest, T0)).await;
        for filing in gone {
            assert!(
                matches!(store.get(filing.digest, T0).await.unwrap(), Lookup::Ended(_)),
                "it was acknowledged"
            );
        }
        for filing in kept {
            // The waits of the ends made sure of what was filed before.
            assert!(is_live(&store, filing).await.unwrap());
        }
        // One of two replicas is left, and two are demanded: an end is done, and said to be in doubt.
        let error = end_one(&store, &kept[0]).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::Unknown));
        assert!(
            std::error::Error::source(&error).unwrap().to_string().contains("of 2 replicas"),
            "{error:?}"
        );
        assert!(!is_live(&store, &kept[0]).await.unwrap());
        // Asking again does not pretend: what the first call did is what has to be acknowledged.
        assert!(end_one(&store, &kept[0]).await.is_err());
        // The old primary comes back as a replica; whoever was connected to it is not fooled.
        servers.heal().unwrap();
        let ending = eventually("ending", || end_one(&store, &kept[1])).await;
        // None where an attempt that was answered by an error had done it already.
        assert!(ending.ended.len() <= 1, "{ending:?}");
        assert!(!is_live(&store, &kept[1]).await.unwrap());
    });
}

#[test]
fn a_primary_that_was_replaced_while_it_was_stopped_is_left_within_seconds() {
    let servers = RedisSentinel::start().unwrap();
    run(async {
        let (store, filing) = (open(&servers.url()).await, alice(&mut Fixtures::new(1)));
        file(&store, &filing, None).await.unwrap();
        let old = servers.primary_port().unwrap();
        servers.server(old).unwrap().pause();
        let new = servers.wait_for_failover(old).unwrap();
        let found = eventually("looking up", || store.get(filing.digest, T0)).await;
        assert!(matches!(found, Lookup::Live(_)), "filed long before: {found:?}");
        end_one(&store, &filing).await.unwrap();
        servers.server(old).unwrap().resume();
        // It still believes to be the primary for a moment, and nobody asks it.
        assert!(!is_live(&store, &filing).await.unwrap());
        assert_eq!(servers.primary_port().unwrap(), new);
        let fresh = open(&servers.url()).await;
        assert!(!is_live(&fresh, &filing).await.unwrap());
    });
}

#[test]
fn after_a_fail_over_in_a_cluster_whatever_a_replica_acknowledged_is_ended_and_service_goes_on() {
    let cluster = RedisCluster::start().unwrap();
    run(async {
        let (store, mut fixtures) = (open_with(&cluster.url(), 1).await, Fixtures::new(1));
        let patient = open_patient_with(&cluster.url(), 1).await;
        let filings: Vec<Filing> =
            (0..60).map(|number| lasting(fixtures.signed_in(&format!("user-{number}")))).collect();
        for filing in &filings {
            file(&patient, filing, None).await.unwrap();
        }
        let (gone, kept) = filings.split_at(30);
        for filing in gone {
            assert_eq!(end_one(&patient, filing).await.unwrap().ended.len(), 1);
        }
        // Until the replicas have what was filed beside: ends of others wait for it.
        let witness = lasting(fixtures.signed_in("witness"));
        let tag = format!("{{{:02x}}}", witness.id().as_bytes()[0]);
        let slot = cluster.slot_of(&tag).unwrap();
        file(&store, &witness, None).await.unwrap();
        let old = cluster.kill_primary_of(slot).unwrap();
        let error = store.get(witness.digest, T0).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error:?}");
        cluster.wait_for_promotion(slot, old).unwrap();
        eventually("looking up", || store.get(witness.digest, T0)).await;
        for filing in gone {
            let found = eventually("looking up", || store.get(filing.digest, T0)).await;
            assert!(matches!(found, Lookup::Ended(_)), "it was acknowledged: {found:?}");
        }
        for filing in kept {
            let found = eventually("looking up", || store.get(filing.digest, T0)).await;
            assert!(matches!(found, Lookup::Live(_)), "{found:?}");
        }
        eventually("counting", || store.count(T0)).await;
        let next = lasting(fixtures.signed_in("witness"));
        eventually("filing", || file(&store, &next, None)).await;
        assert!(is_live(&store, &next).await.unwrap());
    });
}

#[test]
fn without_replicas_an_end_that_demands_one_is_in_doubt_however_often_it_is_asked_for() {
    let server = Redis::start().unwrap();
    run(async {
        let options =
            RedisOptions::from_url(&format!("{}?wait_replicas=1&wait_timeout=50ms", server.url())).unwrap();
        let (store, filing) = (RedisStore::connect(options).await.unwrap(), alice(&mut Fixtures::new(1)));
        file(&store, &filing, None).await.unwrap();
        for _ in 0..2 {
            let error = end_one(&store, &filing).await.unwrap_err();
            assert_eq!((error.kind(), error.applied()), (ErrorKind::Unavailable, Applied::Unknown));
            assert!(!is_live(&store, &filing).await.unwrap());
        }
    });
}

#[test]
fn a_sentinel_that_was_cut_off_is_not_believed_where_another_knows_of_a_later_election() {
    let [old, new] = [Redis::start().unwrap(), Redis::start().unwrap()];
    let [old_port, new_port] = [&old, &new].map(|server| server.url().rsplit(':').next().unwrap().to_owned());
    // Both servers say that they are primaries, and the first sentinel of the address knows only the former.
    let cut_off = sentinel_that_says(&known(old_port, 1));
    let new_known = known(new_port, 2);
    let [second, third] = [sentinel_that_says(&new_known), sentinel_that_says(&new_known)];
    run(async {
        for (hosts, primary) in [
            (format!("127.0.0.1:{cut_off},127.0.0.1:{second},127.0.0.1:{third}"), &new),
            (format!("127.0.0.1:{cut_off},127.0.0.1:1,127.0.0.1:{third}"), &new),
            // Nobody else answers: better one than none.
            (format!("127.0.0.1:{cut_off},127.0.0.1:1,127.0.0.1:2"), &old),
        ] {
            for server in [&old, &new] {
                server.command(&["FLUSHALL"]).unwrap();
            }
            let store = open(&format!("redis+sentinel://{hosts}/mymaster")).await;
            file(&store, &alice(&mut Fixtures::new(1)), None).await.unwrap();
            assert_ne!(primary.command(&["DBSIZE"]).unwrap().trim(), "0", "{hosts}");
        }
    });
}

/// What a sentinel knows: the port of the primary, the number of the election, and what it finds of it.
pub(crate) type Known = Arc<Mutex<(String, u64, &'static str)>>;

/// It finds nothing, and hangs up on whoever asks.
pub(crate) const GONE: &str = "gone";

pub(crate) fn known(primary: String, epoch: u64) -> Known {
    Arc::new(Mutex::new((primary, epoch, "master")))
}

/// A sentinel that says what it is given to know, for as long as the test runs; its port.
pub(crate) fn sentinel_that_says(known: &Known) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, known) = (listener.local_addr().unwrap().port(), Arc::clone(known));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let known = Arc::clone(&known);
            std::thread::spawn(move || answer(stream, &known));
        }
    });
    port
}

/// Answers whatever is asked until the other end is gone.
fn answer(mut stream: TcpStream, known: &Known) -> Option<()> {
    let mut requests = BufReader::new(stream.try_clone().ok()?);
    loop {
        let words = words(&mut requests)?;
        let text = match words.first()?.to_ascii_uppercase().as_str() {
            "HELLO" => "%1\r\n+proto\r\n:3\r\n".to_owned(),
            "SENTINEL" => {
                let (primary, epoch, flags) = known.lock().unwrap().clone();
                if flags == GONE {
                    return None;
                }
                let fields = [
                    "name",
                    "mymaster",
                    "ip",
                    "127.0.0.1",
                    "port",
                    &primary,
                    "config-epoch",
                    &epoch.to_string(),
                    "flags",
                    flags,
                ]
                .map(|field| format!("+{field}\r\n"));
                format!("%5\r\n{}", fields.concat())
            }
            _ => "+OK\r\n".to_owned(),
        };
        stream.write_all(text.as_bytes()).ok()?;
    }
}

/// The words of one request.
fn words(requests: &mut impl std::io::BufRead) -> Option<Vec<String>> {
    fn number(requests: &mut impl std::io::BufRead, prefix: char) -> Option<usize> {
        let mut line = String::new();
        requests.read_line(&mut line).ok()?;
        line.trim_end().strip_prefix(prefix)?.parse().ok()
    }
    let mut words = Vec::new();
    for _ in 0..number(requests, '*')? {
        let length = number(requests, '$')?;
        let mut bytes = vec![0; length + 2];
        requests.read_exact(&mut bytes).ok()?;
        words.push(String::from_utf8_lossy(&bytes).trim_end().to_owned());
    }
    Some(words)
}

#[test]
fn a_server_that_became_a_replica_is_connected_to_anew_since_its_name_may_lead_elsewhere_by_now() {
    let (server, other) = (Redis::start().unwrap(), Redis::start().unwrap());
    let port = |server: &Redis| server.url().rsplit(':').next().unwrap().to_owned();
    let relay = Relay::to(port(&server).parse().unwrap()).unwrap();
    run(async {
        let store = open(&format!("redis://127.0.0.1:{}", relay.port())).await;
        let mut fixtures = Fixtures::new(1);
        file(&store, &alice(&mut fixtures), None).await.unwrap();
        let before = relay.accepted();
        server.command(&["REPLICAOF", "127.0.0.1", &port(&other)]).unwrap();
        let error = file(&store, &alice(&mut fixtures), None).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (ErrorKind::ReadOnly, Applied::No), "{error:?}");
        assert!(relay.accepted() > before, "its name was asked for again");
        server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
        eventually("the store", || store.ping()).await;
        file(&store, &alice(&mut fixtures), None).await.unwrap();
    });
}
