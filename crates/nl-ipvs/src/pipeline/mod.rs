//! A netlink socket that sends many requests of any family at once.
//!
//! The kernel processes all messages of a datagram before the send returns. With an acknowledgement
//! requested for the last one only, there is a single answer to read if all succeed. A request that
//! fails is always answered, under its own sequence number, and doesn't stop those after it.

mod answer;
mod batch;
mod outgoing;
mod reply;
#[cfg(test)]
mod tests;

use std::time::Duration;
use std::{fmt, io};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::{Error, KernelError};
use answer::{Answer, Progress};
use batch::Batch;
pub use batch::Outcomes;
use outgoing::Outgoing;
use reply::Reply;

/// The longest wait for an answer. The kernel answers within the send, so this only ends a wait that
/// would last for ever.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The length of the receive buffer. The kernel puts at most 32 KiB of a dump into one datagram
/// (`netlink_dump`).
const BUFFER_LEN: usize = 64 * 1024;

/// The longest datagram for the default send buffer, about half of it.
const MAX_USUAL_LEN: usize = 96 * 1024;

/// The attempts at a dump that changes interrupt.
const DUMP_ATTEMPTS: u32 = 10;

/// The entries of an answer. An entry that can't be parsed doesn't affect the others.
pub type Entries<I> = Vec<Result<I, <I as NetlinkDeserializable>::Error>>;

/// A blocking netlink socket that sends requests by the hundred.
///
/// It belongs to the network namespace of the thread that opened it, and joins no multicast group.
pub struct Pipeline {
    socket: Socket,
    next_sequence: u32,
    /// The last exchange failed, so the rest of its answers may still be waiting to be read.
    unfinished: bool,
    buffer: Box<[u8]>,
}

/// Leaves out the buffer.
impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("socket", &self.socket)
            .field("next_sequence", &self.next_sequence)
            .finish_non_exhaustive()
    }
}

impl Pipeline {
    /// Opens a socket of a netlink protocol: one of `netlink_sys::protocols`, such as
    /// `NETLINK_GENERIC`.
    ///
    /// # Errors
    /// [`Error::Io`] when the kernel lacks the protocol or the process is out of file descriptors.
    pub fn open(protocol: isize) -> Result<Self, Error> {
        let failed = |doing| move |source| Error::Io { doing, source };
        let mut socket = Socket::new(protocol).map_err(failed("open"))?;
        socket.bind_auto().map_err(failed("bind"))?;
        // A connected socket receives messages from the kernel only.
        socket.connect(&SocketAddr::new(0, 0)).map_err(failed("connect"))?;
        // Both are optional: Linux before 4.2 and 4.12 lacks them.
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_ext_ack(true);
        let timeout = TimeVal::seconds(RECEIVE_TIMEOUT.as_secs().cast_signed());
        setsockopt(&socket, sockopt::ReceiveTimeout, &timeout)
            .map_err(|errno| failed("set the timeout of")(errno.into()))?;
        let buffer = vec![0; BUFFER_LEN].into_boxed_slice();
        Ok(Self { socket, next_sequence: 1, unfinished: false, buffer })
    }

    /// Sends requests, up to 128 at a time, and returns the outcome of each.
    ///
    /// Sets sequence numbers and the flags `NLM_F_REQUEST` and `NLM_F_ACK`; the rest of the headers
    /// is the caller's. Don't send requests here that are answered with data.
    ///
    /// # Errors
    /// When the outcome of some requests is unknown. Earlier ones may have been carried out.
    pub fn batch<I: NetlinkSerializable>(
        &mut self,
        requests: impl IntoIterator<Item = NetlinkMessage<I>>,
    ) -> Result<Outcomes, Error> {
        let mut outcomes = Vec::new();
        let mut outgoing = Outgoing::new(self.next_sequence);
        for request in requests {
            outgoing.push_request(request, 0);
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
    pub fn transaction<I: NetlinkSerializable>(
        &mut self,
        begin: NetlinkMessage<I>,
        requests: impl IntoIterator<Item = NetlinkMessage<I>>,
        end: Option<NetlinkMessage<I>>,
    ) -> Result<Result<Outcomes, KernelError>, Error> {
        let mut outgoing = Outgoing::new(self.next_sequence);
        outgoing.push_request(begin, 0);
        for request in requests {
            outgoing.push_request(request, 0);
        }
        // Linux before 6.10 acknowledges neither end of a transaction.
        outgoing.acknowledge_last();
        let mut batch = Batch::new(self.next_sequence, outgoing.request_count());
        if outgoing.request_count() == 1 {
            return Ok(Ok(Vec::new()));
        }
        if let Some(end) = end {
            outgoing.push_request(end, 0);
        }
        self.make_room(outgoing.as_bytes().len());
        let mut refusal = None;
        self.exchange_messages(&outgoing, |reply| {
            refusal = batch.transaction_refusal(&reply);
            refusal.is_some() || batch.accept_reply(reply)
        })?;
        Ok(match refusal {
            Some(error) => Err(error),
            None => Ok(batch.into_outcomes().split_off(1)),
        })
    }

    /// Enlarges the send buffer for a long datagram. The kernel counts its own overhead as well.
    fn make_room(&self, len: usize) {
        if len > MAX_USUAL_LEN {
            // This needs CAP_NET_ADMIN. Without it, the send fails and tells why.
            let _ = setsockopt(&self.socket, sockopt::SndBufForce, &len.saturating_mul(2));
        }
    }

    /// Requests one object. The inner error is the kernel's refusal.
    ///
    /// # Errors
    /// When no complete answer came.
    pub fn get<I>(
        &mut self,
        request: &NetlinkMessage<I>,
    ) -> Result<Result<Entries<I>, KernelError>, Error>
    where
        I: NetlinkSerializable + NetlinkDeserializable + Clone,
    {
        self.request_entries(request, NLM_F_ACK, I::deserialize)
            .map(|answer| answer.map(|(entries, _)| entries))
    }

    /// Requests all objects. The inner error is the kernel's refusal. A dump that changes
    /// interrupted (`NLM_F_DUMP_INTR`) is repeated.
    ///
    /// # Errors
    /// When no complete answer came, or changes interrupted every attempt.
    pub fn dump<I>(
        &mut self,
        request: &NetlinkMessage<I>,
    ) -> Result<Result<Entries<I>, KernelError>, Error>
    where
        I: NetlinkSerializable + NetlinkDeserializable + Clone,
    {
        self.dump_as(request, I::deserialize)
    }

    /// Requests all objects, as [`dump`](Self::dump) does, and passes the header and payload of each
    /// entry to `read` as it comes.
    ///
    /// # Errors
    /// As with [`dump`](Self::dump).
    pub fn dump_as<I: NetlinkSerializable + Clone, T>(
        &mut self,
        request: &NetlinkMessage<I>,
        read: impl Fn(&NetlinkHeader, &[u8]) -> T,
    ) -> Result<Result<Vec<T>, KernelError>, Error> {
        for _ in 0..DUMP_ATTEMPTS {
            match self.request_entries(request, NLM_F_DUMP, &read)? {
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
    ) -> Result<(), Error> {
        outgoing.acknowledge_last();
        let mut batch = Batch::new(self.next_sequence, outgoing.request_count());
        self.exchange_messages(outgoing, |reply| batch.accept_reply(reply))?;
        outcomes.extend(batch.into_outcomes());
        outgoing.restart(self.next_sequence);
        Ok(())
    }

    /// Returns the entries, and true if changes interrupted them.
    fn request_entries<I: NetlinkSerializable + Clone, T>(
        &mut self,
        request: &NetlinkMessage<I>,
        flags: u16,
        read: impl Fn(&NetlinkHeader, &[u8]) -> T,
    ) -> Result<Result<(Vec<T>, bool), KernelError>, Error> {
        let mut answer = Answer::new(self.next_sequence, read);
        let mut refusal = None;
        let mut outgoing = Outgoing::new(self.next_sequence);
        outgoing.push_request(request.clone(), flags);
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
        if self.unfinished {
            self.discard_leftovers()?;
        }
        self.next_sequence = self.next_sequence.wrapping_add(outgoing.request_count());
        self.send_datagram(outgoing.as_bytes())?;
        loop {
            let len = self.receive_datagram(MsgFlags::empty())?;
            for reply in reply::parse_replies(&self.buffer[..len]) {
                if accept(reply?) {
                    self.unfinished = false;
                    return Ok(());
                }
            }
        }
    }

    /// Reads and discards the remains of a failed exchange: late answers, or the rest of a dump,
    /// which would make the kernel refuse the next one with `EBUSY`.
    fn discard_leftovers(&mut self) -> Result<(), Error> {
        loop {
            match self.receive_datagram(MsgFlags::MSG_DONTWAIT) {
                Ok(_) | Err(Error::Lost | Error::Malformed(_)) => {}
                Err(Error::Timeout(_)) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn send_datagram(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.unfinished = true;
        loop {
            match self.socket.send(bytes, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(socket_error("send through", error)),
            }
        }
    }

    fn receive_datagram(&mut self, flags: MsgFlags) -> Result<usize, Error> {
        loop {
            let mut space = &mut self.buffer[..];
            // With MSG_TRUNC the length is that of the whole datagram, even if it didn't fit.
            match self.socket.recv(&mut space, (flags | MsgFlags::MSG_TRUNC).bits()) {
                Ok(len) if len <= BUFFER_LEN => return Ok(len),
                Ok(len) => {
                    return Err(Error::Malformed(format!("a datagram of {len} bytes")));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(socket_error("receive from", error)),
            }
        }
    }
}

fn socket_error(doing: &'static str, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::WouldBlock {
        return Error::Timeout(RECEIVE_TIMEOUT);
    }
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOBUFS) => Error::Lost,
        _ => Error::Io { doing, source },
    }
}
