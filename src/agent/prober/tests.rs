//! The thread of the prober, with a cluster in memory.

use vip::liveness::{Silence, Watched};

use super::*;

/// A cluster that answers in no time, until a host is cut off.
struct Cluster {
    cut: Arc<Mutex<Vec<IpAddr>>>,
    answers: Vec<ProbeAnswer>,
}

impl Probes for Cluster {
    fn send(&mut self, orders: &[Order]) -> Vec<IpAddr> {
        for order in orders {
            if let Order::Echo { host, sequence } = *order
                && !self.cut.lock().unwrap().contains(&host)
            {
                let age = Duration::ZERO;
                self.answers.push(ProbeAnswer::Echo { host, sequence, age });
            }
        }
        Vec::new()
    }

    fn set_list(&mut self, _: &WatchList) {}

    fn wait(&mut self, timeout: Duration) {
        if self.answers.is_empty() {
            thread::sleep(timeout);
        }
    }

    fn receive(&mut self) -> Vec<ProbeAnswer> {
        std::mem::take(&mut self.answers)
    }

    fn has_uplink(&self) -> bool {
        true
    }

    fn log_obstacle(&self) -> Option<String> {
        None
    }
}

fn list() -> WatchList {
    let watched = |last| Watched {
        host: [10, 0, 0, last].into(),
        in_use: true,
        is_elsewhere: true,
        connect_to: Vec::new(),
        has_clients: false,
    };
    WatchList { hosts: (1..=3).map(watched).collect(), ..WatchList::default() }
}

#[tokio::test]
async fn a_host_that_is_cut_off_is_reported_and_its_return() {
    let cut = Arc::new(Mutex::new(Vec::new()));
    let (sender, mut reports) = ReportSender::new_pair();
    let lists = Arc::new(LatestList::default());
    let (prober, taken, cluster) = (Prober(lists.clone()), lists.clone(), cut.clone());
    let open = move || Ok(Cluster { cut: cluster.clone(), answers: Vec::new() });
    let started = Instant::now();
    let thread = thread::spawn(move || {
        probe_hosts(open, Duration::from_millis(100), &taken, sender, started);
    });
    prober.send_list(list());
    let mut next = async |wanted: &dyn Fn(&ProbeReport) -> bool| loop {
        let report = reports.next_report().await.unwrap();
        if wanted(&report) {
            return report;
        }
    };
    next(&|report| report.status.watched == 3 && report.status.mute == 0).await;
    cut.lock().unwrap().push([10, 0, 0, 2].into());
    let report = next(&|report| !report.verdicts.is_empty()).await;
    assert_eq!(report.verdicts.len(), 1);
    assert_eq!(report.verdicts[0].silence, Some(Silence::Suspected));
    cut.lock().unwrap().clear();
    let report = next(&|report| !report.verdicts.is_empty()).await;
    assert_eq!(report.verdicts[0].silence, None);
    drop(prober);
    thread.join().unwrap();
}

#[tokio::test]
async fn a_prober_that_may_not_says_so_once_and_ends() {
    let (sender, mut reports) = ReportSender::new_pair();
    let lists = Arc::new(LatestList::default());
    let (prober, taken) = (Prober(lists.clone()), lists.clone());
    prober.send_list(list());
    let open = || Err::<ProbeSockets, _>(io::ErrorKind::PermissionDenied.into());
    let started = Instant::now();
    let thread = thread::spawn(move || probe_hosts(open, LOOK, &taken, sender, started));
    let report = reports.next_report().await.unwrap();
    assert!(report.status.obstacle.unwrap().contains("CAP_NET_RAW"));
    drop(prober);
    thread.join().unwrap();
}

#[tokio::test]
async fn reports_that_wait_become_one() {
    let (sender, mut reports) = ReportSender::new_pair();
    for watched in 0..5 {
        let status = ProbeStatus { watched, ..Default::default() };
        sender.send_report(ProbeReport { status, ..ProbeReport::default() });
    }
    assert_eq!(reports.next_report().await.unwrap().status.watched, 4);
    drop(sender);
    assert!(reports.next_report().await.is_none());
}
