//! Filing what another store told.

use cloakroom_core::{PrincipalId, Route, Timestamp, idle_expires_at};
use cloakroom_store::{Entry, Filed, Imported};

use crate::client::{Call, Client, Progress};
use crate::error::Problem;
use crate::keys::{digest_text, id_text};
use crate::map::{Filing, duration, instant, retired_bytes, tombstone_bytes};
use crate::node::Lane;
use crate::nonce::Nonces;
use crate::script;

pub(crate) async fn import(
    client: &Client,
    progress: &Progress,
    nonces: &Nonces,
    filed: &Filed,
    now: Timestamp,
) -> Result<Imported, Problem> {
    let Filed { digest, entry } = filed;
    let bucket = client.layout.bucket(digest.route());
    let is_elsewhere = |route: Route| client.layout.bucket(route) != bucket;
    let (kind, keep, mut rest) = match entry {
        Entry::Live(live) => {
            let filing = Filing::new(&live.record, *digest, live.version)?;
            if is_elsewhere(filing.route()) || is_elsewhere(filing.id.route()) {
                return Err(Problem::Misuse("a route that is not its principal's"));
            }
            let due_at = idle_expires_at(&live.record, live.last_seen_at);
            let life = filing.life(now);
            let rest = vec![
                filing.text.into_bytes(),
                filing.value,
                instant(live.last_seen_at).to_vec(),
                instant(due_at).to_vec(),
            ];
            ("live", life, rest)
        }
        Entry::Ended { tombstone, created_at, kept_until } => {
            if is_elsewhere(tombstone.session.route()) {
                return Err(Problem::Misuse("a route that is not its token's"));
            }
            let rest = vec![
                id_text(tombstone.session).into_bytes(),
                tombstone.session.as_bytes().to_vec(),
                instant(*created_at).to_vec(),
                tombstone.principal.as_ref().map_or("", PrincipalId::as_str).as_bytes().to_vec(),
                tombstone_bytes(tombstone, *created_at)?,
                instant(*kept_until).to_vec(),
            ];
            ("ended", duration(kept_until.since(now)), rest)
        }
        Entry::Retired { retired, kept_until } => {
            let rest = vec![retired_bytes(retired), instant(*kept_until).to_vec()];
            ("retired", duration(kept_until.since(now)), rest)
        }
    };
    let mut arguments = vec![
        digest_text(*digest).into_bytes(),
        nonces.fresh().to_vec(),
        kind.as_bytes().to_vec(),
        keep.to_vec(),
    ];
    arguments.append(&mut rest);
    let call = Call { bucket, script: &script::IMPORT, arguments, lane: Lane::Commands };
    Ok(match client.call(progress, &call).await?.number()? {
        0 => Imported::AlreadyExists,
        _ => Imported::Done,
    })
}
