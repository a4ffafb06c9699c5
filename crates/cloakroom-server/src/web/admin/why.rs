//! Why staff does something.

use cloakroom::EndReason;

use crate::web::extract::MALFORMED;
use crate::web::refusal::Refusal;

/// Why staff does something: a word that the people concerned are told, and a note for those who read the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::web) struct Why {
    pub(in crate::web) reason: EndReason,
    pub(in crate::web) note: Option<String>,
}

impl Why {
    /// The reasons that staff may give, the usual one first. The others are the engine's own, or say that somebody else
    /// did it.
    pub(in crate::web) const REASONS: [EndReason; 4] = [
        EndReason::RevokedByAdmin,
        EndReason::Compromised,
        EndReason::AccountDisabled,
        EndReason::PasswordChanged,
    ];

    /// Longest note, in characters: a few sentences, shown whole wherever the event is.
    pub(in crate::web) const NOTE_MAX_CHARS: usize = 500;

    /// What somebody wrote: no reason means the usual one, an empty note none.
    ///
    /// # Errors
    /// A refusal that says what is wrong with it.
    pub(in crate::web) fn read(reason: Option<&str>, note: Option<&str>) -> Result<Self, Refusal> {
        let reason = match reason {
            None => EndReason::RevokedByAdmin,
            Some(word) => {
                Self::REASONS.into_iter().find(|reason| reason.as_str() == word).ok_or_else(|| {
                    let words = Self::REASONS.map(EndReason::as_str).join(", ");
                    Refusal::new(MALFORMED).detail(format!("reason is one of {words}"))
                })?
            }
        };
        Ok(Self { reason, note: note.map(read_note).transpose()?.flatten() })
    }
}

fn read_note(text: &str) -> Result<Option<String>, Refusal> {
    let text = text.trim();
    if text.chars().count() > Why::NOTE_MAX_CHARS {
        let detail = format!("note has at most {} characters", Why::NOTE_MAX_CHARS);
        return Err(Refusal::new(MALFORMED).detail(detail));
    }
    if text.chars().any(is_deceptive) {
        let detail = "note is one line of text, without control characters";
        return Err(Refusal::new(MALFORMED).detail(detail));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// Characters that move a terminal's cursor or turn the text around them.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_line_of_a_few_sentences() {
        let longest = "ä".repeat(Why::NOTE_MAX_CHARS);
        for (text, kept) in [
            ("", None),
            ("  \t ", None),
            (" stolen laptop ", Some("stolen laptop")),
            (&longest, Some(&*longest)),
        ] {
            assert_eq!(Why::read(None, Some(text)).unwrap().note.as_deref(), kept);
        }
        for text in [&*format!("{longest}ä"), "two\nlines", "\u{1b}[2J", "nimda\u{202e}"] {
            assert!(Why::read(None, Some(text)).is_err(), "{text:?}");
        }
    }

    #[test]
    fn staff_gives_its_own_reasons_and_nobody_elses() {
        for reason in EndReason::ALL {
            let read = Why::read(Some(reason.as_str()), None);
            assert_eq!(read.is_ok(), Why::REASONS.contains(&reason), "{reason}");
        }
        let usual = Why { reason: EndReason::RevokedByAdmin, note: None };
        assert_eq!(Why::read(None, None).unwrap(), usual);
    }
}
