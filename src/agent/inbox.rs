//! The inbox of the event loop. What matters most comes out first, and nothing in it grows without
//! bound.
//!
//! - Answers of the kernel, of look-ups and of reads: each belongs to a request of the loop, so their
//!   number is bounded by the requests that are under way, and none may be lost.
//! - Reports of the prober: those that wait are one.
//! - Announcements of the kernel: one that waits stands for all that follow.
//! - Messages of event streams: a bounded queue for each source, so that no source crowds out
//!   another. The connection decides what to do when its queue is full.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::core::Input;
use super::prober::{ReportSender, Reports};
use crate::sources::{SourceId, SourceMessage};

/// The receiving ends, which the event loop holds.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) answers: Answers,
    pub(super) streams: Streams,
}

/// Answers to requests, and announcements of the kernel.
#[derive(Debug)]
pub(super) struct Answers {
    answers: mpsc::UnboundedReceiver<Input>,
    reports: Reports,
    changes: mpsc::Receiver<()>,
    answer_sender: mpsc::UnboundedSender<Input>,
    change_sender: mpsc::Sender<()>,
    report_sender: ReportSender,
}

impl Default for Answers {
    fn default() -> Self {
        let (answer_sender, answers) = mpsc::unbounded_channel();
        let (change_sender, changes) = mpsc::channel(1);
        let (report_sender, reports) = ReportSender::new_pair();
        Self { answers, reports, changes, answer_sender, change_sender, report_sender }
    }
}

impl Answers {
    /// Returns a sender of answers. Send one for each request, and nothing else.
    pub(super) fn sender(&self) -> mpsc::UnboundedSender<Input> {
        self.answer_sender.clone()
    }

    /// Returns a sender of the kernel's announcements.
    pub(super) fn change_sender(&self) -> mpsc::Sender<()> {
        self.change_sender.clone()
    }

    /// Returns a sender of the prober's reports.
    pub(super) fn report_sender(&self) -> ReportSender {
        self.report_sender.clone()
    }

    /// Waits for an answer, a report or an announcement.
    pub(super) async fn next_input(&mut self) -> Input {
        // No channel closes, as this side holds a sender of each.
        tokio::select! {
            biased;
            Some(answer) = self.answers.recv() => answer,
            Some(report) = self.reports.next_report() => Input::Probed(report),
            Some(()) = self.changes.recv() => Input::KernelChanged,
        }
    }
}

/// Messages of event streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    queues: Vec<(SourceId, mpsc::Receiver<SourceMessage>)>,
    /// The index of the queue whose turn it is.
    turn: usize,
}

impl Streams {
    /// Adds the queue of a source and returns its sender.
    pub(super) fn add_queue(&mut self, source: SourceId) -> mpsc::Sender<SourceMessage> {
        let (sender, receiver) = mpsc::channel(caps::EVENTS);
        self.queues.push((source, receiver));
        sender
    }

    /// Waits for a message. The sources take turns.
    pub(super) async fn next_input(&mut self) -> Input {
        poll_fn(|context| self.poll_queues(context)).await
    }

    /// Returns whether no message waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queues.iter().all(|(_, queue)| queue.is_empty())
    }

    fn poll_queues(&mut self, context: &mut Context<'_>) -> Poll<Input> {
        let count = self.queues.len();
        for index in (self.turn..count).chain(0..self.turn) {
            let (source, queue) = &mut self.queues[index];
            if let Poll::Ready(Some(message)) = queue.poll_recv(context) {
                self.turn = (index + 1) % count;
                return Poll::Ready(Input::Source { source: source.clone(), message });
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::marathon::messages::Message;

    fn message() -> SourceMessage {
        SourceMessage::Marathon(Message::Servers([].into()))
    }

    fn source_of(input: &Input) -> &str {
        match input {
            Input::Source { source, .. } => source.as_str(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn streams_take_turns_and_each_has_a_bound_of_its_own() {
        let mut streams = Streams::default();
        let (a, b) = (streams.add_queue("a".into()), streams.add_queue("b".into()));
        assert!(streams.is_empty());
        for _ in 0..caps::EVENTS {
            a.try_send(message()).unwrap();
        }
        assert!(a.try_send(message()).is_err(), "the queue has a bound");
        b.try_send(message()).unwrap();
        let mut order = String::new();
        for _ in 0..3 {
            order += source_of(&streams.next_input().await);
        }
        assert_eq!(order, "aba");
        assert!(!streams.is_empty());
    }

    #[tokio::test]
    async fn announcements_that_wait_are_one() {
        let mut answers = Answers::default();
        let announce = answers.change_sender();
        assert!(announce.try_send(()).is_ok() && announce.try_send(()).is_err());
        answers.sender().send(Input::Tick).unwrap();
        assert!(matches!(answers.next_input().await, Input::Tick), "answers come first");
        assert!(matches!(answers.next_input().await, Input::KernelChanged));
    }
}
