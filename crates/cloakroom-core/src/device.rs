//! What a session was issued to.

use std::net::IpAddr;

/// What is known of the client a session was issued to. Shown to its user and to administrators; never a proof.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Device {
    ip: Option<IpAddr>,
    user_agent: Option<Box<str>>,
    label: Option<Box<str>>,
}

impl Device {
    /// Longest user agent kept, in bytes; a longer one is cut at a character.
    pub const USER_AGENT_MAX_BYTES: usize = 512;
    /// Longest label kept, in bytes; a longer one is cut at a character.
    pub const LABEL_MAX_BYTES: usize = 128;

    /// A device of which nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same device at this address.
    #[must_use]
    pub fn with_ip(self, ip: IpAddr) -> Self {
        Self { ip: Some(ip), ..self }
    }

    /// The same device with this user agent, as its client sent it. Control characters become spaces.
    #[must_use]
    pub fn with_user_agent(self, user_agent: &str) -> Self {
        Self { user_agent: bounded(user_agent, Self::USER_AGENT_MAX_BYTES), ..self }
    }

    /// The same device with this name for people, for example `Firefox on Linux`. Control characters become spaces.
    #[must_use]
    pub fn with_label(self, label: &str) -> Self {
        Self { label: bounded(label, Self::LABEL_MAX_BYTES), ..self }
    }

    /// The client's address.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    /// The client's user agent.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }

    /// The device's name for people.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }
}

/// `text` cut to `max` bytes, without control characters; `None` where nothing is left.
fn bounded(text: &str, max: usize) -> Option<Box<str>> {
    let cut = text.get(..text.floor_char_boundary(max)).unwrap_or_default();
    let clean: String = cut.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let trimmed = clean.trim();
    (!trimmed.is_empty()).then(|| trimmed.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_of_itself_is_cut_and_cannot_forge_lines() {
        let device = Device::new().with_user_agent(&"ä".repeat(400)).with_label("x\r\nadmin\u{1b}[0m");
        assert_eq!(device.user_agent().map(str::len), Some(Device::USER_AGENT_MAX_BYTES));
        assert_eq!(device.label(), Some("x  admin [0m"));
        assert_eq!(Device::new().with_user_agent(" \n ").user_agent(), None);
    }
}
