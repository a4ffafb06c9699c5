//! Records of every shape: what goes in comes out, and instants far away are instants.

use std::net::Ipv6Addr;
use std::time::Duration;

use cloakroom_core::EndReason::{AbsoluteTimeout, Compromised, IdleTimeout, SignedOut};
use cloakroom_core::{AuthLevel, Authentication, Device, Method, Persistence, PrincipalId, Role, Timestamp};
use cloakroom_store::{Lookup, Selector};

use crate::case::{Case, Context, cases};
use crate::fixtures::{Filing, Fixtures, Seeded, T0, at};

pub(crate) const CASES: &[Case] = cases!("shapes", |_| true;
    attributes_of_every_size_read_back,
    many_attributes_read_back,
    names_in_every_script_read_back,
    every_field_at_its_limit_reads_back,
    a_bare_record_reads_back,
    addresses_of_both_families_read_back,
    sessions_that_never_end_live,
    sessions_before_the_epoch_end_in_time,
    instants_at_both_ends_of_time_are_instants,
    a_session_that_is_over_when_issued_is_never_live,
    the_store_answers_a_ping_and_has_a_name,
);

async fn reads_back(context: &Context, filings: impl IntoIterator<Item = Filing>) {
    let store = context.open().await;
    for filing in filings {
        store.file(&filing).await;
        let found = store.look_up(filing.digest, filing.record.created_at).await;
        assert!(found == Lookup::Live(filing.live()), "what went in comes out: {filing:?}, {found:?}");
        store.finish_one(filing.id(), SignedOut, filing.record.created_at).await;
        let over = Lookup::Ended(filing.tombstone(SignedOut, filing.record.created_at));
        assert_eq!(store.look_up(filing.digest, filing.record.created_at).await, over);
    }
}

async fn attributes_of_every_size_read_back(context: &Context) {
    let (mut fixtures, mut random) = (Fixtures::new(1), Seeded::new(7));
    let sizes = [0, 1, 127, 128, 255, 256, 4_095, 4_096, 4_097, 65_535, 65_536, 100_000];
    let filings = sizes.map(|size| {
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.bytes::<8>()).flatten().take(size).collect();
        fixtures.signed_in("alice").with_attribute("data", bytes)
    });
    reads_back(context, filings).await;
}

async fn many_attributes_read_back(context: &Context) {
    let mut filing = Fixtures::new(1).anonymous();
    for number in 0..200_u8 {
        filing = filing.with_attribute(&format!("k:{number}._-Z"), vec![number; usize::from(number)]);
    }
    reads_back(context, [filing.with_attribute(&"k".repeat(64), [0, 0xFF, 0xC3, 0x28])]).await;
}

async fn names_in_every_script_read_back(context: &Context) {
    let mut fixtures = Fixtures::new(1);
    let names = ["zoë@example.org", "Ζωή", "山田 太郎", "👩‍👩‍👧", "‏דוד‎", "a'b\"c\\d;--", "%_*?[x]{y}:z/…", " "];
    reads_back(context, names.map(|name| fixtures.signed_in(name).with_roles(&["админ", "staff"]))).await;
}

async fn every_field_at_its_limit_reads_back(context: &Context) {
    let longest = "ä".repeat(PrincipalId::MAX_BYTES / 2);
    let roles: Vec<String> = (10..74).map(|n| format!("{n}{}", "r".repeat(Role::MAX_BYTES - 2))).collect();
    let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
    let mut filing = Fixtures::new(1).signed_in(&longest).with_roles(&roles);
    let device = Device::new().with_user_agent(&"ü".repeat(Device::USER_AGENT_MAX_BYTES));
    filing.record.device = Some(Box::new(device.with_label(&"l".repeat(Device::LABEL_MAX_BYTES))));
    let passkey = Method::new("passkey").expect("a name");
    let proof =
        Authentication::new(AuthLevel::One, Method::password(), T0).and(AuthLevel::Three, passkey, at(-5));
    filing.record.authentication = Some(Box::new(proof));
    filing.record.rotated_at = at(3);
    filing.record.lifetime = filing.record.lifetime.with_persistence(Persistence::Remembered);
    reads_back(context, [filing]).await;
}

async fn a_bare_record_reads_back(context: &Context) {
    let mut signed_in = Fixtures::new(1).signed_in("alice");
    signed_in.record.authentication = None;
    reads_back(context, [Fixtures::new(2).anonymous(), signed_in]).await;
}

async fn addresses_of_both_families_read_back(context: &Context) {
    let mut fixtures = Fixtures::new(1);
    let v6 = [Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED, Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 6)];
    let mut filings: Vec<Filing> = v6.into_iter().map(|ip| fixtures.anonymous().with_ip(ip)).collect();
    filings.push(fixtures.anonymous().with_ip([0, 0, 0, 0]));
    filings.push(fixtures.anonymous().with_ip([203, 0, 113, 9]));
    reads_back(context, filings).await;
}

async fn sessions_that_never_end_live(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let far = Timestamp::from_millis(i64::MAX - 1);
    let ever = Duration::from_millis(i64::MAX.unsigned_abs());
    let [endless, nearly] = std::array::from_fn(|_| fixtures.signed_in("alice").with_idle_timeout(ever));
    let (endless, nearly) = (endless.with_absolute_at(Timestamp::MAX), nearly.with_absolute_at(far));
    for filing in [endless.clone().with_retention(ever), nearly.clone().with_retention(ever)] {
        store.file(&filing).await;
        let late = Timestamp::from_millis(i64::MAX - 2);
        assert_eq!(store.sweep_up(late).await, []);
        assert_eq!(store.look_up(filing.digest, late).await, Lookup::Live(filing.live()));
    }
    let over = nearly.tombstone(AbsoluteTimeout, far);
    assert_eq!(store.look_up(nearly.digest, far).await, Lookup::Ended(over.clone()));
    store.sweeps(far, [over.into()]).await;
    store.finish_one(endless.id(), SignedOut, far).await;
    assert_eq!(store.look_up(endless.digest, far).await, Lookup::Ended(endless.tombstone(SignedOut, far)));
}

async fn sessions_before_the_epoch_end_in_time(context: &Context) {
    let store = context.open().await;
    let early = Timestamp::from_millis(-2_000);
    let filing = Fixtures::new(1).signed_in("alice").issued_at(early);
    store.file(&filing).await;
    let over = filing.tombstone(IdleTimeout, Timestamp::from_millis(-1_000));
    let last = Timestamp::from_millis(-1_001);
    assert_eq!(store.look_up(filing.digest, last).await, Lookup::Live(filing.live()));
    assert_eq!(store.sweep_up(last).await, []);
    assert_eq!(store.look_up(filing.digest, over.ended_at).await, Lookup::Ended(over.clone()));
    store.sweeps(over.ended_at, [over.into()]).await;
}

/// Nobody lives then, but sums with these instants come up as soon as a clock or a setting is wrong.
async fn instants_at_both_ends_of_time_are_instants(context: &Context) {
    let (store, mut fixtures) = (context.open().await, Fixtures::new(1));
    let [first, last, minus] = [i64::MIN, i64::MAX, -1].map(Timestamp::from_millis);
    let ever = Duration::from_millis(i64::MAX.unsigned_abs());
    let mut since_ever = || {
        let filing = fixtures.signed_in("alice").issued_at(first).with_idle_timeout(ever);
        filing.with_absolute_at(Timestamp::MAX).with_retention(ever)
    };
    let [idle, active] = [since_ever(), since_ever()];
    for filing in [&idle, &active] {
        store.file(filing).await;
        store.sweeps(first, []).await;
        assert_eq!(store.look_up(filing.digest, first).await, Lookup::Live(filing.live()));
    }
    let ending = store.finish(&Selector::IssuedBefore(first), Compromised, last).await;
    assert!(ending.ended.is_empty() && ending.swept_later == 0, "nothing is earlier: {ending:?}");
    let almost = Timestamp::from_millis(-2);
    assert_eq!(store.note(&[(active.digest, almost)], almost).await.touched, 1);
    assert_eq!(store.look_up(idle.digest, almost).await, Lookup::Live(idle.live()));
    let over = idle.tombstone(IdleTimeout, minus);
    assert_eq!(store.look_up(idle.digest, minus).await, Lookup::Ended(over.clone()));
    store.sweeps(minus, [over.clone().into()]).await;
    for now in [minus, T0, Timestamp::from_millis(i64::MAX - 3)] {
        assert_eq!(
            store.look_up(active.digest, now).await,
            Lookup::Live(active.live_seen(almost)),
            "at {now}"
        );
        assert_eq!(store.look_up(idle.digest, now).await, Lookup::Ended(over.clone()), "at {now}");
    }
    let end = Timestamp::from_millis(i64::MAX - 2);
    let over = active.tombstone(IdleTimeout, end);
    assert_eq!(store.note(&[(active.digest, last)], end).await.touched, 0);
    assert_eq!(store.look_up(active.digest, end).await, Lookup::Ended(over.clone()));
    let never = fixtures.anonymous().issued_at(last).with_idle_timeout(ever).with_retention(ever);
    store.file(&never).await;
    let over_at_once = never.tombstone(AbsoluteTimeout, last);
    let found = store.look_up(never.digest, last).await;
    let vanished = store.removes_by_itself() && found == Lookup::Unknown;
    assert!(
        vanished || found == Lookup::Ended(over_at_once.clone()),
        "not even retention lasts longer: {found:?}"
    );
    store.sweeps(last, [over.into(), over_at_once.into()]).await;
}

/// A node whose clock is far ahead asks for a session that a node far behind issued.
async fn a_session_that_is_over_when_issued_is_never_live(context: &Context) {
    let (store, filing) = (context.open().await, Fixtures::new(1).signed_in("alice"));
    store.file_at(&filing, at(1_000)).await;
    let over = filing.tombstone(IdleTimeout, at(1_000));
    assert_eq!(store.look_up(filing.digest, at(1_000)).await, Lookup::Ended(over.clone()));
    store.sweeps(at(1_000), [over.into()]).await;
}

async fn the_store_answers_a_ping_and_has_a_name(context: &Context) {
    let store = context.open().await;
    store.ping().await.expect("ping answers");
    let name = store.name();
    let fits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    assert!(fits, "a name for errors and metrics: {name:?}");
}
