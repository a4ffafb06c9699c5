//! Changes of a session's attributes that can be made again.

use std::fmt;

use cloakroom_core::{Attribute, AttributeError, AttributeKey, Attributes};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Changes of a session's attributes, in order.
///
/// Where another request changed the session in between, they are made again on top of what it left: different
/// attributes merge, and the closure of an [`update`](Self::update) runs again on the new value (promise G7).
///
/// ```
/// use cloakroom::{Attribute, Changes};
///
/// const VISITS: Attribute<u32> = Attribute::new("visits");
/// let changes = Changes::new().update(&VISITS, |visits| *visits += 1);
/// assert!(!changes.is_empty());
/// ```
#[derive(Default)]
#[must_use = "changes do nothing until they are applied"]
pub struct Changes(Vec<Change>);

type Step = dyn FnMut(&mut Attributes) -> Result<(), AttributeError> + Send;

enum Change {
    Put(AttributeKey, Box<[u8]>),
    Remove(AttributeKey),
    Step(Box<Step>),
}

impl Changes {
    /// No changes.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Also gives `attribute` this value.
    ///
    /// # Errors
    /// [`AttributeError::Encode`] where the value cannot be encoded.
    pub fn set<T: Serialize>(self, attribute: &Attribute<T>, value: &T) -> Result<Self, AttributeError> {
        self.put(attribute.into(), value)
    }

    /// Also puts `value` under `key`.
    ///
    /// # Errors
    /// [`AttributeError::Encode`] where the value cannot be encoded.
    pub fn put<T: Serialize + ?Sized>(
        mut self,
        key: AttributeKey,
        value: &T,
    ) -> Result<Self, AttributeError> {
        let mut encoded = Attributes::new();
        encoded.encode(key.clone(), value)?;
        let bytes = encoded.bytes(key.as_str()).unwrap_or_default().into();
        self.0.push(Change::Put(key, bytes));
        Ok(self)
    }

    /// Also removes `attribute`.
    pub fn remove<T>(self, attribute: &Attribute<T>) -> Self {
        self.remove_key(attribute.into())
    }

    /// Also removes what is under `key`.
    pub fn remove_key(mut self, key: AttributeKey) -> Self {
        self.0.push(Change::Remove(key));
        self
    }

    /// Also changes the value of `attribute`, beginning with the default where there is none.
    ///
    /// `change` runs again for each attempt, so it must do nothing but change the value it is given.
    pub fn update<T, F>(mut self, attribute: &Attribute<T>, mut change: F) -> Self
    where
        T: Serialize + DeserializeOwned + Default + 'static,
        F: FnMut(&mut T) + Send + 'static,
    {
        let attribute = Attribute::<T>::new(attribute.key());
        self.0.push(Change::Step(Box::new(move |attributes| {
            let mut value = attributes.get(&attribute)?.unwrap_or_default();
            change(&mut value);
            attributes.set(&attribute, &value)
        })));
        self
    }

    /// Also everything in `later`, after what is here.
    pub fn then(mut self, later: Self) -> Self {
        self.0.extend(later.0);
        self
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes the changes on `attributes`.
    ///
    /// # Errors
    /// [`AttributeError`] where a value cannot be read or written; `attributes` are then changed in part.
    pub fn apply_to(&mut self, attributes: &mut Attributes) -> Result<(), AttributeError> {
        for change in &mut self.0 {
            match change {
                Change::Put(key, bytes) => attributes.insert_bytes(key.clone(), bytes.clone()),
                Change::Remove(key) => {
                    attributes.remove_key(key.as_str());
                }
                Change::Step(step) => step(attributes)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Changes({})", self.0.len())
    }
}
