//! Everybody on a server, for counting and for clearing up.

use std::sync::atomic::{AtomicU64, Ordering};

use cloakroom_core::Route;

use super::end::Turn;
use crate::client::{Batch, Expiry, Found, Item, Reply};
use crate::error::Problem;
use crate::layout::directory::Page;
use crate::layout::ledger::Ledger;
use crate::place::{Place, item};
use crate::servers::Call;

/// The routes that may have ledgers on this server: those in its directory, and all of a page that was lost.
pub(super) async fn routes(place: &Place<'_>) -> Result<Vec<Route>, Problem> {
    let batch = (0..Page::COUNT).fold(Batch::default(), |batch, page| batch.get(&place.keys.directory(page)));
    let pages = place.link.ask(batch).await?;
    let mut routes = Vec::new();
    for (page, reply) in (0..Page::COUNT).zip(pages) {
        let entered = item(reply)?.and_then(|found| Page::decode(&found.value).ok());
        match entered {
            Some(entered) => routes.extend(Page::routes(page).filter(|route| entered.has(*route))),
            None => routes.extend(make_page(place, page, None).await?),
        }
    }
    Ok(routes)
}

/// Makes a page anew that the server has lost: of the ledgers that are there, and of `also`, which will be.
pub(super) async fn make_page(
    place: &Place<'_>,
    page: u8,
    also: Option<Route>,
) -> Result<Vec<Route>, Problem> {
    let routes: Vec<Route> = Page::routes(page).collect();
    let there: Vec<Route> = present(place, &routes).await?.into_iter().map(|(route, _)| route).collect();
    let mut made = Page::empty();
    there.iter().chain(&also).for_each(|route| made.put(*route));
    let item = Item { value: made.encode(), expiry: Expiry::NEVER, flags: 0 };
    // Where somebody else has made one meanwhile, it was made of the same ledgers.
    place.link.ask(Batch::default().add(&place.keys.directory(page), item)).await?;
    Ok(there)
}

/// Those of `routes` that have ledgers, and what stands beside each.
pub(super) async fn present(place: &Place<'_>, routes: &[Route]) -> Result<Vec<(Route, u32)>, Problem> {
    let mut there = Vec::new();
    for together in routes.chunks(PEEKS_AT_ONCE) {
        let batch =
            together.iter().fold(Batch::default(), |batch, route| batch.peek(&place.keys.ledger(*route)));
        let replies = place.link.ask(batch).await?;
        for (route, reply) in together.iter().zip(replies) {
            if let Reply::Found(Found { flags, .. }) = reply {
                there.push((*route, flags));
            }
        }
    }
    Ok(there)
}

/// How many live sessions an end of everything ended on this server: at least as many as could be counted in a while.
pub(super) async fn count_ended(call: Call<'_>, position: usize, turn: &Turn) -> u64 {
    let counted = AtomicU64::new(0);
    let counting = async {
        let place = call.servers.place(position, Route::from_bytes([0, 0])).await?;
        for together in routes(&place).await?.chunks(READS_AT_ONCE) {
            let batch =
                together.iter().fold(Batch::default(), |batch, route| batch.get(&place.keys.ledger(*route)));
            for (route, reply) in together.iter().zip(place.link.ask(batch).await?) {
                let Some(found) = item(reply)? else { continue };
                counted.fetch_add(ended_in(*route, &found, call, turn), Ordering::Relaxed);
            }
        }
        Ok::<(), Problem>(())
    };
    // Everybody meant is out already, whether or not they could be counted.
    let _ = tokio::time::timeout(call.servers.patience, counting).await;
    counted.into_inner()
}

fn ended_in(route: Route, found: &Found, call: Call<'_>, turn: &Turn) -> u64 {
    let Ok(ledger) = Ledger::decode(route, &found.value) else { return 0 };
    if ledger.era != turn.after.era {
        return 0;
    }
    let is_meant = |entry: &&crate::layout::ledger::Entry| {
        entry.over(&turn.before, call.now).is_none()
            && turn.after.first_to_end(entry.created_at, entry.generation).is_some()
    };
    u64::try_from(ledger.entries.iter().filter(is_meant).count()).unwrap_or(u64::MAX)
}

/// Ledgers asked for together, without what is in them.
const PEEKS_AT_ONCE: usize = 1_024;
/// Ledgers read together.
pub(super) const READS_AT_ONCE: usize = 64;
