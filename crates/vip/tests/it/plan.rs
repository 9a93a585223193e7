//! Plans: what they do, what they leave alone, how they read.

use vip::label::Scheduling;
use vip::ownership::MARK;
use vip::plan::{Step, ipvsadm_args};
use vip::{Condition, Observed, Op, Plan, Scope};

use crate::build::{
    add_foreign, add_service, applied, bind, claim, decide, healthy, mysql, plan, task, text, vip,
};

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
          left out: mysql.3 of /mysql: waiting for its first health check
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
            "forget-flows",
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
        ~ 10.0.0.1:1  weight 7 -> 1, forwarding route -> masq, thresholds restored  /mysql a (healthy)
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
    ! 3.3.0.6:3306/tcp  /mysql: 3.3.0.6:3306/tcp is a virtual service that vipd did not create; left alone. Find out which program owns it (keepalived, docker, kube-proxy?), or take it over with `vipd adopt 3.3.0.6:3306/tcp`
    ! 4.4.0.7:80/tcp  /web: 4.4.0.7 has a virtual service that vipd did not create (4.4.0.7:443/tcp), so its address is not bound. Find out which program owns it, or take it over with `vipd adopt 4.4.0.7:443/tcp`
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
        ~ vipd's mark is missing: restored
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
    assert_eq!(is.settings.flags, was.settings.flags | MARK);
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
        |n| plan(&observed, &decide(claims(n).collect(), &observed)).losses().is_suspicious();
    assert_eq!([0, 4, 5, 10].map(suspicious), [true, true, false, false]);
}

#[test]
fn a_rolling_upgrade_is_not_suspicious() {
    let servers =
        |from: u16| (from..from + 4).map(|n| healthy("t", &format!("10.0.0.1:{n}"))).collect();
    let observed = applied(vec![mysql(servers(100))]);
    let plan = plan(&observed, &decide(vec![mysql(servers(200))], &observed));
    assert_eq!(plan.ops_of_step(Step::Remove).count(), 4);
    assert!(!plan.losses().is_suspicious());
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
        vip::label::Options::default().service_settings(),
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
