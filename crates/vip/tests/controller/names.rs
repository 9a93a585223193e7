//! Named VIPs: which address a name has, and who may have it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;
use vip::controller::{AppClaims, Change, Config, Decision, Input};
use vip::naming::{
    Choice, Families, KEPT, NameFacts, NameRange, NameSettings, NamedClaim, Pins, VipName,
};
use vip::{AppId, Controller, Desired, Observed, Policy, Protocol, TableSettings, Verdict, Ways};

use crate::world::claim;

/// A node with its memory.
struct Node {
    controller: Controller,
    settings: NameSettings,
    now: Duration,
}

/// What an app asks for: its id, the labels before `:80`, and an address for them.
struct Ask<'a> {
    app: &'a str,
    names: &'a [&'a str],
    pin: Option<&'a str>,
}

fn name(label: &str) -> VipName {
    VipName::new(label, "marathon", 0).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn settings(range: &str) -> NameSettings {
    let range = NameRange::new(&[range.parse().unwrap()]).unwrap();
    NameSettings::new(range, vec!["vip.example".to_owned()]).unwrap()
}

fn claims(ask: &Ask<'_>) -> AppClaims {
    let named = ask.names.iter().map(|label| {
        let port = 80.try_into().unwrap();
        NamedClaim::new(name(label), Families::V4, (port, Protocol::Tcp), |vip| {
            let mut claim = claim(vip, ask.app, &[]);
            if let Some(IpAddr::V4(pin)) = ask.pin.map(ip) {
                claim.options.pins = Pins { v4: Some(pin), v6: None };
            }
            claim
        })
    });
    AppClaims { named: named.collect(), ..AppClaims::default() }
}

/// An app with a VIP that has no name.
fn unnamed(app: &str, at: &str) -> AppClaims {
    AppClaims { claims: vec![claim(crate::world::vip(at), app, &[])], ..AppClaims::default() }
}

impl Node {
    fn new(range: &str) -> Self {
        Self::with_memory(range, &[])
    }

    fn with_memory(range: &str, memory: &[NameFacts]) -> Self {
        let settings = settings(range);
        let table = TableSettings { names: Some(settings.clone()), ..TableSettings::default() };
        let mut controller = Controller::new(Config { table, ..Config::default() });
        controller.restore_names(memory, Duration::ZERO);
        // Every source was read.
        let change = Change::Only(BTreeSet::new());
        controller.handle_input(Input::Claims { source: "m".into(), change }, Duration::ZERO);
        Self { controller, settings, now: Duration::ZERO }
    }

    /// A node without memory that is told which sources there are, and has read none.
    fn unread(range: &str) -> Self {
        let settings = settings(range);
        let table = TableSettings { names: Some(settings.clone()), ..TableSettings::default() };
        let sources = ["m".into()].into();
        let controller = Controller::new(Config { table, sources, ..Config::default() });
        Self { controller, settings, now: Duration::ZERO }
    }

    /// A node without memory that has not read every source yet.
    fn with_policy(range: &str, policy: Policy) -> Self {
        let settings = settings(range);
        let names = Some(settings.clone());
        let table = TableSettings { policy, names, ..TableSettings::default() };
        let controller = Controller::new(Config { table, ..Config::default() });
        Self { controller, settings, now: Duration::ZERO }
    }

    fn tell(&mut self, apps: Vec<(&str, Option<AppClaims>)>) {
        let apps = apps.into_iter().map(|(app, claims)| (AppId::from(app), claims));
        let change = Change::Apps(apps.collect());
        self.controller.handle_input(Input::Claims { source: "m".into(), change }, self.now);
    }

    fn ask(&mut self, asks: &[Ask<'_>]) {
        self.tell(asks.iter().map(|ask| (ask.app, Some(claims(ask)))).collect());
    }

    fn memory(&self) -> Vec<NameFacts> {
        self.controller.name_facts(self.now)
    }

    fn facts_of(&self, label: &str) -> NameFacts {
        self.memory().into_iter().find(|facts| facts.name == name(label)).unwrap()
    }

    fn address_of(&self, label: &str) -> IpAddr {
        *self.facts_of(label).addresses.first().unwrap()
    }

    fn base_of(&self, label: &str) -> IpAddr {
        self.settings.range.base_address(&name(label), vip::Family::Inet).unwrap()
    }

    /// Where each name is.
    fn table(&self) -> BTreeMap<VipName, BTreeSet<IpAddr>> {
        self.memory().into_iter().map(|facts| (facts.name, facts.addresses)).collect()
    }

    fn decide(self) -> Desired {
        let ways = |_: &_| Ok::<_, std::convert::Infallible>(Ways::default());
        let Ok(Decision { desired, .. }) = self.controller.decide_once(Observed::default(), ways);
        desired
    }
}

/// Two labels whose names have one address in a range.
fn colliding(node: &Node) -> (String, String) {
    let mut known: BTreeMap<IpAddr, String> = BTreeMap::new();
    for number in 0.. {
        let label = format!("app{number}");
        if let Some(other) = known.insert(node.base_of(&label), label.clone()) {
            let mut both = [other, label];
            both.sort();
            let [first, second] = both;
            return (first, second);
        }
    }
    unreachable!()
}

#[test]
fn a_name_has_the_address_of_its_hash_and_all_its_ports_there() {
    let mut node = Node::new("11.0.0.0/8");
    node.ask(&[Ask { app: "/mysql", names: &["/mysql", "MySQL"], pin: None }]);
    assert_eq!(node.address_of("mysql"), ip("11.91.210.154"));
    let desired = node.decide();
    let vips: Vec<_> = desired.services.keys().map(ToString::to_string).collect();
    assert_eq!(vips, ["11.91.210.154:80/tcp"]);
    assert_eq!(
        desired.names.dns_name_at(ip("11.91.210.154")).as_deref(),
        Some("mysql.marathon.vip.example")
    );
}

#[test]
fn the_loser_of_a_collision_gets_the_next_address_and_both_are_told() {
    let mut node = Node::new("10.0.0.0/24");
    let (first, second) = colliding(&node);
    let base = node.base_of(&first);
    node.ask(&[
        Ask { app: "/a", names: &[&second], pin: None },
        Ask { app: "/b", names: &[&first], pin: None },
    ]);
    assert_eq!(node.address_of(&first), base);
    assert_eq!(Some(node.address_of(&second)), node.settings.range.address_after(base));
    assert_eq!(node.facts_of(&second).choice, Choice::Displaced { by: name(&first) });
    let counts = node.controller.count_names();
    assert_eq!((counts["hash"], counts["displaced"], counts["kept"]), (1, 1, 0));
    let desired = node.decide();
    let notes: Vec<_> = desired.reports.iter().filter_map(|each| each.verdict.reason()).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    let both = [&first, &second].map(|label| name(label).to_string());
    assert!(both.iter().all(|each| notes[0].contains(each)), "{notes:?}");
    assert!(notes[0].contains("IPVS_ADDRESS"), "{notes:?}");
}

#[test]
fn the_owner_of_an_address_leaves_and_nobody_moves() {
    let mut node = Node::new("10.0.0.0/24");
    let (first, second) = colliding(&node);
    node.ask(&[Ask { app: "/a", names: &[&first], pin: None }]);
    node.ask(&[Ask { app: "/b", names: &[&second], pin: None }]);
    let table = node.table();
    node.tell(vec![("/a", None)]);
    assert_eq!(node.table(), table);
    // Nor after a restart, and its address is kept for it alone.
    let mut node = Node::with_memory("10.0.0.0/24", &node.memory());
    node.ask(&[Ask { app: "/b", names: &[&second], pin: None }]);
    assert_eq!(node.table(), table);
    node.now = KEPT + Duration::from_secs(1);
    node.ask(&[Ask { app: "/c", names: &["other"], pin: None }]);
    assert!(!node.table().contains_key(&name(&first)));
    assert_eq!(node.facts_of(&second).choice, Choice::Remembered);
    assert!(node.controller.reassign_name(&name(&second), node.now));
    assert_eq!(node.address_of(&second), node.base_of(&second));
}

#[test]
fn a_pin_beats_all_but_another_living_name_and_a_vip_without_a_name() {
    let mut node = Node::new("10.0.0.0/24");
    let taken = node.base_of("db").to_string();
    let free = node.settings.range.address_after(node.base_of("db")).unwrap().to_string();
    node.ask(&[Ask { app: "/db", names: &["db"], pin: None }]);
    node.tell(vec![("/plain", Some(unnamed("/plain", "10.0.0.9:80")))]);
    for refused in [taken.as_str(), "10.0.0.9", "192.0.2.1"] {
        node.ask(&[Ask { app: "/web", names: &["web"], pin: Some(refused) }]);
        assert_ne!(node.address_of("web").to_string(), refused);
    }
    node.ask(&[Ask { app: "/web", names: &["web"], pin: Some(&free) }]);
    assert_eq!(node.address_of("web").to_string(), free);
    assert_eq!(node.facts_of("web").choice, Choice::Pinned);
    // The address that it had is kept for it, and given to nobody.
    node.ask(&[Ask { app: "/web", names: &["web"], pin: None }]);
    assert_eq!(node.address_of("web").to_string(), free);
}

#[test]
fn a_refused_pin_is_reported_with_the_name_that_has_the_address() {
    let mut node = Node::new("10.0.0.0/24");
    let taken = node.base_of("db").to_string();
    node.ask(&[
        Ask { app: "/db", names: &["db"], pin: None },
        Ask { app: "/web", names: &["web"], pin: Some(&taken) },
    ]);
    // A pin chooses before a hash does.
    assert_eq!(node.address_of("web").to_string(), taken);
    let mut node = Node::with_memory("10.0.0.0/24", &[]);
    node.ask(&[Ask { app: "/db", names: &["db"], pin: None }]);
    node.ask(&[Ask { app: "/web", names: &["web"], pin: Some(&taken) }]);
    let desired = node.decide();
    let note = desired.reports.iter().find_map(|each| each.verdict.reason()).unwrap();
    assert!(note.contains("db.marathon") && note.contains(&taken), "{note}");
}

#[test]
fn a_vip_without_a_name_on_the_address_of_a_name_is_refused_and_never_joined() {
    let mut node = Node::new("11.0.0.0/8");
    node.tell(vec![
        ("/mysql", Some(claims(&Ask { app: "/mysql", names: &["mysql"], pin: None }))),
        ("/thief", Some(unnamed("/thief", "11.91.210.154:80"))),
    ]);
    let desired = node.decide();
    assert_eq!(desired.services.len(), 1);
    let [service] = [&desired.services[&crate::world::vip("11.91.210.154:80")]];
    assert_eq!(service.apps.iter().map(|app| &**app).collect::<Vec<_>>(), ["/mysql"]);
    let refused: Vec<_> = desired
        .reports
        .iter()
        .filter(|each| matches!(each.verdict, Verdict::Refused(_)))
        .map(ToString::to_string)
        .collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    for word in ["/thief", "mysql.marathon", "/mysql"] {
        assert!(refused[0].contains(word), "{word}: {refused:?}");
    }
}

#[test]
fn a_new_name_does_not_take_the_address_of_a_vip_that_is_served() {
    let mut node = Node::new("11.0.0.0/8");
    node.tell(vec![("/old", Some(unnamed("/old", "11.91.210.154:80")))]);
    node.ask(&[Ask { app: "/mysql", names: &["mysql"], pin: None }]);
    assert_eq!(node.address_of("mysql"), ip("11.91.210.155"));
    assert_eq!(node.decide().services.len(), 2);
}

#[test]
fn a_range_that_is_full_refuses_with_words_and_loses_nothing() {
    let mut node = Node::new("10.0.0.0/30");
    let labels: Vec<_> = (0..9).map(|number| format!("app{number}")).collect();
    for label in &labels {
        node.ask(&[Ask { app: label, names: &[label], pin: None }]);
    }
    assert_eq!(node.table().len(), 4);
    let desired = node.decide();
    assert_eq!(desired.services.len(), 4);
    let refused = desired.reports.iter().filter(|each| !each.verdict.is_ok());
    let refused: Vec<_> = refused.map(ToString::to_string).collect();
    assert_eq!(refused.len(), 5);
    assert!(refused.iter().all(|each| each.contains("10.0.0.0/30")), "{refused:?}");
}

#[test]
fn names_need_no_vip_allow_and_no_other_app_gets_in_by_them() {
    let policy = Policy { allow: vec!["3.0.0.0/8".parse().unwrap()], ..Policy::default() };
    let mut node = Node::with_policy("11.0.0.0/8", policy);
    node.tell(vec![
        ("/mysql", Some(claims(&Ask { app: "/mysql", names: &["mysql"], pin: None }))),
        ("/other", Some(unnamed("/other", "11.1.2.3:80"))),
    ]);
    let desired = node.decide();
    assert_eq!(desired.services.len(), 1);
    assert!(desired.reports.iter().any(|each| each.to_string().contains("vip.allow")));
}

#[test]
fn without_settings_a_name_is_refused() {
    let controller = Controller::new(Config::default());
    let mut node = Node { controller, settings: settings("10.0.0.0/24"), now: Duration::ZERO };
    node.ask(&[Ask { app: "/mysql", names: &["mysql"], pin: None }]);
    let desired = node.decide();
    assert!(desired.services.is_empty());
    assert!(desired.reports[0].to_string().contains("[names] enabled = false"));
}

#[test]
fn an_app_that_shares_a_name_cannot_move_it() {
    let mut node = Node::new("10.0.0.0/24");
    node.ask(&[Ask { app: "/shop/db", names: &["mysql"], pin: None }]);
    let before = node.table();
    node.ask(&[Ask { app: "/0evil", names: &["mysql"], pin: Some("10.0.0.77") }]);
    assert_eq!(node.table(), before);
    let desired = node.decide();
    let notes: Vec<_> = desired.reports.iter().filter_map(|each| each.verdict.reason()).collect();
    assert!(notes.iter().all(|note| note.contains("claims the name too")), "{notes:?}");
    assert_eq!(notes.len(), 2);
}

#[test]
fn a_name_that_the_policy_refuses_keeps_no_vip_out() {
    let owner =
        [("11.91.0.0/16".parse().unwrap(), vip::policy::Reservation::AnySource("/shop".into()))];
    let policy = Policy { owner: owner.into(), ..Policy::default() };
    let mut node = Node::with_policy("11.0.0.0/8", policy);
    node.tell(vec![
        ("/evil", Some(claims(&Ask { app: "/evil", names: &["mysql"], pin: None }))),
        ("/shop", Some(unnamed("/shop", "11.91.210.154:80"))),
    ]);
    let desired = node.decide();
    let [service] = desired.services.values().collect::<Vec<_>>()[..] else {
        panic!("{desired:?}")
    };
    assert_eq!(service.apps.iter().map(|app| &**app).collect::<Vec<_>>(), ["/shop"]);
}

#[test]
fn an_app_may_turn_its_own_vip_into_a_name_at_the_same_address() {
    let mut node = Node::new("10.0.0.0/24");
    node.tell(vec![("/web", Some(unnamed("/web", "10.0.0.77:80")))]);
    node.ask(&[Ask { app: "/web", names: &["web"], pin: Some("10.0.0.77") }]);
    assert_eq!(node.address_of("web"), ip("10.0.0.77"));
}

#[test]
fn a_name_gets_the_address_that_it_was_refused_once_that_is_free() {
    let mut node = Node::new("10.0.0.0/30");
    let labels: Vec<_> = (0..5).map(|number| format!("app{number}")).collect();
    for label in &labels {
        node.ask(&[Ask { app: label, names: &[label], pin: None }]);
    }
    assert!(!node.table().contains_key(&name("app4")));
    node.tell(vec![("app0", None)]);
    node.now = KEPT + Duration::from_secs(1);
    // Another app's news are reason enough to try again.
    node.ask(&[Ask { app: "app1", names: &["app1"], pin: None }]);
    assert!(node.table().contains_key(&name("app4")));
    let desired = node.decide();
    assert_eq!(desired.services.len(), 4);
    assert!(desired.reports.iter().all(|each| each.verdict.is_ok()), "{:?}", desired.reports);
}

#[test]
fn a_pin_waits_for_every_source() {
    let settings = settings("10.0.0.0/24");
    let table = TableSettings { names: Some(settings.clone()), ..TableSettings::default() };
    let sources = ["m".into(), "n".into()].into();
    let controller = Controller::new(Config { table, sources, ..Config::default() });
    let mut node = Node { controller, settings, now: Duration::ZERO };
    let only = |node: &mut Node, source: &str, apps: &[&str]| {
        let change = Change::Only(apps.iter().map(|app| AppId::from(*app)).collect());
        node.controller.handle_input(Input::Claims { source: source.into(), change }, node.now);
    };
    node.ask(&[Ask { app: "/web", names: &["web"], pin: Some("10.0.0.77") }]);
    only(&mut node, "m", &["/web"]);
    assert_ne!(node.address_of("web"), ip("10.0.0.77"));
    let plain = [(AppId::from("/plain"), Some(unnamed("/plain", "10.0.0.78:80")))];
    let change = Change::Apps(plain.into());
    node.controller.handle_input(Input::Claims { source: "n".into(), change }, node.now);
    only(&mut node, "n", &["/plain"]);
    assert_eq!(node.address_of("web"), ip("10.0.0.77"));
}

#[test]
fn names_that_are_pinned_to_each_others_addresses_have_them_from_the_start() {
    // As DC/OS had them, where the second came before the first.
    let (first, second) = colliding(&Node::new("10.0.0.0/24"));
    let mut node = Node::unread("10.0.0.0/24");
    let base = node.base_of(&first);
    let next = node.settings.range.address_after(base).unwrap();
    let (base_text, next_text) = (base.to_string(), next.to_string());
    node.ask(&[
        Ask { app: "/a", names: &[&first], pin: Some(&next_text) },
        Ask { app: "/b", names: &[&second], pin: Some(&base_text) },
    ]);
    let change = Change::Only(["/a".into(), "/b".into()].into());
    node.controller.handle_input(Input::Claims { source: "m".into(), change }, node.now);
    assert_eq!((node.address_of(&first), node.address_of(&second)), (next, base));
    assert_eq!(node.facts_of(&first).choice, Choice::Pinned);
    assert_eq!(node.facts_of(&second).choice, Choice::Pinned);
}

/// The cure of a collision that the documents give: it leaves all nodes with the same addresses.
#[test]
fn the_other_of_two_that_collide_has_its_own_address_where_one_is_pinned_elsewhere() {
    let (first, second) = colliding(&Node::new("10.0.0.0/24"));
    for (pinned, other) in [(&first, &second), (&second, &first)] {
        let mut node = Node::unread("10.0.0.0/24");
        let base = node.base_of(pinned);
        let elsewhere = (0..9).fold(base, |at, _| node.settings.range.address_after(at).unwrap());
        node.ask(&[
            Ask { app: "/a", names: &[pinned], pin: Some(&elsewhere.to_string()) },
            Ask { app: "/b", names: &[other], pin: None },
        ]);
        let change = Change::Only(["/a".into(), "/b".into()].into());
        node.controller.handle_input(Input::Claims { source: "m".into(), change }, node.now);
        assert_eq!((node.address_of(pinned), node.address_of(other)), (elsewhere, base));
    }
}

#[test]
fn a_vip_without_a_name_on_an_address_that_is_kept_stays_when_the_name_returns() {
    let mut node = Node::new("10.0.0.0/24");
    node.ask(&[Ask { app: "/db", names: &["db"], pin: None }]);
    let address = node.address_of("db");
    node.tell(vec![("/db", None)]);
    node.tell(vec![("/plain", Some(unnamed("/plain", &format!("{address}:80"))))]);
    node.ask(&[Ask { app: "/db", names: &["db"], pin: None }]);
    assert_ne!(node.address_of("db"), address);
    assert_eq!(node.decide().services.len(), 2);
}

/// Twenty thousand names: what a change of one costs doesn't grow with them, and none is lost.
#[test]
fn twenty_thousand_names_have_twenty_thousand_addresses() {
    let mut node = Node::new("11.0.0.0/8");
    let labels: Vec<_> = (0..20_000).map(|number| format!("app{number}")).collect();
    let apps = labels.iter().map(|label| {
        (label.as_str(), Some(claims(&Ask { app: label, names: &[label], pin: None })))
    });
    node.tell(apps.collect());
    let addresses: BTreeSet<_> = node.table().into_values().flatten().collect();
    assert_eq!(addresses.len(), 20_000);
}

/// Steps in the life of a cluster with a small range, so that names collide all the time.
#[derive(Debug, Clone)]
enum Step {
    Claim { app: usize, label: usize, pin: Option<u8> },
    Leave { app: usize },
    Restart,
    Pass(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..8_usize, 0..12_usize, proptest::option::weighted(0.2, any::<u8>()))
            .prop_map(|(app, label, pin)| Step::Claim { app, label, pin }),
        3 => (0..8_usize).prop_map(|app| Step::Leave { app }),
        1 => Just(Step::Restart),
        1 => (0..100_000_u32).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    /// Of names that come together, the order in which they are told doesn't matter.
    #[test]
    fn nodes_without_memory_agree(labels in proptest::collection::vec("[a-z]{1,3}", 1..60)) {
        let labels: BTreeSet<_> = labels.into_iter().collect();
        let tell = |apps: Vec<&String>| {
            let mut node = Node::new("10.0.0.0/25");
            let asks = apps.iter().map(|label| {
                (label.as_str(), Some(claims(&Ask { app: label, names: &[label], pin: None })))
            });
            node.tell(asks.collect());
            node.table()
        };
        prop_assert_eq!(tell(labels.iter().collect()), tell(labels.iter().rev().collect()));
    }

    /// Whatever happens, no two living names share an address, and no name moves unless its own label
    /// pins it.
    #[test]
    fn no_address_passes_from_one_living_name_to_another(steps in steps()) {
        let mut node = Node::new("10.0.0.0/28");
        let mut apps: BTreeMap<usize, (usize, Option<u8>)> = BTreeMap::new();
        for step in steps {
            let before = node.table();
            let living: BTreeSet<_> = apps.values().map(|(label, _)| *label).collect();
            match step {
                Step::Claim { app, label, pin } => {
                    let address = pin.map(|pin| format!("10.0.0.{}", pin % 16));
                    let (app_id, label_text) = (format!("/{app}"), format!("n{label}"));
                    let names = [label_text.as_str()];
                    node.ask(&[Ask { app: &app_id, names: &names, pin: address.as_deref() }]);
                    apps.insert(app, (label, pin));
                }
                Step::Leave { app } => {
                    node.tell(vec![(&format!("/{app}"), None)]);
                    apps.remove(&app);
                }
                Step::Restart => {
                    node = Node::with_memory("10.0.0.0/28", &node.memory());
                    let asks = apps.iter().map(|(app, (label, pin))| {
                        let pin = pin.map(|pin| format!("10.0.0.{}", pin % 16));
                        (format!("/{app}"), format!("n{label}"), pin)
                    });
                    let asks: Vec<_> = asks.collect();
                    let told = asks.iter().map(|(app, label, pin)| {
                        let names = [label.as_str()];
                        (app.as_str(), Some(claims(&Ask { app, names: &names, pin: pin.as_deref() })))
                    });
                    node.tell(told.collect());
                    // A pin that was refused may be free to have now.
                    continue;
                }
                Step::Pass(seconds) => node.now += Duration::from_secs(seconds.into()),
            }
            let after = node.table();
            let mut seen: BTreeMap<IpAddr, &VipName> = BTreeMap::new();
            for (each, addresses) in &after {
                for address in addresses {
                    prop_assert_eq!(seen.insert(*address, each), None, "{}", address);
                }
            }
            let still: BTreeSet<_> = apps.values().map(|(label, _)| *label).collect();
            // A pin that was refused may be obeyed once the address is free.
            let is_pinned =
                |label: usize| apps.values().any(|(each, pin)| *each == label && pin.is_some());
            for label in living.intersection(&still).filter(|label| !is_pinned(**label)) {
                let name = name(&format!("n{label}"));
                prop_assert_eq!(before.get(&name), after.get(&name), "{}", name);
            }
        }
    }
}
