//! The latest decision about each virtual address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::nft::pairs_of;
use crate::{Desired, DesiredService, LabelReport, Vip};

/// The latest decision about each address, including draining servers.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    services: BTreeMap<Vip, DesiredService>,
    /// The source of the node's own connections, by virtual address.
    sources: BTreeMap<IpAddr, IpAddr>,
    /// The path MTU of the node's own connections, by virtual address.
    mtus: BTreeMap<IpAddr, u32>,
    /// The sources that nftables translates to, by virtual address and real server.
    translated: BTreeMap<(IpAddr, IpAddr), IpAddr>,
    /// The reports on labels, by virtual address.
    reports: BTreeMap<IpAddr, Vec<LabelReport>>,
}

impl Decided {
    /// Forgets these addresses. Returns the reports on their labels.
    pub(super) fn forget_addresses(&mut self, addresses: &BTreeSet<IpAddr>) -> Vec<LabelReport> {
        let mut reports = Vec::new();
        for address in addresses {
            reports.extend(self.reports.remove(address).into_iter().flatten());
            self.sources.remove(address);
            self.mtus.remove(address);
            let pairs = self.translated.range(pairs_of(*address)).map(|(pair, _)| *pair);
            for pair in pairs.collect::<Vec<_>>() {
                self.translated.remove(&pair);
            }
            let vips = self.services_on(*address).map(|(vip, _)| *vip);
            for vip in vips.collect::<Vec<_>>() {
                self.services.remove(&vip);
            }
        }
        reports
    }

    /// Adds the decision about addresses that were forgotten.
    pub(super) fn add_desired(&mut self, desired: Desired) {
        self.services.extend(desired.services);
        self.sources.extend(desired.sources);
        self.mtus.extend(desired.mtus);
        self.translated.extend(desired.translated);
        let mut reports: BTreeMap<IpAddr, Vec<LabelReport>> = BTreeMap::new();
        for report in desired.reports {
            let Some(vip) = report.vip else { continue };
            reports.entry(vip.address).or_default().push(report);
        }
        // Shrunk, as there are one or two reports for each of many addresses.
        self.reports.extend(reports.into_iter().map(|(address, mut reports)| {
            reports.shrink_to_fit();
            (address, reports)
        }));
    }

    /// Moves all decisions into `base`.
    pub(super) fn into_desired(self, base: Desired) -> Desired {
        let reports = self.reports.into_values().flatten().collect();
        let Self { services, sources, mtus, translated, .. } = self;
        Desired { services, sources, mtus, translated, reports, ..base }
    }

    pub(crate) fn service(&self, vip: &Vip) -> Option<&DesiredService> {
        self.services.get(vip)
    }

    /// Returns the services on an address.
    pub(super) fn services_on(
        &self,
        address: IpAddr,
    ) -> impl Iterator<Item = (&Vip, &DesiredService)> {
        self.services.range(Vip::all_on(address))
    }

    /// Returns the services on an address, to be changed.
    pub(super) fn services_on_mut(
        &mut self,
        address: IpAddr,
    ) -> impl Iterator<Item = (&Vip, &mut DesiredService)> {
        self.services.range_mut(Vip::all_on(address))
    }

    pub(super) fn all_services(&self) -> &BTreeMap<Vip, DesiredService> {
        &self.services
    }

    pub(super) fn services(&self) -> impl Iterator<Item = (&Vip, &DesiredService)> {
        self.services.iter()
    }

    /// Returns the source of the node's own connections to each address that has one.
    pub(super) fn sources(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        self.sources.iter().map(|(address, source)| (*address, *source))
    }

    /// Returns the path MTU of the node's own connections to each address that has one.
    pub(super) fn mtus(&self) -> impl Iterator<Item = (IpAddr, u32)> {
        self.mtus.iter().map(|(address, mtu)| (*address, *mtu))
    }

    /// Returns the sources that nftables translates to.
    pub(super) fn translated(&self) -> &BTreeMap<(IpAddr, IpAddr), IpAddr> {
        &self.translated
    }

    /// Returns the reports on labels of VIPs with an address.
    pub(super) fn reports(&self) -> impl Iterator<Item = &LabelReport> {
        self.reports.values().flatten()
    }

    /// Returns the reports on labels of one address.
    pub(super) fn reports_on(&self, address: IpAddr) -> &[LabelReport] {
        self.reports.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Returns the addresses that have a decision.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let served = self.services.keys().map(|vip| vip.address);
        served.chain(self.reports.keys().copied())
    }
}
