//! Frequent words as one byte each.
//!
//! Control characters stand for words: they are in no user agent, label or name of a method, which the types of core see to.
//! A list belongs to its format. It never changes: a word gets another meaning only in another format.

/// Words, each of which is written as one byte: one more than its place.
pub(super) struct Words(&'static [&'static str]);

impl Words {
    /// `text`, with every word of the list as one byte; the longest that fits is taken.
    pub(super) fn shorten(&self, text: &str) -> Vec<u8> {
        let mut short = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            // The first byte alone rules most words out.
            let may =
                |word: &str| word.as_bytes().first() == rest.as_bytes().first() && rest.starts_with(word);
            let fits = self.0.iter().zip(1_u8..).filter(|(word, _)| may(word));
            let (length, code) = match fits.max_by_key(|(word, _)| word.len()) {
                Some((word, code)) => (word.len(), Some(code)),
                None => (next.len_utf8(), None),
            };
            let (taken, left) = rest.split_at(length);
            match code {
                Some(code) => short.push(code),
                None => short.extend_from_slice(taken.as_bytes()),
            }
            rest = left;
        }
        short
    }

    /// The text again; `None` where it is none, has a word that is not in the list, or more than `most` bytes.
    pub(super) fn lengthen(&self, short: &[u8], most: usize) -> Option<String> {
        let mut text = Vec::with_capacity(most.min(USUAL));
        for byte in short {
            match byte {
                0 => return None,
                1..=LAST_CODE => {
                    let word = self.0.get(usize::from(*byte).checked_sub(1)?)?;
                    text.extend_from_slice(word.as_bytes());
                }
                byte => text.push(*byte),
            }
            if text.len() > most {
                return None;
            }
        }
        String::from_utf8(text).ok()
    }
}

/// Of user agents.
pub(super) const AGENTS: Words = Words(&[
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15",
    "Mozilla/5.0 (X11; Linux x86_64",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64",
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0",
    "Mozilla/5.0 (Linux; Android 10; K",
    "Mozilla/5.0 (Linux; Android ",
    "Mozilla/5.0 (Android ",
    "Mozilla/5.0 (iPhone; CPU iPhone OS ",
    "Mozilla/5.0 (iPad; CPU OS ",
    "Mozilla/5.0 (",
    " like Mac OS X",
    ") AppleWebKit/537.36 (KHTML, like Gecko) Chrome/",
    ") AppleWebKit/537.36 (KHTML, like Gecko) ",
    ") AppleWebKit/605.1.15 (KHTML, like Gecko) Version/",
    ") AppleWebKit/605.1.15 (KHTML, like Gecko) ",
    ".0.0.0 Safari/537.36",
    ".0.0.0 Mobile Safari/537.36",
    ".0.0.0",
    " Safari/605.1.15",
    " Mobile/15E148",
    " Safari/604.1",
    "; rv:",
    ".0) Gecko/20100101 Firefox/",
    ".0) Gecko/",
    ".0 Firefox/",
    " Edg/",
    " OPR/",
    " SamsungBrowser/",
    "Mobile",
]);

/// Of what devices are called.
pub(super) const LABELS: Words = Words(&[
    "Chrome",
    "Firefox",
    "Safari",
    "Edge",
    "Opera",
    "Samsung Internet",
    "Vivaldi",
    "An app",
    "Unknown browser",
    " on Windows",
    " on macOS",
    " on Linux",
    " on Android",
    " on iPhone",
    " on iPad",
    " on ",
]);

/// Of methods of authentication.
pub(super) const METHODS: Words =
    Words(&["password", "totp", "passkey", "webauthn", "oidc", "recovery_code", "magic_link", "otp", "sms"]);

/// Room for most user agents.
const USUAL: usize = 160;
/// Where codes end and texts begin: at the space.
const LAST_CODE: u8 = 0x1F;

#[cfg(test)]
mod tests {
    use cloakroom_core::Device;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_have_a_byte_for_each_word_and_no_word_twice() {
        for words in [&AGENTS, &LABELS, &METHODS] {
            assert!(words.0.len() <= usize::from(LAST_CODE));
            for (place, word) in words.0.iter().enumerate() {
                assert!(word.len() > 1 && !words.0[place + 1..].contains(word), "{word}");
                assert!(!word.chars().any(char::is_control), "{word}");
                assert_eq!(words.shorten(word).len(), 1, "{word}: shortest by itself");
            }
        }
    }

    #[test]
    fn what_browsers_call_themselves_takes_few_bytes() {
        for (agent, bytes) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", 11),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
                6,
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
                11,
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Safari/605.1.15",
                7,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Mobile/15E148 Safari/604.1",
                13,
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
                6,
            ),
            ("curl/8.5.0", 10),
        ] {
            let short = AGENTS.shorten(agent);
            assert_eq!(short.len(), bytes, "{agent}");
            assert_eq!(AGENTS.lengthen(&short, 512).as_deref(), Some(agent));
        }
        assert_eq!(LABELS.shorten("Firefox on Linux").len(), 2);
        assert_eq!(METHODS.shorten("password").len(), 1);
    }

    #[test]
    fn what_was_never_written_is_not_read() {
        assert_eq!(LABELS.lengthen(&[17], 512), None, "no such word");
        assert_eq!(LABELS.lengthen(&[0], 512), None);
        assert_eq!(LABELS.lengthen(&[0xC3], 512), None, "no text");
        assert_eq!(LABELS.lengthen(&[1, b'x'], 7).as_deref(), Some("Chromex"));
        assert_eq!(LABELS.lengthen(&[1, b'x'], 6), None, "longer than it can be");
        assert_eq!(AGENTS.lengthen(&[1; 3_000], 512), None, "few bytes never become many");
    }

    proptest! {
        #[test]
        fn every_text_reads_back(
            text in "\\PC{0,40}",
            words in prop::collection::vec((0..AGENTS.0.len(), "[ -~]{0,3}"), 0..9),
        ) {
            let made: String = words.iter().map(|(place, between)| format!("{}{between}", AGENTS.0[*place])).collect();
            for text in [&text, &made] {
                let device = Device::new().with_user_agent(text);
                let agent = device.user_agent().unwrap_or_default();
                let short = AGENTS.shorten(agent);
                prop_assert!(short.len() <= agent.len());
                let long = AGENTS.lengthen(&short, Device::USER_AGENT_MAX_BYTES);
                prop_assert_eq!(long.as_deref(), Some(agent));
            }
        }
    }
}
