//! Outcomes of plans.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Controller, Job, LogEntry, Retry};
use crate::plan::OpResult;
use crate::{Op, Outcome};

impl Controller {
    /// Records the results of a plan, and returns them with the reasons for the log. Addresses with
    /// a failure are tried again after a reading; all others are compared once more, since drains
    /// and lingering begin with these changes.
    pub(super) fn on_applied(
        &mut self,
        outcome: &Outcome,
        now: Duration,
    ) -> Vec<(LogEntry, OpResult)> {
        // Explained first: the outcome changes the state that the reasons come from.
        let results = outcome.results().map(|(op, result)| (self.explain_op(op), result.clone()));
        let log = results.collect();
        let is_apply = |job: &mut Job| matches!(job, Job::Apply { .. });
        let Some(Job::Apply { ops, addresses }) = self.job.take_if(is_apply) else { return log };
        for (op, result) in outcome.results() {
            self.count_result(result);
            if let (OpResult::Done, Some(model)) = (result, &mut self.model) {
                op.apply_to(Arc::make_mut(model));
            }
        }
        let unanswered = ops.saturating_sub(outcome.results().len());
        self.counters.failed += unanswered as u64;
        let doubtful = outcome.wants_a_fresh_look() || unanswered > 0;
        let whys = failure_reasons(outcome);
        for (address, since) in addresses {
            let lost = (unanswered > 0).then(|| "the outcome of the plan is unknown".to_owned());
            let why = whys.get(&None).or(whys.get(&Some(address))).cloned().or(lost);
            let since = match why {
                Some(why) => {
                    let before = self.retries.get(&address);
                    let retry = Retry::after_failure(before, why, now, &self.config);
                    self.retries.insert(address, retry);
                    since
                }
                None if doubtful => since,
                None => {
                    self.retries.remove(&address);
                    now
                }
            };
            // An address that changed meanwhile doesn't wait for the retry.
            if self.touched.contains_key(&address)
                && let Some(retry) = self.retries.get_mut(&address)
            {
                retry.at = now;
            }
            self.touched.entry(address).or_insert(since);
        }
        if doubtful {
            self.model = None;
            self.look_at = now;
        }
        log
    }

    fn count_result(&mut self, result: &OpResult) {
        let counters = &mut self.counters;
        *match result {
            OpResult::Done => &mut counters.done,
            OpResult::AlreadySo => &mut counters.already_so,
            OpResult::Failed(_) => &mut counters.failed,
            OpResult::Skipped => &mut counters.skipped,
        } += 1;
    }
}

/// Returns the first failure of each address; `None` stands for the interface, on which all depend.
fn failure_reasons(outcome: &Outcome) -> BTreeMap<Option<IpAddr>, String> {
    let mut whys = BTreeMap::new();
    for (op, result) in outcome.results() {
        let why = match result {
            OpResult::Failed(error) => format!("{op}: {error}"),
            OpResult::AlreadySo => format!("{op}: another program did it at the same time"),
            OpResult::Done | OpResult::Skipped => continue,
        };
        whys.entry(Op::address(op)).or_insert(why);
    }
    whys
}
