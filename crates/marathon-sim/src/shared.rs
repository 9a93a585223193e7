//! The state that the members of the cluster, the reconciler and the processes share.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::access::Access;
use crate::config::{Config, Generation};
use crate::definition::Object;
use crate::event::Event;
use crate::fault::{Fault, Faults, Rule};
use crate::imagined::Imagined;
use crate::store::Store;
use crate::stream::{Bus, Callbacks};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// The URLs of the members, without a slash at the end.
    pub(crate) members: Vec<String>,
    /// Index of the leader, if there is one.
    pub(crate) leader: watch::Sender<Option<usize>>,
    pub(crate) access: Access,
    pub(crate) faults: Faults,
    pub(crate) bus: Bus,
    pub(crate) callbacks: Callbacks,
    pub(crate) imagined: Imagined,
    /// The name of the framework in `/v2/info`, if it is told.
    framework_name: Mutex<Option<String>>,
    /// The requests to the API, the oldest first.
    asked: Mutex<VecDeque<String>>,
    store: Mutex<Store>,
    /// Earlier states of the store, the oldest first, while reads lag.
    past: Mutex<VecDeque<(Instant, Arc<Store>)>>,
    changed: Notify,
    stop: watch::Receiver<bool>,
}

/// The store, as a reader sees it.
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

// Each change leaves the data under a lock consistent, so a poisoned lock is fine.
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
            callbacks: Callbacks::default(),
            imagined: Imagined::default(),
            framework_name: Mutex::new(Some("marathon".to_owned())),
            asked: Mutex::default(),
            store: Mutex::new(store),
            past: Mutex::default(),
            changed: Notify::new(),
            stop,
            config,
        }
    }

    /// Locks the store. It must not be held across an await.
    pub(crate) fn lock_store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    /// Returns the store as the API shows it, which may lag.
    pub(crate) fn visible_store(&self) -> Seen<'_> {
        let Some(lag) = self.faults.read_lag() else { return Seen::Now(self.lock_store()) };
        let mut past = lock(&self.past);
        while past.get(1).is_some_and(|(at, _)| at.elapsed() >= lag) {
            past.pop_front();
        }
        let then = past.front().map(|(_, then)| Arc::clone(then));
        // A change locks the store first, then the past.
        drop(past);
        then.map_or_else(|| Seen::Now(self.lock_store()), Seen::Then)
    }

    /// Changes the store and publishes the events, in the order of the changes.
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
        // More states than a reader needs; the oldest may go.
        const MOST: usize = 1000;
        let mut past = lock(&self.past);
        past.push_back((Instant::now(), Arc::new(store.clone())));
        if past.len() > MOST {
            past.pop_front();
        }
    }

    /// Changes the store and wakes the reconciler.
    pub(crate) fn update_store<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let result = self.with_store(change);
        self.changed.notify_one();
        result
    }

    /// Waits until the store has changed since the last call.
    pub(crate) async fn wait_for_change(&self) {
        self.changed.notified().await;
    }

    /// Waits until the cluster ends.
    pub(crate) async fn wait_for_stop(&self) {
        // An error means that it was dropped, which is an end, too.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }

    /// Records a request. Above the limit the oldest is dropped.
    pub(crate) fn record_request(&self, request: String) {
        const MOST: usize = 10_000;
        let mut asked = lock(&self.asked);
        if asked.len() >= MOST {
            asked.pop_front();
        }
        asked.push_back(request);
    }

    pub(crate) fn framework_name(&self) -> Option<String> {
        lock(&self.framework_name).clone()
    }

    pub(crate) fn set_framework_name(&self, name: Option<&str>) {
        *lock(&self.framework_name) = name.map(str::to_owned);
    }

    /// Removes and returns the recorded requests.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        lock(&self.asked).drain(..).collect()
    }

    /// Enables a fault. False: there are too many.
    pub(crate) fn inject_fault(&self, rule: Rule) -> bool {
        let store = self.lock_store();
        if matches!(rule.fault, Fault::Lag { .. }) && self.faults.read_lag().is_none() {
            lock(&self.past).clear();
            self.remember_store(&store);
        }
        self.faults.add_rule(rule)
    }

    /// Returns the URL of the leader, or of the first member if there is none.
    pub(crate) fn leader_url(&self) -> &str {
        &self.members[self.leader.borrow().unwrap_or_default()]
    }

    /// Makes the `X-Marathon-Via` header of a member that forwards a request
    /// (`api/LeaderProxyFilter.scala`).
    pub(crate) fn via_header(&self, member: usize) -> String {
        format!("1.1 {}", self.members[member].trim_start_matches("http://"))
    }

    /// Sends an event that nothing has caused. Without a `timestamp` it is of this moment.
    pub(crate) fn send_event(&self, kind: String, mut body: Object) {
        let store = self.lock_store();
        body.entry("timestamp").or_insert_with(|| store.now().into());
        self.bus.publish_events(vec![Event::invented(kind, body)], &self.faults);
    }

    /// Sets the leader's clock ahead by so many milliseconds.
    pub(crate) fn set_clock(&self, offset: i64) {
        self.lock_store().set_clock(offset);
    }

    /// Makes `leader` the leader, or nobody. Streams end, and a new leader knows no results of
    /// health checks.
    pub(crate) fn set_leader(&self, leader: Option<usize>) {
        if leader.is_some() {
            self.update_store(Store::forget_health);
        }
        self.leader.send_replace(leader);
    }

    /// Makes the leader resign; after the time of an election the next member leads.
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

    /// Waits for a leader, as long as Marathon waits.
    pub(crate) async fn wait_for_leader(&self) -> Option<usize> {
        let mut terms = self.leader.subscribe();
        let elected =
            tokio::time::timeout(self.config.leader_wait, terms.wait_for(Option::is_some));
        elected.await.ok().and_then(Result::ok).and_then(|leader| *leader)
    }
}
