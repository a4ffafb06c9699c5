//! Statements counted by the server, plans, bytes.

use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};

use cloakroom_conformance::{Filing, Fixtures, T0, at, principal_id};
use cloakroom_core::{OnLimit, SessionId, SessionLimit};
use cloakroom_mysql::MysqlStore;
use cloakroom_servers::Mariadb;
use cloakroom_store::{
    ExportQuery, InsertRequest, Inserted, ListFilter, ListOrder, ListQuery, Lookup, Rekeyed, Replaced,
    Selector, StateFilter, Store, SweepRequest, Version,
};

use crate::support::{change, end, exchange, file, note, open, options, runtime, shared, try_file};

/// How many statements the server was asked since the last time.
pub(crate) struct Meter<'a> {
    server: &'a Mariadb,
    last: u64,
}

impl<'a> Meter<'a> {
    pub(crate) fn of(server: &'a Mariadb) -> Self {
        Self { server, last: 0 }
    }

    pub(crate) fn read(&mut self) -> u64 {
        let now = status(self.server, "Questions");
        let asked = now - self.last;
        self.last = now;
        asked
    }

    /// What asking costs by itself.
    pub(crate) fn own(&mut self) -> u64 {
        self.read();
        self.read()
    }
}

/// A number that the server counts.
fn status(server: &Mariadb, name: &str) -> u64 {
    let text = server.sql("mysql", &format!("SHOW GLOBAL STATUS LIKE '{name}'")).unwrap();
    text.trim().rsplit('\t').next().unwrap().parse().unwrap()
}

#[test]
fn every_verb_costs_as_many_statements_as_the_book_says_by_the_servers_own_count() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        // One connection: a second one would be opened, and told its settings, while the first is on its way back.
        let one = options(&server.url()).with_connections(NonZeroUsize::MIN);
        let store = MysqlStore::connect(one).await.unwrap();
        let mut meter = Meter::of(&server);
        let own = meter.own();
        let mut fixtures = Fixtures::new(1);
        let limit = SessionLimit { max: NonZeroU32::new(2).unwrap(), on_limit: OnLimit::EndOldest };
        // Twice: connections and prepared statements are made in the first round, and none in the second.
        let mut prepared = [status(&server, PREPARED), 0, 0];
        for round in 0..2 {
            let mut bill = Bill { meter: &mut meter, own, counts: round == 1 };
            bill.check("nothing", 0);
            let filings: Vec<Filing> = (0..4).map(|_| fixtures.signed_in("alice")).collect();
            for filing in &filings {
                try_file(&store, filing, None).await.unwrap();
            }
            bill.check("insert", 4);
            let last = fixtures.signed_in("alice");
            let Inserted::Done { ended } = try_file(&store, &last, Some(limit)).await.unwrap() else {
                panic!()
            };
            assert_eq!(ended.len(), 3);
            bill.check("insert with a limit that ends three", 1);
            let found = store.get(last.digest, T0).await.unwrap();
            assert_eq!(found, Lookup::Live(last.live()));
            bill.check("get", 1);
            assert_eq!(
                change(&store, &last, Version::FIRST).await.unwrap(),
                Replaced::Done(Version::from_u64(2))
            );
            bill.check("replace", 1);
            assert!(matches!(change(&store, &last, Version::FIRST).await.unwrap(), Replaced::Conflict(_)));
            bill.check("replace with a conflict", 2);
            let next = last.rotated(fixtures.next_digest(&last), T0);
            let exchanged = exchange(&store, &last, &next, Version::from_u64(2)).await.unwrap();
            assert_eq!(exchanged, Rekeyed::Done(Version::from_u64(3)));
            bill.check("rekey", 1);
            note(&store, &[next.clone(), filings[0].clone()], at(1)).await.unwrap();
            bill.check("touch", 1);
            of_many(&mut bill, &store, last.id()).await;
            prepared[round + 1] = status(&server, PREPARED);
            // Asking for it was a question as well.
            meter.own();
        }
        let [before, first, second] = prepared;
        assert!(first >= before + 15, "each statement is prepared: {prepared:?}");
        assert_eq!(second, first, "what was prepared once is not prepared again");
    });
}

/// What is asked, and what it may cost.
struct Bill<'a, 'b> {
    meter: &'b mut Meter<'a>,
    /// What asking the server for its count costs by itself.
    own: u64,
    counts: bool,
}

impl Bill<'_, '_> {
    fn check(&mut self, verb: &str, most: u64) {
        let asked = self.meter.read() - self.own;
        assert!(!self.counts || asked == most, "{verb}: {asked} statements instead of {most}");
    }
}

/// Verbs about several sessions, and the ends; `last` is one that alice has.
async fn of_many(bill: &mut Bill<'_, '_>, store: &MysqlStore, last: SessionId) {
    store.list(&ListQuery::new(ListFilter::default()), T0).await.unwrap();
    bill.check("list", 1);
    let mut any = ListFilter::default();
    any.state = StateFilter::Any;
    any.principal = Some(principal_id("alice"));
    store.list(&ListQuery::new(any), T0).await.unwrap();
    bill.check("list of a principal", 1);
    store.count(T0).await.unwrap();
    bill.check("count", 1);
    let alice = Selector::Principal { principal: principal_id("alice"), except: None };
    assert_eq!(end(store, &alice, T0).await.unwrap().ended.len(), 2);
    bill.check("end of a principal", 1);
    end(store, &Selector::One(last), T0).await.unwrap();
    bill.check("end of one", 1);
    end(store, &Selector::All, T0).await.unwrap();
    bill.check("end of all", 1);
    let now = at(100_000_000);
    store.sweep(SweepRequest { now, limit: 100, lease: std::time::Duration::ZERO }).await.unwrap();
    bill.check("sweep", 1);
    store.export(&ExportQuery::new(None, NonZeroU16::MAX), T0).await.unwrap();
    bill.check("export to the end", 2);
    store.ping().await.unwrap();
    bill.check("ping", 1);
}

/// How many statements the server has prepared.
const PREPARED: &str = "Com_stmt_prepare";

/// Sessions as the procedures would have written them, twenty of each principal; the others of each four have ended.
const CROWD: &str = "
SELECT RPAD(body, 256, 'x') INTO @body FROM session;
DELETE FROM session;
INSERT INTO session (digest, id, principal, signed_in, buried, version, generation, created_at, last_seen_at,
    idle_timeout, absolute_expires_at, retention, due_at, ip, ended_at, end_reason, body)
SELECT CONCAT(UNHEX(SHA2(seq, 256)), 'xx'), UNHEX(MD5(seq)), CONCAT('user-', who), 1, gone, 1, 0,
    1800000000000 + seq, 1800000000000 + seq, 1800000, 1800043200000 + seq, 86400000, 1800001800000 + seq,
    IF(gone, NULL, CONCAT('192.0.', who DIV 250, '.', who MOD 250)),
    IF(gone, 1800000000000 + seq, NULL), IF(gone, 'signed_out', NULL), IF(gone, NULL, @body)
FROM (SELECT seq, seq MOD {principals} AS who, seq DIV {principals} MOD 4 >= {live} AS gone FROM seq_1_to_{size}) AS numbered;
INSERT INTO retired SELECT CONCAT(UNHEX(SHA2(-seq, 256)), 'xx'), UNHEX(MD5(seq)), seq, seq + 1900000000000 FROM seq_1_to_{size};
ANALYZE TABLE session, retired";

/// `live` of each four are live.
async fn crowded(server: &Mariadb, database: &str, size: u32, live: u8) -> MysqlStore {
    // One connection: each reads what a procedure does when it calls it first, which counts as well.
    let one = options(&server.database(database).unwrap()).with_connections(NonZeroUsize::MIN);
    let store = MysqlStore::connect(one).await.unwrap();
    let typical = Fixtures::new(77).signed_in("user-1").with_ip([192, 0, 2, 1]);
    file(&store, &typical.with_attribute("cart", *b"a hat and a pair of shoes")).await;
    let principals = (size / 20).to_string();
    let crowd = CROWD.replace("{size}", &size.to_string()).replace("{principals}", &principals);
    let crowd = crowd.replace("{live}", &live.to_string());
    server.sql(database, &crowd).unwrap();
    store
}

/// Rows that the server looked at so far, by its own count.
fn rows_looked_at(server: &Mariadb) -> u64 {
    let sql = "SELECT CAST(SUM(VARIABLE_VALUE) AS UNSIGNED) FROM information_schema.global_status WHERE VARIABLE_NAME IN
               ('HANDLER_READ_FIRST', 'HANDLER_READ_KEY', 'HANDLER_READ_LAST', 'HANDLER_READ_NEXT', 'HANDLER_READ_PREV',
                'HANDLER_READ_RND', 'HANDLER_READ_RND_NEXT')";
    server.sql("mysql", sql).unwrap().trim().parse().unwrap()
}

/// What was looked at for each verb.
struct Tally<'a> {
    server: &'a Mariadb,
    /// What counting costs by itself.
    own: u64,
    last: u64,
    rows: Vec<(&'static str, u64)>,
}

impl<'a> Tally<'a> {
    fn of(server: &'a Mariadb) -> Self {
        let before = rows_looked_at(server);
        let last = rows_looked_at(server);
        Self { server, own: last - before, last, rows: Vec::new() }
    }

    fn note(&mut self, verb: &'static str) {
        let now = rows_looked_at(self.server);
        self.rows.push((verb, now - self.last - self.own));
        self.last = now;
    }
}

/// More telling than a plan: what was really read, inside procedures as well.
#[test]
fn every_verb_looks_at_as_many_rows_among_a_hundred_thousand_as_among_a_thousand_and_they_are_few() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        let few = rows_of_each_verb(&server, "few", 1_000).await;
        let many = rows_of_each_verb(&server, "many", 100_000).await;
        assert_eq!(few, many, "what a verb costs does not grow with the number of sessions");
        let bounds = MOST.iter().map(|(verb, _)| *verb);
        assert!(bounds.eq(many.iter().map(|(verb, _)| *verb)), "{many:?}");
        for ((verb, rows), (_, most)) in many.iter().zip(MOST) {
            assert!(rows <= most, "{verb} looked at {rows} rows instead of {most}: {many:?}");
        }
    });
}

/// What each verb may look at. Rows that the server puts into temporary tables, to number them and to count them, are among
/// its count.
const MOST: &[(&str, u64)] = &[
    ("two inserts", 8),
    ("an insert that ends seventeen", 240),
    ("get", 5),
    ("get of nothing", 5),
    ("replace", 3),
    ("rekey", 9),
    ("touch of three", 15),
    // Thirteen for each of the fifty that are told of and the one after them.
    ("a page", 700),
    ("a page of ended ones", 700),
    ("a page of both", 1_600),
    ("a page from the middle", 700),
    ("a principal", 220),
    ("an address", 250),
    ("one", 5),
    ("end of one", 7),
    ("end of a principal", 75),
    ("sweep of four", 32),
    ("sweep with nothing due", 16),
    ("sweep of fifty", 280),
    ("export of fifty", 110),
    ("ping", 3),
];

async fn rows_of_each_verb(server: &Mariadb, database: &str, size: u32) -> Vec<(&'static str, u64)> {
    let store = crowded(server, database, size, 3).await;
    let mut fixtures = Fixtures::new(1);
    let [a, b, c] = std::array::from_fn(|_| fixtures.signed_in("user-7"));
    let now = at(30_000);
    let mut tally = Tally::of(server);
    for filing in [&a, &b] {
        file(&store, filing).await;
    }
    tally.note("two inserts");
    let limit = SessionLimit { max: NonZeroU32::new(1).unwrap(), on_limit: OnLimit::EndOldest };
    let Filing { record, digest } = &c;
    let request = InsertRequest { record, digest: *digest, limit: Some(limit), replaces: None, now: T0 };
    let Inserted::Done { ended } = store.insert(request).await.unwrap() else { panic!() };
    assert_eq!(ended.len(), 17, "of twenty sessions of each, every fourth was over");
    tally.note("an insert that ends seventeen");
    assert_eq!(store.get(c.digest, T0).await.unwrap(), Lookup::Live(c.live()));
    tally.note("get");
    assert!(matches!(store.get(fixtures.anonymous().digest, T0).await.unwrap(), Lookup::Unknown));
    tally.note("get of nothing");
    change(&store, &c, Version::FIRST).await.unwrap();
    tally.note("replace");
    let next = c.rotated(fixtures.next_digest(&c), T0);
    exchange(&store, &c, &next, Version::from_u64(2)).await.unwrap();
    tally.note("rekey");
    note(&store, &[next.clone(), a.clone(), b.clone()], at(1)).await.unwrap();
    tally.note("touch of three");
    for (name, filter) in filters(size) {
        let page = store.list(&ListQuery::new(filter), now).await.unwrap();
        assert!(!page.items.is_empty() || name == "one", "{name}");
        tally.note(name);
    }
    end(&store, &Selector::One(next.id()), T0).await.unwrap();
    tally.note("end of one");
    let principal = Selector::Principal { principal: principal_id("user-8"), except: None };
    assert_eq!(end(&store, &principal, T0).await.unwrap().ended.len(), 15);
    tally.note("end of a principal");
    let round = SweepRequest { now, limit: 50, lease: std::time::Duration::ZERO };
    assert_eq!(store.sweep(round).await.unwrap().removed, 4, "what this test left");
    tally.note("sweep of four");
    store.sweep(round).await.unwrap();
    tally.note("sweep with nothing due");
    let later = SweepRequest { now: at(1_800_070), ..round };
    let swept = store.sweep(later).await.unwrap();
    assert_eq!((swept.ended.len(), swept.removed, swept.more), (50, 0, true));
    tally.note("sweep of fifty");
    store.export(&ExportQuery::new(None, NonZeroU16::new(50).unwrap()), T0).await.unwrap();
    tally.note("export of fifty");
    store.ping().await.unwrap();
    tally.note("ping");
    tally.rows
}

fn filters(size: u32) -> Vec<(&'static str, ListFilter)> {
    let such = |set: fn(&mut ListFilter)| {
        let mut filter = ListFilter::default();
        set(&mut filter);
        filter
    };
    let mut from_the_middle = ListFilter::default();
    from_the_middle.issued_before = Some(at(i64::from(size / 2)));
    vec![
        ("a page", ListFilter::default()),
        ("a page of ended ones", such(|filter| filter.state = StateFilter::Ended)),
        ("a page of both", such(|filter| filter.state = StateFilter::Any)),
        ("a page from the middle", from_the_middle),
        ("a principal", such(|filter| filter.principal = Some(principal_id("user-9")))),
        ("an address", such(|filter| filter.ip = Some([192, 0, 0, 9].into()))),
        ("one", such(|filter| filter.session = Some(Fixtures::new(5).anonymous().id()))),
    ]
}

#[test]
fn people_see_who_is_signed_in_and_what_they_see_is_what_the_store_says() {
    let server = shared();
    let url = server.database("people").unwrap();
    runtime().block_on(async {
        let store = open(&url).await;
        let mut fixtures = Fixtures::new(1);
        let ever = std::time::Duration::from_millis(i64::MAX.unsigned_abs());
        let endless =
            |filing: Filing| filing.with_idle_timeout(ever).with_absolute_at(cloakroom_core::Timestamp::MAX);
        let zoe = endless(fixtures.signed_in("zoë")).with_ip([203, 0, 113, 9]);
        let (nobody, gone) = (endless(fixtures.anonymous()), endless(fixtures.signed_in("bob")));
        for filing in [&zoe, &nobody, &gone] {
            file(&store, filing).await;
        }
        end(&store, &Selector::One(gone.id()), T0).await.unwrap();
        let seen = server.sql("people", "SELECT * FROM active_sessions").unwrap();
        let fields: Vec<&str> = seen.trim_end().split('\t').collect();
        let id = zoe.id().to_string();
        let issued = "2027-01-15 08:00:00.000000";
        assert_eq!(fields, [&*id, "zoë", "203.0.113.9", issued, issued, "NULL"]);
        end(&store, &Selector::All, T0).await.unwrap();
        assert_eq!(server.sql("people", "SELECT * FROM active_sessions").unwrap(), "");
    });
}

/// Live sessions with records of 256 bytes, all indexes included: the figure in the book, which is about a hundred thousand.
#[test]
fn a_session_takes_as_many_bytes_as_the_book_says() {
    let server = shared();
    let chapter = include_str!("../../../../docs/book/stores/mysql.md");
    let said = chapter.split_once("About ").and_then(|(_, after)| after.split_once(" bytes on disk"));
    let said: f64 = said.unwrap().0.parse().unwrap();
    runtime().block_on(async {
        drop(crowded(server, "bytes", 100_000, 4).await);
        let bytes = server.sql(
            "bytes",
            "SELECT (data_length + index_length) / 100000 FROM information_schema.tables
             WHERE table_schema = 'bytes' AND table_name = 'session'",
        );
        let bytes: f64 = bytes.unwrap().trim().parse().unwrap();
        assert!((said * 0.95..said * 1.05).contains(&bytes), "{bytes}, and the book says {said}");
    });
}

/// Rows of indexes that the server has read so far.
fn rows_read(server: &Mariadb) -> u64 {
    let status = "SHOW GLOBAL STATUS WHERE Variable_name IN
        ('Handler_read_first', 'Handler_read_key', 'Handler_read_last', 'Handler_read_next', 'Handler_read_prev')";
    let text = server.sql("mysql", status).unwrap();
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers.len(), 5, "{text}");
    numbers.into_iter().sum()
}

#[test]
fn no_page_of_a_list_makes_the_server_read_more_rows_than_its_bound() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        let store = open(&server.url()).await;
        let mut fixtures = Fixtures::new(1);
        let filings: Vec<Filing> = (0..MANY)
            .map(|number| {
                let filing = fixtures.signed_in(&format!("person-{}", number / 2)).issued_at(at(number));
                if number % 500 == 7 {
                    filing.with_ip([192, 0, 2, 7])
                } else {
                    filing.with_ip([192, 0, 2, 1])
                }
            })
            .collect();
        let mut filed = tokio::task::JoinSet::new();
        for part in filings.chunks(400) {
            let (store, part) = (store.clone(), part.to_vec());
            filed.spawn(async move {
                for filing in &part {
                    file(&store, filing).await;
                }
            });
        }
        filed.join_all().await;
        let list = |conditions: fn(&mut ListFilter)| {
            let mut filter = ListFilter::default();
            conditions(&mut filter);
            filter
        };
        let filters = [
            list(|_| ()),
            list(|filter| filter.state = StateFilter::Any),
            list(|filter| filter.state = StateFilter::Ended),
            list(|filter| filter.principal = Some(principal_id("person-7"))),
            list(|filter| filter.ip = Some([192, 0, 2, 7].into())),
            list(|filter| filter.ip = Some([192, 0, 2, 1].into())),
            list(|filter| filter.principal_prefix = Some(principal_id("person-77"))),
            list(|filter| filter.principal_prefix = Some(principal_id("person"))),
            list(|filter| filter.principal_prefix = Some(principal_id("q"))),
        ];
        for (filter, order) in filters.into_iter().flat_map(|filter| {
            [ListOrder::NewestFirst, ListOrder::OldestFirst].map(|order| (filter.clone(), order))
        }) {
            let query = ListQuery::new(filter).ordered(order);
            let before = rows_read(&server);
            let page = store.list(&query, at(MANY)).await.unwrap();
            let read = rows_read(&server) - before;
            // Besides the rows that are told of: each one found is fetched by its number, with the epochs that could end it.
            let most = page.read + 3 * (u64::from(query.limit.get()) + 2) + 16;
            assert!(page.read <= u64::from(ListQuery::MOST_READ), "{query:?}");
            assert!(read <= most, "{read} rows, {} told of: {query:?}", page.read);
        }
    });
}

const MANY: i64 = 3_000;
