//! The format of iron-session 8, by its defaults: `Fe26.2`, AES-256-CBC, HMAC-SHA-256, each with a key derived from the password by
//! one iteration of PBKDF2-HMAC-SHA-1 with a salt of 32 bytes, fourteen days to live.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_256, DecryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Way;
use crate::session::{NOW, Session};

pub struct Iron {
    password: &'static str,
}

impl Iron {
    pub fn new() -> Self {
        Self { password: PASSWORD }
    }

    /// The text inside; `None` where it is not authentic, or over.
    fn unseal(&self, text: &str) -> Option<Vec<u8>> {
        let sealed = text.strip_suffix("~2")?;
        let parts: Vec<&str> = sealed.split('*').collect();
        let &["Fe26.2", "1", salt, iv, encrypted, expires_at, mac_salt, mac] = &parts[..] else {
            return None;
        };
        let (signed, _) = sealed.rsplit_once('*')?.0.rsplit_once('*')?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.derive(mac_salt));
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        hmac::verify(&key, signed.as_bytes(), &mac).ok()?;
        if expires_at.parse::<i64>().ok()? <= NOW - SKEW {
            return None;
        }
        let iv: [u8; 16] = URL_SAFE_NO_PAD.decode(iv).ok()?.try_into().ok()?;
        let mut bytes = URL_SAFE_NO_PAD.decode(encrypted).ok()?;
        let key = UnboundCipherKey::new(&AES_256, &self.derive(salt)).ok()?;
        let context = DecryptionContext::Iv128(FixedLength::from(iv));
        let plain = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?.decrypt(&mut bytes, context).ok()?;
        Some(plain.to_vec())
    }

    fn derive(&self, salt: &str) -> [u8; 32] {
        let mut key = [0; 32];
        let once = NonZeroU32::MIN;
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, once, salt.as_bytes(), self.password.as_bytes(), &mut key);
        key
    }
}

impl Way for Iron {
    const NAME: &'static str = "iron-session";

    type Contents = Session;

    fn contents(&self, session: &Session) -> Session {
        session.clone()
    }

    fn is_same(&self, one: &Session, other: &Session) -> bool {
        one == other
    }

    fn seal(&self, session: &Session) -> String {
        let salt = random_salt();
        let key = UnboundCipherKey::new(&AES_256, &self.derive(&salt)).expect("32 bytes");
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).expect("a key");
        let mut bytes = session.to_json().into_bytes();
        let DecryptionContext::Iv128(iv) = key.encrypt(&mut bytes).expect("it encrypts") else {
            panic!("CBC has an initialization vector")
        };
        let iv = URL_SAFE_NO_PAD.encode(iv.as_ref());
        let encrypted = URL_SAFE_NO_PAD.encode(&bytes);
        let expires_at = NOW + TIME_TO_LIVE;
        let signed = format!("Fe26.2*1*{salt}*{iv}*{encrypted}*{expires_at}");
        let mac_salt = random_salt();
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.derive(&mac_salt)), signed.as_bytes());
        format!("{signed}*{mac_salt}*{}~2", URL_SAFE_NO_PAD.encode(mac.as_ref()))
    }

    fn open(&self, text: &str) -> Session {
        serde_json::from_slice(&self.unseal(text).expect("authentic")).expect("a session")
    }

    fn refuses(&self, text: &str) -> bool {
        self.unseal(text).is_none()
    }
}

fn random_salt() -> String {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).expect("the system's generator");
    let digit = |half: u8| char::from_digit(half.into(), 16).expect("half a byte is a digit");
    let mut text = String::with_capacity(64);
    for byte in salt {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0xF));
    }
    text
}

/// What is measured is the format and no other: a token of iron-session 8.0.4 is opened.
pub fn check_with_one_that_iron_session_made() {
    let plain = Iron::new().unseal(MADE_BY_IRON_SESSION).expect("iron-session's own token is opened");
    assert_eq!(plain, br#"{"principal":"zoe"}"#);
    // Its text for the typical session, by which ours is compared, is as long.
    let typical = Iron::new().seal(&Session::typical());
    assert_eq!(typical.len(), LENGTH_OF_ITS_TYPICAL);
}

const PASSWORD: &str = "thirty-two characters at the least, or more";
/// `sealData({principal: "zoe"}, {password})`, with the clock at [`NOW`].
const MADE_BY_IRON_SESSION: &str = "Fe26.2*1*4394458b808cec1ba5105d63dd571adc6cedbeb97967982f0a9d3851d9ce2c05*Jm45Prq3Ii55RhKW9eO-sA*6Xpm3Yx7urDNwVvfgAT984osfdgCUky9scNhubcdEPM*1801209660000*2a04876c4ee7afac2ab37280434b852ac05e8af113f4c26a9978ab1904148887*RD_jOlUapC3ceIJS9vULL7X2_egcFLN5X0gqCfj7Mbk~2";
/// Characters of `sealData(session, {password})`, of the same JSON.
const LENGTH_OF_ITS_TYPICAL: usize = 1012;
const TIME_TO_LIVE: i64 = 14 * 24 * 3_600 * 1_000;
/// For clocks that differ.
const SKEW: i64 = 60_000;
