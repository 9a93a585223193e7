//! Plans: what they do, what they leave alone, how they read.

use nl_ipvs::ServiceFlags;
use vip::label::Scheduling;
use vip::nft::{Able, Element, Guard, Masquerade, Modes, Rules, Standing};
use vip::ownership::MARK;
use vip::plan::{OpError, OpResult, Step, ipvsadm_args};
use vip::{Condition, Desired, Observed, Op, Plan, Scope};

use crate::build::{add_foreign, add_service, applied, bind, claim, decide, plan, task, text, vip};

fn mysql(candidates: Vec<vip::Candidate>) -> vip::Claim {
    claim("3.3.0.6:3306", "/mysql", candidates)
}

fn healthy(name: &str, at: &str) -> vip::Candidate {
    task(name, at, Condition::Healthy)
}

#[test]
fn a_new_vip_reads_like_this() {
    let observed = Observed::default();
    let desired = decide(
        vec![mysql(vec![
            healthy("mysql.1", "10.0.0.1:31001"),
            task("mysql.2", "10.0.0.2:31002", Condition::Unhealthy),
            task("mysql.3", "10.0.0.3:31003", Condition::Unknown { settled: false }),
        ])],
        &observed,
    );
    insta::assert_snapshot!(text(&plan(&observed, &desired), &desired), @r"
    + 3.3.0.6:3306/tcp  wlc  /mysql
        + 10.0.0.1:31001  weight 1  /mysql mysql.1 (healthy)
        + 10.0.0.2:31002  weight 0  /mysql mysql.2 (unhealthy)
          left out: mysql.3 of /mysql: not checked yet: waits for its first health check
      interface
        + create it
        + 3.3.0.6
    1 VIP to add; 2 real servers to add; 1 address to bind
    ");
}

#[test]
fn changes_and_removals_read_like_this() {
    let observed = applied(vec![
        mysql(vec![healthy("mysql.1", "10.0.0.1:31001"), healthy("mysql.2", "10.0.0.2:31002")]),
        claim("4.4.0.7:80", "/gone", vec![healthy("gone.1", "10.0.0.9:31009")]),
    ]);
    let mut claim = mysql(vec![
        task("mysql.1", "10.0.0.1:31001", Condition::Killing),
        healthy("mysql.4", "10.0.0.4:31004"),
    ]);
    claim.options.scheduler = Scheduling::Mh;
    claim.options.persistence = Some(300);
    let desired = decide(vec![claim], &observed);
    insta::assert_snapshot!(text(&plan(&observed, &desired), &desired), @r"
    ~ 3.3.0.6:3306/tcp  /mysql
        ~ scheduler wlc -> mh
        ~ persistence none -> 300 s
        ~ flags 0x20 -> 0x29
        ~ 10.0.0.1:31001  weight 1 -> 0  /mysql mysql.1 (being killed)
        - 10.0.0.2:31002
        + 10.0.0.4:31004  weight 1  /mysql mysql.4 (healthy)
    - 4.4.0.7:80/tcp  no app claims it
        - 10.0.0.9:31009
      interface
        - 4.4.0.7
    1 VIP to change, 1 to remove; 1 real server to add, 1 to change, 2 to remove; 1 address to unbind
    ");
}

/// A kernel whose nftables can do everything.
fn able(mut observed: Observed) -> Observed {
    observed.nft.v4.able = Able::Nat;
    observed.nft.v6.able = Able::Nat;
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
    desired.source = Some([10, 0, 0, 9].into());
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
        ~ new clients are refused: nobody can serve them
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

    observed.nft.v4.standing = Standing::Damaged;
    observed.nft.v4.vips = [[3, 3, 0, 9].into()].into();
    insta::assert_snapshot!(text(&plan(&observed, &desired), &desired), @r"
      nftables
        ~ table ip vipd  somebody changed it: masquerade always, guard on, as it was
        + 3.3.0.6  guarded again
        - 3.3.0.9  isn't bound, so there is nothing to guard
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
        ~ new clients are refused no longer
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
    desired.source = Some([10, 0, 0, 9].into());
    let reduced = plan(&observed, &desired);
    let bound = |plan: &Plan| {
        plan.ops.iter().find_map(|op| match op {
            Op::Bind { source, .. } => Some(*source),
            _ => None,
        })
    };
    assert_eq!(bound(&reduced), Some(desired.source));
    assert!(!reduced.ops.iter().any(|op| matches!(op, Op::SetTable { .. })));

    // Without translation it can still refuse, and the route still has to tell the source.
    observed.nft.v4.able = Able::Filter;
    let filtering = plan(&observed, &desired);
    assert_eq!(bound(&filtering), Some(desired.source));
    let rules = Rules { nat: None, guard: Guard::On };
    let set = Op::SetTable { family: vip::nft::Family::Inet, before: Standing::Missing, rules };
    assert_eq!(filtering.ops[0], set);

    // Once it can translate, the route becomes the kernel's own.
    let mut observed = filtering.applied_to(&observed);
    observed.nft.v4.able = Able::Nat;
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

#[test]
fn the_order_is_make_before_break() {
    let observed = applied(vec![
        mysql(vec![healthy("a", "10.0.0.1:1"), healthy("b", "10.0.0.2:2")]),
        claim("4.4.0.7:80", "/gone", vec![]),
    ]);
    let mut changed =
        mysql(vec![task("a", "10.0.0.1:1", Condition::Unhealthy), healthy("c", "10.0.0.3:3")]);
    changed.options.scheduler = Scheduling::Rr;
    let claims = vec![changed, claim("5.5.0.8:80", "/new", vec![healthy("n", "10.0.0.5:5")])];
    let desired = decide(claims, &observed);
    let names: Vec<_> = plan(&observed, &desired).ops.iter().map(Op::name).collect();
    assert_eq!(
        names,
        [
            "add-service",
            "set-service",
            "set-server",
            "add-server",
            "add-server",
            "bind",
            "delete-server",
            "delete-service",
            "unbind",
        ]
    );
}

#[test]
fn nothing_to_do_says_so() {
    let claims = || vec![mysql(vec![healthy("a", "10.0.0.1:1")])];
    let observed = applied(claims());
    let desired = decide(claims(), &observed);
    let plan = plan(&observed, &desired);
    assert!(plan.is_empty());
    assert_eq!(text(&plan, &desired), "nothing to do");
}

#[test]
fn the_kernels_hashed_flag_is_no_change() {
    let claims = || vec![mysql(vec![healthy("a", "10.0.0.1:1")])];
    let mut observed = applied(claims());
    for service in observed.services.values_mut() {
        service.settings.flags |= ServiceFlags::HASHED;
    }
    assert!(plan(&observed, &decide(claims(), &observed)).is_empty());
}

#[test]
fn drift_of_weight_forwarding_and_thresholds_is_put_back() {
    let claims = || vec![mysql(vec![healthy("a", "10.0.0.1:1")])];
    let mut observed = applied(claims());
    for service in observed.services.values_mut() {
        for server in service.servers.values_mut() {
            server.settings.weight = 7;
            server.settings.upper_threshold = 3;
            server.settings.forward = nl_ipvs::ForwardMethod::Route;
        }
    }
    let desired = decide(claims(), &observed);
    insta::assert_snapshot!(text(&plan(&observed, &desired), &desired), @r"
    ~ 3.3.0.6:3306/tcp  /mysql
        ~ 10.0.0.1:1  weight 7 -> 1, forwarding route -> masq, thresholds put back  /mysql a (healthy)
    1 real server to change
    ");
}

#[test]
fn a_service_that_vipd_did_not_make_is_left_alone_and_reported() {
    let mut observed = Observed::default();
    add_foreign(&mut observed, "3.3.0.6:3306", &[]);
    add_foreign(&mut observed, "4.4.0.7:443", &[]);
    add_foreign(&mut observed, "9.9.9.9:80", &[]);
    let claims = vec![
        mysql(vec![healthy("a", "10.0.0.1:1")]),
        claim("4.4.0.7:80", "/web", vec![healthy("w", "10.0.0.2:2")]),
        claim("5.5.0.8:80", "/free", vec![healthy("f", "10.0.0.3:3")]),
    ];
    let desired = decide(claims, &observed);
    insta::assert_snapshot!(text(&plan(&observed, &desired), &desired), @r"
    ! 3.3.0.6:3306/tcp  /mysql: 3.3.0.6:3306/tcp is a virtual service that vipd didn't make; left alone. Find out whose it is (keepalived, docker, kube-proxy?), or take it over with `vipd adopt 3.3.0.6:3306/tcp`
    ! 4.4.0.7:80/tcp  /web: 4.4.0.7 has a virtual service that vipd didn't make (4.4.0.7:443/tcp), so its address is not bound. Find out whose it is, or take it over with `vipd adopt 4.4.0.7:443/tcp`
    + 5.5.0.8:80/tcp  wlc  /free
        + 10.0.0.3:3  weight 1  /free f (healthy)
      interface
        + create it
        + 5.5.0.8
    1 VIP to add; 1 real server to add; 1 address to bind; 2 VIPs left alone
    ");
}

#[test]
fn a_wanted_service_that_lost_its_mark_is_marked_again() {
    let mut observed = Observed::default();
    bind(&mut observed, "3.3.0.6");
    add_foreign(&mut observed, "3.3.0.6:3306", &[("10.0.0.1:1", 1)]);
    add_foreign(&mut observed, "3.3.0.6:9999", &[]);
    let desired = decide(vec![mysql(vec![healthy("a", "10.0.0.1:1")])], &observed);
    let plan = plan(&observed, &desired);
    assert_eq!(plan.ops.len(), 1, "{plan:?}");
    insta::assert_snapshot!(text(&plan, &desired), @r"
    ~ 3.3.0.6:3306/tcp  /mysql
        ~ vipd's mark is missing and comes back
    1 VIP to change
    ");
}

#[test]
fn a_partial_source_adds_and_changes_and_removes_nothing() {
    let observed = applied(vec![
        mysql(vec![healthy("a", "10.0.0.1:1"), healthy("b", "10.0.0.2:2")]),
        claim("4.4.0.7:80", "/other", vec![]),
    ]);
    let changed =
        mysql(vec![task("a", "10.0.0.1:1", Condition::Unhealthy), healthy("c", "10.0.0.3:3")]);
    let desired = decide(vec![changed], &observed);
    let plan = Plan::new(&observed, &desired, Scope::Partial, "node1");
    let names: Vec<_> = plan.ops.iter().map(Op::name).collect();
    assert_eq!(names, ["set-server", "add-server"]);
}

#[test]
fn adopting_marks_and_changes_nothing_else() {
    let mut observed = Observed::default();
    add_foreign(&mut observed, "3.3.0.6:3306", &[("10.0.0.1:1", 1)]);
    let plan = Plan::adopt(&observed, &[vip("3.3.0.6:3306")]);
    let after = plan.applied_to(&observed);
    let (was, is) = (
        observed.service(&vip("3.3.0.6:3306")).unwrap(),
        after.service(&vip("3.3.0.6:3306")).unwrap(),
    );
    assert_eq!(is.settings.flags, was.settings.flags.settable() | MARK);
    assert_eq!(is.servers, was.servers);
    assert!(Plan::adopt(&after, &[vip("3.3.0.6:3306")]).is_empty());
}

#[test]
fn cleanup_removes_what_is_ours_and_nothing_else() {
    let mut observed = applied(vec![mysql(vec![healthy("a", "10.0.0.1:1")])]);
    add_foreign(&mut observed, "9.9.9.9:80", &[("10.0.0.9:80", 1)]);
    let after = Plan::cleanup(&observed).applied_to(&observed);
    let left: Vec<_> = after.services.keys().map(ToString::to_string).collect();
    assert_eq!(left, ["9.9.9.9:80/tcp"]);
    assert!(after.addresses.is_empty());
    assert!(Plan::cleanup(&after).is_empty());
}

#[test]
fn removing_more_than_half_is_suspicious() {
    let claims = |n: u8| {
        (1..=n).map(|n| {
            claim(&format!("3.3.0.{n}:80"), "/a", vec![healthy("t", &format!("10.0.0.{n}:80"))])
        })
    };
    let observed = applied(claims(10).collect());
    let suspicious =
        |n| plan(&observed, &decide(claims(n).collect(), &observed)).losses().suspicious();
    assert_eq!([0, 4, 5, 10].map(suspicious), [true, true, false, false]);
}

#[test]
fn a_rolling_upgrade_is_not_suspicious() {
    let servers =
        |from: u16| (from..from + 4).map(|n| healthy("t", &format!("10.0.0.1:{n}"))).collect();
    let observed = applied(vec![mysql(servers(100))]);
    let plan = plan(&observed, &decide(vec![mysql(servers(200))], &observed));
    assert_eq!(plan.step(Step::Remove).count(), 4);
    assert!(!plan.losses().suspicious());
}

#[test]
fn ipvsadm_is_told_the_same() {
    let mut persistent = claim("[fd01::6]:53/udp", "/dns", vec![healthy("d", "[fd02::1]:53")]);
    persistent.options.scheduler = Scheduling::Mh;
    persistent.options.hash_port = true;
    persistent.options.persistence = Some(60);
    let mut observed = applied(vec![claim("4.4.0.7:80", "/gone", vec![])]);
    add_service(
        &mut observed,
        "3.3.0.6:3306",
        vip::label::Options::default().service_settings(nl_ipvs::Family::Inet),
        &[("10.0.0.1:1", 1), ("10.0.0.2:2", 1)],
    );
    let claims = vec![mysql(vec![task("a", "10.0.0.1:1", Condition::Killing)]), persistent];
    let desired = decide(claims, &observed);
    let commands: Vec<_> = plan(&observed, &desired).ops.iter().filter_map(ipvsadm_args).collect();
    insta::assert_snapshot!(commands.join("\n"), @r"
    -A -u [fd01::6]:53 -s mh -p 60 -b flag-1,flag-2,flag-3
    -e -t 3.3.0.6:3306 -r 10.0.0.1:1 -m -w 0
    -a -u [fd01::6]:53 -r [fd02::1]:53 -m -w 1
    -d -t 3.3.0.6:3306 -r 10.0.0.2:2
    -D -t 4.4.0.7:80
    ");
}

/// Runs a plan on a kernel that refuses some operations with ENOENT.
fn refused(plan: Plan, refuses: impl Fn(&Op) -> bool) -> Vec<String> {
    let error = || Err(OpError::new(2, "ENOENT"));
    let outcome =
        plan.run(|ops| ops.iter().map(|op| if refuses(op) { error() } else { Ok(()) }).collect());
    let done = outcome.results().filter(|(_, result)| **result == OpResult::Done);
    done.map(|(op, _)| op.to_string()).collect()
}

#[test]
fn a_neighbours_refused_service_keeps_no_address_unbound() {
    let ours = || mysql(vec![healthy("a", "10.0.0.1:1")]);
    let mut observed = applied(vec![ours()]);
    observed.link = vip::Link::Missing;
    observed.addresses.clear();
    let desired = decide(vec![ours(), claim("3.3.0.6:81", "/neighbour", vec![])], &observed);
    let done = refused(plan(&observed, &desired), |op| matches!(op, Op::AddService { .. }));
    assert_eq!(done, ["create-link", "bind 3.3.0.6"]);
}

#[test]
fn a_refused_scheduler_does_not_freeze_the_servers() {
    let observed =
        applied(vec![mysql(vec![healthy("a", "10.0.0.1:1"), healthy("b", "10.0.0.2:2")])]);
    let mut changed = mysql(vec![healthy("b", "10.0.0.2:2"), healthy("c", "10.0.0.3:3")]);
    changed.options.scheduler = Scheduling::Twos;
    let plan = plan(&observed, &decide(vec![changed], &observed));
    let done = refused(plan, |op| matches!(op, Op::SetService { .. }));
    assert_eq!(
        done,
        [
            "add-server 10.0.0.3:3 of 3.3.0.6:3306/tcp",
            "delete-server 10.0.0.1:1 of 3.3.0.6:3306/tcp",
        ]
    );
}

#[test]
fn a_server_the_kernel_refuses_keeps_no_dead_one_while_another_serves() {
    let observed =
        applied(vec![mysql(vec![healthy("a", "10.0.0.1:1"), healthy("b", "10.0.0.2:2")])]);
    let changed = mysql(vec![healthy("b", "10.0.0.2:2"), healthy("c", "10.0.0.3:3")]);
    let plan = plan(&observed, &decide(vec![changed], &observed));
    let done = refused(plan, |op| matches!(op, Op::AddServer { .. }));
    assert_eq!(done, ["delete-server 10.0.0.1:1 of 3.3.0.6:3306/tcp"]);
}

#[test]
fn somebody_elses_service_beside_ours_on_one_address_disturbs_nothing() {
    let ours = |server| vec![mysql(vec![healthy("a", server)])];
    let mut observed = applied(ours("10.0.0.1:1"));
    add_foreign(&mut observed, "3.3.0.6:443", &[]);
    observed.link = vip::Link::Missing;
    observed.addresses.clear();
    let desired = decide(ours("10.0.0.2:2"), &observed);
    let plan = plan(&observed, &desired);
    assert!(plan.conflicts.is_empty());
    let names: Vec<_> = plan.ops.iter().map(Op::name).collect();
    assert_eq!(names, ["create-link", "add-server", "bind", "delete-server"]);
}

#[test]
fn an_address_that_somebody_elses_service_is_on_is_never_unbound() {
    let mut observed = Observed::default();
    bind(&mut observed, "10.96.0.1");
    bind(&mut observed, "3.3.0.6");
    add_foreign(&mut observed, "10.96.0.1:443", &[]);
    let nothing = decide(vec![], &observed);
    for plan in [plan(&observed, &nothing), Plan::cleanup(&observed)] {
        let ops: Vec<_> = plan.ops.iter().map(ToString::to_string).collect();
        assert_eq!(ops, ["unbind 3.3.0.6"]);
    }
}

#[test]
fn servers_that_may_be_unknown_tasks_are_not_removed() {
    let observed = applied(vec![
        mysql(vec![healthy("a", "10.0.0.1:1"), healthy("b", "10.0.0.2:2")]),
        claim("4.4.0.7:80", "/web", vec![healthy("w", "10.0.0.1:3"), healthy("x", "10.0.0.9:4")]),
        claim("5.5.0.8:80", "/gone", vec![]),
    ]);
    let mut gappy = mysql(vec![healthy("b", "10.0.0.2:2")]);
    gappy.incomplete = true;
    let mut desired = decide(vec![gappy, claim("4.4.0.7:80", "/web", vec![])], &observed);
    desired.uncertain = ["10.0.0.1".parse().unwrap()].into();
    let plan = Plan::new(&observed, &desired, Scope::Servers, "node1");
    let ops: Vec<_> = plan.ops.iter().map(ToString::to_string).collect();
    assert_eq!(ops, ["delete-server 10.0.0.9:4 of 4.4.0.7:80/tcp"]);
}

#[test]
fn a_vip_that_policy_refuses_now_says_so_when_it_goes() {
    let claims = || vec![mysql(vec![healthy("a", "10.0.0.1:1")])];
    let observed = applied(claims());
    let policy = vip::Policy { allow: vec!["9.0.0.0/8".parse().unwrap()], ..Default::default() };
    let desired = vip::decide(claims(), &observed, &policy, &vip::ClusterFacts::default());
    let text = text(&plan(&observed, &desired), &desired);
    assert!(text.starts_with("- 3.3.0.6:3306/tcp  /mysql port 0 VIP_0"), "{text}");
    assert!(text.contains("outside vip.allow"), "{text}");
}

#[test]
fn servers_one_vip_gains_do_not_hide_those_another_loses() {
    let servers = |n: u16| (0..n).map(|n| healthy("t", &format!("10.0.0.1:{}", 1 + n))).collect();
    let observed = applied(vec![mysql(servers(10)), claim("4.4.0.7:80", "/web", servers(2))]);
    let claims = vec![mysql(servers(1)), claim("4.4.0.7:80", "/web", servers(40))];
    assert!(plan(&observed, &decide(claims, &observed)).losses().suspicious());
}

#[test]
fn flows_from_before_a_udp_vip_was_served_are_forgotten_last() {
    let claims = || {
        vec![
            claim("3.3.0.6:53/udp", "/dns", vec![healthy("dns.1", "10.0.0.1:31001")]),
            mysql(vec![healthy("mysql.1", "10.0.0.2:31002")]),
        ]
    };
    let empty = Observed::default();
    let desired = decide(claims(), &empty);
    let first = plan(&empty, &desired);
    let names: Vec<_> = first.ops.iter().map(Op::name).collect();
    let expected = ["create-link", "add-service", "add-service", "add-server", "add-server"];
    assert_eq!(names, [&expected[..], &["bind", "forget-flows"]].concat());
    let mut observed = first.applied_to(&empty);
    assert_eq!(plan(&observed, &desired).ops, []);

    observed.addresses.clear();
    insta::assert_snapshot!(text(&plan(&observed, &desired), &desired), @r"
    ~ 3.3.0.6:53/udp  /dns
        ~ flows from before it was served are forgotten
      interface
        + 3.3.0.6
    1 address to bind
    ");
}
