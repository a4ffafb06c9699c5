//! What has to hold, whatever the database.

use std::future::Future;
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{OsRandom, Timestamp};
use cloakroom_server::accounts::{
    Account, AccountChange, AccountError, AccountErrorKind, AccountKey, AccountName, Accounts, Added, Guard,
    HashingLimits, NewAccount, NewPassword, Password, PasswordSet, Remaining, Roles, SetupToken, SetupUsed,
    StoredHash, Verdict,
};
use futures_util::future::join_all;

use crate::places::Place;

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(Place) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

macro_rules! cases {
    ($($case:ident)*) => {
        pub(crate) const ALL: &[Case] =
            &[$(Case { name: stringify!($case), run: |place| Box::pin($case(place)) }),*];
    };
}

cases! {
    an_account_reads_back_as_it_was_added
    a_name_is_given_once_however_many_ask_for_it
    names_that_differ_by_any_byte_of_their_keys_are_different_accounts
    what_no_account_can_be_named_names_none
    pages_come_in_the_order_of_the_keys_and_leave_nobody_out
    every_change_that_a_sign_in_must_notice_raises_the_epoch_once
    what_changes_nothing_raises_no_epoch
    nobody_is_made_by_changing_them
    a_password_changes_only_under_the_epoch_it_was_proven_in
    of_several_changes_under_one_epoch_one_is_made
    a_better_hash_replaces_the_one_it_was_made_from_and_no_other
    the_last_administrator_stays_where_one_has_to_remain
    two_administrators_cannot_remove_each_other
    a_set_up_token_holds_until_its_instant_or_the_next_one
    of_several_who_use_a_set_up_token_one_becomes_administrator
    no_set_up_token_holds_once_there_is_an_account
    nodes_see_each_others_changes_at_once
    a_new_place_can_be_opened_by_many_at_once
    unknown_disabled_and_wrong_are_one_refusal
}

async fn an_account_reads_back_as_it_was_added(place: Place) {
    let node = place.node().await;
    let many: Vec<String> = (0..64).map(|number| format!("role-{number}-{}", "x".repeat(40))).collect();
    for (name, roles) in [
        ("alice", vec![]),
        ("Zoë Müller 🦀", vec!["admin".to_owned(), "staff".to_owned()]),
        ("o'brien\"; DROP TABLE account; --", vec!["staff".to_owned()]),
        (&"\u{fdfa}".repeat(85), many),
        (&"x".repeat(256), vec![]),
    ] {
        let new = NewAccount { roles: Roles::new(&roles).unwrap(), ..new(name) };
        let added = created(node.add(&new, T0).await.unwrap());
        let found = node.get(new.name.key()).await.unwrap().unwrap();
        assert_eq!(found.account, added);
        assert_eq!((added.name.as_str(), &added.roles), (name, &new.roles));
        assert_eq!((added.created_at, added.password_changed_at, added.disabled_at), (T0, T0, None));
        assert!(found.hash == new.hash && added.credential_epoch == 1);
    }
    assert_eq!(node.count().await.unwrap(), 5);
    for at in [i64::MIN, -1, 0, i64::MAX].map(Timestamp::from_millis) {
        let account = changed(node.disable(&key("alice"), Remaining::Anybody, at).await.unwrap());
        assert_eq!(account.disabled_at, Some(at), "every instant reads back");
        node.enable(&key("alice")).await.unwrap();
    }
}

async fn a_name_is_given_once_however_many_ask_for_it(place: Place) {
    let nodes = [place.node().await, place.node().await];
    for round in 0..8 {
        let asking = (0..6).map(|number| {
            let node = Arc::clone(&nodes[number % 2]);
            let name = format!("Alice-{round}");
            let name = if number < 3 { name } else { name.to_uppercase() };
            let new = NewAccount { hash: hash(number), ..new(&name) };
            tokio::spawn(async move { (node.add(&new, T0).await.unwrap(), new) })
        });
        let asked: Vec<_> = join_all(asking).await.into_iter().map(Result::unwrap).collect();
        let made: Vec<_> = asked.iter().filter(|(added, _)| matches!(added, Added::Created(_))).collect();
        let [(_, new)] = made[..] else { panic!("one of six: {asked:?}") };
        let found = nodes[0].get(new.name.key()).await.unwrap().unwrap();
        assert!(found.hash == new.hash && found.account.name.as_str() == new.name.as_str());
    }
    assert_eq!(nodes[1].count().await.unwrap(), 8);
}

async fn names_that_differ_by_any_byte_of_their_keys_are_different_accounts(place: Place) {
    let node = place.node().await;
    // Each pair is one word to some collation.
    let names = ["a", "ä", "å", "strasse", "straße", "a b", "a-b", "ab", "ş", "s", "İ", "i", "ı"];
    for name in names {
        created(node.add(&new(name), T0).await.unwrap());
    }
    for name in names {
        let found = node.get(&AccountKey::of(name)).await.unwrap().unwrap();
        assert_eq!(found.account.name.as_str(), name);
    }
}

async fn what_no_account_can_be_named_names_none(place: Place) {
    let node = place.node().await;
    created(node.add(&new("alice"), T0).await.unwrap());
    for typed in
        ["", "\0", "a\0b", "alice\0", "a\nb", "%", "_lice", "alice ", &"a".repeat(1 << 20), "\u{10ffff}"]
    {
        assert!(
            node.get(&key(typed)).await.unwrap().is_none(),
            "{:?}",
            typed.chars().take(9).collect::<String>()
        );
    }
}

async fn pages_come_in_the_order_of_the_keys_and_leave_nobody_out(place: Place) {
    let node = place.node().await;
    let mut names: Vec<String> = (0..23).map(|number| format!("n{}", number * 7 % 23)).collect();
    names.extend(["Z", "é", "🦀", "~"].map(str::to_owned));
    for name in &names {
        created(node.add(&new(name), T0).await.unwrap());
    }
    let mut expected: Vec<AccountKey> = names.iter().map(|name| key(name)).collect();
    expected.sort();
    for limit in [1, 5, 27, 28, 500] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = node.page(after.as_ref(), NonZeroU16::new(limit).unwrap()).await.unwrap();
            assert!(page.len() <= usize::from(limit));
            seen.extend(page.iter().map(|account| account.name.key().clone()));
            after = seen.last().cloned();
            if page.len() < usize::from(limit) {
                break;
            }
        }
        assert_eq!(seen, expected, "{limit} at a time");
    }
}

async fn every_change_that_a_sign_in_must_notice_raises_the_epoch_once(place: Place) {
    let node = place.node().await;
    created(node.add(&new("alice"), T0).await.unwrap());
    let (alice, later) = (key("alice"), T0.plus(Duration::from_secs(1)));
    let disabled = changed(node.disable(&alice, Remaining::Anybody, later).await.unwrap());
    assert_eq!((disabled.disabled_at, disabled.credential_epoch), (Some(later), 2));
    let enabled = node.enable(&alice).await.unwrap().unwrap();
    assert_eq!((enabled.disabled_at, enabled.credential_epoch), (None, 3));
    let roles = changed(node.set_roles(&alice, &roles(&["staff"]), Remaining::Anybody).await.unwrap());
    assert_eq!((roles.roles.joined().as_str(), roles.credential_epoch), ("staff", 4));
    let set = node.set_password(&alice, &hash(1), Guard::None, later).await.unwrap();
    let PasswordSet::Changed(account) = set else { panic!("{set:?}") };
    assert_eq!((account.password_changed_at, account.created_at, account.credential_epoch), (later, T0, 5));
    let found = node.get(&alice).await.unwrap().unwrap();
    assert!(found.account == account && found.hash == hash(1), "what was answered is what is there");
}

async fn what_changes_nothing_raises_no_epoch(place: Place) {
    let node = place.node().await;
    created(node.add(&new("alice"), T0).await.unwrap());
    let alice = key("alice");
    assert_eq!(node.enable(&alice).await.unwrap().unwrap().credential_epoch, 1);
    let same = node.set_roles(&alice, &roles(&[]), Remaining::Anybody).await.unwrap();
    assert_eq!(changed(same).credential_epoch, 1);
    let first = changed(node.disable(&alice, Remaining::Anybody, T0).await.unwrap());
    let again = node.disable(&alice, Remaining::Anybody, T0.plus(Duration::from_secs(9))).await.unwrap();
    assert_eq!(changed(again), first, "since when it is disabled stays");
    assert_eq!(node.add(&new("ALICE"), T0).await.unwrap(), Added::NameTaken);
    assert_eq!(node.get(&alice).await.unwrap().unwrap().account, first);
}

async fn nobody_is_made_by_changing_them(place: Place) {
    let node = place.node().await;
    let bob = key("bob");
    for remaining in [Remaining::Anybody, Remaining::Administrator] {
        assert_eq!(node.disable(&bob, remaining, T0).await.unwrap(), AccountChange::NoSuchAccount);
        assert_eq!(
            node.set_roles(&bob, &roles(&["x"]), remaining).await.unwrap(),
            AccountChange::NoSuchAccount
        );
    }
    assert_eq!(node.enable(&bob).await.unwrap(), None);
    for guard in [Guard::None, Guard::Epoch(1)] {
        let set = node.set_password(&bob, &hash(1), guard, T0).await.unwrap();
        assert_eq!(set, PasswordSet::NoSuchAccount);
    }
    node.rehash(&bob, &hash(1), &hash(2)).await.unwrap();
    assert_eq!(node.count().await.unwrap(), 0);
}

async fn a_password_changes_only_under_the_epoch_it_was_proven_in(place: Place) {
    let node = place.node().await;
    created(node.add(&new("alice"), T0).await.unwrap());
    let alice = key("alice");
    for wrong in [0, 2, u64::MAX] {
        let set = node.set_password(&alice, &hash(1), Guard::Epoch(wrong), T0).await.unwrap();
        assert_eq!(set, PasswordSet::Stale, "{wrong}");
    }
    let found = node.get(&alice).await.unwrap().unwrap();
    assert!(found.hash == hash(0) && found.account.credential_epoch == 1, "nothing was done");
    let set = node.set_password(&alice, &hash(1), Guard::Epoch(1), T0).await.unwrap();
    assert!(matches!(set, PasswordSet::Changed(account) if account.credential_epoch == 2));
    let set = node.set_password(&alice, &hash(2), Guard::Epoch(1), T0).await.unwrap();
    assert_eq!(set, PasswordSet::Stale);
}

async fn of_several_changes_under_one_epoch_one_is_made(place: Place) {
    let nodes = [place.node().await, place.node().await];
    created(nodes[0].add(&new("alice"), T0).await.unwrap());
    for epoch in 1..9 {
        let changing = (0..6).map(|number| {
            let node = Arc::clone(&nodes[number % 2]);
            tokio::spawn(async move {
                let set = node.set_password(&key("alice"), &hash(number), Guard::Epoch(epoch), T0).await;
                (set.unwrap(), number)
            })
        });
        let sets: Vec<_> = join_all(changing).await.into_iter().map(Result::unwrap).collect();
        let made: Vec<_> = sets.iter().filter(|(set, _)| matches!(set, PasswordSet::Changed(_))).collect();
        let [(_, number)] = made[..] else { panic!("one of six: {sets:?}") };
        let found = nodes[1].get(&key("alice")).await.unwrap().unwrap();
        assert!(found.hash == hash(*number) && found.account.credential_epoch == epoch + 1);
    }
}

async fn a_better_hash_replaces_the_one_it_was_made_from_and_no_other(place: Place) {
    let node = place.node().await;
    created(node.add(&new("alice"), T0).await.unwrap());
    let alice = key("alice");
    node.rehash(&alice, &hash(7), &hash(8)).await.unwrap();
    assert!(node.get(&alice).await.unwrap().unwrap().hash == hash(0), "the password changed meanwhile");
    node.rehash(&alice, &hash(0), &hash(8)).await.unwrap();
    let found = node.get(&alice).await.unwrap().unwrap();
    assert!(found.hash == hash(8));
    assert_eq!(
        (found.account.credential_epoch, found.account.password_changed_at),
        (1, T0),
        "nobody is signed out"
    );
}

async fn the_last_administrator_stays_where_one_has_to_remain(place: Place) {
    let node = place.node().await;
    for (name, held) in [("ann", &["admin"][..]), ("bob", &["staff"]), ("cid", &["admins", "administrator"])]
    {
        created(node.add(&NewAccount { roles: roles(held), ..new(name) }, T0).await.unwrap());
    }
    let (ann, bob) = (key("ann"), key("bob"));
    let kept = Remaining::Administrator;
    assert_eq!(node.disable(&ann, kept, T0).await.unwrap(), AccountChange::LastAdministrator);
    assert_eq!(
        node.set_roles(&ann, &roles(&["staff"]), kept).await.unwrap(),
        AccountChange::LastAdministrator
    );
    assert_eq!(node.get(&ann).await.unwrap().unwrap().account.credential_epoch, 1, "nothing was done");
    changed(node.set_roles(&ann, &roles(&["admin", "staff"]), kept).await.unwrap());
    changed(node.disable(&bob, kept, T0).await.unwrap());

    // One who may not sign in is none.
    changed(node.set_roles(&bob, &roles(&["admin"]), kept).await.unwrap());
    assert_eq!(node.disable(&ann, kept, T0).await.unwrap(), AccountChange::LastAdministrator);
    node.enable(&bob).await.unwrap();
    changed(node.disable(&ann, kept, T0).await.unwrap());
    changed(node.disable(&ann, kept, T0).await.unwrap());
    assert_eq!(node.disable(&bob, kept, T0).await.unwrap(), AccountChange::LastAdministrator);
    changed(node.disable(&bob, Remaining::Anybody, T0).await.unwrap());
}

async fn two_administrators_cannot_remove_each_other(place: Place) {
    let nodes = [place.node().await, place.node().await];
    for round in 0..12 {
        let names = [format!("ann-{round}"), format!("bob-{round}")];
        for name in &names {
            created(nodes[0].add(&NewAccount { roles: roles(&["admin"]), ..new(name) }, T0).await.unwrap());
        }
        let removing = nodes.iter().zip(&names).enumerate().map(|(number, (node, other))| {
            let (node, other) = (Arc::clone(node), key(other));
            tokio::spawn(async move {
                match (round + number) % 2 {
                    0 => node.disable(&other, Remaining::Administrator, T0).await.unwrap(),
                    _ => node.set_roles(&other, &roles(&[]), Remaining::Administrator).await.unwrap(),
                }
            })
        });
        let removed: Vec<_> = join_all(removing).await.into_iter().map(Result::unwrap).collect();
        let refused = removed.iter().filter(|change| **change == AccountChange::LastAdministrator).count();
        assert_eq!(refused, 1, "{removed:?}");
        // Away with whoever is left, for the next round.
        for name in &names {
            changed(nodes[0].set_roles(&key(name), &roles(&[]), Remaining::Anybody).await.unwrap());
        }
    }
}

async fn a_set_up_token_holds_until_its_instant_or_the_next_one(place: Place) {
    let node = place.node().await;
    let end = T0.plus(Duration::from_secs(60));
    assert!(!node.setup_is_open(token(1).digest(), T0).await.unwrap(), "there was none yet");
    assert!(node.begin_setup(token(1).digest(), end).await.unwrap());
    let before = end.minus(Duration::from_millis(1));
    for (at, open) in [(T0, true), (before, true), (end, false), (end.plus(Duration::from_millis(1)), false)]
    {
        assert_eq!(node.setup_is_open(token(1).digest(), at).await.unwrap(), open, "{at}");
    }
    let late = node.complete_setup(token(1).digest(), &new("late"), end).await.unwrap();
    assert_eq!(late, SetupUsed::Invalid);
    assert!(node.begin_setup(token(2).digest(), end).await.unwrap());
    assert!(!node.setup_is_open(token(1).digest(), T0).await.unwrap(), "the next one made it worthless");
    let stale = node.complete_setup(token(1).digest(), &new("stale"), T0).await.unwrap();
    assert_eq!(stale, SetupUsed::Invalid);
    assert_eq!(node.count().await.unwrap(), 0);
    let used = node.complete_setup(token(2).digest(), &new("first"), before).await.unwrap();
    assert!(matches!(used, SetupUsed::Created(account) if account.name.as_str() == "first"));
}

async fn of_several_who_use_a_set_up_token_one_becomes_administrator(place: Place) {
    let nodes = [place.node().await, place.node().await];
    let end = T0.plus(Duration::from_secs(60));
    assert!(nodes[0].begin_setup(token(1).digest(), end).await.unwrap());
    let using = (0..8).map(|number| {
        let node = Arc::clone(&nodes[number % 2]);
        let first = new(&format!("first-{number}"));
        tokio::spawn(async move { node.complete_setup(token(1).digest(), &first, T0).await.unwrap() })
    });
    let used: Vec<_> = join_all(using).await.into_iter().map(Result::unwrap).collect();
    let made = used.iter().filter(|used| matches!(used, SetupUsed::Created(_))).count();
    assert_eq!((made, nodes[0].count().await.unwrap()), (1, 1), "{used:?}");
}

async fn no_set_up_token_holds_once_there_is_an_account(place: Place) {
    let node = place.node().await;
    let end = T0.plus(Duration::from_secs(60));
    assert!(node.begin_setup(token(1).digest(), end).await.unwrap());
    created(node.add(&new("alice"), T0).await.unwrap());
    assert!(!node.setup_is_open(token(1).digest(), T0).await.unwrap());
    let used = node.complete_setup(token(1).digest(), &new("bob"), T0).await.unwrap();
    assert_eq!(used, SetupUsed::Invalid);
    assert!(!node.begin_setup(token(2).digest(), end).await.unwrap(), "nobody is to be the first any more");
    assert!(!node.setup_is_open(token(2).digest(), T0).await.unwrap());
    assert_eq!(node.count().await.unwrap(), 1);
}

async fn nodes_see_each_others_changes_at_once(place: Place) {
    let nodes = [place.node().await, place.node().await];
    created(nodes[0].add(&new("alice"), T0).await.unwrap());
    let alice = key("alice");
    for round in 0..20 {
        let (here, there) = (&nodes[round % 2], &nodes[(round + 1) % 2]);
        let before = there.get(&alice).await.unwrap().unwrap().account;
        let after = match before.is_enabled() {
            true => changed(here.disable(&alice, Remaining::Anybody, T0).await.unwrap()),
            false => here.enable(&alice).await.unwrap().unwrap(),
        };
        assert_eq!(there.get(&alice).await.unwrap().unwrap().account, after);
    }
}

async fn a_new_place_can_be_opened_by_many_at_once(place: Place) {
    let place = Arc::new(place);
    let opening = (0..8).map(|number| {
        let place = Arc::clone(&place);
        tokio::spawn(async move {
            let node = place.node().await;
            created(node.add(&new(&format!("node-{number}")), T0).await.unwrap());
            node
        })
    });
    for node in join_all(opening).await {
        assert_eq!(node.unwrap().count().await.unwrap(), 8);
    }
}

async fn unknown_disabled_and_wrong_are_one_refusal(place: Place) {
    let limits = HashingLimits { parallel: 2, queued: 8 };
    let accounts = Accounts::new(place.node().await, Arc::new(OsRandom), limits).unwrap();
    for name in ["alice", "bob"] {
        let NewPassword::Accepted { hash, .. } = accounts.hash_new(name, secret(GOOD)).await.unwrap() else {
            panic!("a good password is taken")
        };
        created(accounts.add(NewAccount { hash, ..new(name) }, T0).await.unwrap());
    }
    changed(accounts.disable("bob", Remaining::Anybody, T0).await.unwrap());
    for (name, password) in [
        ("alice", "wrong"),
        ("bob", GOOD),
        ("bob", "wrong"),
        ("carol", GOOD),
        ("", GOOD),
        ("alice\0", GOOD),
        ("nobody", "nobody's password"),
    ] {
        let verdict = accounts.verify(name, secret(password)).await.unwrap();
        assert_eq!(verdict, Verdict::Refused, "{name:?} {password:?}");
    }
    let verdict = accounts.verify("ＡＬＩＣＥ", secret(GOOD)).await.unwrap();
    let Verdict::Verified(account) = verdict else { panic!("{verdict:?}") };
    assert!(accounts.is_current(&account).await.unwrap());
    changed(accounts.set_roles("alice", roles(&["x"]), Remaining::Anybody).await.unwrap());
    assert!(!accounts.is_current(&account).await.unwrap());
    // As many as may wait are answered, and the others are turned away without the database being asked.
    let verifying = (0..40).map(|_| accounts.verify("alice", secret(GOOD)));
    let answers = join_all(verifying).await;
    let turned_away = answers.iter().filter_map(|answer| answer.as_ref().err()).map(AccountError::kind);
    assert_eq!(turned_away.filter(|kind| *kind == AccountErrorKind::Overloaded).count(), 30);
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Ok(Verdict::Verified(_)))).count(), 10);
}

pub(crate) fn new(name: &str) -> NewAccount {
    NewAccount { name: AccountName::new(name).unwrap(), roles: Roles::default(), hash: hash(0) }
}

/// No hash of a password, but a text to tell from others.
pub(crate) fn hash(number: usize) -> StoredHash {
    StoredHash::from_stored(format!("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA${number}"))
}

pub(crate) fn key(typed: &str) -> AccountKey {
    AccountKey::of(typed)
}

pub(crate) fn secret(text: &str) -> Password {
    Password::new(text).unwrap()
}

#[track_caller]
pub(crate) fn created(added: Added) -> Account {
    let Added::Created(account) = added else { panic!("{added:?}") };
    account
}

#[track_caller]
pub(crate) fn changed(change: AccountChange) -> Account {
    let AccountChange::Changed(account) = change else { panic!("{change:?}") };
    account
}

fn roles(names: &[&str]) -> Roles {
    Roles::new(names).unwrap()
}

fn token(number: u8) -> SetupToken {
    SetupToken::from_random([number; SetupToken::BYTES])
}

pub(crate) const T0: Timestamp = Timestamp::from_millis(1_800_000_000_000);
pub(crate) const GOOD: &str = "plum tractor 42 lamp";
