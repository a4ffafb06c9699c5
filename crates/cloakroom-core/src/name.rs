//! Short texts that are copied often: names of principals, roles, methods, attributes.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A text that does not change. Up to [`INLINE`](Self::INLINE) bytes of it are in place: such a name costs no
/// allocation, and a copy of it touches no counter that other threads touch. A longer one is shared.
#[derive(Clone)]
pub(crate) struct Name(Text);

#[derive(Clone)]
enum Text {
    Inline { length: u8, bytes: [u8; Name::INLINE] },
    Shared(Arc<str>),
}

impl Name {
    /// Bytes in place: as many as make a name three words long.
    pub(crate) const INLINE: usize = 22;

    pub(crate) fn as_str(&self) -> &str {
        match &self.0 {
            Text::Inline { .. } => std::str::from_utf8(self.as_bytes()).expect("it was made of a text"),
            Text::Shared(text) => text,
        }
    }

    /// The same bytes, without a look at what they are.
    fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Inline { length, bytes } => bytes.get(..usize::from(*length)).expect("it fitted in"),
            Text::Shared(text) => text.as_bytes(),
        }
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        let mut bytes = [0; Name::INLINE];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(room), Ok(length)) => {
                room.copy_from_slice(text.as_bytes());
                Self(Text::Inline { length, bytes })
            }
            _ => Self(Text::Shared(text.into())),
        }
    }
}

/// Names compare as their texts do, byte by byte.
impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

/// A name hashes as its text does: maps are asked by texts.
impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;
    use std::hash::RandomState;

    use super::*;

    #[test]
    fn a_name_is_its_text_at_below_and_above_what_fits_in_place() {
        let state = RandomState::new();
        for length in [0, 1, Name::INLINE - 1, Name::INLINE, Name::INLINE + 1, 256] {
            for end in ["a", "é"] {
                let text = format!("{}{end}", "x".repeat(length));
                let name = Name::from(text.as_str());
                assert_eq!((name.as_str(), name.clone()), (text.as_str(), name.clone()));
                assert_eq!(state.hash_one(&name), state.hash_one(text.as_str()));
                assert_eq!(format!("{name:?}"), format!("{text:?}"));
            }
        }
    }

    #[test]
    fn names_are_in_the_order_of_their_texts_whether_short_or_long() {
        let long = "b".repeat(Name::INLINE + 1);
        let texts = ["", "a", "ab", "b", long.as_str(), "bc", "é"];
        let names = texts.map(Name::from);
        assert!(names.is_sorted());
        for (one, name) in texts.iter().zip(&names) {
            for (other, another) in texts.iter().zip(&names) {
                assert_eq!(one.cmp(other), name.cmp(another), "{one} {other}");
                assert_eq!(one == other, name == another, "{one} {other}");
            }
        }
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_name_is_three_words_long() {
        assert_eq!((size_of::<Name>(), size_of::<Option<Name>>()), (24, 24));
    }
}
