//! Which real servers a reading dumps, and which it takes from the kernel's text.

use node::{Kernel, LinuxKernel};
use testkit::netns;
use vip::Observed;

use super::{converge, desired, ip, ipvsadm, kernel};

/// A kernel, and what is known of it.
struct Known {
    kernel: LinuxKernel,
    observed: Observed,
}

impl Known {
    /// Reads it again; how many services were dumped for it. A reading by one that knows nothing sees
    /// the same.
    fn read(&mut self) -> usize {
        self.observed = self.kernel.observe_again(&self.observed).unwrap();
        let afresh = LinuxKernel::open(node::Settings::default()).unwrap().observe().unwrap();
        assert_eq!(self.observed.services, afresh.services);
        self.kernel.dumped_services()
    }
}

const VIPS: [&str; 3] = ["3.3.0.6", "3.3.0.7", "fd03::6"];

/// With three services of two real servers, all known.
fn settled() -> Known {
    let mut kernel = kernel();
    ip("link add eth9 type dummy");
    ip("link set eth9 up");
    let v4 = desired(&VIPS[..2], &["10.9.0.1:80", "10.9.0.2:80"]);
    let v6 = desired(&VIPS[2..], &["[fd09::1]:80", "[fd09::2]:80"]);
    let all = vip::Desired { services: v4.services.into_iter().chain(v6.services).collect(), ..v4 };
    converge(&mut kernel, &all);
    let observed = kernel.observe().unwrap();
    Known { kernel, observed }
}

#[test]
fn what_stays_is_dumped_once_and_what_changes_again() {
    let mut known = settled();
    assert_eq!(known.read(), 0, "the reading after the change has dumped it");
    for (change, dumps) in [
        ("-e -t 3.3.0.6:80 -r 10.9.0.1:80 -m -w 7", 1),
        ("-d -t 3.3.0.7:80 -r 10.9.0.1:80", 1),
        ("-a -t 3.3.0.7:80 -r 10.9.0.3:80 -m", 1),
        ("-e -t 3.3.0.7:80 -r 10.9.0.3:80 -i", 1),
        ("-e -t [fd03::6]:80 -r [fd09::2]:80 -m -w 0", 1),
        ("-D -t 3.3.0.7:80", 0),
    ] {
        // One that is far from its tenth reading, which dumps everything.
        known.kernel = LinuxKernel::open(node::Settings::default()).unwrap();
        ipvsadm(change);
        assert_eq!(known.read(), dumps, "{change}");
        let again = known.read();
        assert!(again == 0 || change.ends_with("-i"), "{change}: {again} again");
    }
}

#[test]
fn what_vipd_did_is_known_without_a_dump() {
    let mut known = settled();
    let fewer = desired(&["3.3.0.6"], &["10.9.0.1:80"]);
    let plan = super::plan(&mut known.kernel, &fewer);
    known.observed = plan.applied_to(&known.observed);
    assert!(known.kernel.apply_plan(plan).is_success());
    assert_eq!(known.read(), 0);
}

#[test]
fn what_vipd_did_not_do_though_it_thinks_so_is_found() {
    let mut known = settled();
    let fewer = desired(&["3.3.0.6"], &["10.9.0.1:80"]);
    let plan = super::plan(&mut known.kernel, &fewer);
    known.observed = plan.applied_to(&known.observed);
    assert_eq!(known.read(), 3);
}

/// Thresholds are not in the text. They are found all the same, within ten readings.
#[test]
fn what_the_text_does_not_tell_is_found_by_the_dump_that_comes_anyway() {
    let mut known = settled();
    ipvsadm("-e -t 3.3.0.6:80 -r 10.9.0.1:80 -m -w 1 -x 9 -y 3");
    let finds = |known: &mut Known| {
        known.observed = known.kernel.observe_again(&known.observed).unwrap();
        let servers = known.observed.services.values().flat_map(|service| service.servers.values());
        let thresholds: Vec<_> = servers.map(|held| held.settings.upper_threshold).collect();
        thresholds.contains(&9)
    };
    assert!((0..10).any(|_| finds(&mut known)));
    // A service that has them is dumped every time from then on.
    ipvsadm("-e -t 3.3.0.6:80 -r 10.9.0.1:80 -m -w 1 -x 0 -y 0");
    assert_eq!(known.read(), 1);
    assert_eq!(known.read(), 0);
}

/// The kernel leaves services out of a text of more than a page where other network namespaces have
/// some, too: it counts its own ones to find where it was, and all of them to know where it is
/// (`ip_vs_info_array` and `ip_vs_info_seq_next` of `ip_vs_ctl.c`).
#[test]
fn services_that_the_text_leaves_out_are_dumped() {
    let mut known = settled();
    let vips: Vec<_> = (1..=200).map(|host| format!("3.3.1.{host}")).collect();
    let vips: Vec<_> = vips.iter().map(String::as_str).collect();
    converge(&mut known.kernel, &desired(&vips, &["10.9.0.1:80"]));
    known.observed = known.kernel.observe().unwrap();
    ip("netns add beside");
    let others: String = (1..=200).map(|host| format!("-A -t 9.9.9.{host}:80 -s rr\n")).collect();
    netns::run_tool_with_input("ip", "netns exec beside ipvsadm -R", &others);
    known.read();
    for (host, weight) in [(1, 7), (100, 8), (200, 9)] {
        ipvsadm(&format!("-e -t 3.3.1.{host}:80 -r 10.9.0.1:80 -m -w {weight}"));
    }
    known.read();
    ip("netns del beside");
}
