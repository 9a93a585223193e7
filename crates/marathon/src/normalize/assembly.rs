//! Building of a snapshot: version records, interning and a limit of endpoints.

use super::interning::Interner;
use super::records::Records;
use crate::{Instance, InstanceSpec, Kind, Timestamp, VersionKey};

/// The inputs and limits of building a snapshot.
#[derive(Debug)]
pub(crate) struct Assembly<'a> {
    records: &'a Records,
    /// Number of endpoints that may still be made. Without a limit a small document could take far
    /// more memory, since each of its instances has every port.
    room: usize,
    interner: Interner,
}

impl<'a> Assembly<'a> {
    pub(crate) fn new(records: &'a Records) -> Self {
        Self { records, room: caps::ANSWER_ENDPOINTS, interner: Interner::default() }
    }

    /// Returns the earlier definition with this version.
    pub(crate) fn spec_of(&self, kind: Kind, id: &str, version: Timestamp) -> InstanceSpec {
        self.records.spec_of(&VersionKey { kind, id: id.into(), version })
    }

    /// Builds the instances of one workload; None if there would be too many endpoints, which costs
    /// the other workloads nothing.
    pub(crate) fn build_instances<T>(
        &mut self,
        listed: &[T],
        make: impl Fn(&T, &Self) -> Option<Instance>,
    ) -> Option<Vec<Instance>> {
        let mut instances = Vec::with_capacity(listed.len());
        let room = self.room.min(caps::WORKLOAD_ENDPOINTS);
        let mut taken = 0;
        for listed in listed {
            let Some(mut instance) = make(listed, self) else { continue };
            taken += instance.endpoints.len();
            if taken > room {
                return None;
            }
            self.interner.intern_instance(&mut instance);
            instances.push(instance);
        }
        self.room -= taken;
        Some(instances)
    }
}
