//! Building of a snapshot: version records, interning and a limit of endpoints.

use super::interning::Interner;
use super::records::Records;
use crate::{Instance, InstanceSpec, Kind, Timestamp, VersionKey};

/// Limit of endpoints of a snapshot, many times that of a large cluster. Without it a small
/// document could take far more memory, since each of its instances has every port.
const MAX_ENDPOINTS: usize = 4_000_000;

/// The inputs and limits of building a snapshot.
#[derive(Debug)]
pub(crate) struct Assembly<'a> {
    records: &'a Records,
    /// Number of endpoints that may still be made; None once there were too many.
    room: Option<usize>,
    interner: Interner,
}

impl<'a> Assembly<'a> {
    pub(crate) fn new(records: &'a Records) -> Self {
        Self { records, room: Some(MAX_ENDPOINTS), interner: Interner::default() }
    }

    /// Returns the earlier definition with this version.
    pub(crate) fn spec_of(&self, kind: Kind, id: &str, version: Timestamp) -> InstanceSpec {
        self.records.spec_of(&VersionKey { kind, id: id.into(), version })
    }

    /// Builds the instances of one workload; None if there would be too many endpoints.
    pub(crate) fn build_instances<T>(
        &mut self,
        listed: &[T],
        make: impl Fn(&T, &Self) -> Option<Instance>,
    ) -> Option<Vec<Instance>> {
        let mut instances = Vec::with_capacity(listed.len());
        for listed in listed {
            let Some(mut instance) = make(listed, self) else { continue };
            self.room = self.room?.checked_sub(instance.endpoints.len());
            self.room?;
            self.interner.intern_instance(&mut instance);
            instances.push(instance);
        }
        Some(instances)
    }
}
