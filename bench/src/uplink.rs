//! The interface of a node that is measured.

use testkit::netns::run_tool;

/// The name of the interface.
pub(crate) const UPLINK: &str = "eth9";

/// Makes the interface, with the address [`NODE`](crate::wanted::NODE) and a default route.
pub(crate) fn make_uplink() {
    for args in [
        "link add eth9 type dummy",
        "addr add 10.9.0.1/24 dev eth9",
        "link set eth9 up",
        "route add default via 10.9.0.254",
    ] {
        run_tool("ip", args);
    }
}
