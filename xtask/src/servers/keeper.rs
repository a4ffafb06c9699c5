//! The process that keeps one server running for as long as it runs itself.

use std::{io, path::Path};

use cloakroom_servers::Sighting;

use super::{
    kind::Kind,
    record::{self, Record},
};
use crate::error::{Doing as _, Error};

/// Starts `name`, writes down what runs, and stays: until standard input ends if we are `attached`, else until we are
/// ended by a signal. Either way the server goes with us.
pub(crate) fn keep(directory: &Path, name: Kind, attached: bool) -> Result<(), Error> {
    let keeping = || format!("keeping {name}");
    let lock = record::lock(directory, name)?;
    if !attached {
        // Out of the terminal's reach: neither Ctrl-C nor its end is meant for us.
        rustix::process::setsid().doing(keeping)?;
    }
    let kept = name.start().doing(keeping)?;
    let sightings: Option<Vec<_>> = kept.pids().into_iter().map(Sighting::of).collect();
    let (Some(keeper), Some(servers)) = (Sighting::of(std::process::id()), sightings) else {
        return Err(Error::new(keeping(), "processes cannot be looked up in /proc"));
    };
    Record::new(kept.url(), keeper, &servers, kept.directories()).write(directory, name)?;
    if attached {
        io::copy(&mut io::stdin(), &mut io::sink()).doing(keeping)?;
        drop(kept);
        Record::remove(directory, name)?;
        drop(lock);
        return record::clear(directory, name);
    }
    loop {
        std::thread::park();
    }
}
