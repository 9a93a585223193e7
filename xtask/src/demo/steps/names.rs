//! The step that finds a VIP by its name.

use std::fs;

use anyhow::{Context, Result};

use super::step::{Step, connect_to_vip, run_vipd, send_definition};
use crate::demo::demo_context::DemoContext;
use crate::demo::marathon::await_settled;
use crate::demo::name_server::NameServer;
use crate::demo::show::{At, run_and_show, shell_command};
use crate::demo::topology::{CONTAINER, CONTAINER_HOST};
use crate::demo::wait;

const NAME: &str = "mysql.marathon.l4lb.thisdcos.directory";

/// The address that DC/OS gave the name, too.
const ADDRESS: &str = "11.91.210.154";

pub(super) const FIND: Step = Step {
    title: "Find a VIP by its name, as on DC/OS",
    about: "\
/database has the label VIP_0: /mysql:3306. vipd dns answers on each node, from a process without any
right; the nodes and the container have it as their resolver. getent and curl are the system's own.",
    run: find_by_name,
};

fn find_by_name(demo: &mut DemoContext) -> Result<()> {
    for host in ["node1", CONTAINER_HOST, CONTAINER] {
        // `ip netns exec` shows a process this file as /etc/resolv.conf.
        let folder = format!("/etc/netns/{host}");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {folder}"))?;
        let file = format!("{folder}/resolv.conf");
        fs::write(&file, "nameserver 198.51.100.1\n")
            .with_context(|| format!("cannot write {file}"))?;
    }
    run_and_show(At::Lan, "vipd check xtask/src/demo/mysql-by-name.json")?
        .exits(0)?
        .says(&format!("{NAME} {ADDRESS}:3306/tcp"))?;
    send_definition("POST", "/v2/apps", "@xtask/src/demo/mysql-by-name.json")?;
    await_settled("/database", 2)?;
    for node in ["node1", CONTAINER_HOST] {
        demo.name_servers.push(NameServer::start(node)?);
    }
    for host in ["node1", CONTAINER_HOST, CONTAINER] {
        let lookup = format!("getent hosts {NAME}");
        wait::wait_until(&format!("the name resolves in {host}"), || {
            let output = shell_command(At::Host(host), &lookup).output()?;
            Ok(output.status.success().then_some(()))
        })?;
        run_and_show(At::Host(host), &lookup)?.exits(0)?.says(ADDRESS)?;
        connect_to_vip(At::Host(host), &format!("{NAME}:3306"), "/database")?;
    }
    run_vipd("node1", "diff")?.exits(0)?;
    run_and_show(At::Host("node1"), &format!("ipvsadm -Ln -t {ADDRESS}:3306"))?.exits(0)?;
    Ok(())
}
