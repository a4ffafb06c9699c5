//! What waits for a thread: bounded, first come first served.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

use crate::error::Problem;

/// A bounded queue between tasks that never wait and threads that do.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let state = Mutex::new(State { items: VecDeque::new(), closed: false });
        Self { state, filled: Condvar::new(), capacity }
    }

    /// Puts `item` at the end.
    pub(crate) fn push(&self, item: T) -> Result<(), Problem> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Problem::Closed);
        }
        if state.items.len() >= self.capacity {
            return Err(Problem::QueueFull(self.capacity));
        }
        state.items.push_back(item);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until there is something and moves up to `most` of it to `into`; whether there was anything. Nothing comes
    /// any more once the queue is closed and empty.
    pub(crate) fn take(&self, most: usize, into: &mut Vec<T>) -> bool {
        let mut state = self.state.lock();
        while state.items.is_empty() {
            if state.closed {
                return false;
            }
            self.filled.wait(&mut state);
        }
        let count = state.items.len().min(most);
        into.extend(state.items.drain(..count));
        true
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().items.is_empty()
    }

    /// Everything that waits now.
    pub(crate) fn drain(&self) -> Vec<T> {
        self.state.lock().items.drain(..).collect()
    }

    /// Accepts nothing more. What waits is still handed out.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_and_has_room_again_when_something_was_taken() {
        let queue = Queue::new(2);
        assert!(queue.push(1).is_ok() && queue.push(2).is_ok());
        assert!(matches!(queue.push(3), Err(Problem::QueueFull(2))));
        let mut taken = Vec::new();
        assert!(queue.take(1, &mut taken));
        assert!(queue.push(3).is_ok());
        assert!(queue.take(9, &mut taken));
        assert_eq!(taken, [1, 2, 3]);
    }

    #[test]
    fn a_closed_queue_hands_out_what_it_has_and_takes_nothing_more() {
        let queue = Queue::new(2);
        assert!(queue.push(1).is_ok());
        queue.close();
        assert!(matches!(queue.push(2), Err(Problem::Closed)));
        let mut taken = Vec::new();
        assert!(queue.take(9, &mut taken));
        assert!(!queue.take(9, &mut taken));
        assert_eq!(taken, [1]);
    }
}
