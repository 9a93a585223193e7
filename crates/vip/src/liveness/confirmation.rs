//! The last questions to a host before it is suspected.

use std::net::SocketAddr;
use std::time::Duration;

use super::Watched;
use super::timing::{
    BURST, BURST_STEP, ECHO_CHANCE, LAST_CHANCE, LONGEST_CONFIRMATION, LONGEST_PATIENCE, PATIENCE,
    PROOF,
};

/// The questions: echoes, and connections to real servers.
#[derive(Debug)]
pub(super) struct Confirmation {
    begins: Duration,
    ends: Duration,
    /// The number of echoes sent.
    sent: u8,
    /// The number of times that others were asked for a proof that this node is connected, and the last.
    proofs: u8,
    proof_asked_at: Duration,
    /// The number of connections whose results are not in.
    pending: usize,
    /// True while the answer of a mute host is waited for.
    is_patient: bool,
    /// The number of real servers that it was asked by.
    asked: usize,
    pub(super) why: Reason,
}

/// The reason why a host is asked once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Echoes were left unanswered, or the host is looked at for the first time.
    Silence,
    /// Too many hosts were silent at once.
    Again,
    /// Clients got no answer.
    Report,
}

impl Confirmation {
    pub(super) fn new(begins: Duration, why: Reason) -> Self {
        // The connections of the first time still count, and there is one echo less.
        let (asked, sent) = if why == Reason::Again { (Watched::PORTS, 1) } else { (0, 0) };
        Self {
            begins,
            ends: begins + LAST_CHANCE,
            sent,
            proofs: 0,
            proof_asked_at: begins,
            pending: 0,
            is_patient: false,
            asked,
            why,
        }
    }

    /// Tells whether the program was not held up for too long.
    pub(super) fn is_timely(&self, now: Duration) -> bool {
        let longest = if self.is_patient { LONGEST_PATIENCE } else { LONGEST_CONFIRMATION };
        now.saturating_sub(self.begins) <= longest
    }

    /// Tells whether others are to be asked for a proof that this node is connected, and notes that
    /// they are: when the last echo is sent, shortly before a long confirmation ends, and again if the
    /// program came so late to its end that the proof would be too old.
    pub(super) fn take_proof(&mut self, now: Duration) -> bool {
        self.wait_for_results(now);
        let is_old = now.saturating_sub(self.proof_asked_at) >= PROOF - ECHO_CHANCE;
        let is_due = match self.proofs {
            0 => true,
            1 if self.is_patient && self.last_proof() <= now => true,
            _ => now >= self.ends && is_old && self.is_timely(now),
        };
        let is_due = is_due && self.sent >= BURST;
        if is_due {
            self.proofs = self.proofs.saturating_add(1);
            self.proof_asked_at = now;
            self.ends = self.ends.max(now + ECHO_CHANCE);
        }
        is_due
    }

    /// Puts the end off while results of connections are still to come.
    fn wait_for_results(&mut self, now: Duration) {
        if now >= self.ends && self.pending > 0 && self.is_timely(now) {
            self.ends = now + ECHO_CHANCE;
        }
    }

    fn last_proof(&self) -> Duration {
        self.ends.saturating_sub(LAST_CHANCE)
    }

    pub(super) fn has_begun(&self, now: Duration) -> bool {
        self.begins <= now
    }

    /// Tells whether the host has had all its time.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        self.sent >= BURST && now >= self.ends
    }

    /// Returns when the next question is due, or the end.
    pub(super) fn next_step(&self) -> Duration {
        match self.sent < BURST {
            true => self.begins + BURST_STEP * u32::from(self.sent),
            false if self.is_patient && self.proofs < 2 => self.last_proof(),
            false => self.ends,
        }
    }

    /// Tells whether an echo is due, and notes that it is taken.
    pub(super) fn take_echo(&mut self, now: Duration) -> bool {
        let is_due = self.sent < BURST && self.next_step() <= now;
        if is_due {
            self.sent += 1;
            // The last echo has time for its reply, however late it is sent.
            self.ends = self.ends.max(now + ECHO_CHANCE);
        }
        is_due
    }

    /// Takes the next one of these real servers to connect to.
    pub(super) fn take_port(&mut self, now: Duration, ports: &[SocketAddr]) -> Option<SocketAddr> {
        let port = ports.get(self.asked).filter(|_| self.has_begun(now)).copied();
        self.asked += usize::from(port.is_some());
        port
    }

    /// Takes in that the result of a connection is known.
    pub(super) fn note_result(&mut self) {
        self.pending = self.pending.saturating_sub(1);
    }

    /// Waits for the answer to a connection that begins now: of a mute host until the kernel has sent
    /// the SYN three times or more, since a lost one must not be taken for silence.
    pub(super) fn wait_for_port(&mut self, now: Duration, patience: Duration) {
        self.is_patient = patience >= PATIENCE;
        self.pending += 1;
        self.ends = self.ends.max(now + patience);
    }
}
