use cloakroom_servers::{Redis, RedisCluster, RedisSentinel, Role};

use crate::is_alive;

#[test]
fn redis_keeps_what_it_acknowledged_through_kill_9_and_leaves_nothing_when_dropped() {
    let server = Redis::start_with(&["--maxmemory", "64mb"]).unwrap();
    assert_eq!(server.url(), format!("redis://127.0.0.1:{}", server.port()));
    assert_eq!(server.command(&["CONFIG", "GET", "maxmemory"]).unwrap(), "maxmemory\n67108864");
    server.command(&["SET", "key", "value"]).unwrap();
    server.kill();
    assert!(server.command(&["GET", "key"]).is_err());
    server.restart().unwrap();
    assert_eq!(server.command(&["GET", "key"]).unwrap(), "value");
    let failure = server.command(&["NONSENSE"]).unwrap_err().to_string();
    assert!(failure.contains("unknown command"), "{failure}");
    let (directory, pid) = (server.directory().to_owned(), server.pid().unwrap());
    drop(server);
    assert!(!is_alive(pid) && !directory.exists());
}

#[test]
fn redis_knows_acl_users_from_its_options() {
    let server = Redis::start_with(&["--user", "alice", "on", ">secret", "~*", "&*", "+@all"]).unwrap();
    assert_eq!(server.command(&["AUTH", "alice", "secret"]).unwrap(), "OK");
    assert!(server.command(&["AUTH", "alice", "wrong"]).is_err());
}

#[cfg(feature = "tls")]
#[test]
fn servers_with_tls_are_reached_by_tls_alone() {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
    };

    use cloakroom_servers::{Authority, Postgres};

    let authority = Authority::new().unwrap();
    let redis = Redis::start_tls(&authority, &[]).unwrap();
    assert_eq!(redis.url(), format!("rediss://127.0.0.1:{}", redis.port()));
    assert_eq!(redis.command(&["PING"]).unwrap(), "PONG");
    let mut plain = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    plain.write_all(b"PING\r\n").unwrap();
    let mut answer = String::new();
    let _ = plain.read_to_string(&mut answer);
    assert!(!answer.contains("PONG"), "{answer}");
    let postgres = Postgres::start_tls(&authority, &[]).unwrap();
    assert!(postgres.url().ends_with("?sslmode=require"));
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid();";
    assert_eq!(postgres.sql("cloakroom", encrypted).unwrap(), "t");
}

#[test]
fn sentinel_replaces_a_primary_that_was_killed_and_takes_it_back_as_a_replica() {
    let group = RedisSentinel::start().unwrap();
    assert_eq!(group.url().matches("127.0.0.1").count(), 3);
    let old = group.primary_port().unwrap();
    assert_eq!(group.replicas().unwrap().len(), 2);
    group.primary().unwrap().command(&["SET", "key", "value"]).unwrap();
    assert_eq!(group.primary().unwrap().command(&["WAIT", "2", "5000"]).unwrap(), "2");
    assert_eq!(group.kill_primary().unwrap(), old);
    let new = group.wait_for_failover(old).unwrap();
    assert_eq!(group.server(new).unwrap().command(&["GET", "key"]).unwrap(), "value");
    assert!(group.replicas().unwrap().contains(&old));
    group.primary().unwrap().command(&["SET", "key", "newer"]).unwrap();
    group.heal().unwrap();
    assert_eq!(group.server(old).unwrap().command(&["GET", "key"]).unwrap(), "newer");
}

#[test]
fn a_cluster_promotes_the_replica_of_a_primary_that_was_killed() {
    let cluster = RedisCluster::start().unwrap();
    let nodes = cluster.nodes().unwrap();
    assert_eq!(nodes.iter().filter(|node| node.role == Role::Primary).count(), 3);
    assert_eq!(nodes.iter().filter(|node| node.role == Role::Replica).count(), 3);
    let slot = cluster.slot_of("{tag}key").unwrap();
    assert_eq!(slot, cluster.slot_of("{tag}other").unwrap());
    cluster.primary_of(slot).unwrap().command(&["SET", "{tag}key", "value"]).unwrap();
    assert_eq!(cluster.primary_of(slot).unwrap().command(&["WAIT", "1", "5000"]).unwrap(), "1");
    let old = cluster.kill_primary_of(slot).unwrap();
    let new = cluster.wait_for_promotion(slot, old).unwrap();
    assert_ne!(old, new);
    assert_eq!(cluster.server(new).unwrap().command(&["GET", "{tag}key"]).unwrap(), "value");
    cluster.heal().unwrap();
    let role = |port| cluster.nodes().unwrap().into_iter().find(|node| node.port == port).unwrap().role;
    assert_eq!((role(old), role(new)), (Role::Replica, Role::Primary));
}

#[test]
fn a_slot_moves_with_its_keys_and_is_redirected_key_by_key_meanwhile() {
    let cluster = RedisCluster::start().unwrap();
    let slot = cluster.slot_of("{tag}").unwrap();
    let source = cluster.primary_of(slot).unwrap();
    for key in ["{tag}a", "{tag}b", "{tag}c"] {
        source.command(&["SET", key, key]).unwrap();
    }
    let nodes = cluster.nodes().unwrap();
    let target = nodes.iter().find(|node| node.role == Role::Primary && !node.owns(slot)).unwrap().port;
    let migration = cluster.begin_migration(slot, target).unwrap();
    assert_eq!(migration.move_keys(1).unwrap(), 1);
    let answers = ["{tag}a", "{tag}b", "{tag}c"].map(|key| source.command(&["GET", key]));
    let redirected: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert_eq!(redirected.len(), 1, "{answers:?}");
    assert!(redirected.iter().all(|failure| failure.to_string().contains("ASK")), "{redirected:?}");
    let both = source.command(&["MGET", "{tag}a", "{tag}b", "{tag}c"]).unwrap_err().to_string();
    assert!(both.contains("TRYAGAIN"), "{both}");
    migration.finish().unwrap();
    assert_eq!(cluster.primary_of(slot).unwrap().port(), target);
    assert_eq!(cluster.server(target).unwrap().command(&["GET", "{tag}c"]).unwrap(), "{tag}c");
    let moved = source.command(&["GET", "{tag}a"]).unwrap_err().to_string();
    assert!(moved.contains("MOVED"), "{moved}");
    cluster.migrate_slot(slot, source.port()).unwrap();
    assert_eq!(source.command(&["GET", "{tag}a"]).unwrap(), "{tag}a");
}
