//! What a seed decides, and who may run.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cloakroom_conformance::Seeded;
use parking_lot::Mutex;

use crate::{Random, RandomError};

/// Numbers that a seed decides.
#[derive(Clone, Debug)]
pub(super) struct Chance(Arc<Mutex<Seeded>>);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Seeded::new(seed))))
    }

    pub(super) fn below(&self, bound: u64) -> u64 {
        self.0.lock().below(bound.max(1))
    }

    pub(super) fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(length.try_into().unwrap())).unwrap()
    }

    pub(super) fn one_in(&self, number: u64) -> bool {
        self.below(number) == 0
    }

    /// How long a step takes: mostly a millisecond or so, now and then a good part of a lease.
    pub(super) fn delay(&self) -> Duration {
        let micros = if self.one_in(12) { self.below(600_000) } else { self.below(3_000) };
        Duration::from_micros(micros)
    }
}

impl Random for Chance {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        bytes.fill_with(|| self.below(256).try_into().unwrap());
        Ok(())
    }
}

/// Lets a node's tasks run, or stops them all while time goes on.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Arc<Mutex<Door>>);

#[derive(Debug, Default)]
struct Door {
    is_shut: bool,
    waiting: Vec<Waker>,
}

impl Gate {
    pub(super) fn shut(&self) {
        self.0.lock().is_shut = true;
    }

    pub(super) fn open(&self) {
        let mut door = self.0.lock();
        door.is_shut = false;
        door.waiting.drain(..).for_each(Waker::wake);
    }

    /// `task`, which is only polled while the gate is open.
    pub(super) fn run<F: Future>(&self, task: F) -> impl Future<Output = F::Output> + use<F> {
        Gated { gate: self.clone(), task: Box::pin(task) }
    }
}

struct Gated<F> {
    gate: Gate,
    task: Pin<Box<F>>,
}

impl<F: Future> Future for Gated<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut door = self.gate.0.lock();
        if door.is_shut {
            door.waiting.push(context.waker().clone());
            return Poll::Pending;
        }
        drop(door);
        self.task.as_mut().poll(context)
    }
}
