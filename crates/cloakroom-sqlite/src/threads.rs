//! The store's threads: started together, stopped together.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::Problem;

/// Threads that will end when what they wait for is closed.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    handles: Mutex<Vec<JoinHandle<()>>>,
    running: Arc<Running>,
}

#[derive(Debug, Default)]
struct Running {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Threads {
    /// Starts `work` on a thread of its own.
    pub(crate) fn start(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Problem> {
        *self.running.count.lock() += 1;
        // Dropped at the end of the thread, be it by panic, or here if it never begins.
        let end = End(Arc::clone(&self.running));
        let run = move || {
            let _end = end;
            work();
        };
        let handle = thread::Builder::new().name(name.to_owned()).spawn(run).map_err(Problem::Thread)?;
        self.handles.lock().push(handle);
        Ok(())
    }

    /// Waits for all of them to end, but no longer than `patience`: one that hangs in the disk is left alone.
    pub(crate) fn join(&self, patience: Duration) -> Result<(), Problem> {
        let mut count = self.running.count.lock();
        let mut in_time = true;
        while *count > 0 && in_time {
            in_time = !self.running.changed.wait_for(&mut count, patience).timed_out();
        }
        if *count > 0 {
            return Err(Problem::Overdue(patience));
        }
        drop(count);
        for handle in self.handles.lock().drain(..) {
            // What it panicked with is out already; the store answers errors since.
            let _ = handle.join();
        }
        Ok(())
    }
}

struct End(Arc<Running>);

impl Drop for End {
    fn drop(&mut self) {
        *self.0.count.lock() -= 1;
        self.0.changed.notify_all();
    }
}
