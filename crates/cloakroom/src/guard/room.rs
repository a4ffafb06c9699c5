//! How many calls are in flight, and who waits behind them.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A bound on the calls in flight, with a bounded queue behind it: first come, first served.
#[derive(Debug)]
pub(super) struct Room {
    seats: Mutex<Seats>,
    max_waiting: usize,
}

#[derive(Debug)]
struct Seats {
    taken: usize,
    limit: usize,
    waiting: VecDeque<oneshot::Sender<Seat>>,
}

/// A call in flight. Dropping it, however that comes about, seats the next one.
#[derive(Debug)]
pub(super) struct Seat(Option<Arc<Room>>);

/// What came of asking for a seat.
pub(super) enum Entry {
    /// There was one.
    Seated(Seat),
    /// There will be one. An error means that everybody who waited was sent away.
    Waiting(oneshot::Receiver<Seat>),
    /// Too many wait already.
    Full,
}

impl Room {
    pub(super) fn new(limit: usize, max_waiting: usize) -> Arc<Self> {
        let seats = Seats { taken: 0, limit: limit.max(1), waiting: VecDeque::new() };
        Arc::new(Self { seats: Mutex::new(seats), max_waiting })
    }

    /// A seat, now or later.
    pub(super) fn enter(self: &Arc<Self>) -> Entry {
        let mut seats = self.seats.lock();
        if seats.taken < seats.limit && seats.waiting.is_empty() {
            seats.taken += 1;
            return Entry::Seated(Seat(Some(Arc::clone(self))));
        }
        if seats.waiting.len() >= self.max_waiting {
            // Callers who left hold no place for those who stay.
            seats.waiting.retain(|waiter| !waiter.is_closed());
        }
        if seats.waiting.len() >= self.max_waiting {
            return Entry::Full;
        }
        let (waiter, turn) = oneshot::channel();
        seats.waiting.push_back(waiter);
        drop(seats);
        // A limit that was raised in between seats whom it can.
        self.fill();
        Entry::Waiting(turn)
    }

    /// A seat besides all others, for the one call that probes.
    pub(super) fn squeeze_in(self: &Arc<Self>) -> Seat {
        self.seats.lock().taken += 1;
        Seat(Some(Arc::clone(self)))
    }

    /// Allows `limit` calls in flight from now on. Calls in flight beyond it go on.
    pub(super) fn set_limit(self: &Arc<Self>, limit: usize) {
        self.seats.lock().limit = limit.max(1);
        self.fill();
    }

    /// Sends everybody away who waits.
    pub(super) fn send_away(&self) {
        let waiting = std::mem::take(&mut self.seats.lock().waiting);
        drop(waiting);
    }

    /// Seats whoever waits while there are seats.
    fn fill(self: &Arc<Self>) {
        loop {
            let next = {
                let mut seats = self.seats.lock();
                if seats.taken >= seats.limit {
                    return;
                }
                let Some(next) = seats.waiting.pop_front() else { return };
                seats.taken += 1;
                next
            };
            // Outside of the lock: a caller who has left gives the seat back by dropping it.
            if let Err(seat) = next.send(Seat(Some(Arc::clone(self)))) {
                seat.give_back();
            }
        }
    }

    #[cfg(test)]
    fn taken(&self) -> usize {
        self.seats.lock().taken
    }
}

impl Seat {
    /// Frees the seat without seating the next: whoever calls this does.
    fn give_back(mut self) {
        if let Some(room) = self.0.take() {
            let mut seats = room.seats.lock();
            seats.taken = seats.taken.saturating_sub(1);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(room) = self.0.take() {
            {
                let mut seats = room.seats.lock();
                seats.taken = seats.taken.saturating_sub(1);
            }
            room.fill();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seated(entry: Entry) -> Seat {
        match entry {
            Entry::Seated(seat) => seat,
            Entry::Waiting(_) | Entry::Full => panic!("a seat was free"),
        }
    }

    fn waiting(entry: Entry) -> oneshot::Receiver<Seat> {
        match entry {
            Entry::Waiting(turn) => turn,
            Entry::Seated(_) | Entry::Full => panic!("every seat was taken, the queue was not full"),
        }
    }

    #[test]
    fn seats_are_bounded_and_so_is_the_queue() {
        let room = Room::new(2, 1);
        let (first, _second) = (seated(room.enter()), seated(room.enter()));
        let mut turn = waiting(room.enter());
        assert!(matches!(room.enter(), Entry::Full));
        assert!(turn.try_recv().is_err(), "nobody has left yet");
        drop(first);
        let third = turn.try_recv().expect("the first has left");
        assert_eq!(room.taken(), 2);
        drop(third);
        assert_eq!(room.taken(), 1);
    }

    #[test]
    fn whoever_gives_up_in_the_queue_keeps_no_seat_and_no_place() {
        let room = Room::new(1, 2);
        let first = seated(room.enter());
        let (gone, also_gone) = (waiting(room.enter()), waiting(room.enter()));
        drop((gone, also_gone));
        let mut patient = waiting(room.enter());
        drop(first);
        let seat = patient.try_recv().expect("those before have left");
        assert_eq!(room.taken(), 1);
        drop(seat);
        assert_eq!(room.taken(), 0);
    }

    #[test]
    fn a_seat_that_was_handed_over_to_somebody_who_left_is_free_again() {
        let room = Room::new(1, 2);
        let first = seated(room.enter());
        let turn = waiting(room.enter());
        drop(first);
        assert_eq!(room.taken(), 1, "handed over, not yet received");
        drop(turn);
        assert_eq!(room.taken(), 0);
    }

    #[test]
    fn a_raised_limit_seats_those_who_wait_and_a_lowered_one_ends_nobodys_call() {
        let room = Room::new(1, 4);
        let _first = seated(room.enter());
        let (mut second, mut third) = (waiting(room.enter()), waiting(room.enter()));
        room.set_limit(2);
        let second = second.try_recv().expect("there are two seats");
        assert!(third.try_recv().is_err());
        room.set_limit(1);
        drop(second);
        assert!(third.try_recv().is_err(), "still one too many");
        room.send_away();
        assert!(matches!(third.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
    }
}
