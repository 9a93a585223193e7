//! The fake kernel's answers.

use node::Kernel;
use testkit::{FakeKernel, cases};
use vip::Op;

#[test]
fn every_case_is_answered_with_its_errno() {
    for (name, ops) in cases::all_cases() {
        let mut kernel = FakeKernel::default();
        kernel.state.node.own = [[127, 0, 0, 1].into()].into();
        for (op, errno) in ops {
            let answer = kernel.perform(&[&op]).remove(0);
            assert_eq!(answer.map_or_else(|error| error.errno(), |()| 0), errno, "{name}: {op:?}");
        }
    }
}

#[test]
fn faults_strike_where_they_were_put() {
    let (create, raise) = (Op::CreateLink, Op::RaiseLink);
    let mut kernel = FakeKernel::default();
    kernel.refuse_nth(1, 12);
    let answers = kernel.perform(&[&create, &raise, &raise]);
    let errnos: Vec<_> = answers.into_iter().map(|a| a.err().map(|error| error.errno())).collect();
    assert_eq!(errnos, [None, Some(12), None]);

    kernel.die_after(1);
    assert_eq!(kernel.perform(&[&raise, &Op::DeleteLink]).len(), 1);
    assert_eq!(kernel.perform(&[&Op::DeleteLink]).len(), 0);
    kernel.clear_faults();
    kernel.lose_answers();
    assert_eq!(kernel.perform(&[&Op::DeleteLink]).len(), 0);
    assert_eq!(kernel.state, vip::Observed::default());
    assert_eq!(kernel.log.len(), 5);
}
