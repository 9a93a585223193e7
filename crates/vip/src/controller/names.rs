//! Named VIPs: what the controller asks of the address book, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{AppClaims, AppKey, Change, Controller};
use crate::label::LabelRefusal;
use crate::naming::{AddressBook, NameFacts, Names, Rules, VipName};
use crate::{Claim, LabelReport, Observed, Policy, SourceId, Verdict};

impl Controller {
    /// Gives the names of a change their addresses: the claims to them become claims to VIPs.
    pub(super) fn place_names(
        &mut self,
        source: &SourceId,
        change: Change,
        now: Duration,
    ) -> Change {
        match change {
            Change::Apps(mut apps) => {
                let keyed = apps
                    .iter()
                    .map(|(app, claims)| ((source.clone(), app.clone()), claims.as_ref()));
                self.update_names(&keyed.collect(), now);
                for (app, claims) in &mut apps {
                    self.place_app(&(source.clone(), app.clone()), claims.as_mut());
                }
                Change::Apps(apps)
            }
            Change::Only(apps) => {
                let gone = self.claims.apps_beside(source, &apps).into_iter();
                let gone: BTreeMap<_, _> = gone.map(|app| ((source.clone(), app), None)).collect();
                self.update_names(&gone, now);
                for key in gone.keys() {
                    self.place_app(key, None);
                }
                Change::Only(apps)
            }
        }
    }

    /// Tells the address book what these apps claim, and moves the claims of others to the new
    /// addresses of their names.
    fn update_names(&mut self, apps: &BTreeMap<AppKey, Option<&AppClaims>>, now: Duration) {
        let is_told = |key: &AppKey| apps.get(key).is_some_and(Option::is_some);
        let is_named = |app: &AppClaims| !app.named.is_empty();
        if !apps.values().flatten().any(|app| is_named(app)) && !self.names.knows_any(apps.keys()) {
            return;
        }
        let claims = apps.values().flatten().flat_map(|app| &app.claims);
        let told: BTreeSet<IpAddr> = claims.map(|claim| claim.vip.address).collect();
        let mut book = std::mem::take(&mut self.names);
        let moves = self.with_rules(&told, |rules| {
            let named = apps.iter().map(|(key, app)| (key.clone(), app.map(|app| &*app.named)));
            book.update_apps(named, rules, now)
        });
        self.names = book;
        let (changed, moves) = moves.unwrap_or_default();
        self.names_changed |= changed;
        if changed {
            let listen: Vec<_> = self.listen_addresses().collect();
            self.touch_now(listen, now);
        }
        for each in moves {
            let others = self.names.claimants(&each.name).filter(|key| !is_told(key));
            self.claims.move_name(&each, others);
            self.touch_now([each.from, each.to], now);
        }
    }

    /// Replaces an app's claims to names by claims to their addresses.
    fn place_app(&mut self, key: &AppKey, app: Option<&mut AppClaims>) {
        let named = app.as_ref().map(|app| &*app.named).unwrap_or_default();
        let (placed, unplaced) = self.names.place_claims(named);
        let reports = unplaced.iter().filter_map(|claim| self.unplaced_report(claim));
        let reports: Vec<_> = reports.collect();
        let before = match reports.is_empty() {
            true => self.unplaced.remove(key),
            false => self.unplaced.insert(key.clone(), reports),
        };
        let after = self.unplaced.get(key).map(Vec::as_slice).unwrap_or_default();
        self.news.extend(crate::label::changed_reports(&before.unwrap_or_default(), after));
        if let Some(app) = app {
            app.claims.extend(placed);
            app.named = Vec::new();
        }
    }

    /// Makes the report on a label whose name has no address.
    fn unplaced_report(&self, claim: &Claim) -> Option<LabelReport> {
        let name = claim.name.clone().filter(|_| !claim.superseded)?;
        let why = match &self.config.table.names {
            None => "names are not served on this node: [names] enabled = false".to_owned(),
            Some(settings) => {
                let prefixes: Vec<_> =
                    settings.range.prefixes().map(|prefix| prefix.to_string()).collect();
                let prefixes = prefixes.join(" and ");
                format!("{name} gets no address: names.range, {prefixes}, has none left for it")
            }
        };
        let verdict = Verdict::refused(LabelRefusal::Unplaced(why));
        Some(LabelReport { place: claim.label.clone(), vip: None, name: Some(name), verdict })
    }

    /// Calls `act` with what the address book needs to know. `None` if names are not served. `told` are
    /// the addresses of VIPs without a name that are told of now.
    fn with_rules<T>(
        &self,
        told: &BTreeSet<IpAddr>,
        act: impl FnOnce(Rules<'_>) -> T,
    ) -> Option<T> {
        let was_vip = |address| self.claims.has_unnamed_vip(address);
        let is_vip = |address| told.contains(&address) || was_vip(address);
        let settings = self.config.table.names.as_ref()?;
        let policy: &Policy = &self.config.table.policy;
        Some(act(Rules { settings, policy, is_vip: &is_vip, was_vip: &was_vip }))
    }

    /// Restores the names that an earlier run knew. Must be called before any app is told of.
    pub fn restore_names(&mut self, known: &[NameFacts], now: Duration) {
        let mut book = AddressBook::default();
        self.with_rules(&BTreeSet::new(), |rules| book.restore(known, rules, now));
        self.names = book;
        self.remembers_names = !known.is_empty();
        self.names_changed = true;
    }

    /// Forgets the address of a name, so that the rules choose again. Returns whether it had one.
    pub fn reassign_name(&mut self, name: &VipName, now: Duration) -> bool {
        let mut book = std::mem::take(&mut self.names);
        let moves =
            self.with_rules(&BTreeSet::new(), |rules| book.reassign(name, rules, now)).flatten();
        self.names = book;
        self.names_changed |= moves.is_some();
        for each in moves.iter().flatten() {
            let apps = self.names.claimants(name);
            self.claims.move_name(each, apps);
            self.touch_now([each.from, each.to], now);
        }
        moves.is_some()
    }

    /// Lists the names with their addresses.
    #[must_use]
    pub fn name_facts(&self, now: Duration) -> Vec<NameFacts> {
        let settings = self.config.table.names.as_ref();
        settings.map(|settings| self.names.facts(settings, now)).unwrap_or_default()
    }

    /// Lists the addresses at which each name has VIPs, as DNS answers them. Until every source was
    /// read completely, names that are remembered count too: their VIPs stay as long. `None` while
    /// nothing is known.
    #[must_use]
    pub fn served_names(&self) -> Option<BTreeMap<VipName, Vec<IpAddr>>> {
        let is_complete = self.claims.is_complete();
        let is_claimed = |address: &IpAddr| self.claims.claims_on(*address).next().is_some();
        let names = self.names.all_names().filter(|(_, lives, _)| *lives || !is_complete);
        let names = names.map(|(name, lives, addresses)| {
            let addresses = addresses.filter(|address| !lives || is_claimed(address));
            (name.clone(), addresses.collect())
        });
        (is_complete || self.remembers_names).then(|| names.collect())
    }

    /// Returns the addresses and ports at which the name server answers: none while no name is known,
    /// unless it forwards queries, and none that another interface of the node has.
    pub(super) fn listeners(&self, observed: &Observed) -> BTreeSet<SocketAddr> {
        let Some(settings) = &self.config.table.names else { return BTreeSet::new() };
        if !settings.forward && self.names.is_empty() {
            return BTreeSet::new();
        }
        let is_free = |at: &&SocketAddr| !observed.node.own.contains(&at.ip());
        settings.listen.iter().filter(is_free).copied().collect()
    }

    /// Returns the addresses at which the name server may answer.
    pub(super) fn listen_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let settings = self.config.table.names.iter();
        settings.flat_map(|settings| settings.listen.iter().map(SocketAddr::ip))
    }

    /// Tells whether the names, their addresses or their apps changed since the last call.
    pub fn take_names_changed(&mut self) -> bool {
        std::mem::take(&mut self.names_changed)
    }

    /// Returns the names of these addresses.
    pub(super) fn names_of(&self, addresses: &BTreeSet<IpAddr>) -> Names {
        let named = |address: &IpAddr| Some((*address, self.names.name_at(*address)?.clone()));
        Names::new(self.config.table.names.as_ref(), addresses.iter().filter_map(named))
    }

    /// Returns the names of all addresses.
    pub(super) fn all_names(&self) -> Names {
        Names::new(self.config.table.names.as_ref(), self.names.all_holders())
    }

    /// Adds what the owners of names should know to the reports on their labels.
    pub(super) fn add_name_notes(&self, reports: &mut [LabelReport]) {
        for report in reports.iter_mut().filter(|report| report.verdict.is_ok()) {
            let Some(name) = &report.name else { continue };
            let note = self.with_rules(&BTreeSet::new(), |rules| self.names.note(name, rules));
            if let Some(note) = note.flatten() {
                report.verdict = match report.verdict.reason() {
                    Some(reason) => Verdict::Noted(format!("{reason}; {note}")),
                    None => Verdict::Noted(note),
                };
            }
        }
    }

    /// Returns the name of an address, for the log.
    pub(super) fn name_at(&self, address: IpAddr) -> Option<&VipName> {
        self.names.name_at(address)
    }
}
