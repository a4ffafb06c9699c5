//! Links in Markdown lead to files, headings and lines that exist.

use std::collections::{BTreeMap, BTreeSet};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::{Finding, tree::Tree};

/// Finds links within the repository that lead nowhere. Links to other sites are not followed.
pub(super) fn broken_links(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.with_extension("md") {
        let parser = Parser::new_ext(text, options()).into_offset_iter();
        for (event, range) in parser {
            let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event else {
                continue;
            };
            if let Some(trouble) = trouble(tree, path, &dest_url) {
                let line = 1 + text.bytes().take(range.start).filter(|byte| *byte == b'\n').count();
                findings.push(Finding::new(path, line, format!("`{dest_url}` {trouble}")));
            }
        }
    }
    findings
}

/// What is wrong with a link to `target` in the document at `path`.
fn trouble(tree: &Tree, path: &str, target: &str) -> Option<String> {
    if target.contains(':') || target.starts_with("//") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let Some(file) = resolve(path, file) else { return Some("leads out of the repository".to_owned()) };
    if !tree.contains(&file) {
        return Some(format!("leads to {file}, which does not exist"));
    }
    let (anchor, text) = (anchor?, tree.text(&file));
    let is_there = match (file.ends_with(".md"), text) {
        (true, Some(text)) => anchors(text).contains(anchor),
        (false, Some(text)) => line_anchor(anchor).is_some_and(|line| line <= text.lines().count()),
        (_, None) => false,
    };
    (!is_there).then(|| format!("names a place that {file} does not have"))
}

/// The path from the root of `target`, seen from the document at `from`. `None` if it is outside.
fn resolve(from: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(from.to_owned());
    }
    let directory = from.rsplit_once('/').map_or("", |(directory, _)| directory);
    let (base, target) = match target.strip_prefix('/') {
        Some(absolute) => ("", absolute),
        None => (directory, target),
    };
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The names of a document's headings, as GitHub makes them, and of its HTML anchors.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut times_used: BTreeMap<String, usize> = BTreeMap::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(text, options()) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let name = slug(&heading.take().unwrap_or_default());
                let used = times_used.entry(name.clone()).or_default();
                anchors.insert(if *used == 0 { name } else { format!("{name}-{used}") });
                *used += 1;
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::Html(html) | Event::InlineHtml(html) => {
                let named = html.split("id=\"").skip(1).filter_map(|rest| rest.split_once('"'));
                anchors.extend(named.map(|(name, _)| name.to_owned()));
            }
            _ => {}
        }
    }
    anchors
}

/// A heading's anchor: lower case, no punctuation, hyphens for spaces.
fn slug(heading: &str) -> String {
    let keep = |c: char| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c => c.is_alphanumeric().then_some(c),
    };
    heading.trim().to_lowercase().chars().filter_map(keep).collect()
}

/// The last line that an anchor like `L10` or `L10-L20` names.
fn line_anchor(anchor: &str) -> Option<usize> {
    anchor.rsplit('-').next()?.strip_prefix('L')?.parse().ok()
}

fn options() -> Options {
    Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_GFM
}

#[cfg(test)]
mod tests {
    use super::{super::check_rule, *};

    const OTHER: &str = "# The *first* `one`: it's\n\n## Twice\n\n## Twice\n\n<a id=\"by-hand\"></a>\n";

    fn check(link: &str, expected: Option<&str>) {
        let document = format!("# Here\n\n| a |\n|---|\n| {link} |\n");
        let files =
            [("docs/a.md", document.as_str()), ("docs/b.md", OTHER), ("src/lib.rs", "//! One.\n//! Two.\n")];
        let expected = expected.map(|what| format!("docs/a.md:5: {what}"));
        check_rule(broken_links, &files, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        for target in [
            "b.md",
            "./b.md#the-first-one-its",
            "b.md#twice-1",
            "b.md#by-hand",
            "#here",
            "../src/lib.rs",
            "/src/lib.rs",
            "../src",
            "../src/lib.rs#L2",
            "../src/lib.rs#L1-L2",
            "https://example.com/nowhere",
            "mailto:a@example.com",
        ] {
            check(&format!("[x]({target})"), None);
        }
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        check("[x](c.md)", Some("`c.md` leads to docs/c.md, which does not exist"));
        check("![x](c.png)", Some("`c.png` leads to docs/c.png, which does not exist"));
        check("[x](b.md#twice-2)", Some("`b.md#twice-2` names a place that docs/b.md does not have"));
        check("[x](#there)", Some("`#there` names a place that docs/a.md does not have"));
        check(
            "[x](../src/lib.rs#L3)",
            Some("`../src/lib.rs#L3` names a place that src/lib.rs does not have"),
        );
        check(
            "[x](../src/lib.rs#main)",
            Some("`../src/lib.rs#main` names a place that src/lib.rs does not have"),
        );
        check("[x](../../c.md)", Some("`../../c.md` leads out of the repository"));
    }

    #[test]
    fn references_are_followed_to_their_definition() {
        check_rule(
            broken_links,
            &[("a.md", "See [this].\n\n[this]: gone.md\n")],
            &["a.md:1: `gone.md` leads to gone.md, which does not exist"],
        );
    }

    #[test]
    fn links_in_code_are_free() {
        check("`[x](c.md)`", None);
        check_rule(broken_links, &[("a.md", "```\n[x](c.md)\n```\n")], &[]);
    }
}
