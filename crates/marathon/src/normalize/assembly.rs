use super::interning::Interner;
use super::records::Records;
use crate::{Instance, InstanceSpec, Kind, Timestamp, VersionKey};

/// Ports times instances that a snapshot may have: many times what a large cluster has. A small
/// document could claim far more, since each of its instances has every port.
const MAX_ENDPOINTS: usize = 4_000_000;

/// What putting a snapshot together draws on.
#[derive(Debug)]
pub(crate) struct Assembly<'a> {
    records: &'a Records,
    /// Endpoints that may still be made; None once there were too many.
    room: Option<usize>,
    interner: Interner,
}

impl<'a> Assembly<'a> {
    pub(crate) fn new(records: &'a Records) -> Self {
        Self { records, room: Some(MAX_ENDPOINTS), interner: Interner::default() }
    }

    /// The earlier definition that something runs by.
    pub(crate) fn spec_of(&self, kind: Kind, id: &str, version: Timestamp) -> InstanceSpec {
        self.records.spec_of(&VersionKey { kind, id: id.into(), version })
    }

    /// Makes the instances of one workload; None where there would be too many endpoints.
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
