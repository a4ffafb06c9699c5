//! The search finds what is planted, in each disguise, and refuses to succeed when it has nothing to do.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use tempfile::TempDir;

use super::*;

const PASSWORD: &str = "corr\"ect <horse> battery & stap\\le";

/// The 34 bytes of a token, none of them text.
fn token_bytes() -> Vec<u8> {
    (0..34_u8).map(|index| index.wrapping_mul(37) ^ 0xa7).collect()
}

fn token() -> String {
    format!("cr1_{}", URL_SAFE_NO_PAD.encode(token_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A test output with the two secrets noted and `content` in an artifact.
fn output(content: &[u8]) -> TempDir {
    let output = tempfile::tempdir().unwrap();
    write(&output, "secrets/story.txt", format!("{}\n{PASSWORD}\r\n\n", token()).as_bytes());
    write(&output, "artifacts/server/data/sessions.db", content);
    output
}

fn write(output: &TempDir, path: &str, content: &[u8]) {
    let path = output.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn findings(output: &TempDir) -> Vec<String> {
    check(output.path()).unwrap().into_iter().flat_map(|check| check.findings).collect()
}

/// Plants `form` in the middle of an artifact and demands that it be found there, once, as the secret of `place`.
fn planted(form: &[u8], place: &str) {
    let mut content = b"before ".to_vec();
    content.extend(form);
    content.extend(b" after");
    let found = findings(&output(&content));
    let expected = format!("the secret of {place}, as ");
    assert!(!found.is_empty(), "not found: {:?}", String::from_utf8_lossy(form));
    for finding in found {
        assert!(finding.contains(&expected), "{finding}");
        assert!(finding.starts_with("artifacts/server/data/sessions.db at byte "), "{finding}");
        assert!(!finding.contains(PASSWORD) && !finding.contains(&token()), "the finding shows the secret");
    }
}

#[test]
fn artifacts_without_secrets_pass_and_count_once_per_folder() {
    let output = output(b"nothing to see");
    write(&output, "artifacts/browser/console.log", b"nothing either");
    let checks = check(output.path()).unwrap();
    assert_eq!(checks.len(), 2);
    assert!(checks.iter().all(|check| check.findings.is_empty()), "{checks:?}");
}

#[test]
fn a_token_is_found_in_every_disguise() {
    let bytes = token_bytes();
    let random = bytes.get(2..).unwrap();
    let text = token();
    let all_percent: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for form in [
        text.as_bytes(),
        hex(text.as_bytes()).as_bytes(),
        hex(text.as_bytes()).to_uppercase().as_bytes(),
        STANDARD.encode(&text).as_bytes(),
        URL_SAFE_NO_PAD.encode(format!("user:{text}")).as_bytes(),
        all_percent.as_bytes(),
        &bytes,
        random,
        hex(&bytes).as_bytes(),
        hex(random).to_uppercase().as_bytes(),
        STANDARD.encode(&bytes).as_bytes(),
        STANDARD.encode(random).as_bytes(),
        URL_SAFE_NO_PAD.encode(&bytes).as_bytes(),
        URL_SAFE_NO_PAD.encode(random).as_bytes(),
        text.split_at(20).0.as_bytes(),
        random.split_at(12).0,
    ] {
        planted(form, "story.txt:1");
    }
}

#[test]
fn a_token_that_carries_its_session_is_found_in_every_disguise() {
    let bytes: Vec<u8> = (0..400_u16).map(|index| (index.wrapping_mul(37) ^ 0xa7).to_le_bytes()[0]).collect();
    let text = format!("cs1_{}", URL_SAFE_NO_PAD.encode(&bytes));
    let (key, random) = bytes.split_at(4);
    for form in [
        text.as_bytes(),
        text.split_at(20).0.as_bytes(),
        hex(text.as_bytes()).as_bytes(),
        STANDARD.encode(format!("user:{text}")).as_bytes(),
        text.replace('_', "%5F").as_bytes(),
        &bytes,
        random,
        random.split_at(12).0,
        hex(random).as_bytes(),
        STANDARD.encode(&bytes).as_bytes(),
    ] {
        let output = output(form);
        write(&output, "secrets/sealed.txt", text.as_bytes());
        assert!(!findings(&output).is_empty(), "not found: {:?}", String::from_utf8_lossy(form));
    }
    // Which key sealed it says nothing, and stands in every token.
    let output = output(&[key, b" ", hex(key).as_bytes()].concat());
    write(&output, "secrets/sealed.txt", text.as_bytes());
    assert_eq!(findings(&output), Vec::<String>::new());
}

#[test]
fn a_password_is_found_in_every_disguise() {
    for form in [
        PASSWORD,
        &hex(PASSWORD.as_bytes()),
        &STANDARD.encode(PASSWORD),
        &STANDARD.encode(format!("alice:{PASSWORD}")),
        "corr%22ect%20%3Chorse%3E%20battery%20%26%20stap%5Cle",
        "corr%22ect+%3Chorse%3E+battery+%26+stap%5Cle",
        r#"{"password":"corr\"ect <horse> battery & stap\\le"}"#,
        "corr&quot;ect &lt;horse&gt; battery &amp; stap\\le",
        "corr&#34;ect &#60;horse&#62; battery &#38; stap\\le",
    ] {
        planted(form.as_bytes(), "story.txt:2");
    }
}

#[test]
fn the_offset_leads_to_the_secret_even_across_pieces() {
    let piece = usize::try_from(PIECE).unwrap();
    for offset in [0, piece - 20, piece, piece * 2 - 1, piece * 3 + 5] {
        let mut content = vec![b'.'; offset];
        content.extend(token().bytes());
        content.extend(vec![b'.'; 100]);
        let found = findings(&output(&content));
        let expected = format!("sessions.db at byte {offset}: the secret of story.txt:1, as itself");
        assert!(found.iter().any(|finding| finding.ends_with(&expected)), "{offset}: {found:?}");
    }
}

#[test]
fn a_search_without_secrets_or_without_artifacts_fails() {
    let nothing = tempfile::tempdir().unwrap();
    assert_eq!(findings(&nothing), ["there is nothing in secrets/: no test noted a secret"]);

    let unnoted = tempfile::tempdir().unwrap();
    write(&unnoted, "artifacts/server/log", b"x");
    write(&unnoted, "secrets/story.txt", b"\n\n");
    assert_eq!(findings(&unnoted), ["there is nothing in secrets/: no test noted a secret"]);

    let unwritten = tempfile::tempdir().unwrap();
    write(&unwritten, "secrets/story.txt", b"a long enough secret\n");
    assert_eq!(findings(&unwritten), ["there is nothing in artifacts/: no test left anything to search"]);

    assert_eq!(findings(&output(b"")), ["there is nothing in it to search"]);
}

#[test]
fn a_secret_that_would_be_found_by_chance_is_refused() {
    let output = output(b"x");
    write(&output, "secrets/short.txt", b"1234567\n");
    let expected = "short.txt:1 is shorter than 8 bytes and would be found by chance";
    assert_eq!(findings(&output), [expected]);
}
