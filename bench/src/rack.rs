//! Measures the plan for hosts that lose their power at the same time.

use std::time::Duration;

use vip::liveness::{Evidence, HostVerdict, ProbeReport, Silence};

use crate::cluster::Cluster;
use crate::figure::print_time;
use crate::react::World;

/// Real servers on each host.
const SERVERS: usize = 100;

/// Real servers of each virtual service.
const SHARE: usize = 10;

/// Measures from the verdicts about this many hosts, half of all, to the last change of a
/// kernel in memory.
pub(crate) fn measure_rack(hosts: usize, times: usize) {
    let cluster = Cluster::new(2 * hosts * SERVERS / SHARE, SHARE).on_hosts(2 * hosts);
    let mut world = World::settled(cluster);
    world.act_on_silence();
    for _ in 0..times {
        let time = world.hear_probes(report(hosts, Some(Silence::Suspected)));
        assert_eq!(world.weightless(), hosts * SERVERS, "real servers out of use");
        print_time(&format!("rack/{hosts}"), time);
        world.pass_time(Duration::from_secs(1));
        world.hear_probes(report(hosts, None));
        world.pass_time(Duration::from_secs(30));
        assert_eq!(world.weightless(), 0, "all are back");
    }
}

/// Returns news about every other host.
fn report(hosts: usize, silence: Option<Silence>) -> ProbeReport {
    let evidence = Evidence {
        silent_for: Duration::from_millis(780),
        echoes: 3,
        connects: 1,
        others_answering: hosts,
    };
    let about = |number| HostVerdict {
        host: Cluster::host_address(2 * number),
        silence,
        evidence: evidence.clone(),
    };
    ProbeReport { verdicts: (0..hosts).map(about).collect(), ..Default::default() }
}
