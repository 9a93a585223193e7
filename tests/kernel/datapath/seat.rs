//! Threads that run closures in a network namespace.

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
    /// Starts a thread in a namespace made by `ip netns add`.
    pub(super) fn take(namespace: &str) -> Self {
        let namespace = namespace.to_owned();
        let (tasks, queue) = channel::<Task>();
        thread::spawn(move || {
            netns::join_netns(&namespace);
            for task in queue {
                // A panic is printed and passed on to the caller. The next test needs the thread.
                drop(catch_unwind(AssertUnwindSafe(task)));
            }
        });
        Self { tasks }
    }

    /// Runs a closure there and returns its result.
    #[track_caller]
    pub(super) fn run<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, come) = channel();
        // A lost result is reported below.
        drop(self.tasks.send(Box::new(move || drop(answer.send(what())))));
        come.recv().expect("it panicked in its namespace: see above")
    }
}
