//! The session that all keep.

use serde::{Deserialize, Serialize};

/// What there is to keep, as somebody would who writes it as JSON.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Session {
    pub id: String,
    pub core: String,
    pub version: u64,
    pub known: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u8>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<(String, i64)>,
    pub created_at: i64,
    pub rotated_at: i64,
    pub last_seen_at: i64,
    pub absolute_expires_at: i64,
    pub idle_timeout: u64,
    pub tombstone_retention: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
}

impl Session {
    /// Nobody signed in, nothing in it.
    pub fn bare() -> Self {
        Self {
            id: "oaGhoaGhoaGhoaGhoaGhoQ".into(),
            core: "wMDAwMDAwMDAwMDAwMDAwA".into(),
            version: 1,
            known: 0,
            principal: None,
            roles: Vec::new(),
            level: None,
            methods: Vec::new(),
            created_at: ISSUED_AT,
            rotated_at: ISSUED_AT,
            last_seen_at: ISSUED_AT,
            absolute_expires_at: ISSUED_AT + 43_200_000,
            idle_timeout: 1_800,
            tombstone_retention: 86_400,
            ip: None,
            user_agent: None,
            label: None,
            attributes: Vec::new(),
        }
    }

    /// Signed in by password, two roles, a browser, two attributes of some sixty bytes.
    pub fn typical() -> Self {
        Self {
            known: 1_799_999_000_000_123,
            principal: Some("zoe@example.com".into()),
            roles: vec!["editor".into(), "staff".into()],
            level: Some(1),
            methods: vec![("password".into(), ISSUED_AT)],
            last_seen_at: NOW,
            ip: Some("203.0.113.9".into()),
            user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".into()),
            label: Some("Firefox on Linux".into()),
            attributes: vec![
                ("cart".into(), "umbrella,hat,coat,gloves,scarf,boots".into()),
                ("locale".into(), "en-GB".into()),
            ],
            ..Self::bare()
        }
    }

    /// As the text that the others encrypt.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers")
    }
}

const ISSUED_AT: i64 = 1_800_000_000_000;
/// When it is sealed and opened.
pub const NOW: i64 = 1_800_000_060_000;
