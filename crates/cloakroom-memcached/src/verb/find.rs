//! Looking a session up, wherever it is.

use cloakroom_core::TokenDigest;
use cloakroom_store::Lookup;
use futures_util::future::join_all;

use crate::error::Problem;
use crate::place::{Place, Sight};
use crate::recent::Glance;
use crate::servers::Call;

/// A session as it was found.
#[derive(Debug)]
pub(crate) struct Located<'a> {
    /// The server that has it.
    pub(crate) position: usize,
    pub(crate) place: Place<'a>,
    pub(crate) sight: Sight,
    pub(crate) lookup: Lookup,
}

pub(crate) async fn get(call: Call<'_>, digest: TokenDigest) -> Result<Lookup, Problem> {
    let Some(Located { position, place, sight, lookup }) = locate(call, digest).await? else {
        return Ok(Lookup::Unknown);
    };
    if let (Lookup::Live(_), Some((entry, _)), Some((record, cas))) =
        (&lookup, sight.scene.entry(digest), sight.record())
    {
        let (entry, record) = (entry.clone(), record.clone());
        call.servers.recent.note(digest, Glance { position, link: place.link, entry, record, cas });
    }
    Ok(lookup)
}

/// Looks where the session should be; where it is not known there, or that server is away, on the others, to which it
/// may have come while its home was away. A session is on one server only. `None` where it is unknown.
///
/// # Errors
/// Where its home is away and no other server knows it: it may be there.
pub(crate) async fn locate<'a>(call: Call<'a>, digest: TokenDigest) -> Result<Option<Located<'a>>, Problem> {
    let (home, others) = call.servers.order(digest.route());
    let at_home = look(call, home, digest).await;
    match at_home {
        Ok(located) if located.lookup != Lookup::Unknown => return Ok(Some(located)),
        Err(problem) if !problem.is_outage() => return Err(problem),
        _ => {}
    }
    for located in join_all(others.into_iter().map(|position| look(call, position, digest))).await {
        match located {
            Ok(located) if located.lookup != Lookup::Unknown => return Ok(Some(located)),
            Err(problem) if !problem.is_outage() => return Err(problem),
            _ => {}
        }
    }
    at_home.map(|_| None)
}

async fn look<'a>(call: Call<'a>, position: usize, digest: TokenDigest) -> Result<Located<'a>, Problem> {
    let place = call.servers.place(position, digest.route()).await?;
    let sight = place.sight(digest).await?;
    let lookup = sight.lookup(digest, call.now)?;
    Ok(Located { position, place, sight, lookup })
}
