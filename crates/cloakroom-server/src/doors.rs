//! The sockets that are served.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;

use crate::config::{Config, TlsConfig};
use crate::serve::{GRACE, ServeError};
use crate::web::{self, App, Listener};

/// The sockets that are served, and the handle that closes them.
pub(crate) struct Doors {
    handle: Handle<SocketAddr>,
    served: Vec<tokio::task::JoinHandle<io::Result<()>>>,
}

impl Doors {
    pub(crate) async fn open(app: &App, config: &Config, listener: TcpListener) -> Result<Self, ServeError> {
        let mut doors = Self { handle: Handle::new(), served: Vec::new() };
        match &config.tls {
            Some(tls) => {
                let rustls = rustls_config(tls).await?;
                let mut server = axum_server::from_tcp_rustls(listener, rustls)
                    .map_err(|error| ServeError::new(error, "report this as a defect"))?
                    .handle(doors.handle.clone())
                    .http1_only();
                limit_heads(server.http_builder());
                let service =
                    web::router(app, Listener::Tls).into_make_service_with_connect_info::<SocketAddr>();
                doors.served.push(tokio::spawn(async move { server.serve(service).await }));
                if let Some(address) = tls.redirect_listen {
                    doors.serve_plain(bind(address)?, web::router(app, Listener::Plain))?;
                }
            }
            None => doors.serve_plain(listener, web::router(app, Listener::Plain))?,
        }
        if let (Some(address), Some(handle)) = (config.metrics_listen, app.metrics.clone()) {
            let metrics =
                Router::new().route("/metrics", get(async move || web::exposition(&handle.render())));
            doors.serve_plain(bind(address)?, metrics)?;
        }
        Ok(doors)
    }

    fn serve_plain(&mut self, listener: TcpListener, router: Router) -> Result<(), ServeError> {
        let mut server = axum_server::from_tcp(listener)
            .map_err(|error| ServeError::new(error, "report this as a defect"))?
            .handle(self.handle.clone())
            .http1_only();
        limit_heads(server.http_builder());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        self.served.push(tokio::spawn(async move { server.serve(service).await }));
        Ok(())
    }

    pub(crate) async fn close(self) {
        self.handle.graceful_shutdown(Some(GRACE));
        for served in self.served {
            if let Ok(Err(error)) = served.await {
                tracing::error!(%error, "a listener failed");
            }
        }
    }
}

pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let listener = TcpListener::bind(address).map_err(|error| unusable(address, &error))?;
    listener.set_nonblocking(true).map_err(|error| unusable(address, &error))?;
    Ok(listener)
}

/// Servers here speak HTTP/1.1 alone, so that the clock of a request's head runs from the first moment of a connection:
/// while a protocol is still to be chosen none runs, and silent connections could be held open for nothing.
fn limit_heads(builder: &mut Builder<TokioExecutor>) {
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
}

pub(crate) fn unusable(address: SocketAddr, error: &io::Error) -> ServeError {
    ServeError::new(
        format!("cannot listen on {address}: {error}"),
        "choose another address with --listen, or stop what uses it",
    )
}

/// The certificate and its key, as they are offered.
pub(crate) async fn rustls_config(tls: &TlsConfig) -> Result<RustlsConfig, ServeError> {
    // A second install changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = RustlsConfig::from_pem_file(&tls.cert_file, &tls.key_file).await.map_err(|error| {
        let files = format!("{} and {}", tls.cert_file.display(), tls.key_file.display());
        ServeError::new(
            format!("the certificate and key in {files} cannot be used: {error}"),
            "give a PEM certificate chain and its PEM private key in [tls]",
        )
    })?;
    let mut offered = rustls::ServerConfig::clone(&config.get_inner());
    offered.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.reload_from_config(Arc::new(offered));
    Ok(config)
}

/// A client has this long for the head of a request: connections cannot be held open for nothing (slowloris).
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
