//! The requests of people and of other threads to the event loop.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::core::Input;
use super::event_loop::{Agent, Handle};
use super::status::Request;
use super::status::counts::VipCounts;
use crate::sources::SourceId;

/// The longest time to wait for the event loop, which answers within milliseconds, if at all.
const PATIENCE: Duration = Duration::from_secs(5);

impl Handle {
    /// Asks the event loop. None: it does not answer.
    pub async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.requests.send(request(answer)).await.ok()?;
            answered.await.ok()
        };
        timeout(PATIENCE, asked).await.ok().flatten()
    }
}

impl Agent {
    /// Answers a request. Its answer is never waited for.
    pub(super) fn answer_request(&mut self, request: Request) {
        // Sending an answer fails if the asker has gone: it needs none then.
        match request {
            Request::Hold(hold, done) => {
                self.run_turn(Input::Hold(hold));
                let _ = done.send(());
            }
            Request::Release(done) => {
                self.run_turn(Input::Release);
                let _ = done.send(());
            }
            Request::ReloadRefused(refused) => self.run_turn(Input::ReloadRefused(refused)),
            Request::Accept(source, accepted) => {
                let is_meant = |id: &SourceId| source.as_ref().is_none_or(|source| source == id);
                let view = self.view.borrow().clone();
                let doubted = view.sources.iter().filter(|(_, each)| each.doubt.is_some());
                let doubted = doubted.map(|(id, _)| id.clone()).filter(is_meant).collect();
                self.run_turn(Input::Accept(source));
                let _ = accepted.send(doubted);
            }
            Request::Reassign(name, reassigned) => {
                let before = self.core.find_name(&name, self.now());
                self.run_turn(Input::Reassign(name.clone()));
                let after = self.core.find_name(&name, self.now());
                let addresses = after.map(|facts| facts.addresses).unwrap_or_default();
                let _ = reassigned.send(before.map(|_| addresses));
            }
            Request::LocalFacts(facts) => {
                let now = self.now().since_start;
                let _ = facts.send(self.core.controller().local_facts(now));
            }
            Request::VipCounts(counts) => {
                let controller = self.core.controller();
                let (vips, reports) = (controller.count_vips(), self.core.label_reports());
                let names = controller.count_names();
                let _ = counts.send(VipCounts::count_all(vips, reports, names));
            }
            Request::Table(table) => {
                let _ = table.send(Box::new(self.core.to_table(self.now())));
            }
        }
    }
}
