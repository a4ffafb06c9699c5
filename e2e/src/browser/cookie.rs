//! A cookie as the browser keeps it.

use std::fmt;

use serde_json::Value;

/// A cookie with every attribute the browser knows. `Debug` shows all but the value, which may be a token.
#[derive(Clone, PartialEq)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The host it belongs to; begins with a dot where subdomains share it.
    pub domain: String,
    /// The path it belongs to.
    pub path: String,
    /// Whether it travels over secure connections only.
    pub secure: bool,
    /// Whether scripts cannot see it.
    pub http_only: bool,
    /// `Strict`, `Lax` or `None`; empty where the server did not say.
    pub same_site: String,
    /// When it is forgotten, in seconds since 1970; `None` where that is when the browser closes.
    pub expires: Option<f64>,
}

impl Cookie {
    pub(crate) fn from_chromium(cookie: &Value) -> Self {
        let text = |key| cookie.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let flag = |key| cookie.get(key).and_then(Value::as_bool).unwrap_or_default();
        let expires = cookie.get("expires").and_then(Value::as_f64).filter(|_| !flag("session"));
        Self {
            name: text("name"),
            value: text("value"),
            domain: text("domain"),
            path: text("path"),
            secure: flag("secure"),
            http_only: flag("httpOnly"),
            same_site: text("sameSite"),
            expires,
        }
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookie")
            .field("name", &self.name)
            .field("domain", &self.domain)
            .field("path", &self.path)
            .field("secure", &self.secure)
            .field("http_only", &self.http_only)
            .field("same_site", &self.same_site)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
