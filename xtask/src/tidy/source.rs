//! A Rust file as the compiler's own lexer sees it, so that no rule mistakes a string for code.

use ra_ap_rustc_lexer::{FrontmatterAllowed, TokenKind, strip_shebang, tokenize};

/// A Rust file.
pub(super) struct Source<'a> {
    pub(super) path: &'a str,
    pub(super) text: &'a str,
    pub(super) tokens: Vec<Token<'a>>,
}

/// A token, whitespace apart, and the lines on which it begins and ends (from 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) class: Class,
    pub(super) text: &'a str,
    pub(super) line: usize,
    pub(super) last_line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Identifier,
    /// A comment that documents nothing.
    Comment,
    Documentation,
    /// Literals and punctuation.
    Other,
}

/// A stretch of lines, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) first: usize,
    pub(super) last: usize,
}

impl<'a> Source<'a> {
    pub(super) fn new(path: &'a str, text: &'a str) -> Self {
        let mut rest = text.get(strip_shebang(text).unwrap_or(0)..).unwrap_or_default();
        let mut line = 1;
        let mut tokens = Vec::new();
        for token in tokenize(rest, FrontmatterAllowed::No) {
            let length = usize::try_from(token.len).unwrap_or(rest.len());
            let (text, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
            rest = after;
            let last_line = line + text.bytes().filter(|byte| *byte == b'\n').count();
            if let Some(class) = class(token.kind) {
                tokens.push(Token { class, text, line, last_line });
            }
            line = last_line;
        }
        Self { path, text, tokens }
    }

    /// The tokens that are compiled.
    pub(super) fn code(&self) -> Vec<Token<'a>> {
        let is_code = |token: &&Token<'_>| !matches!(token.class, Class::Comment | Class::Documentation);
        self.tokens.iter().filter(is_code).copied().collect()
    }

    /// Where modules marked `#[cfg(test)]` stand in this file.
    pub(super) fn test_modules(&self) -> Vec<Lines> {
        let code = self.code();
        test_module_starts(&code)
            .filter_map(|(start, body)| {
                let first = code.get(start)?.line;
                let last = code.get(block_end(&code, body)?)?.last_line;
                Some(Lines { first, last })
            })
            .collect()
    }

    /// The files of modules that are declared here as `#[cfg(test)] mod name;`.
    pub(super) fn test_files(&self) -> Vec<String> {
        let code = self.code();
        let (directory, name) = self.path.rsplit_once('/').unwrap_or(("", self.path));
        let stem = name.trim_end_matches(".rs");
        let home = if ["lib", "main", "mod"].contains(&stem) {
            directory.to_owned()
        } else {
            format!("{directory}/{stem}")
        };
        test_module_starts(&code)
            .filter(|(_, body)| code.get(*body).is_some_and(|token| token.text == ";"))
            .filter_map(|(_, body)| code.get(body - 1))
            .flat_map(|module| {
                [format!("{home}/{}.rs", module.text), format!("{home}/{}/mod.rs", module.text)]
            })
            .collect()
    }
}

/// The index of the token that closes the block which the token at `open` opens; `None` if that opens none.
pub(super) fn block_end(code: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, token) in code.iter().enumerate().skip(open) {
        match token.text {
            "{" => depth += 1,
            "}" => depth = depth.checked_sub(1)?,
            _ if depth == 0 => return None,
            _ => {}
        }
        if depth == 0 {
            return Some(index);
        }
    }
    None
}

/// For each module marked `#[cfg(test)]`: the index of its attribute, and of the `{` or `;` after its name.
fn test_module_starts(code: &[Token<'_>]) -> impl Iterator<Item = (usize, usize)> {
    const MARK: [&str; 8] = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    code.windows(MARK.len())
        .enumerate()
        .filter(|(_, window)| window.iter().map(|token| token.text).eq(MARK))
        .map(|(index, _)| (index, index + MARK.len() + 1))
}

fn class(kind: TokenKind) -> Option<Class> {
    match kind {
        TokenKind::Whitespace => None,
        TokenKind::Ident | TokenKind::RawIdent => Some(Class::Identifier),
        TokenKind::LineComment { doc_style: None } | TokenKind::BlockComment { doc_style: None, .. } => {
            Some(Class::Comment)
        }
        TokenKind::LineComment { .. } | TokenKind::BlockComment { .. } => Some(Class::Documentation),
        _ => Some(Class::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
//! About.
fn f() { let s = \"fn g() {\"; } // why
#[cfg(test)]
mod tests {
    fn h() {}
}
";

    #[test]
    fn strings_and_comments_are_not_code() {
        let source = Source::new("src/lib.rs", FILE);
        let identifiers: Vec<_> = source
            .tokens
            .iter()
            .filter(|token| token.class == Class::Identifier)
            .map(|token| token.text)
            .collect();
        assert_eq!(identifiers, ["fn", "f", "let", "s", "cfg", "test", "mod", "tests", "fn", "h"]);
        assert!(source.code().iter().all(|token| !token.text.starts_with("//")));
    }

    #[test]
    fn modules_of_tests_are_known_by_their_lines() {
        let source = Source::new("src/lib.rs", FILE);
        assert_eq!(source.test_modules(), [Lines { first: 3, last: 6 }]);
        assert!(source.test_files().is_empty());
    }

    #[test]
    fn files_of_tests_are_known_by_their_declaration() {
        let check = |path, expected: [&str; 2]| {
            let source = Source::new(path, "#[cfg(test)]\nmod tables;\nmod other;\n");
            assert_eq!(source.test_files(), expected);
            assert!(source.test_modules().is_empty());
        };
        check("a/src/lib.rs", ["a/src/tables.rs", "a/src/tables/mod.rs"]);
        check("a/src/b/mod.rs", ["a/src/b/tables.rs", "a/src/b/tables/mod.rs"]);
        check("a/src/b.rs", ["a/src/b/tables.rs", "a/src/b/tables/mod.rs"]);
    }
}
