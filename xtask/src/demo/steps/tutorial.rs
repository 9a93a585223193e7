//! Steps of the tutorial: check, post, diff.

use super::step::{Step, run_vipd, send_definition};
use crate::demo::marathon::await_settled;
use crate::demo::show::{At, run_and_show};

pub(super) const CHECK: Step = Step {
    title: "Check the definitions before they are posted",
    about: "\
/mysql has the label VIP_0: 3.3.0.6:3306 on its port; /wordpress finds its database there.",
    run: |_| {
        run_and_show(At::Lan, "vipd check docs/examples/mysql.json docs/examples/wordpress.json")?
            .exits(0)?
            .says("/mysql VIP_0 3.3.0.6:3306/tcp")?
            .says("0 findings")?;
        Ok(())
    },
};

pub(super) const POST: Step = Step {
    title: "Post both to Marathon",
    about: "\
Marathon starts a task of each: a small server that says which task it is.",
    run: |_| {
        send_definition("POST", "/v2/apps", "@docs/examples/mysql.json")?;
        send_definition("POST", "/v2/apps", "@docs/examples/wordpress.json")?;
        await_settled("/mysql", 1)?;
        await_settled("/wordpress", 1)?;
        Ok(())
    },
};

pub(super) const DIFF: Step = Step {
    title: "The dry run: see what would change",
    about: "Nothing is done yet. Exit status 1 means that there are changes.",
    run: |_| {
        let mysql = await_settled("/mysql", 1)?;
        run_vipd("node1", "diff")?.exits(1)?.says("3.3.0.6:3306/tcp")?.says(&mysql[0].socket())?;
        Ok(())
    },
};
