//! The data path: every client reaches every server, and nothing else gets in. With real packets
//! through three nodes with vipd and one without.

mod cells;
mod docker;
mod marathon;
mod matrix;
mod promise;
mod seat;
mod serve;
mod topology;
mod world;
