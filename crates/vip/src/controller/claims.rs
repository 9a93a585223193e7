//! The claims of all sources, by app and by VIP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::naming::{Move, NamedClaim};
use crate::{AppId, Claim, Condition, SourceId, Vip};

/// The claims of one app.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppClaims {
    /// The claims to VIPs.
    pub claims: Vec<Claim>,
    /// The claims to named VIPs. The controller gives them addresses and adds them to the others.
    pub named: Vec<NamedClaim>,
    /// The ids of the tasks that have not ended, whether they serve a VIP or not: they distinguish
    /// a real server that lost its label from one whose task is gone.
    pub alive: BTreeSet<Arc<str>>,
}

impl AppClaims {
    /// Combines claims with the tasks among their candidates that have not ended.
    #[must_use]
    pub fn new(claims: Vec<Claim>) -> Self {
        let candidates = claims.iter().flat_map(|claim| &claim.candidates);
        let alive = candidates.filter(|each| !matches!(each.condition, Condition::Terminal(_)));
        let alive = alive.map(|candidate| candidate.task.clone()).collect();
        Self { claims, named: Vec::new(), alive }
    }
}

/// News from a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The claims of these apps; `None` for an app that is gone.
    Apps(BTreeMap<AppId, Option<AppClaims>>),
    /// The end of a complete reading: there are no apps but these.
    Only(BTreeSet<AppId>),
}

/// The latest claims of each source.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    sources: BTreeMap<SourceId, Source>,
    /// In order, so that decisions don't depend on the order of arrival.
    by_vip: AppsByVip,
    /// VIPs that were claimed and are no longer, as long as that matters.
    pub(super) lapsed: BTreeSet<Vip>,
}

#[derive(Debug, Default)]
struct Source {
    complete: bool,
    lost: Option<String>,
    apps: BTreeMap<AppId, AppClaims>,
}

/// An app of a source: two sources may have apps of one name.
pub(crate) type AppKey = (SourceId, AppId);

impl Claims {
    pub(super) fn new(sources: impl IntoIterator<Item = SourceId>) -> Self {
        let sources = sources.into_iter().map(|id| (id, Source::default())).collect();
        Self { sources, by_vip: BTreeMap::new(), lapsed: BTreeSet::new() }
    }

    /// Tells whether every source was read completely at least once.
    pub(super) fn is_complete(&self) -> bool {
        self.sources.values().all(|source| source.complete)
    }

    /// Returns the sources that were not read completely yet.
    pub(super) fn awaited_sources(&self) -> impl Iterator<Item = &SourceId> {
        self.sources.iter().filter(|(_, source)| !source.complete).map(|(name, _)| name)
    }

    /// Returns the sources that are unreachable, with the reason.
    pub(super) fn lost_sources(&self) -> impl Iterator<Item = (&SourceId, &String)> {
        self.sources.iter().filter_map(|(name, source)| Some((name, source.lost.as_ref()?)))
    }

    /// Marks a source as unreachable. Its claims stay.
    pub(super) fn mark_lost(&mut self, source: SourceId, why: String) {
        self.sources.entry(source).or_default().lost = Some(why);
    }

    /// Applies a change. Returns the apps that differ, and the addresses that they claim or
    /// claimed.
    pub(super) fn apply_change(
        &mut self,
        id: &SourceId,
        change: Change,
    ) -> (BTreeSet<AppKey>, BTreeSet<IpAddr>) {
        let source = self.sources.entry(id.clone()).or_default();
        source.lost = None;
        let apps: BTreeMap<AppId, Option<AppClaims>> = match change {
            Change::Apps(apps) => apps,
            Change::Only(apps) => {
                source.complete = true;
                let gone = source.apps.keys().filter(|app| !apps.contains(*app));
                gone.map(|app| (app.clone(), None)).collect()
            }
        };
        let mut changed = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for (app, mut claims) in apps {
            for claim in claims.iter_mut().flat_map(|app| &mut app.claims) {
                claim.source.clone_from(id);
            }
            if source.apps.get(&app) == claims.as_ref() {
                continue;
            }
            let key = (id.clone(), app.clone());
            let wanted = vips(claims.as_ref());
            let before = match claims {
                Some(claims) => source.apps.insert(app, claims),
                None => source.apps.remove(&app),
            };
            let before = vips(before.as_ref());
            addresses.extend(before.iter().chain(&wanted).map(|vip| vip.address));
            for vip in before {
                if forget_key(&mut self.by_vip, &vip, &key) {
                    self.lapsed.insert(vip);
                }
            }
            for vip in wanted {
                self.lapsed.remove(&vip);
                note_key(&mut self.by_vip, vip, &key);
            }
            changed.insert(key);
        }
        (changed, addresses)
    }

    /// Returns the apps of a source that are not among these.
    pub(super) fn apps_beside(&self, source: &SourceId, apps: &BTreeSet<AppId>) -> Vec<AppId> {
        let known = self.sources.get(source).into_iter().flat_map(|source| source.apps.keys());
        known.filter(|app| !apps.contains(*app)).cloned().collect()
    }

    /// Moves the claims of these apps from the old address of a name to its new one.
    pub(super) fn move_name<'a>(
        &mut self,
        Move { name, from, to }: &Move,
        apps: impl Iterator<Item = &'a AppKey>,
    ) {
        for key @ (source, app) in apps {
            let app = self.sources.get_mut(source).and_then(|source| source.apps.get_mut(app));
            let claims = app.into_iter().flat_map(|app| &mut app.claims);
            for claim in claims.filter(|claim| claim.vip.address == *from) {
                if claim.name.as_ref() != Some(name) {
                    continue;
                }
                if forget_key(&mut self.by_vip, &claim.vip, key) {
                    self.lapsed.insert(claim.vip);
                }
                claim.vip.address = *to;
                self.lapsed.remove(&claim.vip);
                note_key(&mut self.by_vip, claim.vip, key);
            }
        }
    }

    /// Tells whether an app that isn't exempt claims a VIP by this address, without a name.
    pub(super) fn has_unnamed_vip(
        &self,
        address: IpAddr,
        is_exempt: impl Fn(&AppKey) -> bool,
    ) -> bool {
        let keys: BTreeSet<&AppKey> =
            self.by_vip.range(Vip::all_on(address)).flat_map(|(_, keys)| keys).collect();
        keys.into_iter().filter(|key| !is_exempt(key)).any(|key| {
            let mut claims = self.claims_of_app(key);
            claims.any(|claim| claim.vip.address == address && claim.name.is_none())
        })
    }

    /// Returns a copy of an app whose names have no address yet.
    pub(super) fn waiting_app(&self, (source, app): &AppKey) -> Option<AppClaims> {
        let app = self.sources.get(source)?.apps.get(app)?;
        (!app.named.is_empty()).then(|| app.clone())
    }

    /// Returns the claims of an app.
    pub(super) fn claims_of_app(&self, (source, app): &AppKey) -> impl Iterator<Item = &Claim> {
        let app = self.sources.get(source).and_then(|source| source.apps.get(app));
        app.into_iter().flat_map(|app| &app.claims)
    }

    /// Returns every claim.
    pub(super) fn all_claims(&self) -> impl Iterator<Item = &Claim> {
        let apps = self.sources.values().flat_map(|source| source.apps.values());
        apps.flat_map(|app| &app.claims)
    }

    /// Returns the VIPs that are claimed.
    pub(super) fn vips(&self) -> impl Iterator<Item = Vip> {
        self.by_vip.keys().copied()
    }

    /// Counts the tasks that could serve a VIP and have not ended. None: no app claims it.
    pub(super) fn count_tasks(&self, vip: &Vip) -> Option<usize> {
        self.by_vip.get(vip)?;
        let claims = self.claims_on(vip.address).filter(|claim| claim.vip == *vip);
        let candidates = claims.flat_map(|claim| &claim.candidates);
        let alive = candidates.filter(|each| !matches!(each.condition, Condition::Terminal(_)));
        Some(alive.count())
    }

    /// Returns the claims to one address.
    pub(super) fn claims_on(&self, address: IpAddr) -> impl Iterator<Item = &Claim> {
        let keys: BTreeSet<&AppKey> =
            self.by_vip.range(Vip::all_on(address)).flat_map(|(_, keys)| keys).collect();
        // Once for each app, however many VIPs it has there.
        let apps = keys.into_iter().filter_map(|(source, app)| self.sources[source].apps.get(app));
        apps.flat_map(|app| &app.claims).filter(move |claim| claim.vip.address == address)
    }

    /// Tells whether a task has ended for certain. Of the tasks of an app that is gone nothing is
    /// known: they may well run on for a while.
    pub(crate) fn task_has_ended(&self, source: &SourceId, app: &AppId, task: &str) -> bool {
        let app = self.sources.get(source).and_then(|source| source.apps.get(app));
        app.is_some_and(|app| !app.alive.contains(task))
    }
}

type AppsByVip = BTreeMap<Vip, Vec<AppKey>>;

fn note_key(by_vip: &mut AppsByVip, vip: Vip, key: &AppKey) {
    let keys = by_vip.entry(vip).or_default();
    if let Err(place) = keys.binary_search(key) {
        keys.insert(place, key.clone());
    }
}

/// Returns whether no app is left that claims the VIP.
fn forget_key(by_vip: &mut AppsByVip, vip: &Vip, key: &AppKey) -> bool {
    let Some(keys) = by_vip.get_mut(vip) else { return false };
    keys.retain(|other| other != key);
    let is_last = keys.is_empty();
    if is_last {
        by_vip.remove(vip);
    }
    is_last
}

/// Returns the VIPs that an app claims.
fn vips(app: Option<&AppClaims>) -> Vec<Vip> {
    app.into_iter().flat_map(|app| &app.claims).map(|claim| claim.vip).collect()
}
