//! What somebody may have meant.

/// The word of `known` that is nearest to `word`, where any is near.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let far = |known: &'a str| (strsim::damerau_levenshtein(&lower, known), known);
    let (distance, found) = known.into_iter().map(far).min()?;
    // A third of the word may be wrong: more is another word.
    (distance <= word.chars().count().div_ceil(3)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_word() {
        for (word, meant) in
            [("Admin", Some("admin")), ("audtior", Some("auditor")), ("billing", None), ("a", None)]
        {
            assert_eq!(nearest(word, ["admin", "auditor", "support"]), meant, "{word}");
        }
    }
}
