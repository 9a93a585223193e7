//! What [`LinuxKernel`] does to a real kernel, checked with `ip` and `ipvsadm`.
//!
//! Needs root and a kernel with IPVS and dummy interfaces. Every test works in a network namespace
//! of its own.

use std::collections::BTreeSet;

use node::{Kernel, LinuxKernel, Settings};
use testkit::{FakeKernel, cases, netns};
use vip::Op;
use vip::plan::OpError;

/// A kernel in a network namespace of its own.
fn kernel() -> LinuxKernel {
    netns::enter();
    LinuxKernel::open(Settings::default()).unwrap()
}

fn fake() -> FakeKernel {
    let mut fake = FakeKernel::default();
    fake.state.node.own = BTreeSet::from([[127, 0, 0, 1].into()]);
    fake
}

/// Each operation in a call of its own, and the number it was refused with.
fn one_by_one(kernel: &mut impl Kernel, ops: &[(Op, i32)]) -> Vec<i32> {
    let each = ops.iter().map(|(op, _)| kernel.perform(&[op]).remove(0));
    each.map(|answer: Result<(), OpError>| answer.map_or_else(|error| error.errno, |()| 0))
        .collect()
}

#[test]
fn the_fake_kernel_answers_as_this_one_does() {
    for (name, ops) in cases::all() {
        let expected: Vec<_> = ops.iter().map(|(_, errno)| *errno).collect();
        // A thread, and with it a network namespace, for each.
        let real = std::thread::spawn({
            let ops = ops.clone();
            move || one_by_one(&mut kernel(), &ops)
        });
        assert_eq!(real.join().unwrap(), expected, "the real kernel, {name}: {ops:#?}");
        assert_eq!(one_by_one(&mut fake(), &ops), expected, "the fake kernel, {name}: {ops:#?}");
    }
}
