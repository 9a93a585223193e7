//! Plans for our tables of nftables: who is guarded, and what keeps an address from being bound.

use vip::nft::{Element, Guard, Masquerade, Modes, NftSupport, Rules, TableState};
use vip::plan::{OpError, OpResult};
use vip::{Condition, Desired, Observed, Op, Plan};

use crate::build::{claim, decide, healthy, mysql, plan, task, text, vip};

/// A kernel whose nftables can do everything.
fn able(mut observed: Observed) -> Observed {
    observed.nft.v4.support = NftSupport::Nat;
    observed.nft.v6.support = NftSupport::Nat;
    observed
}

/// The kernel after all of this was put into it.
fn guarded(claims: Vec<vip::Claim>) -> Observed {
    let empty = able(Observed::default());
    let desired = decide(claims, &empty);
    plan(&empty, &desired).applied_to(&empty)
}

#[test]
fn a_guarded_vip_reads_as_one_that_is_not_but_for_the_table() {
    let observed = able(Observed::default());
    let claims = vec![
        mysql(vec![healthy("mysql.1", "10.0.0.1:31001")]),
        claim("[fd01::6]:80", "/none", vec![]),
    ];
    let mut desired = decide(claims, &observed);
    desired.set_source(Some([10, 0, 0, 9].into()));
    let plan = plan(&observed, &desired);
    insta::assert_snapshot!(text(&plan, &desired), @r"
    + 3.3.0.6:3306/tcp  wlc  /mysql
        + 10.0.0.1:31001  weight 1  /mysql mysql.1 (healthy)
    + [fd01::6]:80/tcp  wlc  /none
          no real server yet: clients are refused
      interface
        + create it
        + 3.3.0.6
        + fd01::6
      nftables
        + table ip vipd  masquerade always, guard on
        + table ip6 vipd  masquerade always, guard on
    2 VIPs to add; 1 real server to add; 2 addresses to bind
    ");
    let ops: Vec<_> = plan.ops.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(ops.join("\n"), @r"
    set-table ip vipd (masquerade always, guard on)
    set-table ip6 vipd (masquerade always, guard on)
    add-element 3.3.0.6 of set vips
    add-element fd01::6 of set vips
    create-link
    add-service 3.3.0.6:3306/tcp (scheduler wlc)
    add-service [fd01::6]:80/tcp (scheduler wlc)
    add-server 10.0.0.1:31001 of 3.3.0.6:3306/tcp
    add-element [fd01::6]:80/tcp of set empty
    bind 3.3.0.6
    bind fd01::6
    ");
}

#[test]
fn who_loses_the_last_server_and_who_gets_one_back_reads_like_this() {
    let observed = guarded(vec![
        mysql(vec![healthy("mysql.1", "10.0.0.1:31001")]),
        claim("4.4.0.7:80", "/none", vec![]),
        claim("5.5.0.8:80", "/gone", vec![]),
    ]);
    let claims = vec![
        mysql(vec![task("mysql.1", "10.0.0.1:31001", Condition::Killing)]),
        claim("4.4.0.7:80", "/none", vec![healthy("some.1", "10.0.0.4:4")]),
    ];
    let desired = decide(claims, &observed);
    let plan = plan(&observed, &desired);
    insta::assert_snapshot!(text(&plan, &desired), @r"
    ~ 3.3.0.6:3306/tcp  /mysql
        ~ new clients are refused: no real server takes them
        ~ 10.0.0.1:31001  weight 1 -> 0  /mysql mysql.1 (being killed)
    ~ 4.4.0.7:80/tcp  /none
        + 10.0.0.4:4  weight 1  /none some.1 (healthy)
    - 5.5.0.8:80/tcp  no app claims it
      interface
        - 5.5.0.8
    1 VIP to remove; 1 real server to add, 1 to change; 1 address to unbind
    ");
    let ops: Vec<_> = plan.ops.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(ops.join("\n"), @r"
    set-server 10.0.0.1:31001 of 3.3.0.6:3306/tcp
    add-server 10.0.0.4:4 of 4.4.0.7:80/tcp
    delete-element 4.4.0.7:80/tcp of set empty
    delete-element 5.5.0.8:80/tcp of set empty
    add-element 3.3.0.6:3306/tcp of set empty
    delete-service 5.5.0.8:80/tcp
    unbind 5.5.0.8
    delete-element 5.5.0.8 of set vips
    ");
}

#[test]
fn tables_that_somebody_changed_read_like_this() {
    let claims = || vec![mysql(vec![healthy("mysql.1", "10.0.0.1:31001")])];
    let mut observed = guarded(claims());
    let desired = decide(claims(), &observed);
    assert_eq!(plan(&observed, &desired).ops, []);

    observed.nft.v4.state = TableState::Damaged;
    observed.nft.v4.vips = [[3, 3, 0, 9].into()].into();
    insta::assert_snapshot!(text(&plan(&observed, &desired), &desired), @r"
      nftables
        ~ table ip vipd  changed by another program, restored: masquerade always, guard on
        + 3.3.0.6  guarded again
        - 3.3.0.9  not bound, no longer guarded
    nftables only
    ");

    let mut observed = guarded(claims());
    let modes = Modes { masquerade: Masquerade::Off, guard: Guard::Off };
    let changed = Desired { modes, ..desired.clone() };
    insta::assert_snapshot!(text(&plan(&observed, &changed), &changed), @r"
      nftables
        ~ table ip vipd  masquerade always, guard on -> masquerade off, guard off
    nftables only
    ");

    observed.nft.v4.empty.insert(vip("3.3.0.6:3306"));
    insta::assert_snapshot!(text(&plan(&observed, &desired), &desired), @r"
    ~ 3.3.0.6:3306/tcp  /mysql
        ~ new clients are accepted again
    nftables only
    ");
    insta::assert_snapshot!(text(&Plan::cleanup(&observed), &Desired::default()), @r"
    - 3.3.0.6:3306/tcp
        - 10.0.0.1:31001
      interface
        - delete it with its addresses
      nftables
        - table ip vipd
    1 VIP to remove; 1 real server to remove
    ");
}

#[test]
fn what_the_kernel_cannot_do_is_left_out() {
    let claims = || vec![mysql(vec![healthy("mysql.1", "10.0.0.1:31001")])];
    let mut observed = Observed::default();
    let mut desired = decide(claims(), &observed);
    desired.set_source(Some([10, 0, 0, 9].into()));
    let reduced = plan(&observed, &desired);
    let bound = |plan: &Plan| {
        plan.ops.iter().find_map(|op| match op {
            Op::Bind { source, .. } => Some(*source),
            _ => None,
        })
    };
    assert_eq!(bound(&reduced), Some(Some([10, 0, 0, 9].into())));
    assert!(!reduced.ops.iter().any(|op| matches!(op, Op::SetTable { .. })));

    // Without translation it can still refuse, and the route still has to tell the source.
    observed.nft.v4.support = NftSupport::Filter;
    let filtering = plan(&observed, &desired);
    assert_eq!(bound(&filtering), Some(Some([10, 0, 0, 9].into())));
    let rules = Rules { nat: None, guard: Guard::On };
    let set = Op::SetTable { family: vip::nft::Family::Inet, before: TableState::Missing, rules };
    assert_eq!(filtering.ops[0], set);

    // Once it can translate, the route becomes the kernel's own.
    let mut observed = filtering.applied_to(&observed);
    observed.nft.v4.support = NftSupport::Nat;
    let names: Vec<_> = plan(&observed, &desired).ops.iter().map(Op::name).collect();
    assert_eq!(names, ["set-table", "set-source"]);
}

#[test]
fn an_address_that_could_not_be_guarded_is_not_bound() {
    let observed = able(Observed::default());
    let claims = vec![
        mysql(vec![healthy("mysql.1", "10.0.0.1:31001")]),
        claim("4.4.0.7:80", "/other", vec![healthy("other.1", "10.0.0.4:4")]),
    ];
    let desired = decide(claims, &observed);
    let refused = Element::Guarded([3, 3, 0, 6].into());
    let outcome = plan(&observed, &desired).run(|ops| {
        let answer = |op: &&Op| match op {
            Op::AddElement { element } if *element == refused => Err(OpError::new(12, "no memory")),
            _ => Ok(()),
        };
        ops.iter().map(answer).collect()
    });
    let skipped: Vec<_> = outcome
        .results()
        .filter(|(_, result)| **result == OpResult::Skipped)
        .map(|(op, _)| op.to_string())
        .collect();
    assert_eq!(skipped, ["bind 3.3.0.6"]);
}

#[test]
fn an_address_that_is_still_bound_stays_guarded() {
    let observed = guarded(vec![claim("4.4.0.7:80", "/gone", vec![])]);
    let desired = decide(vec![], &observed);
    let outcome = plan(&observed, &desired).run(|ops| {
        let answer = |op: &&Op| match op {
            Op::DeleteService { .. } => Err(OpError::new(1, "no")),
            _ => Ok(()),
        };
        ops.iter().map(answer).collect()
    });
    let (last, result) = outcome.results().next_back().unwrap();
    assert_eq!((last.name(), result), ("delete-element", &OpResult::Skipped));
}
