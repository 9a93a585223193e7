//! Lists the services and their real servers, as `ipvsadm -Ln` does. Needs root.
#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use nl_ipvs::{Error, Ipvs};

fn main() -> Result<(), Error> {
    let mut ipvs = Ipvs::open()?;
    let info = ipvs.info()?;
    println!("IPVS {} (size={})", info.version, info.connection_table_size);
    let services = ipvs.services()?;
    for service in &services.entries {
        let scheduler = service.settings.scheduler.as_ref();
        println!("{} {}", service.key, scheduler.map_or("none", |name| name.as_str()));
        for server in ipvs.destinations(&service.key)?.entries {
            println!(
                "  -> {} {} weight {} active {} inactive {}",
                server.address,
                server.settings.forward,
                server.settings.weight,
                server.active_connections,
                server.inactive_connections,
            );
        }
    }
    for error in services.unreadable {
        println!("unreadable: {error}");
    }
    Ok(())
}
