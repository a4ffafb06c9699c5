//! The application's data in a session: small, typed, each under its own key.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::name::Name;

/// A typed name for one piece of the application's data, declared once as a constant.
///
/// ```
/// use cloakroom_core::{Attribute, Attributes};
///
/// const CART: Attribute<Vec<String>> = Attribute::new("cart");
///
/// let mut attributes = Attributes::new();
/// attributes.set(&CART, &vec!["umbrella".to_owned()])?;
/// assert_eq!(attributes.get(&CART)?.unwrap(), ["umbrella"]);
/// # Ok::<(), cloakroom_core::AttributeError>(())
/// ```
///
/// Values are encoded self-describingly (MessagePack with field names): a struct may gain a field with
/// `#[serde(default)]`, and an older version of the application still reads what a newer one wrote.
pub struct Attribute<T> {
    key: &'static str,
    value: PhantomData<fn() -> T>,
}

impl<T> Attribute<T> {
    /// The attribute under `key`, which has 1 to 64 characters out of `a-z A-Z 0-9 _ - . :`.
    ///
    /// # Panics
    /// For another key; in a constant, that is an error of the compiler.
    #[must_use]
    pub const fn new(key: &'static str) -> Self {
        assert!(is_key(key.as_bytes()), "an attribute key has 1 to 64 characters out of a-z A-Z 0-9 _ - . :");
        Self { key, value: PhantomData }
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        self.key
    }
}

impl<T> fmt::Debug for Attribute<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attribute({:?})", self.key)
    }
}

/// The key of an attribute that is only known at run time, as in the HTTP API.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AttributeKey(Name);

impl AttributeKey {
    /// Longest key.
    pub const MAX_BYTES: usize = 64;

    /// The key with this text.
    ///
    /// # Errors
    /// [`InvalidAttributeKey`] where it is empty, too long, or has a character other than `a-z A-Z 0-9 _ - . :`.
    pub fn new(text: &str) -> Result<Self, InvalidAttributeKey> {
        if is_key(text.as_bytes()) { Ok(Self(text.into())) } else { Err(InvalidAttributeKey) }
    }

    /// The text of this key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl<T> From<&Attribute<T>> for AttributeKey {
    fn from(attribute: &Attribute<T>) -> Self {
        Self(attribute.key.into())
    }
}

/// A text cannot be the key of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an attribute key has 1 to 64 characters out of a-z A-Z 0-9 _ - . :")]
pub struct InvalidAttributeKey;

/// All attributes of a session: encoded values under their keys.
///
/// An empty set allocates nothing.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Attributes(BTreeMap<AttributeKey, Box<[u8]>>);

impl Attributes {
    /// No attributes.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The value of `attribute`, or `None` where there is none.
    ///
    /// # Errors
    /// [`AttributeError::Decode`] where the stored value is no `T`: two types share a key, or a field was added
    /// without `#[serde(default)]`.
    pub fn get<T: DeserializeOwned>(&self, attribute: &Attribute<T>) -> Result<Option<T>, AttributeError> {
        self.decode(attribute.key)
    }

    /// Gives `attribute` this value.
    ///
    /// # Errors
    /// [`AttributeError::Encode`] where the value cannot be encoded; the attributes are then unchanged.
    pub fn set<T: Serialize>(&mut self, attribute: &Attribute<T>, value: &T) -> Result<(), AttributeError> {
        self.encode(attribute.into(), value)
    }

    /// Removes `attribute`; whether it was there.
    pub fn remove<T>(&mut self, attribute: &Attribute<T>) -> bool {
        self.remove_key(attribute.key)
    }

    /// The value under `key` as a `T`, or `None` where there is none.
    ///
    /// # Errors
    /// [`AttributeError::Decode`] where the stored value is no `T`.
    pub fn decode<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, AttributeError> {
        let Some(bytes) = self.bytes(key) else { return Ok(None) };
        rmp_serde::from_slice(bytes)
            .map(Some)
            .map_err(|source| AttributeError::Decode { key: key.into(), source: Box::new(source) })
    }

    /// Puts `value` under `key`.
    ///
    /// # Errors
    /// [`AttributeError::Encode`] where the value cannot be encoded; the attributes are then unchanged.
    pub fn encode<T: Serialize + ?Sized>(
        &mut self,
        key: AttributeKey,
        value: &T,
    ) -> Result<(), AttributeError> {
        match rmp_serde::to_vec_named(value) {
            Ok(bytes) => {
                self.insert_bytes(key, bytes.into());
                Ok(())
            }
            Err(source) => Err(AttributeError::Encode { key: key.as_str().into(), source: Box::new(source) }),
        }
    }

    /// Removes what is under `key`; whether there was something.
    pub fn remove_key(&mut self, key: &str) -> bool {
        self.0.remove(key).is_some()
    }

    /// The encoded value under `key`.
    #[must_use]
    pub fn bytes(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key).map(|bytes| &**bytes)
    }

    /// Puts an encoded value under `key`.
    pub fn insert_bytes(&mut self, key: AttributeKey, bytes: Box<[u8]>) {
        self.0.insert(key, bytes);
    }

    /// Keys and encoded values, in the order of the keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&AttributeKey, &[u8])> {
        self.0.iter().map(|(key, bytes)| (key, &**bytes))
    }

    /// How many attributes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all keys and encoded values together: what a policy's `attributes_max_bytes` limits.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.iter().map(|(key, bytes)| key.as_str().len() + bytes.len()).sum()
    }
}

impl std::borrow::Borrow<str> for AttributeKey {
    fn borrow(&self) -> &str {
        self.0.as_str()
    }
}

/// Keys and sizes only: values are the application's, and may be anything.
impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = self
            .0
            .iter()
            .map(|(key, bytes)| (key.as_str(), format_args!("{} bytes", bytes.len()).to_string()));
        f.debug_map().entries(sizes).finish()
    }
}

/// An attribute's value could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttributeError {
    /// The stored value does not have the type it is read as.
    #[error("the value of attribute {key:?} does not have the type it is read as")]
    Decode {
        /// Which attribute.
        key: Box<str>,
        /// What the decoder says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The value cannot be encoded.
    #[error("the value of attribute {key:?} cannot be encoded")]
    Encode {
        /// Which attribute.
        key: Box<str>,
        /// What the encoder says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

const fn is_key(text: &[u8]) -> bool {
    if text.is_empty() || text.len() > AttributeKey::MAX_BYTES {
        return false;
    }
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        if !(first.is_ascii_alphanumeric() || matches!(first, b'_' | b'-' | b'.' | b':')) {
            return false;
        }
        rest = tail;
    }
    true
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct CartV1 {
        items: Vec<String>,
    }

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct CartV2 {
        items: Vec<String>,
        #[serde(default)]
        voucher: Option<String>,
    }

    const OLD: Attribute<CartV1> = Attribute::new("cart");
    const NEW: Attribute<CartV2> = Attribute::new("cart");

    #[test]
    fn a_struct_can_gain_a_field_and_older_readers_still_read_it() {
        let mut attributes = Attributes::new();
        attributes.set(&OLD, &CartV1 { items: vec!["hat".into()] }).unwrap();
        let read = attributes.get(&NEW).unwrap().unwrap();
        assert_eq!(read, CartV2 { items: vec!["hat".into()], voucher: None });
        attributes.set(&NEW, &CartV2 { items: vec![], voucher: Some("x".into()) }).unwrap();
        assert_eq!(attributes.get(&OLD).unwrap().unwrap(), CartV1 { items: vec![] });
    }

    #[test]
    fn a_value_of_another_type_is_an_error_that_names_the_key() {
        let mut attributes = Attributes::new();
        attributes.set(&Attribute::<u32>::new("cart"), &7).unwrap();
        let error = attributes.get(&OLD).unwrap_err();
        assert!(error.to_string().contains("\"cart\""), "{error}");
    }

    #[test]
    fn debug_shows_sizes_and_no_values() {
        let mut attributes = Attributes::new();
        attributes.set(&Attribute::<String>::new("note"), &"confidential".to_owned()).unwrap();
        assert_eq!(format!("{attributes:?}"), r#"{"note": "13 bytes"}"#);
    }

    #[test]
    fn size_counts_keys_and_values() {
        let mut attributes = Attributes::new();
        attributes.insert_bytes(AttributeKey::new("abc").unwrap(), vec![0; 5].into());
        attributes.insert_bytes(AttributeKey::new("d").unwrap(), vec![0; 1].into());
        assert_eq!(attributes.size(), 3 + 5 + 1 + 1);
    }

    #[test]
    fn keys_are_checked_at_below_and_above_their_limit() {
        assert!(AttributeKey::new(&"a".repeat(64)).is_ok());
        for key in ["", &"a".repeat(65), "a b", "ä", "a\0"] {
            assert_eq!(AttributeKey::new(key), Err(InvalidAttributeKey), "{key:?}");
        }
    }
}
