//! Which processor does what: the server that is measured has one to itself, whatever asks it shares another.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::error::{Doing as _, Outcome};

/// The two processors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processors {
    /// Of the server that is measured.
    pub(crate) measured: usize,
    /// Of the load, of the stores' servers, and of this program.
    pub(crate) rest: usize,
}

impl Processors {
    /// The first and the last that this process may use: the same one where there is no other.
    pub(crate) fn allowed() -> Outcome<Self> {
        let set = sched_getaffinity(None).doing("asking for this process's processors")?;
        let mut all = (0..CpuSet::MAX_CPU).filter(|number| set.is_set(*number));
        let measured = all.next().doing("looking for a processor")?;
        Ok(Self { measured, rest: all.next_back().unwrap_or(measured) })
    }
}

/// Keeps this thread, and all threads and processes that it starts from now on, on one processor.
pub(crate) fn stay_on(processor: usize) -> Outcome {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).doing("choosing a processor")
}
