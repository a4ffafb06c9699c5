//! Habits of writing Rust: comments, attributes, crate documentation.

use super::{
    Finding,
    source::{Class, Source, Token},
    tree::Tree,
};

/// Finds notes of unfinished work that name no issue, in comments of Rust and in every other kind of source.
pub(super) fn todos_without_issue(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let complain = |path: &str, line| Finding::new(path, line, "name the issue: `TODO(#12): …`");
    for source in tree.sources() {
        for token in source.tokens.iter().filter(|token| is_comment(token)) {
            let lines = (token.line..).zip(token.text.lines()).filter(|(_, text)| has_loose_todo(text));
            findings.extend(lines.map(|(line, _)| complain(source.path, line)));
        }
    }
    for extension in ["toml", "sql", "lua", "js", "css", "html", "sh", "yml", "yaml"] {
        for (path, text) in tree.with_extension(extension) {
            let lines = (1..).zip(text.lines()).filter(|(_, text)| has_loose_todo(text));
            findings.extend(lines.map(|(line, _)| complain(path, line)));
        }
    }
    findings
}

/// Finds comments that are code.
pub(super) fn commented_out_code(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources() {
        for token in source.tokens.iter().filter(|token| token.class == Class::Comment) {
            for (line, text) in (token.line..).zip(token.text.lines()) {
                let text = text.trim_start_matches(['/', '*', ' ', '\t']).trim_end();
                if is_code(text) {
                    findings.push(Finding::new(
                        source.path,
                        line,
                        format!("delete `{text}`: git remembers it"),
                    ));
                }
            }
        }
    }
    findings
}

/// Finds `allow` in attributes: an exception that is `expect`ed goes away with its cause.
pub(super) fn allowed_lints(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources() {
        let code = source.code();
        for (index, token) in code.iter().enumerate().filter(|(_, token)| token.text == "#") {
            if attribute(&code, index).windows(2).any(|pair| texts(pair) == ["allow", "("]) {
                let what = "use `#[expect(lint, reason = \"…\")]`";
                findings.push(Finding::new(source.path, token.line, what));
            }
        }
    }
    findings
}

/// Finds crate roots that do not begin by saying what the crate is.
pub(super) fn crates_without_docs(tree: &Tree) -> Vec<Finding> {
    let is_root = |source: &Source<'_>| {
        let path = source.path;
        path.ends_with("src/lib.rs") || path.ends_with("src/main.rs") || path.contains("src/bin/")
    };
    let is_documented = |source: &Source<'_>| {
        source.tokens.first().is_some_and(|token| {
            token.class == Class::Documentation && token.text.trim_start_matches("//!").trim() != ""
        })
    };
    tree.sources()
        .filter(|source| is_root(source) && !is_documented(source))
        .map(|source| Finding::new(source.path, 1, "begin with `//!` and what this crate is for"))
        .collect()
}

fn is_comment(token: &Token<'_>) -> bool {
    matches!(token.class, Class::Comment | Class::Documentation)
}

/// Whether `text` contains one of the marks as a word of its own, without an issue number right behind it.
fn has_loose_todo(text: &str) -> bool {
    ["TODO", "FIXME", "XXX", "HACK"].into_iter().any(|mark| {
        text.match_indices(mark).any(|(at, _)| {
            let (before, after) = (&text.get(..at), text.get(at + mark.len()..).unwrap_or_default());
            let is_word = !before.unwrap_or_default().ends_with(|c: char| c.is_alphanumeric() || c == '_')
                && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            let has_issue = after
                .strip_prefix("(#")
                .and_then(|rest| rest.split_once(')'))
                .is_some_and(|(number, _)| number.parse::<u64>().is_ok());
            is_word && !has_issue
        })
    })
}

/// Whether a line of a comment is a line of Rust. Prose ends in full stops, has spaces before its brackets and words
/// side by side; only what no sentence looks like counts.
fn is_code(text: &str) -> bool {
    let ends = |endings: &[&str]| endings.iter().any(|ending| text.ends_with(ending));
    let after_any = |starts: &[&str]| starts.iter().find_map(|start| text.strip_prefix(start));
    let is_brace = ["{", "}", "};", "});", "})", "},"].contains(&text);
    let is_statement = ends(&[";"])
        && after_any(&["let mut ", "let ", "use ", "return ", "const ", "static ", "mod ", "type "])
            .is_some_and(|rest| !is_prose(rest));
    let is_item = ends(&[";", "{", ","]) && text.starts_with("pub ");
    let is_opening = ends(&["{"])
        && after_any(&["fn ", "if ", "for ", "while ", "match ", "impl", "struct ", "enum ", "async "])
            .is_some();
    let is_attribute = ends(&["]"]) && after_any(&["#[", "#!["]).is_some();
    let is_call = ends(&[");", ")?;", ".await;", ".await?;"])
        && text.split_once('(').is_some_and(|(head, _)| is_path(head.trim_end_matches('!')));
    let is_assignment = ends(&[";"])
        && text.split_once(" = ").is_some_and(|(target, value)| is_path(target) && !is_prose(value));
    is_brace || is_statement || is_item || is_opening || is_attribute || is_call || is_assignment
}

/// Whether two words stand side by side in `text`.
fn is_prose(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.chars().all(char::is_alphabetic);
    let words: Vec<_> = text.trim_end_matches(';').split(' ').collect();
    words.windows(2).any(|pair| pair.iter().all(|word| is_word(word)))
}

/// Whether `text` is a path or a chain of fields: `self.cache`, `std::mem::drop`.
fn is_path(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_.:*".contains(c))
}

/// The tokens between the brackets of the attribute that begins at `start`.
fn attribute<'t, 'a>(code: &'t [Token<'a>], start: usize) -> &'t [Token<'a>] {
    let inner = usize::from(code.get(start + 1).is_some_and(|token| token.text == "!"));
    let open = start + 1 + inner;
    if code.get(open).is_none_or(|token| token.text != "[") {
        return &[];
    }
    let mut depth = 0_usize;
    for (index, token) in code.iter().enumerate().skip(open) {
        match token.text {
            "[" => depth += 1,
            "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return code.get(open + 1..index).unwrap_or_default();
        }
    }
    &[]
}

fn texts<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    tokens.iter().map(|token| token.text).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::check_rule, *};

    #[test]
    fn work_left_to_do_names_its_issue() {
        let check = |comment: &str, is_found| {
            let expected: &[&str] =
                if is_found { &["a.rs:1: name the issue: `TODO(#12): …`"] } else { &[] };
            check_rule(todos_without_issue, &[("a.rs", &format!("{comment}\n"))], expected);
        };
        check("// TODO: later", true);
        check("/// FIXME", true);
        check("/* TODO(me): later */", true);
        check("// TODO(#): later", true);
        check("// TODO(#12): later", false);
        check("// TODOS are a list, as in AUTODO", false);
        check("let s = \"TODO\";", false);
    }

    #[test]
    fn work_left_to_do_is_found_in_other_sources_too() {
        check_rule(
            todos_without_issue,
            &[("a.sql", "select 1;\n-- TODO index\n"), ("a.md", "No TODO here.\n")],
            &["a.sql:2: name the issue: `TODO(#12): …`"],
        );
    }

    #[test]
    fn code_in_comments_is_found() {
        for code in [
            "let x = 1;",
            "use std::fmt;",
            "return Err(e);",
            "pub fn get(&self) -> Option<&Record> {",
            "if x > 1 {",
            "}",
            "});",
            "self.cache = None;",
            "println!(\"{x}\");",
            "store.get(&digest).await?;",
            "#[test]",
        ] {
            let expected = format!("a.rs:1: delete `{code}`: git remembers it");
            check_rule(commented_out_code, &[("a.rs", &format!("// {code}\n"))], &[&expected]);
        }
        check_rule(
            commented_out_code,
            &[("a.rs", "fn f() {}\n/*\n let x = 1;\n*/\n")],
            &["a.rs:3: delete `let x = 1;`: git remembers it"],
        );
    }

    #[test]
    fn prose_in_comments_is_free() {
        for prose in [
            "Let the caller decide; it knows more.",
            "the store answers first (see G4);",
            "for every session that ends, one event",
            "use with care:",
            "idle = last seen plus timeout;",
            "use the newer one;",
            "https://example.com/a(b);",
            "if this fails, the write is undone",
        ] {
            check_rule(commented_out_code, &[("a.rs", &format!("// {prose}\n"))], &[]);
        }
    }

    #[test]
    fn examples_in_documentation_are_free() {
        check_rule(commented_out_code, &[("a.rs", "/// ```\n/// let x = 1;\n/// ```\n")], &[]);
    }

    #[test]
    fn allowed_lints_are_found_in_every_form() {
        let check = |attribute: &str, is_found| {
            let expected: &[&str] =
                if is_found { &["a.rs:1: use `#[expect(lint, reason = \"…\")]`"] } else { &[] };
            check_rule(allowed_lints, &[("a.rs", &format!("{attribute}\nfn f() {{}}\n"))], expected);
        };
        check("#[allow(dead_code)]", true);
        check("#![allow(missing_docs)]", true);
        check("#[cfg_attr(test, allow(unused, reason = \"tests\"))]", true);
        check("#[expect(dead_code, reason = \"…\")]", false);
        check("// #[allow(dead_code)] is banned", false);
    }

    #[test]
    fn a_crate_without_a_word_about_itself_is_found() {
        let expected = "a/src/lib.rs:1: begin with `//!` and what this crate is for";
        check_rule(crates_without_docs, &[("a/src/lib.rs", "mod x;\n"), ("a/src/x.rs", "\n")], &[expected]);
        check_rule(crates_without_docs, &[("a/src/lib.rs", "//!\nmod x;\n")], &[expected]);
        check_rule(crates_without_docs, &[("a/src/lib.rs", "")], &[expected]);
        check_rule(crates_without_docs, &[("a/src/lib.rs", "//! Words.\nmod x;\n")], &[]);
    }
}
