//! A kernel in memory, for tests of programs that use this crate. It needs no root and no Linux.
//!
//! It keeps a table of services, real servers, timeouts and daemons, and answers as the kernel does,
//! with the same errnos: the tests of this crate send the same commands to it and to real kernels.
//! Nothing is forwarded, so counters stay as a test [sets](FakeKernel::update_service) them, also those of a
//! real server that is deleted and added again, as in the kernel's first two minutes. Each
//! interface that a daemon names exists, with an MTU of 1500. No timeout is longer than
//! 2,147,483 s, the limit of a kernel with 1000 ticks a second.
//!
//! ```
//! use nl_ipvs::fake::{Failure, FakeKernel};
//! use nl_ipvs::{DestinationSettings, Ipvs, ServiceKey, ServiceSettings, errno};
//!
//! fn publish(ipvs: &mut Ipvs, key: ServiceKey) -> Result<(), nl_ipvs::Error> {
//!     ipvs.add_service(key, ServiceSettings::new("wlc".parse().expect("a name")))?;
//!     ipvs.add_destination(key, ([10, 0, 0, 1], 8080).into(), DestinationSettings::masquerade(1))
//! }
//!
//! let kernel = FakeKernel::new();
//! let mut ipvs = kernel.client();
//! let key = ServiceKey::tcp(([10, 96, 0, 1], 80).into());
//! publish(&mut ipvs, key).expect("an empty kernel takes it");
//! assert!(publish(&mut ipvs, key).unwrap_err().is_already_exists());
//!
//! kernel.fail_next(Failure::Refuse(errno::ENOMEM));
//! assert!(ipvs.flush().is_err());
//! assert_eq!(ipvs.services().unwrap().entries.len(), 1);
//! ```

mod daemons;
mod destinations;
mod exchange;
mod state;
mod table;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::exchange::Queued;
pub use self::state::Failure;
use self::state::State;
use crate::{Destination, Ipvs, Scheduler, Service, ServiceKey, Transport, errno};

/// A kernel in memory. Clones are the same kernel.
#[derive(Clone, Default)]
pub struct FakeKernel(Arc<Mutex<State>>);

impl fmt::Debug for FakeKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeKernel").finish_non_exhaustive()
    }
}

impl FakeKernel {
    /// Makes a kernel with an empty table and every scheduler.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a client of this kernel.
    #[must_use]
    pub fn client(&self) -> Ipvs {
        Ipvs::with_family(self.transport(), self.state().family)
    }

    /// Makes a transport to this kernel, for [`Ipvs::with_transport`].
    pub fn transport(&self) -> impl Transport + use<> {
        Connection { kernel: self.clone(), answers: VecDeque::new() }
    }

    /// Makes the next request, or the next datagram of requests, fail. Failures that are asked for
    /// together come one after another.
    pub fn fail_next(&self, failure: Failure) {
        self.state().failures.push_back(failure);
    }

    /// Takes a scheduler away, as from a kernel that lacks its module.
    pub fn remove_scheduler(&self, scheduler: &Scheduler) {
        self.state().table.schedulers.retain(|name| *name != scheduler.as_str());
    }

    /// Unloads the module and loads it again: the table is empty, and the netlink family has another
    /// number. Schedulers that were [taken away](Self::remove_scheduler) stay away.
    pub fn reload(&self) {
        let mut state = self.state();
        state.reload();
    }

    /// Changes a service behind the client's back, such as its counters. Returns false if it doesn't
    /// exist. Its key stays.
    pub fn update_service(&self, key: &ServiceKey, change: impl FnOnce(&mut Service)) -> bool {
        let mut state = self.state();
        let Some(held) = state.table.find_service(key) else { return false };
        change(&mut held.service);
        held.service.key = *key;
        true
    }

    /// Changes a real server behind the client's back, such as its connections. Returns false if it
    /// doesn't exist. Its address stays.
    pub fn update_destination(
        &self,
        key: &ServiceKey,
        address: SocketAddr,
        change: impl FnOnce(&mut Destination),
    ) -> bool {
        let mut state = self.state();
        let held = state.table.find_service(key).and_then(|held| held.find_destination(address));
        let Some(destination) = held else { return false };
        let address = destination.address;
        change(destination);
        destination.address = address;
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket to a kernel in memory, with the answers that weren't read yet.
struct Connection {
    kernel: FakeKernel,
    answers: VecDeque<Queued>,
}

impl Transport for Connection {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let mut state = self.kernel.state();
        let answers = exchange::answer_datagram(&mut state, datagram);
        self.answers.extend(answers);
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.answers.pop_front() {
            None => Err(io::ErrorKind::WouldBlock.into()),
            Some(Queued::Lost) => Err(io::Error::from_raw_os_error(errno::ENOBUFS)),
            Some(Queued::Datagram(bytes)) => {
                let len = bytes.len().min(buffer.len());
                buffer[..len].copy_from_slice(&bytes[..len]);
                Ok(bytes.len())
            }
        }
    }

    fn try_receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer)
    }
}
