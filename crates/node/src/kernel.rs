//! The seam to the kernel: the trait [`Kernel`] and its error.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use vip::plan::OpError;
use vip::{Observed, Op, Outcome, Plan, Stats, Vip, Ways};

use crate::SysctlReport;

/// The kernel as vipd sees it: real, or in memory for tests.
///
/// The seam is as high as it can be: an implementation reads everything at once and performs the
/// operations of a plan. [`Plan::run`] decides what is performed, in which order, and what a
/// failure holds up.
pub trait Kernel {
    /// Reads the virtual services, our interface, and what else is known of the node.
    ///
    /// # Errors
    /// When any part can't be read completely. Draw no conclusion from a part.
    fn observe(&mut self) -> Result<Observed, KernelError>;

    /// Reads the same, faster, given what is known: an earlier reading with the changes made since.
    /// Parts that a cheaper check confirms unchanged are taken from `known` and share its memory.
    ///
    /// # Errors
    /// As with [`observe`](Self::observe).
    fn observe_again(&mut self, known: &Observed) -> Result<Observed, KernelError> {
        let _ = known;
        self.observe()
    }

    /// Reads only the counters of our virtual services. This takes one dump;
    /// [`observe`](Self::observe) takes one for each service.
    ///
    /// # Errors
    /// When the dump is incomplete.
    fn read_traffic(&mut self) -> Result<BTreeMap<Vip, Stats>, KernelError>;

    /// Performs operations in order and returns a result for each, in the same order. A failure
    /// doesn't stop the operations after it. If there are fewer results than operations, the
    /// outcome of the rest is unknown.
    fn perform(&mut self, ops: &[&Op]) -> Vec<Result<(), OpError>>;

    /// Asks the routing table for this node's address towards each of these real servers, and
    /// towards everything else.
    ///
    /// # Errors
    /// When routes or addresses can't be read.
    fn find_ways(&mut self, servers: &BTreeSet<IpAddr>) -> Result<Ways, KernelError>;

    /// Sets the sysctls that forwarding to VIPs needs; without `mend`, only checks them.
    fn tune_sysctls(&mut self, mend: bool) -> Vec<SysctlReport>;

    /// Runs a plan.
    fn apply_plan(&mut self, plan: Plan) -> Outcome {
        plan.run(|ops| self.perform(ops))
    }
}

/// A failure to read the kernel. Print it with its causes: see [`error_chain`](crate::error_chain()).
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// IPVS failed.
    #[error("can't {doing} (IPVS)")]
    Ipvs {
        /// The action that failed, as a verb phrase.
        doing: String,
        /// The cause.
        #[source]
        error: nl_ipvs::Error,
    },
    /// A link, address or route can't be read.
    #[error("can't {doing} (rtnetlink)")]
    Route {
        /// The action that failed, as a verb phrase.
        doing: String,
        /// The cause.
        #[source]
        error: nl_pipeline::Error,
    },
    /// Tables of nftables can't be read.
    #[error("can't {doing} (nftables)")]
    Nft {
        /// The action that failed, as a verb phrase.
        doing: String,
        /// The cause.
        #[source]
        error: nl_pipeline::Error,
    },
    /// An interface of another kind has the name of ours.
    #[error(
        "interface {interface} is a {kind}, not a dummy, so it isn't vipd's and is left alone; \
         give vipd another name with `interface`, or rename that one"
    )]
    NotOurs {
        /// The interface's name.
        interface: String,
        /// The interface's kind, as `ip -d link` names it.
        kind: String,
    },
    /// A file of the node can't be read.
    #[error("can't read {path}, which tells what VIPs and real servers may be")]
    File {
        /// The file's path.
        path: PathBuf,
        /// The cause.
        #[source]
        error: io::Error,
    },
}

impl KernelError {
    /// Returns whether this process lacks the right.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        let first: &(dyn std::error::Error + 'static) = self;
        let causes = std::iter::successors(Some(first), |error| error.source());
        causes.into_iter().any(|cause| {
            let is_io = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
            let is_refusal = |error: &nl_ipvs::KernelError| {
                [nl_ipvs::errno::EPERM, nl_ipvs::errno::EACCES].contains(&error.errno())
            };
            cause.downcast_ref().is_some_and(is_io) || cause.downcast_ref().is_some_and(is_refusal)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_chain;

    #[test]
    fn a_kernel_without_ipvs_is_told_apart_with_the_cure() {
        let error = nl_ipvs::Error::Unavailable;
        let text = error_chain(&KernelError::Ipvs { doing: "open its socket".into(), error });
        assert!(text.starts_with("can't open its socket (IPVS): "), "{text}");
        assert!(text.contains("modprobe ip_vs"), "{text}");
    }

    #[test]
    fn a_refusal_for_want_of_rights_names_the_right() {
        let source = nl_ipvs::KernelError::new(nl_ipvs::errno::EPERM);
        let error = nl_ipvs::Error::Refused { doing: "list the services", hint: None, source };
        let text = error_chain(&KernelError::Ipvs { doing: "list them".into(), error });
        assert!(text.contains("CAP_NET_ADMIN"), "{text}");
    }

    #[test]
    fn a_missing_right_is_told_from_other_refusals() {
        for (errno, expected) in [(nl_ipvs::errno::EPERM, true), (nl_ipvs::errno::ENOENT, false)] {
            let source = nl_ipvs::KernelError::new(errno);
            let error = nl_ipvs::Error::Refused { doing: "list the services", hint: None, source };
            let error = KernelError::Ipvs { doing: "list them".into(), error };
            assert_eq!(error.is_denied(), expected, "{errno}");
        }
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(KernelError::File { path: "/proc/x".into(), error }.is_denied());
    }
}
