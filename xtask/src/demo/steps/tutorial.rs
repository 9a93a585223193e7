use super::{Step, send, vipd};
use crate::demo::marathon::settled;
use crate::demo::show::{At, run};
use crate::demo::topology::NODES;

pub(super) const CHECK: Step = Step {
    title: "Check the definitions before they are posted",
    about: "\
/mysql has the label VIP_0: 3.3.0.6:3306 on its port; /wordpress finds its database there.",
    run: || {
        run(At::Lan, "vipd check docs/examples/mysql.json docs/examples/wordpress.json")?
            .exits(0)?
            .says("/mysql VIP_0 3.3.0.6:3306/tcp")?
            .says("0 findings")?;
        Ok(())
    },
};

pub(super) const POST: Step = Step {
    title: "Post both to Marathon",
    about: "\
Marathon starts a task of each. Its image stands for a small server that says who it is.",
    run: || {
        send("POST", "/v2/apps", "@docs/examples/mysql.json")?;
        send("POST", "/v2/apps", "@docs/examples/wordpress.json")?;
        settled("/mysql", 1)?;
        settled("/wordpress", 1)?;
        Ok(())
    },
};

pub(super) const DIFF: Step = Step {
    title: "See what would change",
    about: "Nothing is done yet. Exit status 1 means that there are changes.",
    run: || {
        let mysql = settled("/mysql", 1)?;
        vipd("node1", "diff")?.exits(1)?.says("3.3.0.6:3306/tcp")?.says(&mysql[0].socket())?;
        Ok(())
    },
};

pub(super) const APPLY: Step = Step {
    title: "Make it so, on every node",
    about: "A second run finds nothing to do. ipvsadm, which vipd does not use, tells the same.",
    run: || {
        let mysql = settled("/mysql", 1)?;
        for (node, _) in NODES {
            vipd(node, "apply")?.exits(0)?.says("done")?;
        }
        vipd("node1", "apply")?.exits(0)?.says("nothing to do")?;
        for (node, _) in NODES {
            let table = run(At::Host(node), "ipvsadm -Ln")?.exits(0)?;
            table.says("TCP  3.3.0.6:3306 wlc")?.says(&mysql[0].socket())?;
        }
        Ok(())
    },
};
