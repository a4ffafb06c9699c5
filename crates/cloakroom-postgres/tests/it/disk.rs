//! A disk that is full.

use std::path::{Path, PathBuf};
use std::process::Command;

use cloakroom_conformance::{Filing, Fixtures, Seeded, at};
use cloakroom_servers::Postgres;
use cloakroom_store::{Applied, ErrorKind, Selector, Store, SweepRequest};

use crate::support::{end, file, is_live, kind, open, runtime, try_file};

/// A disk of a few megabytes, gone when this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// # Panics
    /// Where nothing may be mounted: this test needs root, as in a container.
    fn at(path: &Path) -> Self {
        std::fs::create_dir(path).unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=6m,mode=777", "tmpfs"]).arg(path).output();
        let output = mount.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "a small disk cannot be mounted: run this test as root: {said}");
        Self(path.to_owned())
    }
}

impl SmallDisk {
    /// An operator makes room.
    fn grow(&self) {
        let mount = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).status();
        assert!(mount.is_ok_and(|status| status.success()), "a disk that was mounted can grow");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server may still have files open there.
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "what was mounted is unmounted");
    }
}

#[test]
fn a_full_disk_is_full_changes_nothing_and_is_well_again_when_there_is_room() {
    let server = Postgres::start().unwrap();
    let disk = SmallDisk::at(&server.directory().join("small"));
    let place = disk.0.join("space");
    std::fs::create_dir(&place).unwrap();
    let owner =
        Command::new("chown").arg("--reference").arg(server.directory().join("data")).arg(&place).status();
    assert!(owner.unwrap().success());
    // The rows are on the small disk; the log, without which PostgreSQL stops, is not.
    let space = format!("CREATE TABLESPACE small LOCATION '{}';", place.display());
    server.sql("postgres", &space).unwrap();
    server
        .sql(
            "postgres",
            "GRANT CREATE ON TABLESPACE small TO cloakroom;
                            ALTER ROLE cloakroom SET default_tablespace = small;",
        )
        .unwrap();
    runtime().block_on(async {
        let store = open(&server.url()).await;
        let (mut fixtures, mut random) = (Fixtures::new(1), Seeded::new(1));
        let mut kept: Vec<Filing> = Vec::new();
        let refused = loop {
            // What does not compress takes the room it says.
            let noise: Vec<u8> =
                std::iter::repeat_with(|| random.bytes::<64>()).take(500).flatten().collect();
            let filing = fixtures.signed_in("alice").with_attribute("noise", noise);
            match try_file(&store, &filing).await {
                Ok(_) => kept.push(filing),
                error => break kind(error),
            }
            assert!(kept.len() < 1_000, "six megabytes do not hold thirty");
        };
        assert_eq!(refused, (ErrorKind::Full, Applied::No));
        assert!(kept.len() > 20, "{} fitted", kept.len());
        for filing in &kept {
            assert!(is_live(&store, filing).await, "whoever is signed in stays so");
        }
        // Ending frees nothing at once, and needs little: it works as long as a page has room.
        let ended = end(&store, &Selector::One(kept.first().unwrap().id()), at(1)).await;
        assert!(ended.is_ok() || kind(ended) == (ErrorKind::Full, Applied::No));
        disk.grow();
        let filing = fixtures.signed_in("alice");
        file(&store, &filing).await;
        assert!(is_live(&store, &filing).await);
        let round = SweepRequest { now: at(1_000), limit: 1_000, lease: std::time::Duration::ZERO };
        assert!(store.sweep(round).await.unwrap().ended.len() >= kept.len());
    });
    drop(server);
}
