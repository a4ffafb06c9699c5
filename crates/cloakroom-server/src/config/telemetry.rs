//! `[telemetry]`: where traces and metrics are sent, besides where metrics can be fetched.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use figment::value::Value;
use url::Url;

use super::read::{Reader, Setting, words};

/// Where traces and metrics are sent.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct TelemetryConfig {
    /// The collector's address for OTLP over HTTP, without `/v1/…`; `None` sends nothing anywhere.
    pub endpoint: Option<Url>,
    /// Header fields that are sent along, such as the collector's key.
    pub headers: OtlpHeaders,
    /// The file they come from.
    pub headers_file: Option<PathBuf>,
    /// Of the traces that begin here, how many are recorded.
    pub sample_ratio: SampleRatio,
    /// How often metrics are sent; zero for never.
    pub metrics_interval: Duration,
    /// What this server is called there.
    pub service_name: String,
    /// Whose `traceparent` is believed.
    pub traceparent: Traceparent,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers: OtlpHeaders::default(),
            headers_file: None,
            sample_ratio: SampleRatio(0.1),
            metrics_interval: Duration::from_secs(60),
            service_name: "cloakroom".to_owned(),
            traceparent: Traceparent::Ignored,
        }
    }
}

/// Header fields for the collector. Their values are secrets, and never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct OtlpHeaders(Vec<(String, String)>);

impl OtlpHeaders {
    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for OtlpHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// A share between 0 and 1.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub struct SampleRatio(f64);

impl SampleRatio {
    /// The share.
    #[must_use]
    pub const fn as_f64(self) -> f64 {
        self.0
    }
}

/// Whose `traceparent` is believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Traceparent {
    /// Nobody's: every trace begins here. Anybody can send one, and would choose what is recorded.
    Ignored,
    /// That of requests which come from `trust.proxies`. These have to remove what outsiders send.
    FromProxies,
}

impl Traceparent {
    /// The word in configuration files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ignored => "ignore",
            Self::FromProxies => "from-proxies",
        }
    }
}

words!(Traceparent, "\"ignore\" or \"from-proxies\"",
    "ignore" => Traceparent::Ignored, "from-proxies" => Traceparent::FromProxies);

impl Setting for SampleRatio {
    const EXPECTED: &'static str = "a share between 0 and 1, such as 0.1";

    fn read(value: &Value) -> Result<Self, String> {
        let number = match value {
            Value::Num(_, number) => number
                .to_f64()
                .or_else(|| number.to_u32().map(f64::from))
                .or_else(|| number.to_i128().and_then(|n| i32::try_from(n).ok()).map(f64::from)),
            Value::String(_, text) => text.trim().parse().ok(),
            _ => None,
        };
        number
            .filter(|share| (0.0..=1.0).contains(share))
            .map(Self)
            .ok_or_else(|| "is no share between 0 and 1".to_owned())
    }
}

/// Reads the section.
pub(super) fn read_telemetry(r: &mut Reader<'_>) -> TelemetryConfig {
    let default = TelemetryConfig::default();
    let endpoint = read_endpoint(r);
    let headers_file: Option<PathBuf> = r.get("telemetry.otlp_headers_file");
    let headers = headers_file.as_ref().map(|path| read_headers(r, path)).unwrap_or_default();
    let metrics_interval = r.get("telemetry.metrics_interval").unwrap_or(default.metrics_interval);
    if !metrics_interval.is_zero() && !(MIN_INTERVAL..=MAX_INTERVAL).contains(&metrics_interval) {
        let cause = "`telemetry.metrics_interval` is outside of 1s to 1h";
        r.problem("telemetry.metrics_interval", cause, "the default is \"60s\"; \"0s\" sends no metrics");
    }
    let service_name = r.get("telemetry.service_name").unwrap_or(default.service_name);
    if service_name.is_empty() || service_name.len() > MAX_NAME || service_name.chars().any(char::is_control)
    {
        let cause = format!("`telemetry.service_name` is empty, longer than {MAX_NAME} bytes, or no text");
        r.problem("telemetry.service_name", cause, "the default is \"cloakroom\"");
    }
    let traceparent = r.get("telemetry.traceparent").unwrap_or(default.traceparent);
    if traceparent == Traceparent::FromProxies && r.place("trust.proxies").is_none() {
        let cause = "`telemetry.traceparent` believes proxies, but `trust.proxies` names none";
        r.problem("telemetry.traceparent", cause, "name your proxies in `trust.proxies`, or remove it");
    }
    TelemetryConfig {
        endpoint,
        headers,
        headers_file,
        sample_ratio: r.get("telemetry.traces_sample_ratio").unwrap_or(default.sample_ratio),
        metrics_interval,
        service_name,
        traceparent,
    }
}

fn read_endpoint(r: &mut Reader<'_>) -> Option<Url> {
    let key = "telemetry.otlp_endpoint";
    let text: String = r.get(key)?;
    let remedy = "write the collector's address for OTLP over HTTP, such as \"http://localhost:4318\"";
    let url =
        Url::parse(text.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url else {
        // Not repeated: there may be a secret in it.
        r.problem(key, format!("`{key}` is no address of http or https"), remedy);
        return None;
    };
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        let cause = format!("`{key}` has more than a host and a path; secrets do not belong there");
        r.problem(key, cause, "put the collector's key into `telemetry.otlp_headers_file`");
        return None;
    }
    if !cfg!(feature = "otlp") {
        r.problem(
            key,
            "this build of the server cannot send OTLP",
            "build it with the feature `otlp`, or remove it",
        );
        return None;
    }
    Some(url)
}

/// Reads lines of the form `name: value`; empty lines and those that begin with `#` say nothing.
fn read_headers(r: &mut Reader<'_>, path: &PathBuf) -> OtlpHeaders {
    let key = "telemetry.otlp_headers_file";
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let cause = format!("`{key}` cannot be read: {}: {error}", path.display());
            r.problem(key, cause, "name a readable file with one header field in each line");
            return OtlpHeaders::default();
        }
    };
    let mut headers = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let field = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
        let field = field.filter(|(name, value)| {
            http::HeaderName::try_from(*name).is_ok() && http::HeaderValue::try_from(*value).is_ok()
        });
        match field {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
            None => {
                let cause = format!("line {} of the file in `{key}` is no header field", number + 1);
                r.problem(key, cause, "write it as `name: value`");
            }
        }
    }
    OtlpHeaders(headers)
}

const MIN_INTERVAL: Duration = Duration::from_secs(1);
const MAX_INTERVAL: Duration = Duration::from_secs(3600);
const MAX_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use crate::config::{Loaded, Sources};

    fn cause(text: &str) -> String {
        let text = format!("[telemetry]\n{text}");
        let error = Loaded::from_sources(&Sources::of_text(&text)).unwrap_err();
        error.problems().iter().map(|problem| format!("{problem:?}")).collect()
    }

    #[test]
    fn what_cannot_be_kept_is_refused_and_no_secret_is_repeated() {
        for (text, why) in [
            ("otlp_endpoint = \"localhost:4318\"", "no address of http or https"),
            ("otlp_endpoint = \"grpc://localhost:4317\"", "no address of http or https"),
            ("otlp_endpoint = \"http://key:hunter2@localhost\"", "secrets do not belong there"),
            ("otlp_endpoint = \"http://localhost/?key=hunter2\"", "secrets do not belong there"),
            ("otlp_headers_file = \"/nowhere/at/all\"", "cannot be read"),
            ("traces_sample_ratio = 1.5", "no share between 0 and 1"),
            ("traces_sample_ratio = -0.1", "no share between 0 and 1"),
            ("traces_sample_ratio = \"NaN\"", "no share between 0 and 1"),
            ("metrics_interval = \"10ms\"", "outside of 1s to 1h"),
            ("metrics_interval = \"2h\"", "outside of 1s to 1h"),
            ("service_name = \"\"", "`telemetry.service_name` is empty"),
            ("traceparent = \"from-proxies\"", "`trust.proxies` names none"),
            ("traceparent = \"yes\"", "unknown value"),
        ] {
            let said = cause(text);
            assert!(said.contains(why) && !said.contains("hunter2"), "{text}: {said}");
        }
    }

    #[test]
    fn shares_are_read_however_they_are_written() {
        for (text, share) in [("0", 0.0), ("1", 1.0), ("0.25", 0.25), ("1.0", 1.0), ("\"0.5\"", 0.5)] {
            let text = format!("[telemetry]\ntraces_sample_ratio = {text}");
            let config = Loaded::from_sources(&Sources::of_text(&text)).unwrap().config;
            assert_eq!(config.telemetry.sample_ratio.as_f64(), share, "{text}");
        }
    }

    #[test]
    fn header_fields_come_from_a_file_and_are_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("headers");
        std::fs::write(&file, "# the collector's key\n\nAuthorization: Basic hunter2:=%41\nX-Scope: a\n")
            .unwrap();
        let text = format!("[telemetry]\notlp_headers_file = {file:?}");
        let loaded = Loaded::from_sources(&Sources::of_text(&text)).unwrap();
        let headers: Vec<_> = loaded.config.telemetry.headers.iter().collect();
        assert_eq!(headers, [("authorization", "Basic hunter2:=%41"), ("x-scope", "a")]);
        assert!(!format!("{:?} {}", loaded.config, loaded.to_toml()).contains("hunter2"));
        std::fs::write(&file, "hunter2\n").unwrap();
        let said = format!("{:?}", Loaded::from_sources(&Sources::of_text(&text)).unwrap_err());
        assert!(said.contains("line 1") && !said.contains("hunter2"), "{said}");
    }
}
