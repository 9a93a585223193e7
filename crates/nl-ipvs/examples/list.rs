//! Lists the services and their real servers, as `ipvsadm -Ln` does. Needs root.
//!
//! `list [NETNS]`
#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use nl_ipvs::{Error, Ipvs, SocketOptions};

fn main() -> Result<(), Error> {
    let mut options = SocketOptions::new();
    if let Some(name) = std::env::args().nth(1) {
        options = options.namespace(format!("/run/netns/{name}"));
    }
    let mut ipvs = Ipvs::open_with(&options)?;
    let info = ipvs.info()?;
    println!("IPVS {} (size={})", info.version, info.connection_table_size);
    let services = ipvs.services()?;
    for service in &services.entries {
        let settings = &service.settings;
        let scheduler = settings.scheduler.map_or("none".to_owned(), |name| name.to_string());
        println!("{} {scheduler} {}", service.key, settings.flags);
        let Some(servers) = ipvs.destinations(&service.key)? else { continue };
        for server in servers.entries {
            println!(
                "  -> {} {} weight {} active {} inactive {}",
                server.address,
                server.settings.forward,
                server.settings.weight,
                server.active_connections,
                server.inactive_connections,
            );
        }
        for error in servers.unreadable {
            println!("  unreadable: {error}");
        }
    }
    for error in services.unreadable {
        println!("unreadable: {error}");
    }
    Ok(())
}
