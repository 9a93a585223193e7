//! Queries to the name server of the node, in sequence until told to stop.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

/// The name that is asked for, as labels with their lengths (RFC 1035, 3.1).
const NAME: &[u8] = b"\x03web\x08marathon\x04l4lb\x08thisdcos\x09directory\x00";

/// Where its hash leads.
pub(crate) const ADDRESS: [u8; 4] = [11, 225, 36, 193];

/// Queries in sequence, about two hundred a second.
pub(crate) struct Queries {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<(u16, Vec<String>)>,
}

impl Queries {
    pub(crate) fn start() -> Self {
        let stop = Arc::<AtomicBool>::default();
        let until = stop.clone();
        let thread = thread::spawn(move || {
            let (asked, mut failures) = (AtomicU16::new(0), Vec::new());
            while !until.load(Ordering::Relaxed) {
                let id = asked.fetch_add(1, Ordering::Relaxed);
                if let Err(failure) = ask(id) {
                    failures.push(failure);
                }
                thread::sleep(Duration::from_millis(5));
            }
            (asked.into_inner(), failures)
        });
        Self { stop, thread }
    }

    /// Returns how many were sent, and what went wrong.
    pub(crate) fn stop(self) -> (u16, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Asks for the name's IPv4 address, once.
pub(crate) fn ask(id: u16) -> Result<(), String> {
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(|error| error.to_string())?;
    // The machine is emulated, and slow: a lost query has no answer at all.
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut query = id.to_be_bytes().to_vec();
    query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    query.extend(NAME);
    query.extend([0, 1, 0, 1]);
    socket.send_to(&query, "198.51.100.1:53").map_err(|error| format!("{id}: {error}"))?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).map_err(|error| format!("{id}: {error}"))?;
    let answer = &answer[..length];
    match answer[..2] == id.to_be_bytes() && answer.ends_with(&ADDRESS) {
        true => Ok(()),
        false => Err(format!("{id}: {answer:?}")),
    }
}
