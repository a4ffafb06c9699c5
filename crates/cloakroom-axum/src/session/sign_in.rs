//! What a sign-in is made of.

use cloakroom::{Attribute, AttributeKey, Attributes, AuthLevel, Method, Persistence, Principal};

/// A sign-in: whom, how proved, for how long, and with what of the session before.
#[derive(Clone, Debug)]
#[must_use = "pass it to `Session::sign_in`"]
pub struct SignIn {
    pub(super) principal: Principal,
    pub(super) level: AuthLevel,
    pub(super) method: Method,
    pub(super) persistence: Persistence,
    pub(super) as_bearer: bool,
    carried: Vec<AttributeKey>,
}

impl SignIn {
    /// The sign-in of `principal`, whose identity was proved just now by `method`, up to `level`. Its cookie ends with
    /// the browser, and nothing of the session before is taken over.
    pub fn new(principal: Principal, level: AuthLevel, method: Method) -> Self {
        Self {
            principal,
            level,
            method,
            persistence: Persistence::Browser,
            as_bearer: false,
            carried: Vec::new(),
        }
    }

    /// The same, remembered or not, as far as the policy remembers anybody.
    pub fn persistence(self, persistence: Persistence) -> Self {
        Self { persistence, ..self }
    }

    /// The same, also taking over this attribute, changes of this request included.
    ///
    /// Name only what may safely pass from whoever used the device before to whoever signs in now.
    pub fn carrying<T>(mut self, attribute: &Attribute<T>) -> Self {
        self.carried.push(attribute.into());
        self
    }

    /// The same, for a client without cookies: no `Set-Cookie`; the token is
    /// [`Session::bearer_token`](crate::Session::bearer_token).
    pub fn as_bearer(self) -> Self {
        Self { as_bearer: true, ..self }
    }

    /// What of `before` is taken over.
    pub(super) fn carried(&self, before: &Attributes) -> Attributes {
        let mut attributes = Attributes::new();
        for key in &self.carried {
            if let Some(bytes) = before.bytes(key.as_str()) {
                attributes.insert_bytes(key.clone(), bytes.into());
            }
        }
        attributes
    }
}
