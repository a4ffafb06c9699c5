//! Style, script and icon, compiled in and named by their content.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use sha2::{Digest as _, Sha256};

use super::refusal::Refusal;

/// A file that pages refer to.
pub(super) struct Asset {
    /// Where it is served.
    pub(super) path: String,
    content_type: &'static str,
    body: &'static str,
}

pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("cloakroom", "css", "text/css; charset=utf-8", include_str!("../../assets/cloakroom.css"))
});
pub(super) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("cloakroom", "js", "text/javascript; charset=utf-8", include_str!("../../assets/cloakroom.js"))
});
pub(super) static CONSOLE_STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "console",
        "css",
        "text/css; charset=utf-8",
        concat!(include_str!("../../assets/console.css"), include_str!("../../assets/console_sessions.css")),
    )
});
pub(super) static CONSOLE_SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "console",
        "js",
        "text/javascript; charset=utf-8",
        concat!(include_str!("../../assets/console.js"), include_str!("../../assets/console_sessions.js")),
    )
});
pub(super) static ICON: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("cloakroom", "svg", "image/svg+xml; charset=utf-8", include_str!("../../assets/cloakroom.svg"))
});

impl Asset {
    fn new(name: &str, extension: &str, content_type: &'static str, body: &'static str) -> Self {
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(body));
        Self { path: format!("/assets/{name}.{a:02x}{b:02x}{c:02x}{d:02x}.{extension}"), content_type, body }
    }
}

/// Serves an asset under its present name. The name changes with the content, so it may be kept for ever.
pub(super) async fn serve(Path(file): Path<String>) -> Response {
    let path = format!("/assets/{file}");
    let assets = [&STYLE, &SCRIPT, &CONSOLE_STYLE, &CONSOLE_SCRIPT, &ICON];
    match assets.into_iter().find(|asset| asset.path == path) {
        Some(asset) => {
            let headers =
                [(CONTENT_TYPE, asset.content_type), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
            (headers, asset.body).into_response()
        }
        None => Refusal::not_found().into_response(),
    }
}
