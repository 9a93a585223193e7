//! The pipeline: requests by the hundred, and the answers to them.

use std::time::Instant;
use std::{fmt, io};

use crate::answer::{Answer, Progress};
use crate::batch::Batch;
use crate::family::{FamilyRequest, GENL_NAMSIZ, find_number};
use crate::flags::{NLM_F_ACK, NLM_F_DUMP};
use crate::outgoing::Outgoing;
use crate::reply::{self, Reply};
use crate::{BatchError, Entry, Error, KernelError, Outcome, Outcomes, Request, Transport, errno};

/// The length of the receive buffer. The kernel puts at most 32 KiB of a dump into one datagram
/// (`netlink_dump`).
const BUFFER_LEN: usize = 64 * 1024;

/// The longest datagram for the default send buffer, about half of it.
const MAX_USUAL_LEN: usize = 96 * 1024;

/// The attempts at a dump that changes interrupt.
const DUMP_ATTEMPTS: u32 = 10;

/// A blocking netlink socket that sends requests by the hundred.
///
/// It belongs to the network namespace in which it was opened, and joins no multicast group.
pub struct Pipeline {
    transport: Box<dyn Transport>,
    next_sequence: u32,
    /// The last exchange failed, so the rest of its answers may still be waiting to be read.
    unfinished: bool,
    buffer: Box<[u8]>,
}

/// Leaves out the transport and the buffer.
impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("next_sequence", &self.next_sequence)
            .field("unfinished", &self.unfinished)
            .finish_non_exhaustive()
    }
}

impl Pipeline {
    /// Makes a pipeline over another transport than a netlink socket, such as a kernel that a test
    /// plays.
    #[must_use]
    pub fn with_transport(transport: impl Transport + 'static) -> Self {
        let buffer = vec![0; BUFFER_LEN].into_boxed_slice();
        Self { transport: Box::new(transport), next_sequence: 1, unfinished: false, buffer }
    }

    /// Looks up the number of a generic netlink family; `None` if the kernel has none of this name.
    /// The lookup makes the kernel load the module if it can.
    ///
    /// # Errors
    /// When the kernel refuses for another reason, or no complete answer came.
    pub fn find_family(&mut self, name: &str) -> Result<Option<u16>, Error> {
        // The kernel would read another name: it stops at a NUL, and no name is longer.
        if name.len() >= GENL_NAMSIZ || name.contains('\0') {
            return Ok(None);
        }
        match self.get(&FamilyRequest(name), |entry| find_number(entry.payload))? {
            Ok(numbers) => Ok(numbers.into_iter().flatten().next()),
            Err(refusal) if refusal.errno() == errno::ENOENT => Ok(None),
            Err(source) => Err(Error::Refused { doing: "look up a netlink family", source }),
        }
    }

    /// Sends requests, up to 128 at a time, and returns the outcome of each. One that fails doesn't
    /// stop those after it.
    ///
    /// Don't send requests here that are answered with data.
    ///
    /// # Errors
    /// When the outcome of some requests is unknown. Earlier ones may have been carried out: the
    /// error has the answers that came.
    pub fn batch<R: Request>(
        &mut self,
        requests: impl IntoIterator<Item = R>,
    ) -> Result<Outcomes, BatchError> {
        let mut outcomes = Vec::new();
        let mut outgoing = Outgoing::new(self.next_sequence);
        for request in requests {
            outgoing.push_request(&request, 0);
            if outgoing.is_full() {
                self.flush_batch(&mut outgoing, &mut outcomes)?;
            }
        }
        if outgoing.request_count() > 0 {
            self.flush_batch(&mut outgoing, &mut outcomes)?;
        }
        Ok(outcomes)
    }

    /// Sends the requests of an nfnetlink transaction, between `begin` and `end`, in one datagram.
    /// The kernel carries out all of them or none. Without `end` it carries out none: a rehearsal
    /// that shows what would be refused.
    ///
    /// The inner error is a refusal of the whole, otherwise there is an outcome of each request. If
    /// one is refused, none was carried out; the kernel still checks those after it as far as it
    /// can.
    ///
    /// # Errors
    /// When it is unknown whether the requests were carried out.
    pub fn transaction<R: Request>(
        &mut self,
        begin: R,
        requests: impl IntoIterator<Item = R>,
        end: Option<R>,
    ) -> Result<Result<Outcomes, KernelError>, Error> {
        let mut outgoing = Outgoing::new(self.next_sequence);
        outgoing.push_request(&begin, 0);
        for request in requests {
            outgoing.push_request(&request, 0);
        }
        // Linux before 6.10 acknowledges neither end of a transaction.
        outgoing.acknowledge_last();
        let mut batch = Batch::new(self.next_sequence, outgoing.request_count());
        if outgoing.request_count() == 1 {
            return Ok(Ok(Vec::new()));
        }
        if let Some(end) = end {
            outgoing.push_request(&end, 0);
        }
        let len = outgoing.as_bytes().len();
        if len > MAX_USUAL_LEN {
            self.transport.reserve(len);
        }
        let mut refusal = None;
        self.exchange_messages(&outgoing, |reply| {
            refusal = batch.transaction_refusal(&reply);
            refusal.is_some() || batch.accept_reply(reply)
        })?;
        Ok(match refusal {
            Some(error) => Err(error),
            None => Ok(batch.into_outcomes().skip(1).collect()),
        })
    }

    /// Requests one object, and passes each entry of the answer to `read`. The inner error is the
    /// kernel's refusal.
    ///
    /// # Errors
    /// When no complete answer came.
    pub fn get<T>(
        &mut self,
        request: &impl Request,
        read: impl FnMut(Entry<'_>) -> T,
    ) -> Result<Result<Vec<T>, KernelError>, Error> {
        let answer = self.request_entries(request, NLM_F_ACK, read)?;
        Ok(answer.map(|(entries, _)| entries))
    }

    /// Requests all objects, and passes each entry to `read` as it comes. The inner error is the
    /// kernel's refusal. A dump that changes interrupted (`NLM_F_DUMP_INTR`) is repeated.
    ///
    /// # Errors
    /// When no complete answer came, or changes interrupted every attempt.
    pub fn dump<T>(
        &mut self,
        request: &impl Request,
        mut read: impl FnMut(Entry<'_>) -> T,
    ) -> Result<Result<Vec<T>, KernelError>, Error> {
        for _ in 0..DUMP_ATTEMPTS {
            match self.request_entries(request, NLM_F_DUMP, &mut read)? {
                Ok((_, true)) => {}
                Ok((entries, false)) => return Ok(Ok(entries)),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        Err(Error::Interrupted { attempts: DUMP_ATTEMPTS })
    }

    /// Sends the datagram, appends its outcomes, and begins the next datagram.
    fn flush_batch(
        &mut self,
        outgoing: &mut Outgoing,
        outcomes: &mut Outcomes,
    ) -> Result<(), BatchError> {
        outgoing.acknowledge_last();
        let mut batch = Batch::new(self.next_sequence, outgoing.request_count());
        if let Err(error) = self.exchange_messages(outgoing, |reply| batch.accept_reply(reply)) {
            self.read_leftovers(|reply| {
                let _ = batch.accept_reply(reply);
            });
            let known: Vec<Option<Outcome>> = outcomes.drain(..).map(Some).collect();
            let outcomes = known.into_iter().chain(batch.into_answers()).collect();
            return Err(BatchError::new(outcomes, error));
        }
        outcomes.extend(batch.into_outcomes());
        outgoing.restart(self.next_sequence);
        Ok(())
    }

    /// Returns the entries, and true if changes interrupted them.
    fn request_entries<T>(
        &mut self,
        request: &impl Request,
        flags: u16,
        read: impl FnMut(Entry<'_>) -> T,
    ) -> Result<Result<(Vec<T>, bool), KernelError>, Error> {
        let mut answer = Answer::new(self.next_sequence, read);
        let mut refusal = None;
        let mut outgoing = Outgoing::new(self.next_sequence);
        outgoing.push_request(request, flags);
        self.exchange_messages(&outgoing, |reply| match answer.accept_reply(reply) {
            Progress::More => false,
            Progress::Complete => true,
            Progress::Refused(error) => {
                refusal = Some(error);
                true
            }
        })?;
        Ok(match refusal {
            Some(error) => Err(error),
            None => Ok(answer.into_entries()),
        })
    }

    /// Sends a datagram and passes the replies to `accept` until it returns true.
    fn exchange_messages(
        &mut self,
        outgoing: &Outgoing,
        mut accept: impl FnMut(Reply<'_>) -> bool,
    ) -> Result<(), Error> {
        // Late answers, or the rest of a dump, which would make the kernel refuse the next one with
        // `EBUSY`.
        if self.unfinished {
            self.read_leftovers(|_| {});
        }
        let (first, count) = (self.next_sequence, outgoing.request_count());
        self.next_sequence = first.wrapping_add(count);
        self.send_datagram(outgoing.as_bytes())?;
        // Each datagram of the answer begins a wait of its own, since a dump may take its time.
        let mut wait = Wait::default();
        loop {
            let len = self.await_datagram(&mut wait)?;
            for reply in reply::parse_replies(&self.buffer[..len]) {
                let reply = reply?;
                if reply.sequence_number.wrapping_sub(first) < count {
                    wait = Wait::default();
                }
                if accept(reply) {
                    self.unfinished = false;
                    return Ok(());
                }
            }
        }
    }

    /// Reads what a failed exchange has left, as far as it can be read. Nothing is waited for.
    fn read_leftovers(&mut self, mut accept: impl FnMut(Reply<'_>)) {
        loop {
            let received = self.transport.try_receive(&mut self.buffer);
            match check_received(received) {
                Ok(Some(len)) => {
                    let replies = reply::parse_replies(&self.buffer[..len]);
                    replies.map_while(Result::ok).for_each(&mut accept);
                }
                Ok(None) | Err(Error::Lost | Error::Malformed(_)) => {}
                // Nothing is left, or the socket fails the next send too.
                Err(_) => return,
            }
        }
    }

    pub(crate) fn send_datagram(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.unfinished = true;
        loop {
            match self.transport.send(bytes) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Io { doing: "send through", source }),
            }
        }
    }

    /// Waits for a datagram until the wait is over, however often a signal interrupts it.
    fn await_datagram(&mut self, wait: &mut Wait) -> Result<usize, Error> {
        loop {
            let received = match wait.since {
                None => {
                    wait.since = Some(Instant::now());
                    self.transport.receive(&mut self.buffer)
                }
                Some(since) => self.transport.receive_after(&mut self.buffer, since.elapsed()),
            };
            if let Some(len) = check_received(received)? {
                return Ok(len);
            }
        }
    }
}

/// A wait for a datagram of an answer.
#[derive(Default)]
struct Wait {
    /// `None` until it has begun.
    since: Option<Instant>,
}

/// Returns the length of a datagram, or `None` if a signal came instead.
fn check_received(received: io::Result<usize>) -> Result<Option<usize>, Error> {
    match received {
        Ok(len) if len <= BUFFER_LEN => Ok(Some(len)),
        Ok(len) => Err(Error::Malformed(format!("a datagram of {len} bytes"))),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(Error::of_receive(error)),
    }
}
