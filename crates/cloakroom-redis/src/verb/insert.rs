//! Filing a new session.

use cloakroom_core::{OnLimit, Route};
use cloakroom_store::{Ended, InsertRequest, Inserted, Version};

use crate::client::{Call, Client, Progress};
use crate::error::Problem;
use crate::map::{self, Filing, instant};
use crate::node::Lane;
use crate::nonce::Nonces;
use crate::script;

pub(crate) async fn insert(
    client: &Client,
    progress: &Progress,
    nonces: &Nonces,
    request: InsertRequest<'_>,
) -> Result<Inserted, Problem> {
    let InsertRequest { record, digest, limit, replaces, now } = request;
    let filing = Filing::new(record, digest, Version::FIRST)?;
    let bucket = client.layout.bucket(filing.route());
    let is_elsewhere = |route: Route| client.layout.bucket(route) != bucket;
    if is_elsewhere(digest.route()) || is_elsewhere(filing.id.route()) {
        return Err(Problem::Misuse("a route that is not its principal's"));
    }
    let on_limit = match limit.map(|limit| limit.on_limit) {
        None | Some(OnLimit::EndOldest) => "oldest",
        Some(OnLimit::EndIdlest) => "idlest",
        Some(OnLimit::Refuse) => "refuse",
    };
    let most = limit.map_or_else(String::new, |limit| limit.max.to_string());
    let (life, principal) = (filing.life(now), filing.principal().as_bytes().to_vec());
    let arguments = vec![
        instant(now).to_vec(),
        filing.digest.into_bytes(),
        filing.text.into_bytes(),
        principal,
        instant(filing.expires_at).to_vec(),
        filing.value,
        life.to_vec(),
        nonces.fresh().to_vec(),
        most.into_bytes(),
        on_limit.as_bytes().to_vec(),
        replaces.map_or_else(Vec::new, |id| id.as_bytes().to_vec()),
    ];
    let call = Call { bucket, script: &script::INSERT, arguments, lane: Lane::Commands };
    let mut parts = client.call(progress, &call).await?.parts()?;
    match parts.word()?.as_str() {
        "done" => {
            let mut ended: Vec<Ended> = Vec::new();
            while let Some(tombstone) = parts.bytes()? {
                ended.push(map::ended(&tombstone)?);
            }
            Ok(Inserted::Done { ended })
        }
        "taken" => Ok(Inserted::AlreadyExists),
        "limit" => Ok(Inserted::LimitReached),
        _ => Err(Problem::Answer(parts.of())),
    }
}
