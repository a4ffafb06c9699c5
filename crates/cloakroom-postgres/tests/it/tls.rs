//! Who may be at the other end.

use std::path::PathBuf;

use cloakroom_postgres::PostgresStore;
use cloakroom_servers::{Authority, Postgres};

use crate::support::{database, options, runtime, whole};

#[test]
fn each_mode_of_tls_lets_in_whom_it_says() {
    let authority = Authority::new().unwrap();
    let server = Postgres::start_tls(&authority, &[]).unwrap();
    let pem = |name: &str, authority: &Authority| -> PathBuf {
        let path = server.directory().join(name);
        std::fs::write(&path, authority.certificate_pem()).unwrap();
        path
    };
    let trusted = pem("trusted.pem", &authority).display().to_string();
    let stranger = pem("stranger.pem", &Authority::new().unwrap()).display().to_string();
    let nothing = server.directory().join("missing.pem").display().to_string();
    let port = server.port();
    let here = format!("postgres://cloakroom@127.0.0.1:{port}/cloakroom");
    let elsewhere = format!("postgres://cloakroom@db.example.org:{port}/cloakroom?hostaddr=127.0.0.1");
    runtime().block_on(async {
        for (url, expected) in [
            (format!("{here}?sslmode=prefer"), None),
            (format!("{here}?sslmode=require"), None),
            (format!("{here}?sslmode=require&sslrootcert={trusted}"), None),
            (format!("{here}?sslmode=verify-ca&sslrootcert={trusted}"), None),
            (format!("{here}?sslmode=verify-full&sslrootcert={trusted}"), None),
            (format!("{elsewhere}&sslmode=require"), None),
            (format!("{elsewhere}&sslmode=verify-ca&sslrootcert={trusted}"), None),
            (format!("{elsewhere}&sslrootcert={trusted}"), Some("not valid for name")),
            (format!("{elsewhere}&sslmode=verify-full&sslrootcert={trusted}"), Some("not valid for name")),
            (format!("{here}?sslmode=require&sslrootcert={stranger}"), Some("invalid peer certificate")),
            (format!("{here}?sslmode=verify-ca&sslrootcert={stranger}"), Some("invalid peer certificate")),
            (format!("{here}?sslmode=verify-full&sslrootcert={stranger}"), Some("invalid peer certificate")),
            (format!("{here}?sslmode=verify-full&sslrootcert={nothing}"), Some("set sslrootcert")),
            (here.clone(), Some("no encryption")),
            (format!("{here}?sslmode=disable"), Some("pg_hba.conf")),
        ] {
            let answer = PostgresStore::connect(options(&url)).await;
            match (answer, expected) {
                (Ok(_), None) => {}
                (Err(error), Some(expected)) => {
                    let text = whole(&error);
                    assert!(text.contains(expected), "{url}: {text}");
                }
                (answer, _) => panic!("{url}: {answer:?}"),
            }
        }
    });
}

#[test]
fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let url = database("in_the_clear");
    runtime().block_on(async {
        for mode in ["require", "verify-full"] {
            let url = format!("{url}?sslmode={mode}");
            let error = PostgresStore::connect(options(&url)).await.expect_err("nothing goes in the clear");
            assert!(whole(&error).contains("check sslmode"), "{}", whole(&error));
        }
        let url = format!("{url}?sslmode=prefer");
        PostgresStore::connect(options(&url)).await.unwrap();
    });
}
