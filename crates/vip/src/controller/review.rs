//! The review of a policy that may refuse most of what served when this run began. A reload takes no such
//! policy; a start has to, whether somebody meant it or a machine started again. One wrong prefix would
//! take all VIPs away, so those stay until the operator accepts the policy or mends it.
//!
//! Until every source was read, all that serves stays: only then can be told how much is refused. Where
//! nothing served, nothing is doubted.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Controller;
use super::policy_review::PolicyReview;
use crate::{AddressRefusal, PolicyDoubt, Vip};

impl Controller {
    /// Begins at the first reading of the kernel: what served then, or is remembered, stays for now.
    pub(super) fn begin_policy_review(&mut self, now: Duration) {
        let (PolicyReview::Unread, Some(model)) = (&self.policy_review, &self.model) else {
            return;
        };
        let mut served = self.served.clone();
        served.extend(model.our_services().map(|(vip, _)| vip.address));
        self.policy_review = match served.is_empty() {
            true => PolicyReview::Settled,
            false => PolicyReview::Open,
        };
        self.config.table.policy.doubted = served;
        self.review_policy(now);
    }

    /// Decides about the policy once every source was read.
    pub(super) fn review_policy(&mut self, now: Duration) {
        if !matches!(self.policy_review, PolicyReview::Open) || !self.claims.is_complete() {
            return;
        }
        let doubted = &self.config.table.policy.doubted;
        let served = self.claims.vips().filter(|vip| doubted.contains(&vip.address));
        let served: Vec<_> = served.collect();
        let refused = served.iter().filter_map(|vip| Some((*vip, self.find_refusal(vip)?)));
        let refused: Vec<_> = refused.collect();
        let mut kept = BTreeSet::new();
        self.policy_review = match refused.first() {
            Some((vip, (app, why))) if refused.len() * 2 > served.len() => {
                kept.extend(refused.iter().map(|(vip, _)| vip.address));
                PolicyReview::Doubted(PolicyDoubt {
                    refused: refused.len(),
                    of: served.len(),
                    vip: *vip,
                    app: app.clone(),
                    why: why.clone(),
                })
            }
            _ => PolicyReview::Settled,
        };
        self.keep_refused(kept, now);
    }

    /// Ends the doubt: from now on the policy refuses what it refuses.
    pub(super) fn accept_policy(&mut self, now: Duration) {
        if matches!(self.policy_review, PolicyReview::Doubted(_)) {
            self.policy_review = PolicyReview::Settled;
            self.keep_refused(BTreeSet::new(), now);
        }
    }

    /// Returns the doubt about the policy, if there is one.
    pub(super) fn policy_doubt(&self) -> Option<&PolicyDoubt> {
        match &self.policy_review {
            PolicyReview::Doubted(doubt) => Some(doubt),
            PolicyReview::Unread | PolicyReview::Open | PolicyReview::Settled => None,
        }
    }

    fn keep_refused(&mut self, kept: BTreeSet<IpAddr>, now: Duration) {
        let before = std::mem::replace(&mut self.config.table.policy.doubted, kept);
        let ended: Vec<_> = before.difference(&self.config.table.policy.doubted).copied().collect();
        self.touch_now(ended, now);
    }

    /// Returns the first app that claims a VIP, and why the policy refuses it. `None`: an app may have it.
    fn find_refusal(&self, vip: &Vip) -> Option<(Arc<str>, AddressRefusal)> {
        let policy = &self.config.table.policy;
        let claims = self.claims.claims_on(vip.address).filter(|claim| claim.vip == *vip);
        let refusals = claims.map(|claim| {
            let app = &claim.label.app.id;
            let at = (claim.vip.address, claim.name.as_ref());
            Some((Arc::clone(app), policy.find_refusal((&claim.source, app), at)?))
        });
        refusals.collect::<Option<Vec<_>>>()?.into_iter().next()
    }
}
