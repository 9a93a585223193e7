//! The way datagrams take to the kernel and back.

use std::io;
use std::time::Duration;

/// A carrier of datagrams to the kernel and back: a netlink socket, or a kernel that a test plays.
pub trait Transport: Send {
    /// Sends a datagram of requests. The kernel has processed all of them when this returns.
    ///
    /// # Errors
    /// When the datagram can't be sent. Its requests may have been carried out.
    fn send(&mut self, datagram: &[u8]) -> io::Result<()>;

    /// Waits for a datagram of answers and writes it to `buffer`. Returns the length of the whole
    /// datagram, even if it didn't fit.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when none came in time, the OS error `ENOBUFS` when
    /// the kernel had to drop answers.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Goes on with a wait for an answer that has lasted for `waited`, after a signal or a datagram
    /// that isn't part of the answer. The wait as a whole lasts as long as that of
    /// [`receive`](Self::receive). By default it calls that, for a transport that never waits.
    ///
    /// # Errors
    /// As with [`receive`](Self::receive).
    fn receive_after(&mut self, buffer: &mut [u8], waited: Duration) -> io::Result<usize> {
        let _ = waited;
        self.receive(buffer)
    }

    /// Receives as [`receive`](Self::receive) does, but doesn't wait.
    ///
    /// # Errors
    /// As with [`receive`](Self::receive).
    fn try_receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Makes room for a long datagram. By default it does nothing, so that the send may fail.
    fn reserve(&mut self, len: usize) {
        let _ = len;
    }
}
