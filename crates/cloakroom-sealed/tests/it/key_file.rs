//! Keys in a file: who may read it, who may change it, and how a change arrives.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use cloakroom_core::Timestamp;
use cloakroom_sealed::{Created, KeyFile, KeyFileError, KeyRing, KeyState, NewKey, Rotation, SharedRing};
use cloakroom_store::{SealRefusal, Sealing as _};
use tempfile::TempDir;

use crate::support::{MINUTE, NONCE, NOW, rotation, sealer, typical};

/// As `support::new_key`, but of more than one byte: a file takes no placeholder.
fn new_key(number: u8) -> NewKey {
    let mut random = [number; NewKey::RANDOM_BYTES];
    random[4] = !number;
    NewKey::from_random(&random)
}

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("sealed.keys")
    }

    fn file(&self) -> KeyFile {
        KeyFile::at(self.path())
    }

    fn with_key(number: u8) -> Self {
        let home = Self::new();
        assert!(matches!(home.file().create(new_key(number), NOW), Ok(Created::Made(_))));
        home
    }

    fn names(&self) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(self.0.path()).unwrap().map(name).collect();
        names.sort();
        names
    }
}

fn ids(ring: &KeyRing) -> Vec<u32> {
    ring.list(NOW).iter().map(|facts| facts.id.as_u32() & 0xFF).collect()
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_file_is_made_once_and_is_never_replaced_by_making_it_again() {
    let home = Home::new();
    assert!(matches!(home.file().read(), Err(KeyFileError::Missing { .. })));
    let made = home.file().create(new_key(1), NOW).unwrap();
    assert!(matches!(&made, Created::Made(ring) if ids(ring) == [1]));
    let again = home.file().create(new_key(2), NOW).unwrap();
    assert!(matches!(&again, Created::WasThere(ring) if ids(ring) == [1]));
    assert_eq!(home.names(), ["sealed.keys"], "nothing is left beside it");
    for broken in ["", "no keys", "cloakroom-sealing-keys 1\n"] {
        fs::write(home.path(), broken).unwrap();
        assert!(home.file().create(new_key(3), NOW).is_err(), "{broken:?}");
        assert_eq!(fs::read_to_string(home.path()).unwrap(), broken);
    }
}

#[test]
fn of_many_who_make_it_at_once_one_does_and_all_have_its_key() {
    for _ in 0..8 {
        let home = Home::new();
        let start = Barrier::new(6);
        let made: Vec<(bool, Vec<u32>)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..=6)
                .map(|number| {
                    let (home, start) = (&home, &start);
                    scope.spawn(move || {
                        start.wait();
                        match home.file().create(new_key(number), NOW).unwrap() {
                            Created::Made(ring) => (true, ids(&ring)),
                            Created::WasThere(ring) => (false, ids(&ring)),
                        }
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.iter().filter(|(is_new, _)| *is_new).count(), 1, "{made:?}");
        assert!(made.iter().all(|(_, ids)| *ids == made[0].1), "{made:?}");
        assert_eq!(home.names(), ["sealed.keys"]);
    }
}

#[test]
#[cfg(unix)]
fn what_is_written_is_its_owners_alone_at_every_moment() {
    let home = Home::with_key(1);
    assert_eq!(mode(&home.path()), 0o600);
    home.file().rotate(new_key(2), &rotation(NOW)).unwrap();
    assert_eq!(mode(&home.path()), 0o600);
    assert_eq!(mode(&home.path().with_file_name("sealed.keys.lock")), 0o600);
    assert_eq!(home.names(), ["sealed.keys", "sealed.keys.lock"]);
    assert_eq!(fs::read(home.path().with_file_name("sealed.keys.lock")).unwrap(), b"");
}

#[test]
#[cfg(unix)]
fn a_file_that_others_may_read_is_not_read_and_the_error_says_what_to_do() {
    let home = Home::with_key(1);
    let path = home.path();
    for open in [0o604, 0o640, 0o660, 0o644, 0o601, 0o610, 0o602, 0o777] {
        set_mode(&path, open);
        let error = home.file().read().unwrap_err();
        assert!(matches!(error, KeyFileError::Exposed { mode, .. } if mode == open), "{error}");
        let path = path.display();
        let expected = format!(
            "{path}: others than its owner have rights to these keys (mode {open:04o}); run: chmod 600 {path}"
        );
        assert_eq!(error.to_string(), expected);
        assert!(home.file().rotate(new_key(2), &rotation(NOW)).is_err());
    }
    for closed in [0o600, 0o400, 0o700] {
        set_mode(&path, closed);
        assert_eq!(ids(&home.file().read().unwrap()), [1]);
    }
}

#[test]
#[cfg(unix)]
fn what_is_no_ordinary_file_is_not_read() {
    let home = Home::new();
    fs::create_dir(home.path()).unwrap();
    assert!(matches!(home.file().read(), Err(KeyFileError::NotAFile { .. })));
    assert!(home.file().create(new_key(1), NOW).is_err());
    let socket = Home::new();
    let _bound = std::os::unix::net::UnixListener::bind(socket.path()).unwrap();
    assert!(matches!(socket.file().read(), Err(KeyFileError::NotAFile { .. })));
    let device = KeyFile::at("/dev/null");
    assert!(matches!(device.read(), Err(KeyFileError::NotAFile { .. })));
}

#[test]
#[cfg(unix)]
fn a_file_of_somebody_else_is_not_read() {
    let home = Home::with_key(1);
    // Only root can give a file away; others cannot make this test's file.
    if std::os::unix::fs::chown(home.path(), Some(12_345), None).is_ok() {
        let error = home.file().read().unwrap_err();
        assert!(matches!(error, KeyFileError::Foreign { owner: 12_345, .. }), "{error}");
        assert!(
            error.to_string().contains("belong to user 12345") && error.to_string().contains("chown"),
            "{error}"
        );
    } else {
        assert_ne!(rustix::process::geteuid().as_raw(), 0, "root can");
    }
}

#[test]
fn a_file_that_is_no_keys_is_refused_without_a_word_of_it() {
    let home = Home::with_key(1);
    let good = fs::read_to_string(home.path()).unwrap();
    let secret = good.split_ascii_whitespace().last().unwrap().to_owned();
    for bad in [
        good.replace(&secret, &secret[1..]).into_bytes(),
        format!("{secret}\n{good}").into_bytes(),
        good.bytes().chain([0xFF]).collect(),
        format!("{good}{}", "#".repeat(65_536)).into_bytes(),
    ] {
        fs::write(home.path(), &bad).unwrap();
        let error = home.file().read().unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains("sealed.keys") && !told.contains(&secret[1..]), "{told}");
    }
    assert!(matches!(home.file().read(), Err(KeyFileError::TooLarge { .. })));
}

#[test]
fn a_rotation_is_written_and_read_by_everybody() {
    let home = Home::with_key(1);
    let other = home.file();
    assert_eq!(ids(&other.read().unwrap()), [1]);
    assert!(other.reload_if_changed().unwrap().is_none());
    let rotated = home.file().rotate(new_key(2), &rotation(NOW)).unwrap();
    let read = other.reload_if_changed().unwrap().expect("it changed");
    assert_eq!(rotated.list(NOW), read.list(NOW));
    assert_eq!(read.list(NOW)[0].state, KeyState::SealsFrom(NOW.plus(MINUTE / 2)));
    assert!(other.reload_if_changed().unwrap().is_none());
    // What is over leaves the file.
    let later = NOW.plus(60 * MINUTE).plus(KeyRing::KEPT_LONGER);
    assert_eq!(ids(&home.file().forget_over(NOW).unwrap()), [2, 1]);
    assert!(other.reload_if_changed().unwrap().is_none(), "nothing was over, so nothing was written");
    assert_eq!(ids(&home.file().forget_over(later).unwrap()), [2]);
    assert_eq!(ids(&other.reload_if_changed().unwrap().expect("it changed")), [2]);
    assert!(!fs::read_to_string(home.path()).unwrap().contains("01010101"));
}

#[test]
fn a_stolen_key_leaves_the_file() {
    let home = Home::with_key(1);
    let at_once = Rotation { spread: Duration::ZERO, ..rotation(NOW) };
    assert_eq!(ids(&home.file().revoke(new_key(1).id(), new_key(2), &at_once).unwrap()), [2]);
    let error = home.file().revoke(new_key(1).id(), new_key(3), &at_once).unwrap_err();
    assert!(error.to_string().contains("there is no key 01010101"), "{error}");
    assert_eq!(ids(&home.file().read().unwrap()), [2]);
}

#[test]
fn a_stolen_file_is_worth_nothing_once_its_keys_are_replaced() {
    let home = Home::with_key(1);
    home.file().rotate(new_key(2), &rotation(NOW)).unwrap();
    let node = sealer(Arc::new(SharedRing::of_file(home.file()).unwrap()));
    let token = node.seal(&typical(), NONCE, NOW).unwrap();
    let replaced = home.file().replace_all(new_key(3), NOW).unwrap();
    assert_eq!((ids(&replaced), replaced.list(NOW)[0].state), (vec![3], KeyState::Seals));
    assert!(node.open(&token, NOW).is_ok(), "until the file is read again");
    assert!(!node.ring().has_lost_keys(NOW), "not yet");
    assert!(node.ring().reload_if_changed().unwrap());
    assert_eq!(node.open(&token, NOW).unwrap_err(), SealRefusal::UnknownKey);
    assert!(node.ring().has_lost_keys(NOW) && !node.ring().has_lost_keys(NOW), "told once");
}

#[test]
fn a_key_that_is_forgotten_after_its_time_is_not_lost_and_one_that_is_revoked_is() {
    let ring = KeyRing::first(new_key(1), NOW).rotated(new_key(2), &rotation(NOW)).unwrap();
    let over = NOW.plus(MINUTE / 2 + 30 * MINUTE);
    let shared = SharedRing::new(ring.clone());
    shared.replace(ring.rotated(new_key(3), &rotation(over)).unwrap());
    assert!(!shared.has_lost_keys(over), "none left");
    shared.replace(ring.without_over(over.plus(KeyRing::KEPT_LONGER)).unwrap());
    assert!(shared.has_lost_keys(over), "the third is gone");
    let shared = SharedRing::new(ring.clone());
    shared.replace(ring.without_over(over.plus(KeyRing::KEPT_LONGER)).unwrap());
    assert!(!shared.has_lost_keys(over), "its time was over");
    // By two changes one after the other nothing is overlooked.
    let revoked = ring.revoked(new_key(2).id(), new_key(4), &rotation(over)).unwrap();
    shared.replace(revoked.clone());
    shared.replace(revoked);
    assert!(shared.has_lost_keys(over));
}

#[test]
fn two_who_change_the_keys_at_once_never_undo_each_other() {
    let home = Home::with_key(1);
    let start = Barrier::new(4);
    let done: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (2..=5)
            .map(|number| {
                let (home, start) = (&home, &start);
                scope.spawn(move || {
                    start.wait();
                    match home.file().rotate(new_key(number), &rotation(NOW)) {
                        Ok(_) => 1,
                        Err(KeyFileError::Busy { .. }) => 0,
                        Err(other) => panic!("{other}"),
                    }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(done >= 1);
    assert_eq!(
        home.file().read().unwrap().list(NOW).len(),
        1 + done,
        "each that was told of success is there"
    );
}

#[test]
fn who_holds_the_lock_makes_others_busy_and_what_a_killed_one_left_does_not_matter() {
    let home = Home::with_key(1);
    let beside = |ending: &str| home.path().with_file_name(format!("sealed.keys.{ending}"));
    let lock = fs::File::create(beside("lock")).unwrap();
    lock.lock().unwrap();
    let error = home.file().rotate(new_key(2), &rotation(NOW)).unwrap_err();
    assert!(matches!(error, KeyFileError::Busy { .. }), "{error}");
    assert_eq!(ids(&home.file().read().unwrap()), [1], "reading waits for nobody");
    drop(lock);
    fs::write(beside("new"), "half a").unwrap();
    assert_eq!(ids(&home.file().rotate(new_key(2), &rotation(NOW)).unwrap()), [2, 1]);
    assert_eq!(home.names(), ["sealed.keys", "sealed.keys.lock"]);
}

#[test]
#[cfg(unix)]
fn a_link_is_followed_and_stays_a_link() {
    let (home, elsewhere) = (Home::new(), Home::with_key(1));
    std::os::unix::fs::symlink(elsewhere.path(), home.path()).unwrap();
    assert_eq!(ids(&home.file().read().unwrap()), [1]);
    let follower = home.file();
    follower.read().unwrap();
    home.file().rotate(new_key(2), &rotation(NOW)).unwrap();
    assert!(fs::symlink_metadata(home.path()).unwrap().is_symlink());
    assert_eq!(ids(&elsewhere.file().read().unwrap()), [2, 1]);
    assert_eq!(ids(&follower.reload_if_changed().unwrap().expect("it changed")), [2, 1]);
    // The rights that count are those of what it leads to.
    set_mode(&elsewhere.path(), 0o644);
    assert!(matches!(home.file().read(), Err(KeyFileError::Exposed { mode: 0o644, .. })));
    // One that leads nowhere is no file, and is not made into one.
    let nowhere = Home::new();
    std::os::unix::fs::symlink(nowhere.path().with_file_name("gone"), nowhere.path()).unwrap();
    assert!(nowhere.file().create(new_key(1), NOW).is_err());
    assert_eq!(nowhere.names(), ["sealed.keys"]);
}

#[test]
fn a_file_that_was_damaged_leaves_the_keys_that_were_read() {
    let home = Home::with_key(1);
    let shared = Arc::new(SharedRing::of_file(home.file()).unwrap());
    let sealer = sealer(Arc::clone(&shared));
    let token = sealer.seal(&typical(), NONCE, NOW).unwrap();
    let good = fs::read(home.path()).unwrap();
    for damage in [&b""[..], b"cloakroom-sealing-keys 1\n"] {
        fs::write(home.path(), damage).unwrap();
        assert!(shared.reload_if_changed().is_err());
        assert!(shared.reload_if_changed().is_err(), "told for as long as it lasts");
        assert!(sealer.open(&token, NOW).is_ok());
    }
    fs::remove_file(home.path()).unwrap();
    assert!(matches!(shared.reload_if_changed(), Err(KeyFileError::Missing { .. })));
    assert!(sealer.open(&token, NOW).is_ok());
    let fresh = home.path().with_file_name("fresh");
    fs::write(&fresh, good).unwrap();
    #[cfg(unix)]
    set_mode(&fresh, 0o600);
    fs::rename(fresh, home.path()).unwrap();
    assert!(shared.reload_if_changed().unwrap());
    assert!(sealer.open(&token, NOW).is_ok());
}

#[test]
fn a_token_of_a_key_that_is_not_known_yet_is_opened_by_a_look_at_the_file() {
    let home = Home::with_key(1);
    let nodes = [(); 2].map(|()| sealer(Arc::new(SharedRing::of_file(home.file()).unwrap())));
    // Without any spread: the one node seals at once with a key that the other has not read.
    let at_once = Rotation { spread: Duration::ZERO, ..rotation(NOW) };
    home.file().rotate(new_key(2), &at_once).unwrap();
    assert!(nodes[0].ring().reload_if_changed().unwrap());
    let token = nodes[0].seal(&typical(), NONCE, NOW).unwrap();
    assert_eq!(token.sealed().unwrap()[0], 2);
    assert!(nodes[1].open(&token, NOW).is_ok());
    assert_eq!(ids(&nodes[1].ring().ring()), [2, 1]);
}

#[test]
fn unknown_keys_make_nobody_look_at_the_file_more_often_than_bounded_by_the_clock_that_is_given() {
    let home = Home::with_key(1);
    let node = sealer(Arc::new(SharedRing::of_file(home.file()).unwrap()));
    let stranger = |number| {
        let ring = KeyRing::first(new_key(number), NOW);
        sealer(ring).seal(&typical(), NONCE, NOW).unwrap()
    };
    let at = |millis: u64| NOW.plus(Duration::from_millis(millis));
    let at_once = |now: Timestamp| Rotation { now, spread: Duration::ZERO, window: MINUTE };
    assert_eq!(node.open(&stranger(9), at(0)).unwrap_err(), SealRefusal::UnknownKey);
    // The file has the key from now on, but it was looked at a moment ago.
    home.file().rotate(new_key(2), &at_once(NOW)).unwrap();
    assert_eq!(node.open(&stranger(2), at(99)).unwrap_err(), SealRefusal::UnknownKey);
    assert!(node.open(&stranger(2), at(100)).is_ok());
    // A clock that stepped back does not stop anybody from looking.
    home.file().rotate(new_key(3), &at_once(NOW)).unwrap();
    let back = NOW.minus(MINUTE);
    assert!(node.open(&stranger(3), back).is_ok());
    // By the timer's path there is no bound.
    home.file().rotate(new_key(4), &at_once(NOW)).unwrap();
    assert!(node.ring().reload_if_changed().unwrap());
    assert!(node.open(&stranger(4), back).is_ok());
}
