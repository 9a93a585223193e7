//! Parsers of what the kernel prints and answers, open to the fuzz targets.

pub use crate::linux::{confirm_servers, parse_failed_syns, parse_nft_object};
