//! Rules that hold for any text.

use super::{Finding, tree::Tree};

/// Finds paths that exist on one person's machine only.
pub(super) fn machine_paths(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts() {
        for (line, content) in (1..).zip(text.lines()) {
            for root in MACHINE_ROOTS.iter().filter(|root| begins_a_path(content, root)) {
                findings.push(Finding::new(
                    path,
                    line,
                    format!("`{root}` exists on somebody's machine only"),
                ));
            }
        }
    }
    findings
}

/// Finds tabs, carriage returns, spaces at the end of a line, and missing or superfluous line ends at the end of a
/// file.
pub(super) fn stray_whitespace(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts().filter(|(path, _)| !path.ends_with("Makefile")) {
        let mut find = |line, what| findings.push(Finding::new(path, line, what));
        for (line, content) in (1..).zip(text.split('\n')) {
            if content.contains('\t') {
                find(line, "a tab");
            }
            if content.ends_with([' ', '\t', '\r']) {
                find(line, "whitespace at the end of the line");
            }
        }
        if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
            find(text.lines().count(), "a file ends with exactly one line end");
        }
    }
    findings
}

/// Whether `root` stands in `line` as the beginning of a path, not as a part of one.
fn begins_a_path(line: &str, root: &str) -> bool {
    line.match_indices(root).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        before.is_none_or(|c| !c.is_alphanumeric() && !"/._-~}>*$".contains(c))
    })
}

/// Written in two parts, or this file would break its own rule.
const MACHINE_ROOTS: &[&str] =
    &[concat!("/", "work/"), concat!("/", "root/"), concat!("/", "home/"), concat!("/", "Users/")];

#[cfg(test)]
mod tests {
    use super::{super::check_rule, *};

    #[test]
    fn paths_of_a_machine_are_found_wherever_a_path_can_begin() {
        for root in MACHINE_ROOTS {
            let expected = format!("a.md:1: `{root}` exists on somebody's machine only");
            for before in ["", "see ", "\"", "(", "dir=", "`"] {
                check_rule(machine_paths, &[("a.md", &format!("{before}{root}me\n"))], &[&expected]);
            }
            for before in ["frame", "https://example.com", "..", "${HOME}"] {
                check_rule(machine_paths, &[("a.md", &format!("{before}{root}me\n"))], &[]);
            }
        }
    }

    #[test]
    fn stray_whitespace_is_found() {
        let check = |text: &str, expected: &[&str]| check_rule(stray_whitespace, &[("a.md", text)], expected);
        check("fine\n\nfine\n", &[]);
        check("", &[]);
        check("a\tb\n", &["a.md:1: a tab"]);
        check("a\nb \n", &["a.md:2: whitespace at the end of the line"]);
        check("a\r\n", &["a.md:1: whitespace at the end of the line"]);
        check("a", &["a.md:1: a file ends with exactly one line end"]);
        check("a\n\n", &["a.md:2: a file ends with exactly one line end"]);
    }

    #[test]
    fn makefiles_need_their_tabs() {
        check_rule(stray_whitespace, &[("Makefile", "a:\n\tb\n")], &[]);
    }
}
