use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use vip::plan::OpError;
use vip::{Observed, Op, Outcome, Plan, Stats, Vip, Ways};

use crate::SysctlReport;

/// The kernel, as vipd sees it.
///
/// The seam is as high as it can be: what implements this reads everything, or does operations of
/// a plan. What may be done, in which order, and what a failure holds up, is [`Plan::run`]'s.
pub trait Kernel {
    /// Reads the virtual services, our interface, and what else is known of the node.
    ///
    /// # Errors
    /// When any part can't be read whole. Nothing must be concluded from what was read.
    fn observe(&mut self) -> Result<Observed, KernelError>;

    /// Reads the same, where something is known: by a reading before, with what was done since. What
    /// the kernel says in fewer words is as it was is taken from there, and shares its memory.
    ///
    /// # Errors
    /// As [`observe`](Self::observe).
    fn observe_again(&mut self, known: &Observed) -> Result<Observed, KernelError> {
        let _ = known;
        self.observe()
    }

    /// Reads the counters of our virtual services, and nothing else: in one dump, where
    /// [`observe`](Self::observe) takes one for each service.
    ///
    /// # Errors
    /// When they can't be read whole.
    fn read_traffic(&mut self) -> Result<BTreeMap<Vip, Stats>, KernelError>;

    /// Does operations in order and answers for each, in the same order. A failure doesn't stop
    /// those behind it. Answers that are missing at the end mean that nothing is known of them.
    fn perform(&mut self, ops: &[&Op]) -> Vec<Result<(), OpError>>;

    /// Asks the routing table for this node's address towards each of these real servers, and
    /// towards everything else.
    ///
    /// # Errors
    /// When routes or addresses can't be read.
    fn find_ways(&mut self, servers: &BTreeSet<IpAddr>) -> Result<Ways, KernelError>;

    /// Sets what forwarding to VIPs needs, or, without `mend`, only looks at it.
    fn tune_sysctls(&mut self, mend: bool) -> Vec<SysctlReport>;

    /// Runs a plan.
    fn apply_plan(&mut self, plan: Plan) -> Outcome {
        plan.run(|ops| self.perform(ops))
    }
}

/// Why the kernel can't be read.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// IPVS.
    #[error("can't {doing} (IPVS): {error}")]
    Ipvs {
        /// What was being done.
        doing: String,
        /// What went wrong.
        error: nl_ipvs::Error,
    },
    /// Links, addresses or routes.
    #[error("can't {doing} (rtnetlink): {error}")]
    Route {
        /// What was being done.
        doing: String,
        /// What went wrong.
        error: nl_ipvs::Error,
    },
    /// Tables of nftables.
    #[error("can't {doing} (nftables): {error}")]
    Nft {
        /// What was being done.
        doing: String,
        /// What went wrong.
        error: nl_ipvs::Error,
    },
    /// Something else has the name of our interface.
    #[error(
        "interface {interface} is a {kind}, not a dummy, so it isn't vipd's and is left alone; \
         give vipd another name with `interface`, or rename that one"
    )]
    NotOurs {
        /// The interface.
        interface: String,
        /// What it is instead, as `ip -d link` names it.
        kind: String,
    },
    /// A file.
    #[error("can't read {path}: {error}; what VIPs and real servers may be depends on it")]
    File {
        /// Its path.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_ipvs_is_told_apart_with_the_cure() {
        let error = nl_ipvs::Error::Unavailable { family: "IPVS" };
        let text = KernelError::Ipvs { doing: "open its socket".into(), error }.to_string();
        assert!(text.starts_with("can't open its socket (IPVS): "), "{text}");
        assert!(text.contains("modprobe ip_vs"), "{text}");
    }

    #[test]
    fn a_refusal_for_want_of_rights_names_the_right() {
        let source = nl_ipvs::KernelError::new(nl_ipvs::errno::EPERM);
        let error = nl_ipvs::Error::Refused { doing: "list the services", source };
        let text = KernelError::Ipvs { doing: "list them".into(), error }.to_string();
        assert!(text.contains("CAP_NET_ADMIN"), "{text}");
    }
}
