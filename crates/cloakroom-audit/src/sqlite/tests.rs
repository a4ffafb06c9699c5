use std::io::{Read as _, Seek as _, Write as _};

use cloakroom::Actor;
use cloakroom_core::{Device, PrincipalId};

use super::*;
use crate::{
    Along, AuditQuery, ChainHash, Damage, Draft, Order, SEED_BYTES, SealingKey, TrustedKeys, Verdict,
    WriterId, page, verify,
};

const AT: Timestamp = Timestamp::from_millis(1_767_268_800_000);

struct Bench {
    _dir: tempfile::TempDir,
    path: PathBuf,
    log: SqliteAudit,
    key: SealingKey,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accounts.db");
        std::fs::write(&path, "").unwrap();
        let log = SqliteAudit::open(&path).unwrap();
        Self { _dir: dir, path, log, key: SealingKey::from_seed(&[3; SEED_BYTES]).unwrap() }
    }

    /// A log of so many events, sealed at its end.
    async fn with(count: u64) -> Self {
        let bench = Self::new();
        for (number, first) in (1..).zip((1..=count).step_by(1_000)) {
            let drafts = (first..=count.min(first + 999)).map(draft).collect();
            let batch = Batch { writer: WriterId::from_random([1; 16]), number, at: AT, drafts };
            bench.log.append(Arc::new(batch)).await.unwrap();
        }
        bench.seal().await;
        bench
    }

    async fn seal(&self) {
        let seal = Seal::new(self.log.head().await.unwrap(), AT, &self.key);
        self.log.put_seal(seal).await.unwrap();
    }

    /// Does something behind the log's back.
    fn tamper(&self, sql: &str) {
        Connection::open(&self.path).unwrap().execute_batch(sql).unwrap();
    }

    async fn verdict(&self) -> Verdict {
        verify(&self.log, &TrustedKeys::new([*self.key.public()]), None, |_| ()).await.unwrap()
    }

    async fn check(&self, what: &str, seq: u64, damage: impl Fn(&Damage) -> bool) {
        match self.verdict().await {
            Verdict::Broken(broken) => {
                assert!(broken.seq == seq && damage(&broken.damage), "{what}: {broken:?}");
                assert!(broken.to_string().contains(&seq.to_string()), "{what}: {broken}");
            }
            Verdict::Intact(_) => panic!("{what}: not found"),
        }
    }
}

fn draft(n: u64) -> Draft {
    let principal = PrincipalId::new(format!("person{}", n % 500)).unwrap();
    Draft::new(
        if n.is_multiple_of(100) { "session_revoked" } else { "session_created" },
        AT.plus(Duration::from_secs(n)),
    )
    .about(Some(principal))
    .by(Actor::Admin(PrincipalId::new(if n.is_multiple_of(250) { "root" } else { "other" }).unwrap()))
    .of_session(cloakroom_core::SessionId::from_bytes(u128::from(n).to_be_bytes()))
    .because("revoked_by_admin")
    .from_device(Some(
        Device::new().with_ip([203, 0, 113, 9].into()).with_user_agent(&format!("agent-{n}-end")),
    ))
    .with("n", n)
}

#[tokio::test]
async fn one_byte_changed_in_the_file_of_a_hundred_thousand_events_is_named() {
    let bench = Bench::with(100_000).await;
    let Verdict::Intact(verified) = bench.verdict().await else { panic!("broken") };
    assert_eq!((verified.events, verified.sealed), (100_000, Some(100_000)));
    bench.tamper("PRAGMA wal_checkpoint(TRUNCATE)");
    let Bench { _dir, path, log, key } = bench;
    drop(log);
    let mut file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    let needle = b"agent-54321-end";
    let place = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    file.seek(std::io::SeekFrom::Start(u64::try_from(place).unwrap())).unwrap();
    file.write_all(b"b").unwrap();
    drop(file);
    let bench = Bench { _dir, log: SqliteAudit::open(&path).unwrap(), path, key };
    bench.check("a byte", 54_321, |damage| *damage == Damage::Changed).await;
}

#[tokio::test]
async fn every_column_that_is_changed_is_found_at_its_event() {
    let bench = Bench::with(3_000).await;
    for (set, back) in [
        ("event = 'session_create'", "event = 'session_created'"),
        ("principal = NULL", "principal = 'person234'"),
        ("principal = ''", "principal = 'person234'"),
        ("session = 'ses_x'", "session = (SELECT session FROM kept)"),
        ("actor_kind = 'user'", "actor_kind = 'admin'"),
        ("actor_id = 'root'", "actor_id = 'other'"),
        ("reason = 'signed_out'", "reason = 'revoked_by_admin'"),
        ("ip = '203.0.113.8'", "ip = '203.0.113.9'"),
        ("user_agent = 'agent'", "user_agent = 'agent-1234-end'"),
        ("detail = '{\"n\":1235}'", "detail = '{\"n\":1234}'"),
        ("detail = 'not JSON'", "detail = '{\"n\":1234}'"),
        ("at = at + 1", "at = at - 1"),
        ("hash = zeroblob(32)", "hash = (SELECT hash FROM kept)"),
        ("hash = zeroblob(3)", "hash = (SELECT hash FROM kept)"),
        ("prev = zeroblob(32)", "prev = (SELECT prev FROM kept)"),
    ] {
        bench.tamper("CREATE TABLE kept AS SELECT * FROM audit_events WHERE seq = 1234");
        bench.tamper(&format!("UPDATE audit_events SET {set} WHERE seq = 1234"));
        bench.check(set, 1_234, |damage| *damage == Damage::Changed).await;
        bench.tamper(&format!("UPDATE audit_events SET {back} WHERE seq = 1234; DROP TABLE kept"));
        assert!(matches!(bench.verdict().await, Verdict::Intact(_)), "{back}");
    }
}

#[tokio::test]
async fn removed_moved_and_forged_events_are_named() {
    let missing = |through| move |damage: &Damage| *damage == Damage::Missing { through };
    let bench = Bench::with(1_500).await;
    bench.tamper("DELETE FROM audit_events WHERE seq = 700");
    bench.check("one removed", 700, missing(700)).await;
    bench.tamper("DELETE FROM audit_events WHERE seq <= 600");
    bench.check("the beginning removed", 1, missing(600)).await;

    let bench = Bench::with(1_500).await;
    bench.tamper(
        "UPDATE audit_events SET seq = -1 WHERE seq = 800; UPDATE audit_events SET seq = 800 WHERE seq = 801;
         UPDATE audit_events SET seq = 801 WHERE seq = -1",
    );
    bench.check("two that changed places", 800, |damage| *damage == Damage::Changed).await;

    let bench = Bench::with(1_500).await;
    bench.tamper("DELETE FROM audit_events WHERE seq > 1400");
    bench
        .check("the end cut off", 1_500, |damage| matches!(damage, Damage::CutOff { last: 1_400, .. }))
        .await;

    // An event that is a good one by itself: its own hash is right.
    let bench = Bench::with(1_500).await;
    let mut rows = read::range(&bench.log.reader.lock(), 900, 900).unwrap();
    rows[0].reason = Some("forged".to_owned());
    let hash: String = rows[0].computed_hash().to_string();
    bench.tamper(&format!("UPDATE audit_events SET reason = 'forged', hash = x'{hash}' WHERE seq = 900"));
    bench.check("one with a hash of its own", 901, |damage| *damage == Damage::Unlinked).await;

    // The whole rest of the chain written anew: only the seal tells.
    let bench = Bench::with(1_500).await;
    let kept = read::range(&bench.log.reader.lock(), 1, 1_500).unwrap();
    let mut prev = ChainHash::START;
    let mut sql = String::from("BEGIN;");
    for mut row in kept {
        if row.seq == 900 {
            row.reason = Some("forged".to_owned());
        }
        row.prev = prev;
        row.hash = row.computed_hash();
        prev = row.hash;
        let (reason, prev, hash) = (row.reason.unwrap(), row.prev, row.hash);
        sql += &format!(
            "UPDATE audit_events SET reason = '{reason}', prev = x'{prev}', hash = x'{hash}' WHERE seq = {};",
            row.seq
        );
    }
    bench.tamper(&(sql + "COMMIT"));
    bench.check("a chain written anew", 1_500, |damage| matches!(damage, Damage::NotAsSealed { .. })).await;
    // With the seal taken away only the one that was kept elsewhere tells.
    let seals = bench.log.seals().await.unwrap();
    bench.tamper("DELETE FROM audit_seals");
    let trusted = TrustedKeys::new([*bench.key.public()]);
    let verdict = verify(&bench.log, &trusted, seals.into_iter().next(), |_| ()).await.unwrap();
    assert!(matches!(verdict, Verdict::Broken(broken) if broken.seq == 1_500));
}

#[tokio::test]
async fn forged_seals_and_checkpoints_are_named() {
    let bench = Bench::with(20).await;
    bench.tamper("UPDATE audit_seals SET hash = zeroblob(32)");
    let key = bench.key.public().id();
    let forged = |damage: &Damage| *damage == Damage::ForgedSeal { key: key.clone() };
    bench.check("a seal", 20, forged).await;

    // A stranger's seal proves nothing, and breaks nothing.
    let bench = Bench::with(20).await;
    let stranger = SealingKey::from_seed(&[4; SEED_BYTES]).unwrap();
    let head = Head { seq: 10, hash: ChainHash::START };
    bench.log.put_seal(Seal::new(head, AT, &stranger)).await.unwrap();
    let Verdict::Intact(verified) = bench.verdict().await else { panic!("broken") };
    assert_eq!(verified.unknown.keys().collect::<Vec<_>>(), [&stranger.public().id()]);

    let prune = async |key: &SealingKey| {
        let bench = Bench::with(20).await;
        let cut = read::range(&bench.log.reader.lock(), 10, 10).unwrap()[0].head();
        let batch =
            Batch { writer: WriterId::from_random([2; 16]), number: 1, at: AT, drafts: vec![draft(21)] };
        let checkpoint = Checkpoint::new(cut, 10, AT, key);
        let prune = Prune { follows: None, checkpoint, batch };
        bench.log.prune(Arc::new(prune)).await.unwrap().unwrap();
        bench
    };
    let bench = prune(&bench.key).await;
    assert!(matches!(bench.verdict().await, Verdict::Intact(_)));
    bench.tamper(
        "INSERT INTO audit_events SELECT 5, at, event, principal, session, actor_kind, actor_id, reason, ip, \
                  user_agent, detail, prev, hash FROM audit_events WHERE seq = 11",
    );
    bench.check("an event before the checkpoint", 5, |damage| *damage == Damage::Inserted).await;
    let bench = prune(&bench.key).await;
    bench.tamper("UPDATE audit_checkpoint SET removed = 9");
    let forged = |is| move |damage: &Damage| matches!(damage, Damage::ForgedCheckpoint { is_trusted, .. } if *is_trusted == is);
    bench.check("a checkpoint", 10, forged(true)).await;
    prune(&stranger).await.check("a stranger's checkpoint", 10, forged(false)).await;
    // Without it the beginning is simply missing.
    let bench = prune(&bench.key).await;
    bench.tamper("DELETE FROM audit_checkpoint");
    bench.check("no checkpoint", 1, |damage| *damage == Damage::Missing { through: 10 }).await;
}

#[tokio::test]
async fn two_that_append_to_one_file_make_one_chain() {
    let bench = Bench::new();
    let other = SqliteAudit::open(&bench.path).unwrap();
    let writing = |log: SqliteAudit, id: u8| async move {
        for number in 1..=100 {
            let writer = WriterId::from_random([id; 16]);
            let batch = Batch { writer, number, at: AT, drafts: vec![draft(number), draft(number)] };
            log.append(Arc::new(batch)).await.unwrap();
        }
    };
    tokio::join!(writing(bench.log.clone(), 1), writing(other, 2));
    let Verdict::Intact(verified) = bench.verdict().await else { panic!("broken") };
    assert_eq!(verified.events, 400);
}

#[tokio::test]
async fn a_page_reads_no_more_than_it_shows_where_an_index_leads_there() {
    let bench = Bench::with(20_000).await;
    let alone = |set: fn(&mut AuditQuery)| {
        let mut query = AuditQuery::latest();
        set(&mut query);
        query
    };
    for (what, query, found, most) in [
        ("latest", alone(|_| ()), 50, 51),
        ("principal", alone(|q| q.principal = Some(PrincipalId::new("person7").unwrap())), 40, 40),
        ("nobody", alone(|q| q.principal = Some(PrincipalId::new("nobody").unwrap())), 0, 0),
        ("actor", alone(|q| q.actor = Some("root".to_owned())), 50, 51),
        ("event", alone(|q| q.event = Some("session_revoked".to_owned())), 50, 51),
        (
            "session",
            alone(|q| q.session = Some(cloakroom_core::SessionId::from_bytes(5_u128.to_be_bytes()))),
            1,
            1,
        ),
        (
            "a minute",
            alone(|q| {
                (q.since, q.until) =
                    (Some(AT.plus(Duration::from_secs(600))), Some(AT.plus(Duration::from_secs(640))));
            }),
            40,
            60,
        ),
        ("page 200", alone(|q| q.before = Some(10_000)), 50, 51),
        ("a rare thing no index knows", alone(|q| q.actor_kind = Some("operator".to_owned())), 0, 2_200),
        (
            "actor and kind",
            alone(|q| {
                q.actor = Some("root".to_owned());
                q.event = Some("session_created".to_owned());
            }),
            40,
            80,
        ),
    ] {
        let found_page = page(&bench.log, &query).await.unwrap();
        assert_eq!(found_page.events.len(), found, "{what}");
        assert!(found_page.read <= most, "{what} read {}", found_page.read);
    }
    let mut query = alone(|q| q.actor_kind = Some("operator".to_owned()));
    let mut pages = 0;
    while let Some(next) = page(&bench.log, &query).await.unwrap().next {
        (query.before, pages) = (Some(next), pages + 1);
    }
    assert!((9..=10).contains(&pages), "it leads on to the end: {pages}");
}

#[test]
fn every_walk_uses_its_index() {
    let bench = Bench::new();
    let connection = bench.log.reader.lock();
    for (condition, index) in [
        ("", "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        ("principal = 'x' AND ", "audit_by_principal (principal=? AND rowid>? AND rowid<?)"),
        ("actor_id = 'x' AND ", "audit_by_actor (actor_id=? AND rowid>? AND rowid<?)"),
        ("session = 'x' AND ", "audit_by_session (session=? AND rowid>? AND rowid<?)"),
        ("event = 'x' AND ", "audit_by_event (event=? AND rowid>? AND rowid<?)"),
    ] {
        for order in ["ASC", "DESC"] {
            let sql = format!(
                "EXPLAIN QUERY PLAN SELECT * FROM audit_events WHERE {condition}seq > 1 AND seq < 9 ORDER BY seq {order} LIMIT 5"
            );
            let plan: String = connection.query_row(&sql, [], |row| row.get(3)).unwrap();
            assert!(plan.contains(index), "{plan}");
        }
    }
}

#[tokio::test]
async fn a_log_of_a_newer_version_is_left_alone() {
    let bench = Bench::new();
    bench.tamper("UPDATE audit_meta SET version = 99");
    assert!(SqliteAudit::open(&bench.path).is_err());
    assert!(SqliteAudit::open_existing(&bench.path).is_err());
    let none = bench.path.with_extension("none");
    assert!(SqliteAudit::open_existing(&none).unwrap().is_none() && !none.exists());
    std::fs::write(&none, "").unwrap();
    assert!(SqliteAudit::open_existing(&none).unwrap().is_none(), "a file without a log has none");
}

#[tokio::test]
async fn a_walk_shows_a_damaged_log_as_it_is() {
    let bench = Bench::with(3).await;
    bench.tamper("UPDATE audit_events SET user_agent = CAST(x'ff41' AS TEXT), session = 'nobody', detail = '[' WHERE seq = 2");
    let walk =
        Walk { along: Along::Log, span: Span::ALL, order: Order::OldestFirst, limit: 9.try_into().unwrap() };
    assert_eq!(bench.log.walk(walk).await.unwrap().len(), 3);
    let shown = page(&bench.log, &AuditQuery::latest()).await.unwrap();
    assert_eq!(shown.events[1].detail["unreadable"], "[");
}
