//! Small rooms: how long functions and files may be, and the ratchet that excuses the ones that are longer.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use toml::Table;

use super::{
    Finding,
    source::{Class, Lines, Source, Token, block_end},
    tree::Tree,
};
use crate::error::{Doing as _, Error};

/// The file of exceptions. An entry says how long something is and may only be lowered; one that is too generous, or
/// that nothing needs, is a violation too.
pub(super) const RATCHET: &str = "xtask/ratchet.toml";

/// Finds functions and files that are longer than allowed, and exceptions that are larger than needed.
pub(super) fn too_big(tree: &Tree) -> Vec<Finding> {
    let excused = match Excuses::read(tree) {
        Ok(excused) => excused,
        Err(error) => return vec![Finding::new(RATCHET, 0, error.to_string())],
    };
    let sizes = Excuses::needed(tree);
    let mut findings = Vec::new();
    for ((section, limit), (needed, excused)) in SECTIONS.iter().zip(sizes.sections().zip(excused.sections()))
    {
        for (what, size) in needed.iter().filter(|(what, _)| !excused.contains_key(*what)) {
            findings.push(Finding::new(what, 0, format!("{size} lines of {limit}: split it by meaning")));
        }
        for (what, allowed) in excused {
            let complaint = match needed.get(what) {
                Some(size) if size > allowed => {
                    format!("grew from {allowed} lines to {size}: split it by meaning")
                }
                Some(size) if size < allowed => {
                    format!("shrank to {size}: run `cargo xtask tidy --lower-ratchet`")
                }
                Some(_) => continue,
                None => "needs no exception any more: run `cargo xtask tidy --lower-ratchet`".to_owned(),
            };
            findings.push(Finding::new(RATCHET, 0, format!("[{section}] {what} {complaint}")));
        }
    }
    findings
}

/// The ratchet's text with every entry lowered to what is needed, and those that nothing needs left out.
pub(super) fn lowered(tree: &Tree) -> Result<String, Error> {
    let needed = Excuses::needed(tree);
    let excused = Excuses::read(tree)?;
    let mut text = HEADER.to_owned();
    for ((section, _), (needed, excused)) in SECTIONS.iter().zip(needed.sections().zip(excused.sections())) {
        let _ = writeln!(text, "\n[{section}]");
        for (what, allowed) in excused {
            if let Some(size) = needed.get(what) {
                let _ = writeln!(text, "\"{what}\" = {}", size.min(allowed));
            }
        }
    }
    Ok(text)
}

type Sizes = BTreeMap<String, usize>;

/// How long things are that are longer than allowed: files by path, functions by `path::name`.
#[derive(Debug, Default)]
struct Excuses {
    files: Sizes,
    functions: Sizes,
}

impl Excuses {
    /// What the ratchet excuses.
    fn read(tree: &Tree) -> Result<Self, Error> {
        let reading = || format!("reading {RATCHET}");
        let table: Table = tree.text(RATCHET).unwrap_or_default().parse::<Table>().doing(reading)?;
        let mut excuses = Self::default();
        for (section, entries) in &table {
            let sizes = match section.as_str() {
                "files" => &mut excuses.files,
                "functions" => &mut excuses.functions,
                other => return Err(Error::new(reading(), format!("there is no section [{other}]"))),
            };
            for (what, size) in entries.as_table().into_iter().flatten() {
                let size = size.as_integer().and_then(|size| usize::try_from(size).ok());
                let size =
                    size.ok_or_else(|| Error::new(reading(), format!("{what} is not a number of lines")))?;
                sizes.insert(what.clone(), size);
            }
        }
        Ok(excuses)
    }

    /// What would have to be excused today.
    fn needed(tree: &Tree) -> Self {
        let test_files: BTreeSet<_> = tree.sources().flat_map(|source| source.test_files()).collect();
        let mut excuses = Self::default();
        for source in tree.sources() {
            let is_test =
                test_files.contains(source.path) || TESTS.iter().any(|part| in_part(source.path, part));
            let length = lines_without_tests(&source);
            if length > LONGEST_FILE && !is_test {
                excuses.files.insert(source.path.to_owned(), length);
            }
            for (name, length) in
                functions(&source).into_iter().filter(|(_, length)| *length > LONGEST_FUNCTION)
            {
                let entry = excuses.functions.entry(format!("{}::{name}", source.path)).or_default();
                *entry = length.max(*entry);
            }
        }
        excuses
    }

    /// In the order of `SECTIONS`.
    fn sections(&self) -> impl Iterator<Item = &Sizes> {
        [&self.files, &self.functions].into_iter()
    }
}

/// Whether `path` lies in the directory `part`, which is given as `/name/` or, at the root, as `name/`.
fn in_part(path: &str, part: &str) -> bool {
    if part.starts_with('/') { path.contains(part) } else { path.starts_with(part) }
}

fn lines_without_tests(source: &Source<'_>) -> usize {
    let tests: usize = source.test_modules().iter().map(|Lines { first, last }| last - first + 1).sum();
    source.text.lines().count() - tests
}

/// Each function's name and how many lines of it hold code: comments and empty lines are free.
fn functions(source: &Source<'_>) -> Vec<(String, usize)> {
    let code = source.code();
    let starts = code.windows(2).enumerate().filter(|(_, pair)| {
        matches!(pair, [keyword, name] if keyword.text == "fn" && name.class == Class::Identifier)
    });
    starts
        .filter_map(|(index, pair)| {
            let open = index + body_offset(code.get(index..)?)?;
            let close = block_end(&code, open)?;
            let own = code.get(index..=close)?;
            let lines: BTreeSet<_> = own.iter().flat_map(|token| token.line..=token.last_line).collect();
            Some((pair.last()?.text.to_owned(), lines.len()))
        })
        .collect()
}

/// How many tokens after `fn` the body opens; `None` for a function without one.
fn body_offset(code: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, token) in code.iter().enumerate() {
        match token.text {
            "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.checked_sub(1)?,
            "{" if depth == 0 => return Some(offset),
            ";" if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The sections of the ratchet and the limit that each is about.
const SECTIONS: [(&str, usize); 2] = [("files", LONGEST_FILE), ("functions", LONGEST_FUNCTION)];

/// Lines of a file, its tests apart.
const LONGEST_FILE: usize = 400;

/// Lines of a function that hold code.
const LONGEST_FUNCTION: usize = 70;

/// Directories whose files are tests from beginning to end.
const TESTS: &[&str] = &["/tests/", "e2e/"];

const HEADER: &str = "\
# What is longer than house style allows: files of more than 400 lines without their tests, functions of more than 70
# lines of code. Entries may only shrink; `cargo xtask tidy --lower-ratchet` lowers them. New ones are not the way.
";

#[cfg(test)]
mod tests {
    use super::{super::check_rule, *};

    /// A file of `lines` lines with one short function.
    fn file(lines: usize) -> String {
        format!("fn f() {{}}\n{}", "// why\n".repeat(lines - 1))
    }

    /// A function of `lines` lines of code.
    fn function(lines: usize) -> String {
        format!("fn f() {{\n\n    // why\n{}}}\n", "    g();\n".repeat(lines - 2))
    }

    #[test]
    fn files_are_measured_at_the_limit() {
        check_rule(too_big, &[("a.rs", &file(400))], &[]);
        check_rule(too_big, &[("a.rs", &file(401))], &["a.rs: 401 lines of 400: split it by meaning"]);
    }

    #[test]
    fn functions_are_measured_at_the_limit_by_their_lines_of_code() {
        check_rule(too_big, &[("a.rs", &function(70))], &[]);
        check_rule(too_big, &[("a.rs", &function(71))], &["a.rs::f: 71 lines of 70: split it by meaning"]);
    }

    #[test]
    fn tests_do_not_make_a_file_long() {
        let tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", file(400), "    // case\n".repeat(300));
        check_rule(too_big, &[("a.rs", &tests)], &[]);
        check_rule(too_big, &[("a/tests/it/main.rs", &file(900)), ("e2e/src/lib.rs", &file(900))], &[]);
        let declared = [("a/src/lib.rs", "#[cfg(test)]\nmod tables;\n"), ("a/src/tables.rs", &file(900))];
        check_rule(too_big, &declared, &[]);
    }

    #[test]
    fn functions_without_a_body_are_not_mistaken_for_the_next() {
        let source =
            Source::new("a.rs", "trait T { fn a(&self) -> [u8; 2]; fn b() { x(); } }\ntype F = fn(u8);\n");
        assert_eq!(functions(&source), [("b".to_owned(), 1)]);
    }

    #[test]
    fn an_exception_may_neither_be_exceeded_nor_be_generous_nor_useless() {
        let check = |entry: &str, expected: &[&str]| {
            let ratchet = format!("[files]\n{entry}\n");
            check_rule(too_big, &[("a.rs", &file(450)), (RATCHET, &ratchet)], expected);
        };
        check("\"a.rs\" = 450", &[]);
        check(
            "\"a.rs\" = 449",
            &["xtask/ratchet.toml: [files] a.rs grew from 449 lines to 450: split it by meaning"],
        );
        check(
            "\"a.rs\" = 451",
            &["xtask/ratchet.toml: [files] a.rs shrank to 450: run `cargo xtask tidy --lower-ratchet`"],
        );
        check(
            "\"a.rs\" = 450\n\"b.rs\" = 500",
            &[
                "xtask/ratchet.toml: [files] b.rs needs no exception any more: run `cargo xtask tidy --lower-ratchet`",
            ],
        );
    }

    #[test]
    fn a_ratchet_that_cannot_be_read_is_a_violation() {
        let check = |ratchet: &str, expected: &str| check_rule(too_big, &[(RATCHET, ratchet)], &[expected]);
        check("[other]\n", "xtask/ratchet.toml: reading xtask/ratchet.toml: there is no section [other]");
        check(
            "[files]\n\"a.rs\" = \"long\"\n",
            "xtask/ratchet.toml: reading xtask/ratchet.toml: a.rs is not a number of lines",
        );
    }

    #[test]
    fn lowering_never_adds_and_never_raises() {
        let ratchet = "[files]\n\"a.rs\" = 500\n\"b.rs\" = 410\n\"gone.rs\" = 700\n";
        let tree = Tree::of(&[
            ("a.rs", &file(450)),
            ("b.rs", &file(420)),
            ("new.rs", &file(600)),
            (RATCHET, ratchet),
        ]);
        let expected = format!("{HEADER}\n[files]\n\"a.rs\" = 450\n\"b.rs\" = 410\n\n[functions]\n");
        assert_eq!(lowered(&tree).unwrap(), expected);
    }
}
