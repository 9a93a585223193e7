//! Named VIPs: what the controller asks of the address book, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{AppClaims, AppKey, Change, Controller};
use crate::label::LabelRefusal;
use crate::naming::{
    AddressBook, Changes, Families, NAME_STATES, NameFacts, NameRange, NamedClaim, Names, Rules,
    VipName,
};
use crate::{LabelReport, Observed, SourceId, Verdict};

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
        let mut book = std::mem::take(&mut self.names);
        let changes = self.with_rules(apps, |rules| {
            let named = apps.iter().map(|(key, app)| (key.clone(), app.map(|app| &*app.named)));
            book.update_apps(named, rules, now)
        });
        self.names = book;
        self.follow_changes(changes.unwrap_or_default(), is_told, now);
    }

    /// Tries again to give names what was refused before: every source was read now.
    pub(super) fn retry_names(&mut self, now: Duration) {
        let mut book = std::mem::take(&mut self.names);
        let changes = self.with_rules(&BTreeMap::new(), |rules| book.retry(rules, now));
        self.names = book;
        self.names_changed = true;
        self.follow_changes(changes.unwrap_or_default(), |_| false, now);
    }

    /// Moves the claims of all apps but those that are told of now to the new addresses of their names.
    fn follow_changes(
        &mut self,
        changes: Changes,
        is_told: impl Fn(&AppKey) -> bool,
        now: Duration,
    ) {
        let Changes { any, moves, placed } = changes;
        if !any && moves.is_empty() && placed.is_empty() {
            return;
        }
        self.names_changed = true;
        let listen: Vec<_> = self.listen_addresses().collect();
        self.touch_now(listen, now);
        for each in moves {
            let others = self.names.claimants(&each.name).filter(|key| !is_told(key));
            self.claims.move_name(&each, others);
            self.touch_now([each.from, each.to], now);
        }
        let apps = placed.iter().flat_map(|name| self.names.claimants(name));
        let waiting: BTreeSet<AppKey> = apps.filter(|key| !is_told(key)).cloned().collect();
        for key in waiting {
            let Some(mut app) = self.claims.waiting_app(&key) else { continue };
            self.place_app(&key, Some(&mut app));
            let (source, app_id) = key;
            let change = Change::Apps([(app_id, Some(app))].into());
            let (_, addresses) = self.claims.apply_change(&source, change);
            self.touch_now(addresses, now);
        }
    }

    /// Replaces an app's claims to names by claims to their addresses.
    fn place_app(&mut self, key: &AppKey, app: Option<&mut AppClaims>) {
        let named = app.as_ref().map(|app| &*app.named).unwrap_or_default();
        let (placed, unplaced) = self.names.place_claims(named);
        let mut reports: Vec<_> =
            unplaced.iter().filter_map(|claim| self.unplaced_report(&key.0, claim)).collect();
        // A label has a claim for each protocol of its port.
        reports.dedup();
        let before = match reports.is_empty() {
            true => self.unplaced.remove(key),
            false => self.unplaced.insert(key.clone(), reports),
        };
        let after = self.unplaced.get(key).map(Vec::as_slice).unwrap_or_default();
        self.news.extend(crate::label::changed_reports(&before.unwrap_or_default(), after));
        if let Some(app) = app {
            app.claims.extend(placed);
            app.named = unplaced;
        }
    }

    /// Makes the report on a label whose name has no address.
    fn unplaced_report(&self, source: &SourceId, claim: &NamedClaim) -> Option<LabelReport> {
        let is_in_range = |range: &NameRange| {
            claim.families == Families::default()
                || claim.families.iter().any(|family| range.has_family(family))
        };
        let claim = claim.unplaced();
        let name = claim.name.clone().filter(|_| !claim.superseded)?;
        let why = match &self.config.table.names {
            None => "names are not served on this node: [names] enabled = false".to_owned(),
            Some(settings) => {
                let prefixes: Vec<_> =
                    settings.range.prefixes().map(|prefix| prefix.to_string()).collect();
                let prefixes = prefixes.join(" and ");
                match is_in_range(&settings.range) {
                    true => format!(
                        "{name} gets no address: names.range, {prefixes}, has no free one near those \
                         that its hashes give"
                    ),
                    false => format!(
                        "{name} gets no address: names.range, {prefixes}, has no prefix of the family \
                         in which its tasks can be reached"
                    ),
                }
            }
        };
        let verdict = Verdict::refused(LabelRefusal::Unplaced(why));
        let source = self.has_several_sources().then(|| source.clone());
        Some(LabelReport {
            source,
            place: claim.label.clone(),
            vip: None,
            name: Some(name),
            verdict,
        })
    }

    /// Calls `act` with what the address book needs to know. `None` if names are not served. `told` are
    /// the apps that are told of now.
    fn with_rules<T>(
        &self,
        told: &BTreeMap<AppKey, Option<&AppClaims>>,
        act: impl FnOnce(Rules<'_>) -> T,
    ) -> Option<T> {
        let settings = self.config.table.names.as_ref()?;
        let mut told_vips: BTreeMap<IpAddr, Vec<&AppKey>> = BTreeMap::new();
        for (key, app) in told {
            for claim in app.iter().flat_map(|app| &app.claims) {
                told_vips.entry(claim.vip.address).or_default().push(key);
            }
        }
        let was_vip = |address| self.claims.has_unnamed_vip(address, |key| told.contains_key(key));
        let is_vip = |address: IpAddr, is_exempt: &dyn Fn(&AppKey) -> bool| {
            let mut now = told_vips.get(&address).into_iter().flatten();
            let is_told = |key: &AppKey| told.contains_key(key) || is_exempt(key);
            now.any(|key| !is_exempt(key)) || self.claims.has_unnamed_vip(address, is_told)
        };
        Some(act(Rules {
            settings,
            policy: &self.config.table.policy,
            is_complete: self.claims.is_complete(),
            is_vip: &is_vip,
            was_vip: &was_vip,
        }))
    }

    /// Restores the names that an earlier run knew. Must be called before any app is told of.
    pub fn restore_names(&mut self, known: &[NameFacts], now: Duration) {
        let mut book = AddressBook::default();
        self.with_rules(&BTreeMap::new(), |rules| book.restore(known, rules, now));
        self.names = book;
        self.remembers_names = !known.is_empty();
        self.names_changed = true;
    }

    /// Forgets the address of a name, so that the rules choose again. Returns whether it had one.
    pub fn reassign_name(&mut self, name: &VipName, now: Duration) -> bool {
        let mut book = std::mem::take(&mut self.names);
        let moves =
            self.with_rules(&BTreeMap::new(), |rules| book.reassign(name, rules, now)).flatten();
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

    /// Counts the names in each of [`NAME_STATES`].
    #[must_use]
    pub fn count_names(&self) -> BTreeMap<&'static str, usize> {
        let settings = self.config.table.names.as_ref();
        settings.map_or_else(
            || NAME_STATES.map(|state| (state, 0)).into(),
            |settings| self.names.count_states(settings),
        )
    }

    /// Lists the addresses at which each name has VIPs, as DNS answers them. Until every source was
    /// read completely, names that are remembered count too: their VIPs stay as long. `None` while
    /// nothing is known.
    #[must_use]
    pub fn served_names(&self) -> Option<BTreeMap<VipName, Vec<IpAddr>>> {
        let is_complete = self.claims.is_complete();
        let names = self.names.all_names().filter(|(_, lives, _)| *lives || !is_complete);
        let names = names.map(|(name, lives, addresses)| {
            let is_claimed = |address: &IpAddr| {
                let mut claims = self.claims.claims_on(*address);
                claims.any(|claim| claim.name.as_ref() == Some(name))
            };
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
        let named = |address: &IpAddr| Some((*address, self.name_at(*address)?.clone()));
        Names::new(self.config.table.names.as_ref(), addresses.iter().filter_map(named))
    }

    /// Returns the names of all addresses.
    pub(super) fn all_names(&self) -> Names {
        self.names_of(&self.names.addresses().collect())
    }

    /// Adds what the owners of names should know to the reports on their labels.
    pub(super) fn add_name_notes(&self, reports: &mut [LabelReport]) {
        for report in reports.iter_mut().filter(|report| report.verdict.is_ok()) {
            let Some(name) = &report.name else { continue };
            let note = self.with_rules(&BTreeMap::new(), |rules| self.names.note(name, rules));
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
        self.names.name_at(address, |address| self.claims.has_unnamed_vip(address, |_| false))
    }
}
