//! One file, several processes.

use super::{lawful, plan};

#[test]
fn sqlite_several_processes_use_one_file_and_are_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("sessions.db").display());
    lawful("SQLite, three processes", &plan(&url, 8, |_| url.clone()), |stage| {
        stage.leases(4.0);
        for (node, leases) in [(0, 1.5), (1, 2.5)] {
            stage.pause(node);
            stage.leases(leases);
            stage.resume(node);
            stage.leases(1.0);
        }
        stage.until_all_trust()
    });
}
