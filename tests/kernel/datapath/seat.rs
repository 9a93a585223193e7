//! Threads that sit in a network namespace and do there what they are told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use testkit::netns;

type Task = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace.
pub(super) struct Seat {
    tasks: Sender<Task>,
}

impl Seat {
    /// Takes a seat in a namespace that `ip netns add` made.
    pub(super) fn take(namespace: &str) -> Self {
        let namespace = namespace.to_owned();
        let (tasks, queue) = channel::<Task>();
        thread::spawn(move || {
            netns::join_netns(&namespace);
            for task in queue {
                // One that fails says so, and whoever waits for it is told. The next test needs
                // the seat.
                drop(catch_unwind(AssertUnwindSafe(task)));
            }
        });
        Self { tasks }
    }

    /// Does something there and waits for what comes of it.
    #[track_caller]
    pub(super) fn run<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, come) = channel();
        // What is lost is told below.
        drop(self.tasks.send(Box::new(move || drop(answer.send(what())))));
        come.recv().expect("it panicked in its namespace: see above")
    }
}
