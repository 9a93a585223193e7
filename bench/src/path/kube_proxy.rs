//! The rules that kube-proxy makes, without what a VIP of one real server doesn't need: load
//! balancers, node ports, session affinity. Every client is masqueraded, as vipd does.

use std::fmt::Write;

use testkit::netns::run_tool_with_input;

use super::network::{PORT, SERVER, VIP_PORT, vip};

/// Rules of the mode `ipvs`, for iptables-restore.
const IPVS_RULES: &str = "\
*nat
:KUBE-SERVICES - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODE-PORT - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-SERVICES -s 127.0.0.0/8 -j RETURN
-A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT
-A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-POSTROUTING -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
COMMIT
*filter
:KUBE-FORWARD - [0:0]
:KUBE-NODE-PORT - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-IPVS-FILTER - [0:0]
:KUBE-IPVS-OUT-FILTER - [0:0]
-I INPUT -j KUBE-IPVS-FILTER
-I INPUT -j KUBE-PROXY-FIREWALL
-I INPUT -j KUBE-NODE-PORT
-I OUTPUT -j KUBE-IPVS-OUT-FILTER
-I FORWARD -j KUBE-FORWARD
-I FORWARD -j KUBE-PROXY-FIREWALL
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-NODE-PORT -m set --match-set KUBE-HEALTH-CHECK-NODE-PORT dst -j ACCEPT
-A KUBE-IPVS-FILTER -m set --match-set KUBE-LOAD-BALANCER dst,dst -j RETURN
-A KUBE-IPVS-FILTER -m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN
-A KUBE-IPVS-FILTER -m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT
COMMIT
";

/// Installs the rules and sets of the mode `ipvs`. The IPVS table and the addresses must be there.
pub(super) fn install_ipvs_rules(vips: usize) {
    let mut sets = "\
        create KUBE-CLUSTER-IP hash:ip,port maxelem 65536\n\
        create KUBE-LOAD-BALANCER hash:ip,port\n\
        create KUBE-LOOP-BACK hash:ip,port,ip\n\
        create KUBE-HEALTH-CHECK-NODE-PORT bitmap:port range 0-65535\n\
        create KUBE-IPVS-IPS hash:ip maxelem 65536\n"
        .to_owned();
    for number in 1..=vips {
        let vip = vip(number);
        let _ = writeln!(sets, "add KUBE-IPVS-IPS {vip}");
        for protocol in ["tcp", "udp"] {
            let _ = writeln!(sets, "add KUBE-CLUSTER-IP {vip},{protocol}:{VIP_PORT}");
        }
    }
    run_tool_with_input("ip", "netns exec node ipset restore", &sets);
    run_tool_with_input("ip", "netns exec node iptables-nft-restore --noflush", IPVS_RULES);
}

/// Chains of the mode `nftables` that every service shares.
const NFTABLES_RULES: &str = "
 map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
 map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }
 map no-endpoint-nodeports { type inet_proto . inet_service : verdict; }
 map service-nodeports { type inet_proto . inet_service : verdict; }
 map firewall-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
 set cluster-ips { type ipv4_addr; }
 set nodeport-ips { type ipv4_addr; }
 chain mark-for-masquerade { meta mark set meta mark or 0x4000; }
 chain masquerading {
  meta mark & 0x4000 == 0 return
  meta mark set meta mark xor 0x4000
  masquerade fully-random
 }
 chain cluster-ips-check { ip daddr @cluster-ips reject; }
 chain firewall-check { ip daddr . meta l4proto . th dport vmap @firewall-ips; }
 chain nodeport-endpoints-check {
  ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports
 }
 chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
 chain services {
  ip daddr . meta l4proto . th dport vmap @service-ips
  ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
 }
 chain filter-prerouting {
  type filter hook prerouting priority dstnat - 10;
  ct state new jump firewall-check
 }
 chain filter-input {
  type filter hook input priority -110;
  ct state new jump nodeport-endpoints-check
  ct state new jump service-endpoints-check
 }
 chain filter-forward {
  type filter hook forward priority -110;
  ct state new jump service-endpoints-check
  ct state new jump cluster-ips-check
 }
 chain filter-output {
  type filter hook output priority -110;
  ct state new jump service-endpoints-check
  ct state new jump firewall-check
 }
 chain filter-output-post-dnat {
  type filter hook output priority -90;
  ct state new jump cluster-ips-check
 }
 chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
 chain nat-output { type nat hook output priority -100; jump services; }
 chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading; }
";

/// Installs the rules of the mode `nftables`. VIPs aren't bound to the node there.
pub(super) fn install_nftables_rules(vips: usize) {
    let (mut chains, mut services, mut addresses) = (String::new(), String::new(), String::new());
    for number in 1..=vips {
        let vip = vip(number);
        for protocol in ["tcp", "udp"] {
            let name = format!("{number}-{protocol}");
            let _ = writeln!(
                chains,
                "chain endpoint-{name} {{\n\
                   ip saddr {SERVER} jump mark-for-masquerade\n\
                   meta l4proto {protocol} dnat to {SERVER}:{PORT}\n\
                 }}\n\
                 chain service-{name} {{\n\
                   ip daddr {vip} {protocol} dport {VIP_PORT} jump mark-for-masquerade\n\
                   numgen random mod 1 vmap {{ 0 : goto endpoint-{name} }}\n\
                 }}"
            );
            let _ = write!(services, "{vip} . {protocol} . {VIP_PORT} : goto service-{name}, ");
        }
        let _ = write!(addresses, "{vip}, ");
    }
    let rules = format!(
        "table ip kube-proxy {{\n{NFTABLES_RULES}{chains}}}\n\
         add element ip kube-proxy service-ips {{ {services} }}\n\
         add element ip kube-proxy cluster-ips {{ {addresses} }}\n"
    );
    run_tool_with_input("ip", "netns exec node nft -f -", &rules);
}
