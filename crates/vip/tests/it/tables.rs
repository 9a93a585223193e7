//! Plans for our tables of nftables: who is guarded, and what keeps an address from being bound.

use std::net::IpAddr;

use vip::nft::{Element, Guard, LostSyns, Masquerade, Modes, NftSupport, Rules, TableState};
use vip::plan::{OpError, OpResult, StaleFlows};
use vip::{Condition, Desired, Observed, Op, Plan, Scope};

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
        + 3.3.0.6  clients reach 10.0.0.1 from 10.0.0.9
    2 VIPs to add; 1 real server to add; 2 addresses to bind
    ");
    let ops: Vec<_> = plan.ops.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(ops.join("\n"), @r"
    set-table ip vipd (masquerade always, guard on)
    set-table ip6 vipd (masquerade always, guard on)
    add-element 3.3.0.6 of set vips
    add-element 3.3.0.6 by 10.0.0.1 from 10.0.0.9 of set sources
    add-element fd01::6 of set vips
    create-link
    add-service 3.3.0.6:3306/tcp (scheduler wlc)
    add-service [fd01::6]:80/tcp (scheduler wlc)
    add-server 10.0.0.1:31001 of 3.3.0.6:3306/tcp
    add-element [fd01::6]:80/tcp of set empty
    bind 3.3.0.6
    bind fd01::6
    forget-flows 3.3.0.6:3306/tcp
    forget-flows [fd01::6]:80/tcp
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
    ~ 3.3.0.6:3306/tcp  /mysql
        ~ flows from before it was served and guarded are forgotten
      nftables
        ~ table ip vipd  changed by another program, restored: masquerade always, guard on
        + 3.3.0.6  guarded again
        - 3.3.0.9  not bound, no longer guarded
    nftables only
    ");

    let mut observed = guarded(claims());
    let modes = Modes { masquerade: Masquerade::Off, guard: Guard::Off, ..Modes::default() };
    let changed = Desired { modes, ..desired.clone() };
    insta::assert_snapshot!(text(&plan(&observed, &changed), &changed), @r"
    ~ 3.3.0.6:3306/tcp  /mysql
        ~ flows from before it was served and guarded are forgotten
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

/// Its own clients are masqueraded whatever is configured for those elsewhere.
#[test]
fn flows_are_forgotten_with_restored_rules_whoever_is_masqueraded() {
    let claims = || vec![mysql(vec![healthy("mysql.1", "10.0.0.1:31001")])];
    for masquerade in [Masquerade::Always, Masquerade::Off] {
        let modes = Modes { masquerade, ..Modes::default() };
        let empty = able(Observed::default());
        let desired = Desired { modes, ..decide(claims(), &empty) };
        let whole = plan(&empty, &desired).applied_to(&empty);
        let forgets = |observed: &Observed| {
            let ops = plan(observed, &desired).ops;
            ops.iter().any(|op| matches!(op, Op::ForgetFlows { .. }))
        };
        assert!(!forgets(&whole));
        let mut damaged = whole.clone();
        damaged.nft.v4.state = TableState::Damaged;
        assert!(forgets(&damaged), "{masquerade:?}: the rules are back");
        let mut unguarded = whole;
        unguarded.nft.v4.vips.clear();
        assert!(forgets(&unguarded), "{masquerade:?}: the address is back");
    }
}

#[test]
fn a_service_that_stays_without_a_claim_is_served_by_restored_rules_too() {
    let mut observed = guarded(vec![mysql(vec![healthy("mysql.1", "10.0.0.1:31001")])]);
    observed.nft.v4.state = TableState::Damaged;
    let unclaimed = decide(vec![], &observed);
    let forgets = |scope| {
        let ops = Plan::new(&observed, &unclaimed, scope, "node1").ops;
        ops.iter().any(|op| matches!(op, Op::ForgetFlows { .. }))
    };
    assert!(forgets(Scope::Partial));
    assert!(!forgets(Scope::Complete), "it is deleted");
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
            Op::Bind { route, .. } => Some(route.source),
            _ => None,
        })
    };
    assert_eq!(bound(&reduced), Some(Some([10, 0, 0, 9].into())));
    assert!(!reduced.ops.iter().any(|op| matches!(op, Op::SetTable { .. })));

    // Without translation it can still refuse, and the route still has to tell the source.
    observed.nft.v4.support = NftSupport::Filter;
    let filtering = plan(&observed, &desired);
    assert_eq!(bound(&filtering), Some(Some([10, 0, 0, 9].into())));
    let rules = Rules { nat: None, guard: Guard::On, lost_syns: LostSyns::Ignored };
    let set = Op::SetTable { family: vip::nft::Family::Inet, before: TableState::Missing, rules };
    assert_eq!(filtering.ops[0], set);

    // Once it can translate, the route becomes the kernel's own.
    let mut observed = filtering.applied_to(&observed);
    observed.nft.v4.support = NftSupport::Nat;
    let names: Vec<_> = plan(&observed, &desired).ops.iter().map(Op::name).collect();
    assert_eq!(names, ["set-table", "add-element", "set-route", "forget-flows"]);
}

#[test]
fn a_source_comes_before_its_server_and_is_replaced_and_goes_with_it() {
    let claims = || vec![mysql(vec![healthy("mysql.1", "10.0.0.1:31001")])];
    let empty = able(Observed::default());
    let mut desired = decide(claims(), &empty);
    desired.set_source(Some([10, 0, 0, 9].into()));
    let first = plan(&empty, &desired);
    let sources = |plan: &Plan| {
        let ops = plan.ops.iter().filter(|op| match op {
            Op::AddElement { element } | Op::DeleteElement { element } => {
                matches!(element, Element::Source(_))
            }
            op => matches!(op, Op::ForgetFlows { .. } | Op::AddServer { .. }),
        });
        ops.map(ToString::to_string).collect::<Vec<_>>()
    };
    let added = "add-element 3.3.0.6 by 10.0.0.1 from 10.0.0.9 of set sources";
    let forgotten = "forget-flows 3.3.0.6:3306/tcp";
    let server = "add-server 10.0.0.1:31001 of 3.3.0.6:3306/tcp";
    assert_eq!(sources(&first), [added, server, forgotten]);
    let observed = first.applied_to(&empty);
    assert_eq!(plan(&observed, &desired).ops, []);

    // The node has lost the old one, so its flows get no replies.
    desired.set_source(Some([10, 0, 0, 10].into()));
    insta::assert_snapshot!(text(&plan(&observed, &desired), &desired), @r"
    ~ 3.3.0.6:3306/tcp  /mysql
        ~ flows from the former source 10.0.0.9 are forgotten
      nftables
        - 3.3.0.6  clients no longer reach 10.0.0.1 from 10.0.0.9
        + 3.3.0.6  clients reach 10.0.0.1 from 10.0.0.10
    nftables only
    ");
    let replaced = plan(&observed, &desired);
    assert_eq!(replaced.applied_to(&observed).nft.v4.sources.len(), 1);

    // Masquerading may choose again.
    desired.set_source(None);
    let deleted = "delete-element 3.3.0.6 by 10.0.0.1 from 10.0.0.9 of set sources";
    let mut own = observed.clone();
    own.node.own = [[10, 0, 0, 9].into()].into();
    assert_eq!(sources(&plan(&own, &desired)), [deleted]);
    // A server that stays although it isn't known keeps its source, if the node has it.
    let mut unknown = decide(claims(), &observed);
    let service = unknown.services.values_mut().next().unwrap();
    (service.incomplete, service.selection) = (true, vip::Selection::default());
    assert_eq!(sources(&plan(&own, &unknown)), [""; 0]);
    assert_eq!(sources(&plan(&observed, &unknown)), [deleted, forgotten]);
}

/// Clients that were masqueraded until now would keep the source that masquerading chose.
#[test]
fn flows_of_before_are_forgotten_when_a_source_is_named() {
    let claims = || vec![mysql(vec![healthy("mysql.1", "10.0.0.1:31001")])];
    let observed = guarded(claims());
    let mut desired = decide(claims(), &observed);
    desired.set_source(Some([10, 0, 0, 9].into()));
    let named = plan(&observed, &desired);
    insta::assert_snapshot!(text(&named, &desired), @r"
    ~ 3.3.0.6:3306/tcp  /mysql
        ~ flows to 10.0.0.1 from another source than 10.0.0.9 are forgotten
      nftables
        + 3.3.0.6  clients reach 10.0.0.1 from 10.0.0.9
    nftables only
    ");
    let flows = |plan: &Plan| {
        let flows = plan.ops.iter().filter_map(|op| match op {
            Op::ForgetFlows { flows, .. } => Some(*flows),
            _ => None,
        });
        flows.collect::<Vec<_>>()
    };
    let [by, wanted] = [[10, 0, 0, 1], [10, 0, 0, 9]].map(IpAddr::from);
    assert_eq!(flows(&named), [StaleFlows::Masqueraded { by, wanted }]);
    // A real server that is new has no flows.
    let more = vec![healthy("mysql.1", "10.0.0.1:31001"), healthy("mysql.2", "10.0.0.2:31001")];
    let observed = named.applied_to(&observed);
    let mut desired = decide(vec![mysql(more)], &observed);
    desired.set_source(Some([10, 0, 0, 9].into()));
    assert_eq!(flows(&plan(&observed, &desired)), []);
}

#[test]
fn an_address_that_the_kernel_may_choose_is_bound_anew() {
    let claims = || vec![mysql(vec![healthy("mysql.1", "10.0.0.1:31001")])];
    let mut observed = guarded(claims());
    observed.addresses.values_mut().for_each(|bound| bound.is_choice = true);
    let desired = decide(claims(), &observed);
    let again = plan(&observed, &desired);
    insta::assert_snapshot!(text(&again, &desired), @r"
      interface
        ~ 3.3.0.6  no longer a source for other connections
    1 address to bind again
    ");
    assert_eq!(plan(&again.applied_to(&observed), &desired).ops, []);
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
