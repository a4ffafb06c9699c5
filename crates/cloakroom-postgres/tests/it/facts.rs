//! What the store tells of its server.

use cloakroom_servers::Postgres;

use crate::support::{database, open, options, runtime, shared, whole};

#[test]
fn a_server_as_it_should_be_is_warned_of_in_nothing_and_each_weakness_in_a_sentence() {
    let url = database("facts");
    runtime().block_on(async {
        let facts = open(&url).await.facts().await.unwrap();
        assert_eq!(facts.warnings(), Vec::<String>::new(), "{facts:?}");
        assert_eq!(facts.statement_timeout, 15_000, "three quarters of the deadline");
        // The operator's own account, and settings of their own.
        let weak = format!("{url}?options=-c%20synchronous_commit%3Doff%20-c%20statement_timeout%3D0");
        let weak = open(&weak.replace("cloakroom@", "postgres@")).await.facts().await.unwrap().warnings();
        for expected in ["synchronous_commit is off", "statement_timeout", "superuser"] {
            assert!(weak.iter().any(|warning| warning.contains(expected)), "{expected}: {weak:?}");
        }
        assert_eq!(weak.len(), 3, "{weak:?}");
        // Through a name that is not this computer's, as far as anybody can tell.
        let clear =
            format!("postgres://cloakroom@db.example.org:{}/facts?hostaddr=127.0.0.1", shared().port());
        let clear = open(&format!("{clear}&sslmode=prefer")).await.facts().await.unwrap().warnings();
        assert!(clear.iter().any(|warning| warning.contains("in the clear")), "{clear:?}");
    });
}

#[test]
fn a_database_that_would_make_limits_inexact_is_refused() {
    let server = Postgres::start().unwrap();
    server.sql("postgres", "ALTER ROLE cloakroom SET default_transaction_isolation = serializable;").unwrap();
    runtime().block_on(async {
        // On connections of our own it is set.
        drop(open(&server.url()).await);
        let pooled = format!("{}?pooler=transaction", server.url());
        let error = cloakroom_postgres::PostgresStore::connect(options(&pooled)).await.unwrap_err();
        assert!(whole(&error).contains("default_transaction_isolation"), "{}", whole(&error));
        server.sql("postgres", "ALTER ROLE cloakroom RESET default_transaction_isolation;").unwrap();
        let warnings = open(&pooled).await.facts().await.unwrap().warnings();
        assert!(warnings.iter().any(|warning| warning.contains("statement_timeout")), "{warnings:?}");
    });
}
