//! A name for people: "Firefox on Linux".

use std::borrow::Cow;

use cloakroom_core::Device;
use woothee::parser::{Parser, WootheeResult};

/// The name by which a user may recognise the device that sent `user_agent`: `Firefox on Linux`, `Safari on iPhone`,
/// `curl`; `Unknown browser` where nothing is recognised.
///
/// It says what the client claims, for people to read; decisions are never made on it.
#[must_use]
pub fn device_label(user_agent: &str) -> Cow<'_, str> {
    let end = user_agent.floor_char_boundary(Device::USER_AGENT_MAX_BYTES);
    let agent = user_agent.get(..end).unwrap_or_default().trim();
    if let Some(product) = program(agent) {
        return Cow::Borrowed(product);
    }
    match Parser::new().parse(agent) {
        Some(WootheeResult { name, os, .. }) if is_known(name) => match system(os) {
            Some(system) => Cow::Owned(format!("{} on {system}", browser(name))),
            None => Cow::Owned(browser(name).to_owned()),
        },
        _ => Cow::Borrowed(UNKNOWN),
    }
}

const UNKNOWN: &str = "Unknown browser";
/// Longest name of a program worth showing.
const PROGRAM_MAX_BYTES: usize = 32;

/// The product in front of an agent that does not pretend to be a browser: `curl/8.5` is `curl`.
fn program(agent: &str) -> Option<&str> {
    let product = agent.split(['/', ' ']).next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let named = (1..=PROGRAM_MAX_BYTES).contains(&product.len()) && product.bytes().all(plain);
    (named && !matches!(product, "Mozilla" | "Opera")).then_some(product)
}

fn browser(name: &str) -> &str {
    match name {
        "Webview" => "An app",
        "SamsungBrowser" => "Samsung Internet",
        other => other,
    }
}

/// The system in the words of its users. Versions are left out: browsers freeze them, so that Windows 11 says 10.
fn system(os: &str) -> Option<&str> {
    match os {
        "Mac OSX" | "Mac OS Classic" => Some("macOS"),
        "Windows Phone OS" => Some("Windows Phone"),
        windows if windows.starts_with("Windows") => Some("Windows"),
        other => is_known(other).then_some(other),
    }
}

fn is_known(text: &str) -> bool {
    !text.is_empty() && text != "UNKNOWN"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names_their_users_recognise() {
        for (agent, label) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
                "Chrome on Windows",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Safari/605.1.15",
                "Safari on macOS",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
                "Chrome on Android",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36",
                "Chrome on Linux",
            ),
            ("curl/8.5.0", "curl"),
            ("python-requests/2.32.3", "python-requests"),
            ("Mozilla/5.0", "Unknown browser"),
            ("", "Unknown browser"),
            ("/", "Unknown browser"),
            ("<script>alert(1)</script>", "Unknown browser"),
        ] {
            assert_eq!(device_label(agent), label, "{agent}");
        }
    }

    #[test]
    fn an_agent_of_any_length_is_read_only_as_far_as_it_is_kept() {
        let long = format!("Mozilla/5.0 {} Firefox/140.0", "ä".repeat(1_000_000));
        assert_eq!(device_label(&long), "Unknown browser");
        assert_eq!(device_label(&"a".repeat(PROGRAM_MAX_BYTES)), "a".repeat(PROGRAM_MAX_BYTES));
        assert_eq!(device_label(&"a".repeat(PROGRAM_MAX_BYTES + 1)), "Unknown browser");
    }
}
