//! Measures the prober: the processor time and the memory that watching hosts costs. The hosts are
//! addresses of the loopback interface, so that the kernel's answers are paid for here, too.

use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use node::{ProbeAnswer, ProbeSockets};
use vip::liveness::{INTERVAL, Liveness, WatchList, Watched};

use crate::figure::{RUNS, print_figure};
use crate::memory::bytes_held;

/// Probes this many hosts for a while, several times.
pub(crate) fn measure_probes(hosts: u8, seconds: u64) {
    let before = bytes_held();
    let watched = (1..=hosts).map(|number| {
        let host = IpAddr::from([127, 0, 1, number]);
        let connect_to = vec![(host, 80).into()];
        Watched { host, in_use: true, is_elsewhere: true, connect_to, has_clients: false }
    });
    let list = WatchList { hosts: watched.collect(), ..WatchList::default() };
    let mut sockets = ProbeSockets::open().unwrap();
    let mut liveness = Liveness::new(INTERVAL, 1);
    liveness.set_list(&list, Duration::ZERO);
    let started = Instant::now();
    for run in 0..=RUNS {
        let (cpu, sent) = (thread_time(), liveness.status().probes_sent);
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            sockets.wait(liveness.wake_at().saturating_sub(started.elapsed()));
            let answers = sockets.receive();
            let now = started.elapsed();
            for answer in answers {
                if let ProbeAnswer::Echo { host, sequence, age } = answer {
                    liveness.on_echo(host, sequence, now.saturating_sub(age));
                }
            }
            if liveness.wake_at() <= now {
                let orders = liveness.advance(now);
                assert_eq!(sockets.send(&orders), [] as [IpAddr; 0]);
            }
        }
        // The first run warms up.
        if run > 0 {
            let share = (thread_time() - cpu).as_secs_f64() / seconds as f64;
            print_figure(&format!("probe/cpu/{hosts}"), share * 100.0, "%");
            let sent = (liveness.status().probes_sent - sent) as f64 / seconds as f64;
            print_figure(&format!("probe/sent/{hosts}"), sent, "echoes/s");
        }
    }
    assert_eq!(liveness.take_verdicts(), []);
    print_figure(&format!("probe/memory/{hosts}"), (bytes_held() - before) as f64, "bytes");
}

/// Returns the processor time of this thread so far (`/proc/thread-self/schedstat`, in nanoseconds).
fn thread_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}
