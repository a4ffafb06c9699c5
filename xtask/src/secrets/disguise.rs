//! The forms in which a secret could lie in a file.

use std::{collections::BTreeMap, fmt};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// A way of writing bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Disguise {
    Itself,
    Hex,
    Base64,
    Percent,
    Json,
    Html,
    /// The bytes that a token's text stands for, rather than the text.
    TokenBytes,
    TokenHex,
    TokenBase64,
}

impl fmt::Display for Disguise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Itself => "itself",
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Percent => "percent-encoding",
            Self::Json => "a JSON string",
            Self::Html => "HTML text",
            Self::TokenBytes => "the bytes of the token",
            Self::TokenHex => "hex of the token's bytes",
            Self::TokenBase64 => "base64 of the token's bytes",
        })
    }
}

/// Every form of `secret` to look for, each once. Of a token the beginning is looked for: it is random enough not to
/// occur by chance, and a token that was cut off in a log is found too.
pub(super) fn all(secret: &[u8]) -> Vec<(Disguise, Vec<u8>)> {
    let random = token_random(secret);
    let text = if random.is_some() { beginning(secret, ENOUGH_TEXT) } else { secret };
    let mut forms = BTreeMap::new();
    let mut add = |disguise, form: Vec<u8>| {
        forms.entry(form).or_insert(disguise);
    };
    add(Disguise::Itself, text.to_vec());
    add(Disguise::Percent, percent(text, |byte| !is_unreserved(byte)));
    add(Disguise::Percent, percent(text, |_| true));
    add(Disguise::Percent, form_encoded(text));
    add(Disguise::Json, escaped(text, &[(b'\\', "\\\\"), (b'"', "\\\"")]));
    add(Disguise::Html, escaped(text, HTML_NAMED));
    add(Disguise::Html, escaped(text, HTML_NUMBERED));
    hex(text).into_iter().for_each(|form| add(Disguise::Hex, form));
    base64(text).into_iter().for_each(|form| add(Disguise::Base64, form));
    if let Some(random) = random {
        let random = beginning(&random, ENOUGH_RANDOM);
        hex(random).into_iter().for_each(|form| add(Disguise::TokenHex, form));
        base64(random).into_iter().for_each(|form| add(Disguise::TokenBase64, form));
        add(Disguise::TokenBytes, random.to_vec());
    }
    forms.into_iter().map(|(form, disguise)| (disguise, form)).collect()
}

fn beginning(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(..length).unwrap_or(bytes)
}

/// The random bytes in what a token's text stands for: of one that names a record its 32 last, of one that carries it what
/// follows the id of its key, a nonce first. Whoever finds the whole finds them too: their forms are parts of the whole's
/// forms, in base64 because every alignment is looked for.
fn token_random(secret: &[u8]) -> Option<Vec<u8>> {
    let decoded = |text: &[u8]| URL_SAFE_NO_PAD.decode(text).ok();
    if let Some(text) = secret.strip_prefix(SEALED_PREFIX) {
        let bytes = decoded(text)?;
        return Some(bytes.get(SEALED_KEY_ID..).filter(|random| random.len() >= TOKEN_RANDOM)?.to_vec());
    }
    let bytes = decoded(secret.strip_prefix(TOKEN_PREFIX)?)?;
    Some(bytes.get(bytes.len().checked_sub(TOKEN_RANDOM)?..)?.to_vec())
}

fn hex(bytes: &[u8]) -> [Vec<u8>; 2] {
    let lower: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [lower.to_uppercase().into_bytes(), lower.into_bytes()]
}

/// Base64 of `bytes` in both alphabets, wherever they begin within a longer text: of each alignment the characters
/// that depend on nothing but `bytes`.
fn base64(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for (before, dependent_start) in [(0_usize, 0), (1, 2), (2, 3)] {
        let mut text = vec![0; before];
        text.extend(bytes);
        let dependent_end = usize::from(!text.len().is_multiple_of(3));
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&text).into_bytes();
            let end = encoded.len() - dependent_end;
            forms.extend(encoded.get(dependent_start..end).map(<[u8]>::to_vec));
        }
    }
    forms
}

/// Percent-encoding (RFC 3986, section 2.1) of the bytes for which `is_encoded` holds.
fn percent(bytes: &[u8], is_encoded: impl Fn(u8) -> bool) -> Vec<u8> {
    let encode =
        |byte: &u8| if is_encoded(*byte) { format!("%{byte:02X}").into_bytes() } else { vec![*byte] };
    bytes.iter().flat_map(encode).collect()
}

/// What a submitted form makes of it: percent-encoding, but a space becomes a plus sign.
fn form_encoded(bytes: &[u8]) -> Vec<u8> {
    let is_encoded = |byte| !is_unreserved(byte) && byte != b' ';
    percent(bytes, is_encoded).into_iter().map(|byte| if byte == b' ' { b'+' } else { byte }).collect()
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// `bytes` with each byte of the table written as the table says.
fn escaped(bytes: &[u8], table: &[(u8, &str)]) -> Vec<u8> {
    let escape = |byte: &u8| match table.iter().find(|(from, _)| from == byte) {
        Some((_, to)) => to.as_bytes().to_vec(),
        None => vec![*byte],
    };
    bytes.iter().flat_map(escape).collect()
}

/// The two ways in which template engines write the characters that HTML reserves.
const HTML_NAMED: &[(u8, &str)] =
    &[(b'&', "&amp;"), (b'<', "&lt;"), (b'>', "&gt;"), (b'"', "&quot;"), (b'\'', "&#x27;")];
const HTML_NUMBERED: &[(u8, &str)] =
    &[(b'&', "&#38;"), (b'<', "&#60;"), (b'>', "&#62;"), (b'"', "&#34;"), (b'\'', "&#39;")];

const TOKEN_PREFIX: &[u8] = b"cr1_";
const SEALED_PREFIX: &[u8] = b"cs1_";

/// How much of a token's text to look for, in bytes: prefix, route, and ten random bytes; or prefix, key, and eight.
const ENOUGH_TEXT: usize = 20;

/// How many of a token's random bytes to look for.
const ENOUGH_RANDOM: usize = 12;

/// A token's text stands for two bytes of route and these random ones.
const TOKEN_RANDOM: usize = 32;

/// A sealed token begins with so many bytes that tell whose key it is, the same in each.
const SEALED_KEY_ID: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_found_at_every_alignment() {
        for length in 8..20_u8 {
            let secret: Vec<u8> = (0..length).map(|index| index.wrapping_mul(41) ^ 0xc5).collect();
            for before in 0..6 {
                for after in 0..4 {
                    let mut text = vec![b'x'; before];
                    text.extend(&secret);
                    text.extend(vec![b'y'; after]);
                    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                        let haystack = engine.encode(&text);
                        let is_found = base64(&secret)
                            .iter()
                            .any(|form| haystack.contains(std::str::from_utf8(form).unwrap()));
                        assert!(is_found, "{length} bytes after {before} before {after}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_form_is_so_short_that_it_occurs_by_chance() {
        let shortest = all(b"8 bytes!").into_iter().map(|(_, form)| form.len()).min();
        assert_eq!(shortest, Some(8));
    }

    #[test]
    fn only_texts_of_the_right_shape_are_tokens() {
        let check = |secret: &[u8], expected| assert_eq!(token_random(secret).is_some(), expected);
        let text = URL_SAFE_NO_PAD.encode([7; 34]);
        check(format!("cr1_{text}").as_bytes(), true);
        check(text.as_bytes(), false);
        check(b"cr1_AAAA", false);
        check(b"cr1_not base64", false);
        let sealed = URL_SAFE_NO_PAD.encode([7; 300]);
        check(format!("cs1_{sealed}").as_bytes(), true);
        check(b"cs1_AAAA", false);
    }
}
