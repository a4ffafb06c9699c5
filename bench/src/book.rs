//! The chapter of the book: what was measured replaces what was measured before, and nothing else changes.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::error::{Doing as _, Outcome};
use crate::table::{Comparison, markdown};

/// Where the book's pictures lie.
pub(crate) fn pictures() -> PathBuf {
    book().join("images")
}

/// Writes the tables of these parts into the chapter.
pub(crate) fn write(machine: &str, parts: &[(String, Vec<Comparison>)]) -> Outcome {
    let path = book().join("benchmarks.md");
    let chapter = fs::read_to_string(&path).doing("reading the chapter")?;
    fs::write(&path, renewed(&chapter, machine, parts)?).doing("writing the chapter")
}

fn book() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/book")
}

/// The chapter with these tables instead of those that it had.
fn renewed(chapter: &str, machine: &str, parts: &[(String, Vec<Comparison>)]) -> Outcome<String> {
    let (before, rest) = chapter.split_once(BEGIN).doing("looking for where the tables begin")?;
    let (_, after) = rest.split_once(END).doing("looking for where the tables end")?;
    let mut text = format!("{before}{BEGIN}\n\nMeasured on: {machine}.\n");
    for (name, comparisons) in parts {
        let part = PARTS.iter().find(|part| part.name == name);
        let title = part.map_or(name.as_str(), |part| part.title);
        let picture = part.map_or("", |part| part.picture);
        write!(text, "\n### {title}\n\n{}{picture}", markdown(comparisons)).doing("writing a table")?;
    }
    Ok(format!("{text}\n{END}{after}"))
}

const BEGIN: &str = "<!-- measured by cargo xtask bench --book: begin -->";
const END: &str = "<!-- end -->";

/// A part, as the book has it.
struct Part {
    name: &'static str,
    title: &'static str,
    picture: &'static str,
}

const PARTS: [Part; 5] = [
    Part {
        name: "peers",
        title: "Side by side",
        picture: "\n![Groups of bars, one for each kind of request: cost relative to the bare handler]\
            (images/benchmarks-peers.svg)\n",
    },
    Part {
        name: "validate",
        title: "A validation",
        picture: "\n![Lines: nanoseconds of a validation against the number of sessions]\
            (images/benchmarks-validate.svg)\n",
    },
    Part {
        name: "lag",
        title: "How far an end reaches, and how fast",
        picture: "\n![Lines: the share of nodes that refuse, against the time since the acknowledgement]\
            (images/benchmarks-lag.svg)\n",
    },
    Part { name: "many", title: "A principal with a thousand sessions", picture: "" },
    Part { name: "cookies", title: "A session in its cookie", picture: "" },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tables_change() {
        let chapter = format!("# Title\n\n{BEGIN}\nold\n{END}\n\nProse.\n");
        let parts = [("peers".to_owned(), vec![Comparison::new("warm read", 1.0, "× bare")])];
        let once = renewed(&chapter, "a machine", &parts).unwrap();
        assert!(
            once.starts_with("# Title\n\n<!--") && once.ends_with("\n<!-- end -->\n\nProse.\n"),
            "{once}"
        );
        assert!(once.contains("### Side by side") && once.contains("| warm read |") && !once.contains("old"));
        assert_eq!(renewed(&once, "a machine", &parts).unwrap(), once);
        renewed("# Title\n", "a machine", &parts).unwrap_err();
    }

    #[test]
    fn the_books_chapter_has_a_place_for_the_tables() {
        let chapter = fs::read_to_string(book().join("benchmarks.md")).unwrap();
        renewed(&chapter, "a machine", &[]).unwrap();
    }
}
