//! Banned words: each has one right word in the glossary, or none at all.

use std::iter;

use super::{Finding, source::Class, tree::Tree};

/// A word, or several in a row, that no identifier contains, and what to say instead.
struct Banned {
    words: &'static [&'static str],
    say: &'static str,
}

const IN_IDENTIFIERS: &[Banned] = &[
    Banned { words: &["login"], say: "sign_in" },
    Banned { words: &["logon"], say: "sign_in" },
    Banned { words: &["log", "in"], say: "sign_in" },
    Banned { words: &["logged", "in"], say: "signed_in" },
    Banned { words: &["signin"], say: "sign_in" },
    Banned { words: &["logout"], say: "sign_out" },
    Banned { words: &["logoff"], say: "sign_out" },
    Banned { words: &["log", "out"], say: "sign_out" },
    Banned { words: &["logged", "out"], say: "signed_out" },
    Banned { words: &["signout"], say: "sign_out" },
    Banned { words: &["session", "token", "id"], say: "session_id (public) or token (secret)" },
    Banned { words: &["ttl"], say: "_timeout, _retention or _lease" },
    Banned { words: &["expiry", "time"], say: "expires_at (an instant) or _timeout (a duration)" },
    Banned { words: &["expiration", "time"], say: "expires_at (an instant) or _timeout (a duration)" },
    Banned { words: &["blacklist"], say: "denied, or what the list is for" },
    Banned { words: &["whitelist"], say: "allowed, or what the list is for" },
];

/// Words that stand in no text at all.
const ANYWHERE: &[Banned] = &[
    Banned { words: &["blacklist"], say: "denied, or what the list is for" },
    Banned { words: &["whitelist"], say: "allowed, or what the list is for" },
];

/// Finds banned words in identifiers of Rust code, and the worst of them in any text. String literals are free, and so
/// is what stands behind a dot: OWASP's event names, protocols and other people's APIs have words of their own, and what
/// is ours is found where it is defined.
pub(super) fn banned(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources() {
        let before = iter::once(None).chain(source.tokens.iter().map(Some));
        let tokens = source.tokens.iter().zip(before).filter(|(token, before)| {
            token.class == Class::Identifier && before.is_none_or(|before| before.text != ".")
        });
        for (token, _) in tokens {
            let words = words_of(token.text);
            if let Some(banned) = find(IN_IDENTIFIERS, &words) {
                let what = format!("`{}`: say {}", token.text, banned.say);
                findings.push(Finding::new(source.path, token.line, what));
            }
        }
    }
    for (path, text) in tree.texts().filter(|(path, _)| *path != HERE) {
        for (line, content) in (1..).zip(text.lines()) {
            for word in content.split(|c: char| !c.is_alphanumeric()) {
                if let Some(banned) = find(ANYWHERE, &[word.to_lowercase()]) {
                    findings.push(Finding::new(path, line, format!("`{word}`: say {}", banned.say)));
                }
            }
        }
    }
    findings
}

fn find(list: &'static [Banned], words: &[String]) -> Option<&'static Banned> {
    list.iter().find(|banned| words.windows(banned.words.len()).any(|window| window == banned.words))
}

/// The words of an identifier, in lower case: `SignIn` and `sign_in` are both two.
fn words_of(identifier: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut is_new = true;
    let mut previous_is_lower = false;
    for c in identifier.trim_start_matches("r#").chars() {
        if c == '_' {
            is_new = true;
            continue;
        }
        match words.last_mut() {
            Some(word) if !is_new && (!c.is_uppercase() || !previous_is_lower) => {
                word.extend(c.to_lowercase())
            }
            _ => words.push(c.to_lowercase().collect()),
        }
        is_new = false;
        previous_is_lower = !c.is_uppercase();
    }
    words
}

/// The one file that must name the words it bans.
const HERE: &str = "xtask/src/tidy/words.rs";

#[cfg(test)]
mod tests {
    use super::{super::check_rule, *};

    #[test]
    fn identifiers_are_words_in_either_case() {
        let check =
            |identifier, expected: &[&str]| assert_eq!(words_of(identifier), expected, "{identifier}");
        check("sign_in", &["sign", "in"]);
        check("SignIn", &["sign", "in"]);
        check("SIGN_IN", &["sign", "in"]);
        check("r#type", &["type"]);
        check("HTTPServer2", &["httpserver2"]);
        check("_", &[]);
    }

    #[test]
    fn banned_words_are_found_in_identifiers_of_any_case() {
        let check = |identifier: &str, say| {
            let expected = format!("a.rs:2: `{identifier}`: say {say}");
            check_rule(banned, &[("a.rs", &format!("\nlet {identifier} = 1;\n"))], &[&expected]);
        };
        check("login_page", "sign_in");
        check("UserLogin", "sign_in");
        check("is_logged_in", "signed_in");
        check("LOGOUT", "sign_out");
        check("log_out", "sign_out");
        check("session_token_id", "session_id (public) or token (secret)");
        check("cache_ttl", "_timeout, _retention or _lease");
        check("expiry_time", "expires_at (an instant) or _timeout (a duration)");
    }

    #[test]
    fn similar_words_are_free() {
        check_rule(banned, &[("a.rs", "let catalog_index = log_output + subtitle + blog_in;\n")], &[]);
    }

    #[test]
    fn what_stands_behind_a_dot_was_named_elsewhere() {
        check_rule(banned, &[("a.rs", "driver.with_ttl(5)\n    .ttl();\n")], &[]);
        let own = "fn ttl() {}\n";
        check_rule(banned, &[("a.rs", own)], &["a.rs:1: `ttl`: say _timeout, _retention or _lease"]);
    }

    #[test]
    fn strings_and_comments_are_free() {
        check_rule(banned, &[("a.rs", "// a login\nlet name = \"authn_login_success\";\n")], &[]);
    }

    #[test]
    fn the_worst_words_are_found_in_any_text() {
        check_rule(
            banned,
            &[("docs/a.md", "Fine.\nThe Blacklist.\n")],
            &["docs/a.md:2: `Blacklist`: say denied, or what the list is for"],
        );
    }
}
