//! Clients of other network namespaces.

use nl_ipvs::{Ipvs, SocketOptions};

use super::harness::{add_service, in_namespace, key, run, services};

#[test]
fn a_client_may_be_in_a_namespace_by_its_file() {
    in_namespace(|outer| {
        outer.batch(&[add_service(key())]).unwrap();
        let here = SocketOptions::new().namespace("/proc/thread-self/ns/net");
        // The file is that of the thread that enters it, which is in the namespace of its parent.
        assert_eq!(services(&mut Ipvs::open_with(&here).unwrap()).len(), 1);
        run("ip", "netns add nl-ipvs-test");
        let other = SocketOptions::new().namespace("/run/netns/nl-ipvs-test");
        let opened = Ipvs::open_with(&other);
        run("ip", "netns delete nl-ipvs-test");
        assert_eq!(services(&mut opened.unwrap()), []);
        assert_eq!(services(outer).len(), 1, "this thread stayed where it was");
    });
}
