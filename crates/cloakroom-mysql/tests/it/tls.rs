//! The way to the server, protected.

use std::path::Path;

use cloakroom_conformance::Fixtures;
use cloakroom_mysql::{MysqlOptions, MysqlStore, TlsMode};
use cloakroom_servers::{Authority, Mariadb};

use crate::support::{file, is_live, options, runtime, whole};

/// A file that the server may read whoever it runs as.
fn written(directory: &Path, name: &str, text: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_server_is_who_it_says_or_nobody_is_asked_anything() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new().unwrap(), Authority::new().unwrap());
    let identity = authority.issue_for(&["127.0.0.1"]).unwrap();
    let certificate = written(directory.path(), "certificate.pem", identity.certificate_pem());
    let key = written(directory.path(), "key.pem", identity.key_pem());
    let known = written(directory.path(), "known.pem", &authority.certificate_pem());
    let other = written(directory.path(), "other.pem", &stranger.certificate_pem());
    let empty = written(directory.path(), "empty.pem", "nothing");
    let server = Mariadb::start_with(&[
        &format!("--ssl-cert={certificate}"),
        &format!("--ssl-key={key}"),
        "--require-secure-transport=1",
    ]);
    let server = server.unwrap();
    runtime().block_on(async {
        let named = |host: &str, tls: TlsMode, file: &str| -> MysqlOptions {
            options(&server.url().replace("127.0.0.1", host)).with_tls(tls).with_authorities(file)
        };
        let sound = MysqlStore::connect(named("127.0.0.1", TlsMode::VerifyFull, &known)).await.unwrap();
        let filing = Fixtures::new(1).signed_in("alice");
        file(&sound, &filing).await;
        let anybody = options(&server.url()).with_tls(TlsMode::Require);
        assert!(is_live(&MysqlStore::connect(anybody).await.unwrap(), &filing).await);
        for (options, words) in [
            (named("127.0.0.1", TlsMode::VerifyFull, &other), "certificate"),
            (named("localhost", TlsMode::VerifyFull, &known), "certificate"),
            (named("127.0.0.1", TlsMode::VerifyFull, &empty), "no certificate is in it"),
            (named("127.0.0.1", TlsMode::VerifyFull, "/nowhere.pem"), "/nowhere.pem"),
            (named("127.0.0.1", TlsMode::Disable, &known), "Access denied"),
        ] {
            let error = MysqlStore::connect(options).await.expect_err(words);
            assert!(whole(&error).contains(words), "{words}: {}", whole(&error));
        }
    });
}
