//! From the prober to the controller, and from the core to the prober.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use vip::liveness::ProbeReport;
use vip::nft::{LostSyns, Rules, Table, TableState};
use vip::{Nft, controller};

use super::watching::Watching;
use super::{AgentCore, Effect, Input};
use crate::agent::status::{Probing, SilentHost};
use crate::clock::Moment;

impl AgentCore {
    /// Has lists of hosts made from now on ([`Effect::Watch`]), for a prober with this interval. `acts`: real
    /// servers on silent hosts are taken out of use.
    pub fn watch_hosts(&mut self, acts: bool, interval: Duration) {
        self.watching = Some(Watching { interval, ..Watching::default() });
        self.acts_on_silence = acts;
    }

    /// Notes what an input says about the hosts to watch. Call it before the input is handled.
    pub(super) fn note_watched(&mut self, input: &Input, now: Duration) {
        let Some(watching) = &mut self.watching else { return };
        match input {
            Input::Observed(Ok(reading)) => {
                watching.hosts.note_reading(&reading.observed, now);
                watching.note_change(now);
            }
            Input::Applied(_) => watching.note_change(now),
            _ => {}
        }
    }

    /// Makes a new list, if it is due.
    pub(super) fn update_watched(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let Some(watching) = &mut self.watching else { return };
        let Some(observed) = self.controller.observed() else { return };
        if watching.due.is_none_or(|due| now < due) {
            return;
        }
        (watching.due, watching.made_at) = (None, Some(now));
        let (services, cluster) = (self.controller.services(), self.controller.cluster());
        let clients = self.controller.client_sources();
        let list = watching.hosts.make_list(services, &observed.node, cluster, clients, now);
        self.left_behind.note_watched(&list, watching.interval, now);
        if watching.list != list {
            watching.list.clone_from(&list);
            effects.push(Effect::Watch(list));
        }
    }

    /// Takes in a report of the prober.
    pub(super) fn on_probe_report(
        &mut self,
        report: ProbeReport,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let ProbeReport { mut verdicts, unheard, heard, refusals, status } = report;
        self.left_behind.forget(verdicts.iter().map(|verdict| &verdict.host));
        self.review_left_behind(&heard, now, effects);
        if status.obstacle.is_some() {
            // Nobody would take them back.
            verdicts =
                self.silent_hosts.values().map(|silent| silent.verdict.taken_back()).collect();
            verdicts.extend(self.left_behind.give_up());
        }
        let is_probed = |host: &IpAddr| {
            let listed = self.watching.as_ref().is_some_and(|watching| watching.list.has(host));
            listed && status.obstacle.is_none() && !unheard.contains(host)
        };
        let ended = verdicts.iter().filter(|verdict| verdict.silence.is_none());
        let unprobed = ended.map(|verdict| verdict.host).filter(|host| !is_probed(host));
        self.unprobed_hosts = unprobed.collect();
        self.probe_status = status;
        let hosts = verdicts.iter().filter(|verdict| verdict.silence.is_some());
        let hosts: BTreeSet<_> = hosts.map(|verdict| verdict.host).collect();
        // One look at all real servers: the hosts of a rack fall silent together.
        let counts = self.controller.count_servers_on(&hosts);
        for verdict in &verdicts {
            match verdict.silence {
                Some(_) => {
                    let servers = counts.get(&verdict.host).copied().unwrap_or_default();
                    let (verdict, acts) = (verdict.clone(), self.acts_on_silence);
                    let silent = SilentHost { verdict, servers, acts };
                    self.silent_hosts.insert(silent.verdict.host, silent);
                }
                None => {
                    self.silent_hosts.remove(&verdict.host);
                }
            }
        }
        if self.acts_on_silence && !verdicts.is_empty() {
            self.tell_controller(controller::Input::Verdicts(verdicts), now, effects);
        }
        self.on_refusals(refusals, now, effects);
    }

    /// Takes back what was held against hosts at the start, for those that were heard or that nothing was
    /// found against in time.
    pub(super) fn review_left_behind(
        &mut self,
        heard: &BTreeSet<IpAddr>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let verdicts = self.left_behind.take_over(heard, now.since_start);
        if !verdicts.is_empty() {
            self.tell_controller(controller::Input::Verdicts(verdicts), now, effects);
        }
    }

    /// Makes the view of the probing.
    pub(super) fn probing(&self) -> Probing {
        let (silent, status) = (self.silent_hosts.clone(), self.probe_status.clone());
        let nft =
            self.watching.as_ref().and(self.controller.observed()).map(|observed| &observed.nft);
        let deaf = nft.and_then(|nft| find_deafness(nft, status.log_obstacle.as_deref()));
        let (refusing, acts) = (self.refusing_servers.clone(), self.acts_on_silence);
        Probing { status, deaf, silent, unprobed: self.unprobed_hosts.clone(), refusing, acts }
    }
}

/// Returns the reason why failed SYNs are not heard of although the kernel could log them: it refuses the
/// rule, or the prober can't read what it logs.
fn find_deafness(nft: &Nft, log_obstacle: Option<&str>) -> Option<String> {
    let logs = |(_, table): (_, &Table)| {
        matches!(table.state, TableState::Whole(Rules { lost_syns: LostSyns::Logged, .. }))
    };
    let refused = nft.cannot_log().map(|why| format!("the kernel can't log them: {why}"));
    let unread = log_obstacle.filter(|_| nft.tables().into_iter().any(logs));
    refused.or_else(|| unread.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use vip::nft::{Guard, NftSupport};

    use super::*;

    #[test]
    fn only_where_lost_syns_could_be_logged_it_is_told_that_they_are_not_heard() {
        let mut nft = Nft::default();
        assert_eq!(find_deafness(&nft, Some("taken")), None, "there are no rules");
        nft.v4.cannot_log = Some("ENOENT".into());
        assert_eq!(find_deafness(&nft, None), None, "nothing is translated either");
        nft.v4.support = NftSupport::Nat;
        let refused = "the kernel can't log them: ENOENT".to_owned();
        assert_eq!(find_deafness(&nft, Some("taken")), Some(refused));
        nft.v4.cannot_log = None;
        let rules = Rules { nat: None, guard: Guard::On, lost_syns: LostSyns::Logged };
        nft.v4.state = TableState::Whole(rules);
        assert_eq!(find_deafness(&nft, Some("taken")), Some("taken".into()));
        assert_eq!(find_deafness(&nft, None), None);
    }
}
