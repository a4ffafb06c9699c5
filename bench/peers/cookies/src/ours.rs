//! Cloakroom's sealed token.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cloakroom_core::{
    AttributeKey, AuthLevel, Authentication, Device, Lifetime, Method, MethodUse, Principal, PrincipalId,
    Role, SessionId, SessionRecord, SessionToken, Timestamp, TokenCore,
};
use cloakroom_sealed::{KeyRing, NewKey, Place, Sealer};
use cloakroom_store::{NONCE_BYTES, SealedContents, Sealing as _, Version};

use crate::Way;
use crate::session::{NOW, Session};

pub struct Ours {
    sealer: Sealer,
}

impl Ours {
    pub fn new() -> Self {
        let place = Place { cookie: "__Host-cloakroom".into(), application: "shop".into() };
        let ring = KeyRing::first(NewKey::from_random(&[7; NewKey::RANDOM_BYTES]), at(NOW));
        Self { sealer: Sealer::new(ring, &place, 75) }
    }
}

impl Way for Ours {
    const NAME: &'static str = "cloakroom";

    type Contents = SealedContents;

    fn contents(&self, session: &Session) -> SealedContents {
        let lifetime = Lifetime::new(
            Duration::from_secs(session.idle_timeout),
            at(session.absolute_expires_at),
            Duration::from_secs(session.tombstone_retention),
        );
        let mut record =
            SessionRecord::new(SessionId::from_bytes(bytes(&session.id)), at(session.created_at), lifetime);
        let roles = session.roles.iter().map(|role| Role::new(role).expect("a role"));
        record.principal = session.principal.as_ref().map(|id| {
            let principal = Principal::new(PrincipalId::new(id).expect("an id"));
            Arc::new(principal.with_roles(roles).expect("few roles"))
        });
        let methods = session.methods.iter();
        let methods = methods
            .map(|(name, used)| MethodUse { method: Method::new(name).expect("a method"), at: at(*used) });
        let level = session.level.and_then(AuthLevel::from_u8).unwrap_or_default();
        record.authentication = Authentication::from_methods(level, methods.collect()).map(Box::new);
        record.device = session.ip.as_ref().map(|ip| {
            let device = Device::new().with_ip(ip.parse().expect("an address"));
            let device = device.with_user_agent(session.user_agent.as_deref().unwrap_or_default());
            Box::new(device.with_label(session.label.as_deref().unwrap_or_default()))
        });
        for (key, value) in &session.attributes {
            record.attributes.encode(AttributeKey::new(key).expect("a key"), value).expect("a text");
        }
        SealedContents {
            record: Arc::new(record),
            version: Version::from_u64(session.version),
            last_seen_at: at(session.last_seen_at),
            known: session.known,
            core: TokenCore::from_random(bytes(&session.core)),
        }
    }

    fn seal(&self, contents: &SealedContents) -> String {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).expect("the system's generator");
        let token = self.sealer.seal(contents, nonce, at(NOW)).expect("it fits");
        token.expose().as_str().to_owned()
    }

    fn open(&self, text: &str) -> SealedContents {
        let token = SessionToken::parse(text.as_bytes()).expect("a token");
        self.sealer.open(&token, at(NOW)).expect("authentic").contents
    }

    fn is_same(&self, one: &SealedContents, other: &SealedContents) -> bool {
        one.record == other.record && one.known == other.known && one.core.expose() == other.core.expose()
    }

    fn refuses(&self, text: &str) -> bool {
        let token = SessionToken::parse(text.as_bytes()).expect("a token");
        self.sealer.open(&token, at(NOW)).is_err()
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn bytes(text: &str) -> [u8; 16] {
    URL_SAFE_NO_PAD.decode(text).expect("base64url").try_into().expect("sixteen bytes")
}
