//! Faults of a [`FakeKernel`](crate::FakeKernel).

use std::collections::BTreeMap;

use nl_ipvs::KernelError;
use vip::plan::OpError;

/// The planned faults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Faults {
    /// Number of operations so far.
    performed: usize,
    refused: BTreeMap<usize, i32>,
    lose_answers: bool,
    dies_after: Option<usize>,
}

/// The fate of an operation.
pub(crate) enum Fate {
    Happens,
    Refused(OpError),
    Dead,
}

impl Faults {
    pub(crate) fn refuse_nth(&mut self, nth: usize, errno: i32) {
        self.refused.insert(self.performed + nth, errno);
    }

    pub(crate) fn lose_answers(&mut self) {
        self.lose_answers = true;
    }

    pub(crate) fn die_after(&mut self, ops: usize) {
        self.dies_after = Some(self.performed + ops);
    }

    pub(crate) fn answers_are_lost(&self) -> bool {
        self.lose_answers
    }

    pub(crate) fn next(&mut self) -> Fate {
        if self.dies_after.is_some_and(|last| self.performed >= last) {
            return Fate::Dead;
        }
        let refusal = self.refused.remove(&self.performed);
        self.performed += 1;
        refusal.map_or(Fate::Happens, |errno| Fate::Refused(kernel_refusal(errno)))
    }
}

/// Makes the kernel's refusal with this errno.
pub(crate) fn kernel_refusal(errno: i32) -> OpError {
    OpError::new(errno, KernelError::new(errno).to_string())
}
