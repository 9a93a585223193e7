//! The netlink socket.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{MsgFlags, setsockopt, sockopt};
use nix::sys::time::TimeVal;

use crate::{Error, Pipeline, Transport};

/// A protocol of netlink sockets (`linux/netlink.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Protocol(pub i32);

impl Protocol {
    /// Links, addresses and routes (`NETLINK_ROUTE`).
    pub const ROUTE: Self = Self(0);
    /// nftables and conntrack (`NETLINK_NETFILTER`).
    pub const NETFILTER: Self = Self(12);
    /// Generic netlink (`NETLINK_GENERIC`), whose families modules register.
    pub const GENERIC: Self = Self(16);
}

/// The options of a socket: how long it waits, and in which network namespace it is.
///
/// ```no_run
/// # fn main() -> Result<(), nl_pipeline::Error> {
/// use std::time::Duration;
/// use nl_pipeline::{Protocol, SocketOptions};
///
/// let blue = SocketOptions::new()
///     .timeout(Duration::from_secs(1))
///     .namespace("/run/netns/blue")
///     .open(Protocol::GENERIC)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketOptions {
    timeout: Duration,
    namespace: Option<PathBuf>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl SocketOptions {
    /// Makes the usual options: an answer is waited for 5 seconds, in the network namespace of the
    /// thread that opens the socket.
    #[must_use]
    pub const fn new() -> Self {
        Self { timeout: Duration::from_secs(5), namespace: None }
    }

    /// Sets the longest wait for an answer, or for the next datagram of a long one: at least a
    /// microsecond. The kernel answers within the send, so this only ends a wait that would last for
    /// ever. Signals don't lengthen it.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sets the network namespace by its file, such as `/run/netns/NAME` or `/proc/PID/ns/net`. The
    /// thread that opens the socket stays where it is. Needs `CAP_SYS_ADMIN`.
    #[must_use]
    pub fn namespace(self, file: impl AsRef<Path>) -> Self {
        Self { namespace: Some(file.as_ref().to_owned()), ..self }
    }

    /// Opens a socket.
    ///
    /// # Errors
    /// [`Error::Io`] when the kernel lacks the protocol, the network namespace can't be entered or
    /// the process is out of file descriptors.
    pub fn open(&self, protocol: Protocol) -> Result<Pipeline, Error> {
        let socket = match &self.namespace {
            None => open_socket(protocol),
            Some(file) => open_socket_in(protocol, file),
        }?;
        let socket = NetlinkSocket { socket, timeout: self.timeout };
        socket.set_timeout(self.timeout).map_err(failed("set the timeout of"))?;
        Ok(Pipeline::with_transport(socket))
    }
}

impl Pipeline {
    /// Opens a socket with the usual [options](SocketOptions).
    ///
    /// # Errors
    /// [`Error::Io`] when the kernel lacks the protocol or the process is out of file descriptors.
    pub fn open(protocol: Protocol) -> Result<Self, Error> {
        SocketOptions::new().open(protocol)
    }
}

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { doing, source }
}

fn open_socket(protocol: Protocol) -> Result<Socket, Error> {
    let protocol = isize::try_from(protocol.0).unwrap_or(-1);
    let mut socket = Socket::new(protocol).map_err(failed("open"))?;
    socket.bind_auto().map_err(failed("bind"))?;
    // A connected socket receives messages from the kernel only.
    socket.connect(&SocketAddr::new(0, 0)).map_err(failed("connect"))?;
    // Both are optional: Linux before 4.2 and 4.12 lacks them.
    let _ = socket.set_cap_ack(true);
    let _ = socket.set_ext_ack(true);
    Ok(socket)
}

/// Opens a socket on a thread that enters the namespace and ends: a socket stays where it was opened.
fn open_socket_in(protocol: Protocol, namespace: &Path) -> Result<Socket, Error> {
    let file = File::open(namespace).map_err(failed("find the network namespace of"))?;
    let enter = move || {
        setns(file, CloneFlags::CLONE_NEWNET)
            .map_err(|errno| failed("enter the network namespace of")(errno.into()))?;
        open_socket(protocol)
    };
    let thread = thread::Builder::new().spawn(enter).map_err(failed("start a thread for"))?;
    let ended = || Err(failed("open")(io::Error::other("its thread ended")));
    thread.join().unwrap_or_else(|_| ended())
}

/// Converts a timeout to that of a socket: 0 would mean to wait for ever, and some machines count seconds
/// in 32 bits, which are 68 years.
fn receive_timeout(timeout: Duration) -> TimeVal {
    let timeout = timeout.max(Duration::from_micros(1));
    let seconds = i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX);
    let micros = i32::try_from(timeout.subsec_micros()).unwrap_or_default();
    TimeVal::new(seconds.into(), micros.into())
}

#[derive(Debug)]
struct NetlinkSocket {
    socket: Socket,
    /// The longest wait for an answer.
    timeout: Duration,
}

impl NetlinkSocket {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        Ok(setsockopt(&self.socket, sockopt::ReceiveTimeout, &receive_timeout(timeout))?)
    }

    fn receive_with(&mut self, mut buffer: &mut [u8], flags: MsgFlags) -> io::Result<usize> {
        // With MSG_TRUNC the length is that of the whole datagram, even if it didn't fit.
        self.socket.recv(&mut buffer, (flags | MsgFlags::MSG_TRUNC).bits())
    }
}

impl Transport for NetlinkSocket {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send(datagram, 0).map(drop)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive_with(buffer, MsgFlags::empty())
    }

    /// Shortens the timeout of the socket for this one wait.
    fn receive_after(&mut self, buffer: &mut [u8], waited: Duration) -> io::Result<usize> {
        let left = self.timeout.saturating_sub(waited);
        if left.is_zero() {
            return self.try_receive(buffer);
        }
        self.set_timeout(left)?;
        let received = self.receive(buffer);
        self.set_timeout(self.timeout)?;
        received
    }

    fn try_receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive_with(buffer, MsgFlags::MSG_DONTWAIT)
    }

    /// The kernel counts its own overhead as well.
    fn reserve(&mut self, len: usize) {
        // This needs CAP_NET_ADMIN. Without it, the send fails and tells why.
        let _ = setsockopt(&self.socket, sockopt::SndBufForce, &len.saturating_mul(2));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use nix::sys::socket::getsockopt;

    use super::*;

    #[test]
    fn a_timeout_is_that_of_the_socket_however_long() {
        let table = [
            (Duration::ZERO, 0, 1),
            (Duration::from_nanos(1), 0, 1),
            (Duration::from_millis(1500), 1, 500_000),
            (Duration::from_secs(86_400), 86_400, 0),
            (Duration::MAX, i32::MAX.into(), 999_999),
        ];
        for (timeout, seconds, micros) in table {
            assert_eq!(receive_timeout(timeout), TimeVal::new(seconds, micros), "{timeout:?}");
        }
    }

    #[test]
    fn a_wait_that_goes_on_lasts_no_longer_than_one_that_begins() {
        let timeout = Duration::from_secs(100);
        let socket = open_socket(Protocol::GENERIC).unwrap();
        let mut socket = NetlinkSocket { socket, timeout };
        socket.set_timeout(timeout).unwrap();
        let begun = Instant::now();
        for left in [Duration::ZERO, Duration::from_millis(50)] {
            let nothing = socket.receive_after(&mut [0; 16], timeout - left).unwrap_err();
            assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
            assert!(begun.elapsed() >= left && begun.elapsed() < timeout / 2);
            let kept = getsockopt(&socket.socket, sockopt::ReceiveTimeout).unwrap();
            assert_eq!(kept, receive_timeout(timeout));
        }
    }
}
