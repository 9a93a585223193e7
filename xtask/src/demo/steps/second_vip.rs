use super::{Step, URL, apply_everywhere, connect, send, vipd};
use crate::demo::marathon::settled;
use crate::demo::show::{At, run};
use crate::demo::topology::{CONTAINER, NODES};

pub(super) const CHECK: Step = Step {
    title: "A second VIP, as the tutorial writes it: VIP_0 twice",
    about: "vipd reads both, and says what Marathon will make of them.",
    run: || {
        run(At::Lan, "vipd check docs/examples/mysql-two-vips.json")?
            .exits(1)?
            .says("3.3.0.6:3306/tcp")?
            .says("4.4.0.7:3306/tcp")?
            .says("Marathon keeps only the last")?;
        Ok(())
    },
};

pub(super) const KEPT: Step = Step {
    title: "It was right: Marathon keeps the last one only",
    about: "Posted nevertheless, one label is left, and the diff shows wordpress losing its database.",
    run: || {
        send("PUT", "/v2/apps//mysql", "@docs/examples/mysql-two-vips.json")?;
        settled("/mysql", 1)?;
        run(
            At::Lan,
            &format!("curl -sS {URL}/v2/apps//mysql | grep -o '\"labels\":{{\"VIP[^}}]*}}'"),
        )?
        .exits(0)?
        .says(r#""labels":{"VIP_0":"4.4.0.7:3306"}"#)?
        .lacks("3.3.0.6")?;
        vipd("node1", "diff")?.exits(1)?.says("- 3.3.0.6:3306/tcp")?.says("+ 4.4.0.7:3306/tcp")?;
        Ok(())
    },
};

pub(super) const BOTH: Step = Step {
    title: "Two VIPs, as they must be written: VIP_0 and VIP_1",
    about: "Put, looked at, applied; then both answer, on a node and in the container.",
    run: || {
        send("PUT", "/v2/apps//mysql", "@docs/examples/mysql-two-vips-posted.json")?;
        let mysql = settled("/mysql", 1)?;
        vipd("node1", "diff")?.exits(1)?.says("+ 4.4.0.7:3306/tcp")?.lacks("- 3.3.0.6:3306/tcp")?;
        apply_everywhere()?;
        for (node, _) in NODES {
            run(At::Host(node), "ipvsadm -Ln")?
                .exits(0)?
                .says("TCP  3.3.0.6:3306 wlc")?
                .says("TCP  4.4.0.7:3306 wlc")?
                .says(&mysql[0].socket())?;
        }
        for at in [At::Host("node1"), At::Host(CONTAINER)] {
            connect(at, "3.3.0.6:3306", "/mysql")?;
            connect(at, "4.4.0.7:3306", "/mysql")?;
        }
        Ok(())
    },
};
