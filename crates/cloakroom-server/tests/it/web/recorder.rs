//! What holds for every response, whatever it answers (ASVS 3.3, 3.4, 4.1, 14.2, 14.3).

use std::collections::HashSet;

use http::Method;

use super::client::{Answer, Kind};

/// Looks at every response that any test sees.
#[derive(Default)]
pub(super) struct Recorder {
    tokens: HashSet<String>,
    nonces: HashSet<String>,
    requests: HashSet<String>,
}

impl Recorder {
    /// Remembers a token: no body and no address may contain it from now on.
    pub(super) fn know(&mut self, token: &str) {
        self.tokens.insert(token.to_owned());
    }

    pub(super) fn check(&mut self, method: &Method, path: &str, kind: Kind, answer: &Answer) {
        let about = format!("{method} {path}: {} {:?}\n{}", answer.status, answer.headers, answer.body);
        self.security_headers(answer, &about);
        cookies(answer, &about);
        caching(path, answer, &about);
        content(method, answer, &about);
        // A load balancer reads readiness, not a person; the answer to HEAD has no body to look at.
        if path != "/readyz" && *method != Method::HEAD {
            refusals(path, kind, answer, &about);
        }
        self.secrets(method, path, answer, &about);
    }

    fn security_headers(&mut self, answer: &Answer, about: &str) {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), value, "{name} in {about}");
        }
        for name in
            ["server", "x-powered-by", "access-control-allow-origin", "access-control-allow-credentials"]
        {
            assert!(!answer.headers.contains_key(name), "{name} in {about}");
        }
        assert!(answer.header("permissions-policy").contains("camera=()"), "{about}");
        let policy = answer.header("content-security-policy");
        for directive in
            ["default-src 'none'", "base-uri 'none'", "object-src 'none'", "frame-ancestors 'none'"]
        {
            assert!(policy.contains(directive), "{directive} in {about}");
        }
        assert!(policy.contains("form-action 'self'") && !policy.contains("unsafe"), "{about}");
        let nonce =
            policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).unwrap_or_default();
        assert!(nonce.len() >= 22 && self.nonces.insert(nonce.to_owned()), "128 bits, never twice: {about}");
        let request = answer.header("x-request-id");
        assert!(!request.is_empty() && self.requests.insert(request.to_owned()), "{about}");
    }

    /// A token leaves the server in its cookie, or in the body of the calls whose purpose that is.
    fn secrets(&mut self, method: &Method, path: &str, answer: &Answer, about: &str) {
        if let Some(token) = answer.cookie().filter(|value| !value.is_empty()) {
            self.tokens.insert(token);
        }
        let hands_out = *method == Method::POST
            && matches!(path, "/v1/sign-in" | "/v1/session/rotate" | "/v1/reauthenticate")
            && answer.status.is_success();
        let with_cookie = answer.headers.contains_key("set-cookie");
        if hands_out && !with_cookie {
            let token = answer.json()["token"].as_str().expect("a bearer gets the token").to_owned();
            assert_eq!(tokens_in(&answer.body), 1, "{about}");
            self.tokens.insert(token);
            return;
        }
        assert_eq!(tokens_in(&answer.body) + tokens_in(answer.location()), 0, "a token in {about}");
        for token in &self.tokens {
            let (_, secret) = token.split_at(4);
            assert!(
                !answer.body.contains(secret) && !answer.location().contains(secret),
                "a token in {about}"
            );
        }
    }
}

/// How many texts in `text` have the form of a token.
fn tokens_in(text: &str) -> usize {
    let is_token = |rest: &&str| {
        rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')).count()
            >= 46
    };
    ["cr1_", "cs1_"].iter().map(|prefix| text.split(prefix).skip(1).filter(is_token).count()).sum()
}

fn cookies(answer: &Answer, about: &str) {
    let lines: Vec<&str> =
        answer.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
    assert!(lines.len() <= 1, "one cookie, one line: {about}");
    for line in lines {
        let (pair, attributes) = line.split_once("; ").unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        assert_eq!(name, "__Host-cloakroom", "{about}");
        let (fixed, age) = match attributes.split_once("; Max-Age=") {
            Some((fixed, age)) => (fixed, Some(age.parse::<u64>().unwrap())),
            None => (attributes, None),
        };
        assert_eq!(fixed, "Path=/; Secure; HttpOnly; SameSite=Lax", "{about}");
        assert_eq!(value.is_empty(), age == Some(0), "removed with the attributes it was set with: {about}");
        let is_token = value.starts_with("cr1_") || value.starts_with("cs1_");
        assert!(value.is_empty() || is_token, "{about}");
    }
}

fn caching(path: &str, answer: &Answer, about: &str) {
    let expected = match path.starts_with("/assets/") && answer.status.is_success() {
        true => "public, max-age=31536000, immutable",
        false => "no-store",
    };
    assert_eq!(answer.header("cache-control"), expected, "{about}");
}

fn content(method: &Method, answer: &Answer, about: &str) {
    let kind = answer.header("content-type");
    let has_body = !answer.body.is_empty() && *method != Method::HEAD;
    let is_json = matches!(kind, "application/json" | "application/problem+json");
    let names_charset = kind.ends_with("; charset=utf-8");
    assert!(!has_body || is_json || names_charset, "a type, with its charset: {about}");
    if kind.starts_with("text/html") {
        assert!(!answer.body.contains("style=\"") && !answer.body.contains("onclick"), "{about}");
        let scripts = answer.body.matches("<script").count();
        let nonce = answer.header("content-security-policy");
        let nonce =
            nonce.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).unwrap_or_default();
        assert_eq!(answer.body.matches(&format!("nonce=\"{nonce}\"")).count(), scripts, "{about}");
        assert!(!answer.body.contains("//cdn") && !answer.body.contains("src=\"http"), "{about}");
    }
}

fn refusals(path: &str, kind: Kind, answer: &Answer, about: &str) {
    let status = answer.status.as_u16();
    if status < 400 {
        return;
    }
    match status {
        401 => assert!(answer.headers.contains_key("www-authenticate") || kind == Kind::Browser, "{about}"),
        405 => assert!(answer.headers.contains_key("allow"), "{about}"),
        429 | 503 => {
            assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|wait| wait > 0), "{about}")
        }
        _ => {}
    }
    let for_program = path.starts_with("/v1/") || kind == Kind::Program;
    if for_program {
        assert_eq!(answer.header("content-type"), "application/problem+json", "{about}");
        let problem = answer.json();
        assert_eq!(problem["status"], status, "{about}");
        assert!(problem["title"].is_string() && problem["code"].is_string(), "{about}");
        assert_eq!(problem["type"], format!("urn:cloakroom:problem:{}", problem["code"].as_str().unwrap()));
    } else if answer.header("content-type").starts_with("text/html") {
        assert!(answer.body.contains("<!doctype html>") && answer.body.contains("</html>"), "{about}");
    }
}
