//! Another site's web server.

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::Outcome;

/// Somebody else's page, on another port of this machine: by `localhost` it is another origin of the same site, by
/// `127.0.0.1` another site.
#[derive(Debug)]
pub struct Neighbour {
    port: u16,
    serving: JoinHandle<()>,
}

impl Neighbour {
    /// Serves `page` at every address.
    ///
    /// # Errors
    /// Where there is no port.
    pub async fn serve(page: String) -> Outcome<Self> {
        Self::of(Router::new().fallback(get(move || async move { Html(page) }))).await
    }

    /// Serves whatever `router` does.
    ///
    /// # Errors
    /// Where there is no port.
    pub async fn of(router: Router) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let serving = tokio::spawn(async move {
            // Ends when it is aborted, and not before.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { port, serving })
    }

    /// Its address under `host`.
    #[must_use]
    pub fn url(&self, host: &str) -> String {
        self.path(host, "/")
    }

    /// The address of `path` under `host`.
    #[must_use]
    pub fn path(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
