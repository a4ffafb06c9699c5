//! The library answers what the standard says.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};

fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: &u8| u8::try_from(char::from(*byte).to_digit(16).unwrap()).unwrap();
    let text = if text == "-" { "" } else { text };
    text.as_bytes().chunks(2).map(|pair| (digit(&pair[0]) << 4) | digit(&pair[1])).collect()
}

#[test]
fn sealing_and_opening_give_the_results_of_rfc_8452_appendix_c() {
    let lines = include_str!("../data/rfc8452.txt").lines().filter(|line| !line.starts_with('#'));
    let mut count = 0;
    for line in lines {
        let [key, nonce, associated, plain, result] =
            <[Vec<u8>; 5]>::try_from(line.split(' ').map(hex).collect::<Vec<_>>()).unwrap();
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &key).unwrap());
        let nonce = || Nonce::try_assume_unique_for_key(&nonce).unwrap();
        let mut bytes = plain.clone();
        key.seal_in_place_append_tag(nonce(), Aad::from(&associated), &mut bytes).unwrap();
        assert_eq!(bytes, result, "{line}");
        let opened = key.open_in_place(nonce(), Aad::from(&associated), &mut bytes).unwrap();
        assert_eq!(opened, plain, "{line}");
        count += 1;
    }
    assert_eq!(count, 26, "24 of C.2, 2 of C.3");
}
