//! Statements counted by the server, plans, bytes.

use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};

use cloakroom_conformance::{Filing, Fixtures, T0, at, principal_id};
use cloakroom_core::{OnLimit, SessionLimit};
use cloakroom_mysql::MysqlStore;
use cloakroom_servers::Mariadb;
use cloakroom_store::{
    ExportQuery, InsertRequest, Inserted, ListFilter, ListOrder, ListQuery, Lookup, Rekeyed, Replaced,
    Selector, StateFilter, Store, SweepRequest, Version,
};

use crate::support::{Outsider, change, end, exchange, file, note, open, options, runtime, shared, try_file};

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
        let text = self.server.sql("mysql", "SHOW GLOBAL STATUS LIKE 'Questions'").unwrap();
        let now: u64 = text.trim().rsplit('\t').next().unwrap().parse().unwrap();
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
        for round in 0..2 {
            let mut check = |verb: &str, most: u64| {
                let asked = meter.read() - own;
                assert!(round == 0 || asked == most, "{verb}: {asked} statements instead of {most}");
            };
            check("nothing", 0);
            let filings: Vec<Filing> = (0..4).map(|_| fixtures.signed_in("alice")).collect();
            for filing in &filings {
                try_file(&store, filing, None).await.unwrap();
            }
            check("insert", 4);
            let last = fixtures.signed_in("alice");
            let Inserted::Done { ended } = try_file(&store, &last, Some(limit)).await.unwrap() else {
                panic!()
            };
            assert_eq!(ended.len(), 3);
            check("insert with a limit that ends three", 1);
            let found = store.get(last.digest, T0).await.unwrap();
            assert_eq!(found, Lookup::Live(last.live()));
            check("get", 1);
            assert_eq!(
                change(&store, &last, Version::FIRST).await.unwrap(),
                Replaced::Done(Version::from_u64(2))
            );
            check("replace", 1);
            assert!(matches!(change(&store, &last, Version::FIRST).await.unwrap(), Replaced::Conflict(_)));
            check("replace with a conflict", 2);
            let next = last.rotated(fixtures.next_digest(&last), T0);
            let exchanged = exchange(&store, &last, &next, Version::from_u64(2)).await.unwrap();
            assert_eq!(exchanged, Rekeyed::Done(Version::from_u64(3)));
            check("rekey", 1);
            note(&store, &[next.clone(), filings[0].clone()], at(1)).await.unwrap();
            check("touch", 1);
            store.list(&ListQuery::new(ListFilter::default()), T0).await.unwrap();
            check("list", 1);
            let mut any = ListFilter::default();
            any.state = StateFilter::Any;
            any.principal = Some(principal_id("alice"));
            store.list(&ListQuery::new(any), T0).await.unwrap();
            check("list of a principal", 1);
            store.count(T0).await.unwrap();
            check("count", 1);
            let alice = Selector::Principal { principal: principal_id("alice"), except: None };
            assert_eq!(end(&store, &alice, T0).await.unwrap().ended.len(), 2);
            check("end of a principal", 1);
            end(&store, &Selector::One(last.id()), T0).await.unwrap();
            check("end of one", 1);
            end(&store, &Selector::All, T0).await.unwrap();
            check("end of all", 1);
            let now = at(100_000_000);
            store.sweep(SweepRequest { now, limit: 100, lease: std::time::Duration::ZERO }).await.unwrap();
            check("sweep", 1);
            store.export(&ExportQuery::new(None, NonZeroU16::MAX), T0).await.unwrap();
            check("export to the end", 2);
            store.ping().await.unwrap();
            check("ping", 1);
        }
    });
}

/// Sessions of five thousand principals as the procedures would have written them: of each fifteen live ones, five that
/// ended.
const CROWD: &str = "
SELECT body INTO @body FROM session;
DELETE FROM session;
INSERT INTO session (digest, id, principal, signed_in, buried, version, generation, created_at, last_seen_at,
    idle_timeout, absolute_expires_at, retention, due_at, ip, ended_at, end_reason, body)
SELECT CONCAT(UNHEX(SHA2(seq, 256)), 'xx'), UNHEX(MD5(seq)), CONCAT('user-', seq MOD 5000), 1, seq DIV 5000 MOD 4 = 3, 1, 0,
    1800000000000 + seq, 1800000000000 + seq, 1800000, 1800043200000 + seq, 86400000, 1800001800000 + seq,
    IF(seq DIV 5000 MOD 4 = 3, NULL, CONCAT('192.0.', seq MOD 250, '.', seq MOD 11)),
    IF(seq DIV 5000 MOD 4 = 3, 1800000000000 + seq, NULL), IF(seq DIV 5000 MOD 4 = 3, 'signed_out', NULL),
    IF(seq DIV 5000 MOD 4 = 3, NULL, @body)
FROM seq_1_to_{size};
INSERT INTO retired SELECT CONCAT(UNHEX(SHA2(-seq, 256)), 'xx'), UNHEX(MD5(seq)), seq, seq + 1900000000000 FROM seq_1_to_10000;
ANALYZE TABLE session, retired";

async fn crowded(server: &Mariadb, url: &str, database: &str, size: u32) -> std::sync::Arc<MysqlStore> {
    let store = open(url).await;
    let typical = Fixtures::new(77).signed_in("user-1").with_ip([192, 0, 2, 1]);
    file(&store, &typical.with_attribute("cart", *b"a hat and a pair of shoes")).await;
    server.sql(database, &CROWD.replace("{size}", &size.to_string())).unwrap();
    store
}

/// Rows that the server looked at for what `ask` asks, by its own count.
fn rows_looked_at(server: &Mariadb) -> u64 {
    let sql = "SELECT CAST(SUM(VARIABLE_VALUE) AS UNSIGNED) FROM information_schema.global_status WHERE VARIABLE_NAME IN
               ('HANDLER_READ_FIRST', 'HANDLER_READ_KEY', 'HANDLER_READ_LAST', 'HANDLER_READ_NEXT', 'HANDLER_READ_PREV',
                'HANDLER_READ_RND', 'HANDLER_READ_RND_NEXT')";
    server.sql("mysql", sql).unwrap().trim().parse().unwrap()
}

/// More telling than a plan: what was really read, inside procedures as well.
#[test]
fn no_verb_looks_at_more_rows_among_a_hundred_thousand_than_it_answers_with() {
    let server = Mariadb::start().unwrap();
    runtime().block_on(async {
        let store = crowded(&server, &server.url(), "cloakroom", 100_000).await;
        let mut fixtures = Fixtures::new(1);
        let [a, b, c] = std::array::from_fn(|_| fixtures.signed_in("user-7"));
        let now = at(30_000);
        let own = {
            let before = rows_looked_at(&server);
            rows_looked_at(&server) - before
        };
        let mut last = rows_looked_at(&server);
        let mut check = |verb: &str, most: u64| {
            let asked = (rows_looked_at(&server) - last).saturating_sub(own);
            assert!(asked <= most, "{verb} looked at {asked} rows instead of {most}");
            last = rows_looked_at(&server);
        };
        for filing in [&a, &b] {
            file(&store, filing).await;
        }
        check("two inserts", 20);
        let limit = SessionLimit { max: NonZeroU32::new(1).unwrap(), on_limit: OnLimit::EndOldest };
        let Filing { record, digest } = &c;
        let request = InsertRequest { record, digest: *digest, limit: Some(limit), replaces: None, now: T0 };
        let Inserted::Done { ended } = store.insert(request).await.unwrap() else { panic!() };
        assert_eq!(ended.len(), 17, "of twenty sessions of each, every fourth was over");
        check("an insert that ends seventeen", 400);
        assert_eq!(store.get(c.digest, T0).await.unwrap(), Lookup::Live(c.live()));
        check("get", 8);
        assert!(matches!(store.get(fixtures.anonymous().digest, T0).await.unwrap(), Lookup::Unknown));
        check("get of nothing", 8);
        change(&store, &c, Version::FIRST).await.unwrap();
        check("replace", 10);
        let next = c.rotated(fixtures.next_digest(&c), T0);
        exchange(&store, &c, &next, Version::from_u64(2)).await.unwrap();
        check("rekey", 25);
        note(&store, &[next.clone(), a.clone(), b.clone()], at(1)).await.unwrap();
        check("touch of three", 25);
        for (name, most, filter) in filters() {
            let page = store.list(&ListQuery::new(filter), now).await.unwrap();
            assert!(!page.items.is_empty() || name == "one", "{name}");
            check(name, most);
        }
        end(&store, &Selector::One(next.id()), T0).await.unwrap();
        check("end of one", 15);
        let principal = Selector::Principal { principal: principal_id("user-8"), except: None };
        assert_eq!(end(&store, &principal, T0).await.unwrap().ended.len(), 15);
        check("end of a principal", 300);
        let round = SweepRequest { now, limit: 50, lease: std::time::Duration::ZERO };
        assert_eq!(store.sweep(round).await.unwrap().removed, 4, "what this test left");
        check("sweep of four", 250);
        store.sweep(round).await.unwrap();
        check("sweep with nothing due", 40);
        let later = SweepRequest { now: at(1_805_050), ..round };
        let swept = store.sweep(later).await.unwrap();
        assert_eq!((swept.ended.len(), swept.removed, swept.more), (50, 0, true));
        check("sweep of fifty", 800);
        store.export(&ExportQuery::new(None, NonZeroU16::new(50).unwrap()), T0).await.unwrap();
        check("export of fifty", 300);
        store.ping().await.unwrap();
        check("ping", 5);
    });
}

/// What each page may look at. Rows that the server puts into temporary tables, to number them and to count them, are among
/// its count: a dozen for each that it takes from an index, of which there are 51 for a page.
fn filters() -> Vec<(&'static str, u64, ListFilter)> {
    let such = |set: fn(&mut ListFilter)| {
        let mut filter = ListFilter::default();
        set(&mut filter);
        filter
    };
    vec![
        ("a page", 800, ListFilter::default()),
        ("a page of ended ones", 800, such(|filter| filter.state = StateFilter::Ended)),
        ("a page of both", 1_600, such(|filter| filter.state = StateFilter::Any)),
        ("a page from the middle", 800, such(|filter| filter.issued_before = Some(at(50_000)))),
        ("a principal", 400, such(|filter| filter.principal = Some(principal_id("user-9")))),
        ("an address", 1_600, such(|filter| filter.ip = Some([192, 0, 9, 1].into()))),
        ("one", 40, such(|filter| filter.session = Some(Fixtures::new(5).anonymous().id()))),
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

/// Live sessions with a device and a small attribute, all indexes included: the figure in the book.
#[test]
fn a_session_takes_as_many_bytes_as_the_book_says() {
    let server = shared();
    let url = server.database("bytes").unwrap();
    runtime().block_on(async {
        drop(crowded(server, &url, "bytes", 14_999).await);
        let mut outsider = Outsider::connect(&url).await;
        let bytes = outsider
            .reads(
                "SELECT CAST((data_length + index_length) / 14999 AS CHAR) FROM information_schema.tables
                 WHERE table_schema = 'bytes' AND table_name = 'session'",
            )
            .await;
        let bytes: f64 = bytes[0].parse().unwrap();
        assert!((700.0..1_300.0).contains(&bytes), "{bytes}");
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
