//! How connections are made, and what each is told first.

use std::time::Duration;

use mysql_async::{Opts, OptsBuilder, PoolConstraints, PoolOpts, SslOpts};

use crate::error::Problem;
use crate::options::{MysqlOptions, Place, TlsMode};

/// Connections for the pool: each bounds what it waits for on the server, too.
pub(crate) fn for_verbs(options: &MysqlOptions) -> Result<Opts, Problem> {
    let most = options.connections.get();
    let pool = PoolOpts::default()
        .with_constraints(
            PoolConstraints::new(1, most).expect("one is not more than any number of connections"),
        )
        // What a connection is told, and its prepared statements, hold for its life: nothing changes them.
        .with_reset_connection(false)
        .with_inactive_connection_ttl(IDLE)
        .with_ttl_check_interval(IDLE / 2)
        .with_abs_conn_ttl(Some(LIFE))
        .with_abs_conn_ttl_jitter(Some(LIFE / 4));
    let settings = format!("{}, {}", ALWAYS, bounds(options.deadline));
    Ok(base(options, &settings)?.pool_opts(pool).into())
}

/// A connection that may take its time: for migrations.
pub(crate) fn for_migrations(options: &MysqlOptions) -> Result<Opts, Problem> {
    Ok(base(options, ALWAYS)?.into())
}

fn base(options: &MysqlOptions, settings: &str) -> Result<OptsBuilder, Problem> {
    let builder = match &options.place {
        Place::Host { name, port } => {
            OptsBuilder::default().ip_or_hostname(name.as_str()).tcp_port(*port).ssl_opts(tls(options)?)
        }
        Place::Socket(path) => {
            let path = path.to_str().ok_or(Problem::Misuse("a socket whose path is not UTF-8"))?;
            OptsBuilder::default().socket(Some(path))
        }
    };
    Ok(builder
        .user(Some(options.user.as_str()))
        .pass(options.password.as_deref())
        .db_name(Some(options.database.as_str()))
        // Otherwise the connection would be made once more, by whatever path the server says its socket has.
        .prefer_socket(false)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(KEEPALIVE))
        // Both would be asked for at every connect. The server refuses what is too large for it in any case, and the
        // pool notices a connection that was closed.
        .max_allowed_packet(Some(MOST_BYTES))
        .wait_timeout(Some(WAIT_TIMEOUT_SECONDS))
        .stmt_cache_size(STATEMENTS)
        .init(vec![
            format!("SET SESSION {settings}"),
            // `transaction_isolation` in the one dialect, `tx_isolation` in the other: this both understand.
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned(),
        ]))
}

/// How long the server may wait for a lock and work at a statement. It knows only whole seconds for the first.
fn bounds(deadline: Duration) -> String {
    let lock = (deadline / 2).as_secs().max(1);
    let millis = deadline.as_millis();
    // MySQL reads the first comment and skips the second, MariaDB the other way round. MySQL bounds nothing but SELECT.
    let idle = deadline.as_secs().max(1);
    // A node that is stopped inside a transaction is thrown out by MariaDB: others wait for its locks.
    format!(
        "innodb_lock_wait_timeout = {lock} /*!50708 , max_execution_time = {millis} */ \
         /*M!100101 , max_statement_time = {}.{:03} */ /*M!100301 , idle_transaction_timeout = {idle} */",
        millis / 1_000,
        millis % 1_000
    )
}

fn tls(options: &MysqlOptions) -> Result<Option<SslOpts>, Problem> {
    let tls = match options.tls {
        TlsMode::Disable => return Ok(None),
        TlsMode::Require => SslOpts::default().with_danger_accept_invalid_certs(true),
        TlsMode::VerifyFull => SslOpts::default()
            .with_disable_built_in_roots(true)
            .with_root_certs(authorities(options)?.into_iter().map(Into::into).collect()),
    };
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may have chosen one meanwhile: just as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    Ok(Some(tls))
}

/// The authorities of the file, else those of the operating system.
fn authorities(options: &MysqlOptions) -> Result<Vec<Vec<u8>>, Problem> {
    if let Some(path) = options.authorities() {
        let unusable = |cause: String| Problem::Authorities { path: path.display().to_string(), cause };
        let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
        if !pem.windows(MARK.len()).any(|window| window == MARK) {
            return Err(unusable("no certificate is in it".to_owned()));
        }
        return Ok(vec![pem]);
    }
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(Problem::NoAuthorities);
    }
    Ok(found.certs.into_iter().map(|certificate| certificate.to_vec()).collect())
}

/// What both dialects are told whatever their configuration says: every statement commits by itself, a value that does
/// not fit is an error, and instants are UTC.
const ALWAYS: &str =
    "autocommit = 1, sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00'";
/// A connection nobody needed for this long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// And any after this time, between two calls: so that a name that leads elsewhere by now is followed.
const LIFE: Duration = Duration::from_secs(30 * 60);
/// Silence on a connection after which the other side is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// The largest packet of the protocol that both dialects allow by default, four times over.
const MOST_BYTES: usize = 64 << 20;
const WAIT_TIMEOUT_SECONDS: usize = 28_800;
/// Statements kept prepared on each connection: all but for rare combinations of a list's conditions.
const STATEMENTS: usize = 64;
const MARK: &[u8] = b"-----BEGIN CERTIFICATE-----";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_waits_for_a_lock_half_as_long_as_the_caller_but_no_less_than_it_can() {
        for (deadline, lock, statement) in [(20, 1, "0.020"), (2_000, 1, "2.000"), (9_999, 4, "9.999")] {
            let settings = bounds(Duration::from_millis(deadline));
            assert!(settings.starts_with(&format!("innodb_lock_wait_timeout = {lock} ")), "{settings}");
            assert!(settings.contains(&format!("max_statement_time = {statement} ")), "{settings}");
            assert!(settings.contains(&format!("max_execution_time = {deadline} ")), "{settings}");
        }
    }
}
