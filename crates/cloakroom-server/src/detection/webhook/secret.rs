//! The secret shared with a receiver.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The secret shared with a receiver of calls, which signs them. Standard Webhooks writes it `whsec_` and base64.
pub struct Secret(Zeroizing<Vec<u8>>);

/// A text is no secret of a webhook.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WebhookError {
    /// It is not base64.
    #[error("it is not base64")]
    NotBase64,
    /// It has fewer bytes than nobody can guess, or more than make sense.
    #[error("it has {0} bytes; {LEAST} to {MOST} are expected")]
    Length(usize),
}

impl Secret {
    /// Reads a secret, with `whsec_` before it or without.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub fn parse(text: &str) -> Result<Self, WebhookError> {
        let text = text.trim();
        let bytes = STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text));
        let bytes = Zeroizing::new(bytes.map_err(|_| WebhookError::NotBase64)?);
        if !(LEAST..=MOST).contains(&bytes.len()) {
            return Err(WebhookError::Length(bytes.len()));
        }
        Ok(Self(bytes))
    }

    /// The signature of a call: HMAC-SHA-256 over its id, its instant and its body, as `webhook-signature` has it.
    #[must_use]
    pub fn signature(&self, id: &str, seconds: i64, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// 192 bits (Standard Webhooks, "Symmetric").
const LEAST: usize = 24;
/// 512 bits.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_signed_as_the_example_of_standard_webhooks() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signature =
            secret.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    #[test]
    fn a_secret_that_could_be_guessed_is_refused() {
        let of = |bytes: usize| Secret::parse(&STANDARD.encode(vec![7; bytes])).map(drop);
        assert_eq!(of(23), Err(WebhookError::Length(23)));
        assert_eq!((of(24), of(64)), (Ok(()), Ok(())));
        assert_eq!(of(65), Err(WebhookError::Length(65)));
        assert_eq!(Secret::parse("whsec_?").map(drop), Err(WebhookError::NotBase64));
    }
}
