//! Sessions that travel in their own cookies, and end all the same.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use cloakroom::{Random, Sessions, SessionsBuilder, Timestamp};
use cloakroom_axum::CookiePolicy;
use cloakroom_sealed::{KeyFile, NewKey, Place, Sealer, SharedRing};
use cloakroom_sqlite::{SqliteOptions, SqliteRevocations};

/// An engine that keeps no session: what nodes share is a key, and a list of ends. Both lie in `directory`.
///
/// # Errors
/// Where the directory, the key or the list cannot be used.
pub fn sealed(
    directory: &Path,
    random: &impl Random,
    now: Timestamp,
) -> Result<SessionsBuilder, Box<dyn Error>> {
    fs::create_dir_all(directory)?;
    let file = KeyFile::at(directory.join("chat.keys"));
    let mut bytes = [0; NewKey::RANDOM_BYTES];
    random.fill(&mut bytes)?;
    // Whichever node is the first makes the key; for all others it was there.
    let _ = file.create(NewKey::from_random(&bytes), now)?;
    let ring = Arc::new(SharedRing::of_file(file)?);
    // A cookie of another name, or of another application with the same key, is not opened. The whole of it, attributes
    // included, has to be small enough for browsers.
    let cookie = CookiePolicy::default();
    let place = Place { cookie: cookie.name().to_owned(), application: "chat".to_owned() };
    let sealer = Sealer::new(ring, &place, cookie.bytes_around_value());
    let list = SqliteRevocations::open(SqliteOptions::new(directory.join("ended.db")))?;
    Ok(Sessions::sealed(sealer).revocations(Arc::new(list)))
}
