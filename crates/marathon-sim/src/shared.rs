//! What the members of the cluster, the reconciler and the processes share.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::access::Access;
use crate::config::{Config, Generation};
use crate::fault::{Fault, Faults, Rule};
use crate::imagined::Imagined;
use crate::store::Store;
use crate::stream::Bus;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// The URLs of the members, with no slash at their ends.
    pub(crate) members: Vec<String>,
    /// Index of the member that leads, if one does.
    pub(crate) leader: watch::Sender<Option<usize>>,
    pub(crate) access: Access,
    pub(crate) faults: Faults,
    pub(crate) bus: Bus,
    pub(crate) imagined: Imagined,
    /// What was asked of the API, the oldest first.
    asked: Mutex<VecDeque<String>>,
    store: Mutex<Store>,
    /// The store as it was, the oldest first, while reads lag behind.
    past: Mutex<VecDeque<(Instant, Arc<Store>)>>,
    changed: Notify,
    stop: watch::Receiver<bool>,
}

/// The store as a reader sees it.
pub(crate) enum Seen<'a> {
    Now(MutexGuard<'a, Store>),
    Then(Arc<Store>),
}

impl Deref for Seen<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        match self {
            Self::Now(store) => store,
            Self::Then(store) => store,
        }
    }
}

// Each change leaves what a lock holds consistent, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(config: Config, members: Vec<String>, stop: watch::Receiver<bool>) -> Self {
        let store = Store::new(config.generation, config.agents.clone(), config.time_scale);
        Self {
            members,
            leader: watch::Sender::new(Some(0)),
            access: Access::new(config.token_lifetime),
            faults: Faults::default(),
            bus: Bus::new(config.event_buffer, config.generation >= Generation::V1_6),
            imagined: Imagined::default(),
            asked: Mutex::default(),
            store: Mutex::new(store),
            past: Mutex::default(),
            changed: Notify::new(),
            stop,
            config,
        }
    }

    /// The store, to read. Nobody holds it across an await.
    pub(crate) fn lock_store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    /// The store as the API shows it, which may lag behind.
    pub(crate) fn visible_store(&self) -> Seen<'_> {
        let Some(lag) = self.faults.read_lag() else { return Seen::Now(self.lock_store()) };
        let mut past = lock(&self.past);
        while past.get(1).is_some_and(|(at, _)| at.elapsed() >= lag) {
            past.pop_front();
        }
        let then = past.front().map(|(_, then)| Arc::clone(then));
        // Who changes the store locks it first.
        drop(past);
        then.map_or_else(|| Seen::Now(self.lock_store()), Seen::Then)
    }

    /// Does something to the store and sends the events of it in the order of the changes.
    pub(crate) fn with_store<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.lock_store();
        let result = change(&mut store);
        let events = store.take_events();
        if self.faults.read_lag().is_some() && !events.is_empty() {
            self.remember_store(&store);
        }
        self.bus.publish_events(events, &self.faults);
        result
    }

    fn remember_store(&self, store: &Store) {
        // More than a reader could ask for; the oldest may go.
        const MOST: usize = 1000;
        let mut past = lock(&self.past);
        past.push_back((Instant::now(), Arc::new(store.clone())));
        if past.len() > MOST {
            past.pop_front();
        }
    }

    /// Changes the store and has the reconciler look at it.
    pub(crate) fn update_store<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let result = self.with_store(change);
        self.changed.notify_one();
        result
    }

    /// Resolves when the store has been changed since it was asked last.
    pub(crate) async fn wait_for_change(&self) {
        self.changed.notified().await;
    }

    /// Resolves when the cluster ends.
    pub(crate) async fn wait_for_stop(&self) {
        // An error means that it was dropped, which is an end too.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }

    /// Remembers a request, until it was looked at or there are too many.
    pub(crate) fn record_request(&self, request: String) {
        const MOST: usize = 10_000;
        let mut asked = lock(&self.asked);
        if asked.len() >= MOST {
            asked.pop_front();
        }
        asked.push_back(request);
    }

    /// The requests since this was called last.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        lock(&self.asked).drain(..).collect()
    }

    /// Switches a fault on; false if there are too many.
    pub(crate) fn inject_fault(&self, rule: Rule) -> bool {
        let store = self.lock_store();
        if matches!(rule.fault, Fault::Lag { .. }) && self.faults.read_lag().is_none() {
            lock(&self.past).clear();
            self.remember_store(&store);
        }
        self.faults.add_rule(rule)
    }

    /// The leader's URL; while there is none, the first member's.
    pub(crate) fn leader_url(&self) -> &str {
        &self.members[self.leader.borrow().unwrap_or_default()]
    }

    /// What a member that passes something on calls itself (`api/LeaderProxyFilter.scala`).
    pub(crate) fn via_header(&self, member: usize) -> String {
        format!("1.1 {}", self.members[member].trim_start_matches("http://"))
    }

    /// Makes `leader` lead, or nobody. Streams end; who begins to lead knows nothing of health.
    pub(crate) fn set_leader(&self, leader: Option<usize>) {
        if leader.is_some() {
            self.update_store(Store::forget_health);
        }
        self.leader.send_replace(leader);
    }

    /// Has the leader resign; after a while the next member leads.
    pub(crate) fn resign_leader(self: &Arc<Self>) {
        let next = self.leader.borrow().map_or(0, |leader| (leader + 1) % self.members.len());
        self.set_leader(None);
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(shared.config.election) => shared.set_leader(Some(next)),
                () = shared.wait_for_stop() => {}
            }
        });
    }

    /// The leader, waited for as long as Marathon waits.
    pub(crate) async fn wait_for_leader(&self) -> Option<usize> {
        let mut terms = self.leader.subscribe();
        let elected =
            tokio::time::timeout(self.config.leader_wait, terms.wait_for(Option::is_some));
        elected.await.ok().and_then(Result::ok).and_then(|leader| *leader)
    }
}
