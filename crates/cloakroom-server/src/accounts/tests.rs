use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use cloakroom::RandomError;
use cloakroom_servers::{Look, until};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const GOOD: &str = "plum tractor 42 lamp";

/// Different bytes at each call, and the same in every run.
#[derive(Debug, Default)]
struct Counting(AtomicU8);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
        Ok(())
    }
}

struct Fixture {
    accounts: Accounts,
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteAccounts::open(&dir.path().join("deep/accounts.db")).unwrap());
        let limits = HashingLimits { parallel: 2, queued: 64 };
        Self { accounts: Accounts::new(store, Arc::new(Counting::default()), limits).unwrap(), dir }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("deep/accounts.db")
    }

    async fn add(&self, name: &str) -> Account {
        match self.accounts.add(self.new_account(name).await, NOW).await.unwrap() {
            Added::Created(account) => account,
            Added::NameTaken => panic!("{name} is taken"),
        }
    }

    async fn new_account(&self, name: &str) -> NewAccount {
        let hash = self.hash(name, GOOD).await;
        NewAccount { name: AccountName::new(name).unwrap(), roles: Roles::new(["staff"]).unwrap(), hash }
    }

    async fn hash(&self, name: &str, password: &str) -> StoredHash {
        match self.accounts.hash_new(name, secret(password)).await.unwrap() {
            NewPassword::Accepted { hash, .. } => hash,
            NewPassword::Refused(why) => panic!("{why}"),
        }
    }

    async fn disable(&self, name: &str, now: Timestamp) -> Account {
        changed(self.accounts.disable(name, Remaining::Anybody, now).await.unwrap())
    }

    async fn set_roles(&self, name: &str, roles: &[&str]) -> Account {
        let roles = Roles::new(roles).unwrap();
        changed(self.accounts.set_roles(name, roles, Remaining::Anybody).await.unwrap())
    }

    async fn stored(&self, name: &str) -> Credentials {
        self.accounts.inner.store.get(&AccountKey::of(name)).await.unwrap().unwrap()
    }

    async fn admits(&self, name: &str, password: &str) -> bool {
        matches!(self.accounts.verify(name, secret(password)).await.unwrap(), Verdict::Verified(_))
    }
}

fn changed(change: AccountChange) -> Account {
    match change {
        AccountChange::Changed(account) => account,
        other => panic!("{other:?}"),
    }
}

fn secret(text: &str) -> Password {
    Password::new(text).unwrap()
}

#[tokio::test]
async fn an_account_signs_in_with_its_password_however_its_name_is_typed() {
    let f = Fixture::new();
    let added = f.add("Alice").await;
    assert!(f.admits("alice", GOOD).await && f.admits("ＡＬＩＣＥ", GOOD).await);
    assert!(!f.admits("alice", "plum tractor 43 lamp").await);
    assert!(
        !f.admits("bob", GOOD).await
            && !f.admits("", GOOD).await
            && !f.admits("nobody", "nobody's password").await
    );
    let Verdict::Verified(account) = f.accounts.verify("ALICE", secret(GOOD)).await.unwrap() else {
        panic!()
    };
    assert_eq!(account, added);
    assert_eq!(account.principal().id().as_str(), "Alice", "the principal is one, however it is typed");
    assert!(account.principal().has_role("staff"));
}

#[tokio::test]
async fn a_name_is_taken_however_it_is_typed() {
    let f = Fixture::new();
    f.add("Alice").await;
    let again = f.new_account("aLICE").await;
    assert_eq!(f.accounts.add(again, NOW).await.unwrap(), Added::NameTaken);
    assert_eq!(f.accounts.count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_disabled_account_is_refused_until_it_is_enabled() {
    let f = Fixture::new();
    f.add("alice").await;
    let disabled = f.disable("ALICE", NOW).await;
    assert_eq!((disabled.disabled_at, disabled.credential_epoch), (Some(NOW), 2));
    assert!(!f.admits("alice", GOOD).await);
    let again = f.disable("alice", NOW.plus(Duration::from_secs(9))).await;
    assert_eq!(again, disabled, "disabling twice changes nothing");
    let enabled = f.accounts.enable("alice").await.unwrap().unwrap();
    assert_eq!((enabled.disabled_at, enabled.credential_epoch), (None, 3));
    assert!(f.admits("alice", GOOD).await);
    let bob = f.accounts.disable("bob", Remaining::Anybody, NOW).await.unwrap();
    assert_eq!(bob, AccountChange::NoSuchAccount);
    assert_eq!(f.accounts.enable("bob").await.unwrap(), None);
}

#[tokio::test]
async fn every_change_that_a_sign_in_must_notice_raises_the_epoch() {
    let f = Fixture::new();
    let read = f.add("alice").await;
    assert!(f.accounts.is_current(&read).await.unwrap());
    let roles = f.set_roles("alice", &["admin"]).await;
    assert!(!f.accounts.is_current(&read).await.unwrap());
    assert!(roles.principal().has_role("admin"));
    let same = f.set_roles("alice", &["admin"]).await;
    assert_eq!(same.credential_epoch, roles.credential_epoch, "the same roles are no change");
    let hash = f.hash("alice", "another long phrase").await;
    let later = NOW.plus(Duration::from_secs(1));
    let PasswordSet::Changed(changed) =
        f.accounts.set_password("alice", hash, Guard::None, later).await.unwrap()
    else {
        panic!("not changed")
    };
    assert!(changed.credential_epoch > roles.credential_epoch);
    assert_eq!(changed.password_changed_at, later);
    assert!(f.admits("alice", "another long phrase").await && !f.admits("alice", GOOD).await);
}

#[tokio::test]
async fn a_password_change_that_lost_a_race_changes_nothing() {
    let f = Fixture::new();
    let read = f.add("alice").await;
    f.disable("alice", NOW).await;
    let hash = f.hash("alice", "another long phrase").await;
    let guard = Guard::Epoch(read.credential_epoch);
    assert_eq!(f.accounts.set_password("alice", hash.clone(), guard, NOW).await.unwrap(), PasswordSet::Stale);
    assert_eq!(f.accounts.set_password("bob", hash, guard, NOW).await.unwrap(), PasswordSet::NoSuchAccount);
    f.accounts.enable("alice").await.unwrap();
    assert!(f.admits("alice", GOOD).await);
}

#[tokio::test]
async fn an_outdated_hash_is_replaced_at_the_next_sign_in_without_ending_any() {
    let f = Fixture::new();
    let account = f.add("alice").await;
    let old = f.stored("alice").await.hash;
    let weak = StoredHash::from_stored(weak_hash(GOOD));
    f.accounts.inner.store.rehash(account.name.key(), &old, &weak).await.unwrap();
    assert!(f.admits("alice", GOOD).await);
    let now = f.stored("alice").await;
    assert!(now.hash != weak && !now.hash.is_outdated());
    assert_eq!(now.account.credential_epoch, account.credential_epoch);
    assert!(f.admits("alice", GOOD).await);
}

fn weak_hash(password: &str) -> String {
    use argon2::PasswordHasher as _;
    let argon2 = argon2::Argon2::from(argon2::Params::new(64, 1, 1, None).unwrap());
    argon2.hash_password_with_salt(password.as_bytes(), &[3; 16]).unwrap().to_string()
}

#[tokio::test]
async fn rules_for_passwords_hold_for_new_ones_only() {
    let f = Fixture::new();
    let refused = f.accounts.hash_new("alice", secret("password")).await.unwrap();
    assert!(matches!(refused, NewPassword::Refused(PasswordRefusal::Common)), "{refused:?}");
    let short = f.accounts.hash_new("alice", secret("kX9!vQz2")).await.unwrap();
    assert!(matches!(short, NewPassword::Accepted { advice: PasswordAdvice::Longer, .. }), "{short:?}");
}

#[tokio::test]
async fn the_set_up_link_makes_one_administrator() {
    let f = Fixture::new();
    let earlier = f.accounts.begin_setup(NOW).await.unwrap().unwrap();
    let token = f.accounts.begin_setup(NOW).await.unwrap().unwrap();
    assert!(
        !f.accounts.setup_is_open(&earlier, NOW).await.unwrap(),
        "a restart makes earlier links worthless"
    );
    assert!(f.accounts.setup_is_open(&token, NOW).await.unwrap());
    let attempts: Vec<_> = futures_util::future::join_all(["ann", "bob", "cid", "dot"].map(|name| {
        let (accounts, token) = (f.accounts.clone(), SetupToken::parse(&token.expose()).unwrap());
        let f = &f;
        async move { accounts.complete_setup(&token, f.new_account(name).await, NOW).await.unwrap() }
    }))
    .await;
    let created = attempts.iter().filter(|used| matches!(used, SetupUsed::Created(_))).count();
    assert_eq!(created, 1, "{attempts:?}");
    assert_eq!(f.accounts.count().await.unwrap(), 1);
    assert!(!f.accounts.setup_is_open(&token, NOW).await.unwrap());
    assert!(f.accounts.begin_setup(NOW).await.unwrap().is_none(), "there is an account");
}

#[tokio::test]
async fn a_set_up_link_ends_after_a_day_or_with_the_first_account() {
    let f = Fixture::new();
    let token = f.accounts.begin_setup(NOW).await.unwrap().unwrap();
    let end = NOW.plus(Accounts::SETUP_LIFETIME);
    for (at, open) in [
        (end.minus(Duration::from_millis(1)), true),
        (end, false),
        (end.plus(Duration::from_millis(1)), false),
    ] {
        assert_eq!(f.accounts.setup_is_open(&token, at).await.unwrap(), open, "{at}");
    }
    let late = f.accounts.complete_setup(&token, f.new_account("late").await, end).await.unwrap();
    assert_eq!(late, SetupUsed::Invalid);
    f.add("from-the-command-line").await;
    assert!(!f.accounts.setup_is_open(&token, NOW).await.unwrap());
}

#[tokio::test]
async fn two_processes_see_each_others_changes() {
    let f = Fixture::new();
    let other = SqliteAccounts::open(&f.path()).unwrap();
    f.add("alice").await;
    assert_eq!(other.count().await.unwrap(), 1);
    let _ = other.disable(&AccountKey::of("alice"), Remaining::Anybody, NOW).await.unwrap();
    assert!(!f.admits("alice", GOOD).await);
}

#[tokio::test]
async fn what_is_stored_has_no_password_and_no_token_in_it() {
    let f = Fixture::new();
    let token = f.accounts.begin_setup(NOW).await.unwrap().unwrap();
    let text = token.expose();
    let found_in_files = |needle: &str| {
        let entries = std::fs::read_dir(f.path().parent().unwrap()).unwrap();
        entries
            .map(|e| std::fs::read(e.unwrap().path()).unwrap())
            .any(|bytes| contains(&bytes, needle.as_bytes()))
    };
    assert!(!found_in_files(&text));
    f.add("alice").await;
    assert!(found_in_files("alice") && !found_in_files(GOOD));
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn a_new_file_opened_by_many_at_once_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("accounts.db");
    // On a slow disk the last of many is told to try again.
    let open = || match SqliteAccounts::open(&path) {
        Ok(accounts) => Look::Done(accounts),
        Err(error) if error.kind() == AccountErrorKind::Busy => Look::NotYet(error.to_string()),
        Err(error) => panic!("{error:?}"),
    };
    let opened: Vec<_> = std::thread::scope(|scope| {
        let opener = || until("the file is opened", Duration::from_secs(60), open).unwrap();
        let openers: Vec<_> = (0..8).map(|_| scope.spawn(opener)).collect();
        openers.into_iter().map(|opener| opener.join().unwrap()).collect()
    });
    for accounts in opened {
        assert_eq!(accounts.count().await.unwrap(), 0);
    }
}

#[test]
fn files_that_are_not_ours_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("accounts.db");
    let kind = |path: &Path| SqliteAccounts::open(path).unwrap_err().kind();

    std::fs::write(&path, "this is a text file, and long enough to be looked at as a database header")
        .unwrap();
    assert_eq!(kind(&path), AccountErrorKind::Corrupt);

    std::fs::remove_file(&path).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert_eq!(kind(&path), AccountErrorKind::Corrupt);

    std::fs::remove_file(&path).unwrap();
    drop(SqliteAccounts::open(&path).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert_eq!(kind(&path), AccountErrorKind::Newer);
    assert_eq!(kind(dir.path()), AccountErrorKind::Unavailable, "a directory is no file");
}

#[cfg(unix)]
#[tokio::test]
async fn only_this_user_can_read_the_accounts() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = SqliteAccounts::open(&data.join("accounts.db")).unwrap();
    assert!(store.begin_setup(SetupToken::from_random([1; 32]).digest(), NOW).await.unwrap());
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in std::fs::read_dir(&data).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
}

/// The shortest of several runs: what else the machine does only ever adds.
async fn shortest_refusal(f: &Fixture, name: &str) -> Duration {
    let clock = cloakroom::SystemClock::default();
    let mut shortest = Duration::MAX;
    for _ in 0..7 {
        let before = cloakroom::Clock::monotonic(&clock);
        assert!(!f.admits(name, "a wrong password").await);
        shortest = shortest.min(cloakroom::Clock::monotonic(&clock) - before);
    }
    shortest
}

#[tokio::test]
async fn a_refusal_hashes_a_password_whether_the_account_exists_or_not() {
    let f = Fixture::new();
    f.add("alice").await;
    f.add("bob").await;
    f.disable("bob", NOW).await;
    let known = shortest_refusal(&f, "alice").await;
    for name in ["bob", "nobody", "", "no\nname"] {
        let refused = shortest_refusal(&f, name).await;
        // Without a hash it would take a hundredth; a busy machine makes equal ones differ by far less than eight times.
        assert!(
            refused > known / 8 && refused < known * 8,
            "{name:?}: {refused:?}, a known account: {known:?}"
        );
    }
}
