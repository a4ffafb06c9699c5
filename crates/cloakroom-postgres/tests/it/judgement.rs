//! What time has ended, in SQL as in `cloakroom_core`.

use std::time::Duration;

use cloakroom_conformance::{Fixtures, Seeded};
use cloakroom_core::{Lifetime, SessionRecord, Timestamp, Verdict, judge};

use crate::support::{database, open, runtime, shared};

#[test]
fn the_schema_judges_as_the_core_does_at_every_edge() {
    let url = database("judgement");
    let edges = [i64::MIN, i64::MIN + 1, -1, 0, 1, 1_800_000_000_000, i64::MAX - 1, i64::MAX];
    let durations = [0, 1, 1_000, 1_800_000, i64::MAX - 1, i64::MAX];
    let mut cases = Vec::new();
    for last_seen_at in edges {
        for idle_timeout in durations {
            for absolute in edges {
                cases.extend(edges.map(|now| (last_seen_at, idle_timeout, absolute, now)));
            }
        }
    }
    let mut random = Seeded::new(1);
    let mut near = || i64::try_from(random.below(40)).unwrap();
    cases.extend((0..5_000).map(|_| (near(), near(), near(), near())));
    let list = |of: fn(&(i64, i64, i64, i64)) -> i64| {
        cases.iter().map(|case| of(case).to_string()).collect::<Vec<_>>().join(",")
    };
    let sql = format!(
        "SELECT cloakroom.expires_at(seen, idle, absolute) <= at,
             least(at, cloakroom.expires_at(seen, idle, absolute)), cloakroom.timeout_reason(seen, idle, absolute)
         FROM unnest('{{{}}}'::bigint[], '{{{}}}'::bigint[], '{{{}}}'::bigint[], '{{{}}}'::bigint[])
             WITH ORDINALITY AS t (seen, idle, absolute, at, n) ORDER BY n;",
        list(|case| case.0),
        list(|case| case.1),
        list(|case| case.2),
        list(|case| case.3),
    );
    runtime().block_on(async { drop(open(&url).await) });
    let answers = shared().sql("judgement", &sql).unwrap();
    let filing = Fixtures::new(1).anonymous();
    let mut checked = 0;
    for ((seen, idle, absolute, now), answer) in cases.iter().zip(answers.lines()) {
        let instant = Timestamp::from_millis;
        let idle = Duration::from_millis(idle.unsigned_abs());
        let lifetime = Lifetime::new(idle, instant(*absolute), Duration::ZERO);
        let record = SessionRecord::new(filing.id(), instant(0), lifetime);
        let expected = match judge(&record, instant(*seen), instant(*now)) {
            Verdict::Active => "f|".to_owned(),
            Verdict::Expired { reason, at } => format!("t|{}|{reason}", at.as_millis()),
        };
        assert!(answer.starts_with(&expected), "{seen} {idle:?} {absolute} {now}: {answer}, not {expected}");
        checked += 1;
    }
    assert_eq!(checked, cases.len());
}
