//! The trial of a VIP from this node or a container on it, for `vipd try`: how the name resolves, whether
//! the VIP connects, whether each real server does; and where it fails.

pub mod connect;
pub mod facts;
pub mod namespace;
pub mod report;
pub mod verdict;
