//! Ids of workloads; task ids and instance ids, and how they belong together.
//!
//! | Marathon | task of an app | instance of an app |
//! |---|---|---|
//! | to 1.3 | `db.UUID` | none |
//! | 1.4 to 1.7 | `db.UUID` | `db.marathon-UUID` |
//! | from 1.8 | `db.instance-UUID._app.1` | `db.instance-UUID` |
//!
//! From 1.4.7 to 1.7 a resident task is `db.UUID.1`, and counted in the same way.
//!
//! The number at the end counts the tasks of one instance (`Instance.scala`, `Task.scala`). Of
//! pods, Marathon lists instances, and each container has a task: `pod.instance-UUID.container`.

/// Longest id of an app; Marathon itself has no limit, but an id is a path in ZooKeeper.
const MAX_ID: usize = 1024;

/// Tells whether an app or pod can have this absolute id (`PathId.scala`). Old Marathons allowed
/// more letters.
pub(crate) fn is_workload_id(id: &str) -> bool {
    let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.".contains(&letter);
    let is_name = |name: &str| !matches!(name, "" | "." | "..") && name.bytes().all(is_letter);
    id.len() <= MAX_ID && id.strip_prefix('/').is_some_and(|path| path.split('/').all(is_name))
}

/// Tells whether `id` is an instance id and `task` is one of its tasks.
pub(crate) fn instance_has_task(id: &str, task: &str) -> bool {
    let Some(instance) = parse_instance_id(id).filter(|instance| instance.rest.is_empty()) else {
        return false;
    };
    let of_task = parse_instance_id(task).map(|of_task| (of_task.path, of_task.uuid));
    of_task.or_else(|| without_incarnation(task).rsplit_once('.'))
        == Some((instance.path, instance.uuid))
}

/// Strips the number of a resident task.
fn without_incarnation(task: &str) -> &str {
    let is_number = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    task.rsplit_once('.').filter(|(_, last)| is_number(last)).map_or(task, |(first, _)| first)
}

struct Instance<'a> {
    path: &'a str,
    uuid: &'a str,
    rest: &'a str,
}

const UUID_LEN: usize = 36;

fn parse_instance_id(id: &str) -> Option<Instance<'_>> {
    let named = |marker| id.rsplit_once(marker);
    let (path, rest) = named(".instance-").or_else(|| named(".marathon-"))?;
    let (uuid, rest) = rest.split_at_checked(UUID_LEN)?;
    let whole = rest.is_empty() || rest.starts_with('.');
    whole.then_some(Instance { path, uuid, rest })
}

#[cfg(test)]
mod tests {
    use super::{instance_has_task, is_workload_id};

    #[test]
    fn an_id_of_an_app_is_a_path_of_names() {
        for possible in ["/db", "/g/db", "/a/b/c-d.e", "/Old_App", "/0"] {
            assert!(is_workload_id(possible), "{possible}");
        }
        let long = format!("/{}", "a".repeat(2000));
        for impossible in ["", "/", "db", "//db", "/db/", "/a//b", "/..", "/a/./b", "/a b", &long] {
            assert!(!is_workload_id(impossible), "{impossible}");
        }
        for letter in ["?", "#", "%2e", "\n", "\u{202e}", "é", "*", ":"] {
            assert!(!is_workload_id(&format!("/a{letter}")), "{letter}");
        }
    }

    #[test]
    fn an_instance_has_the_tasks_that_carry_its_uuid() {
        let uuid = "488b3441-7bb5-11e9-b931-8ae30e1b1bb7";
        let other = "588b3441-7bb5-11e9-b931-8ae30e1b1bb7";
        for (instance, task, expected) in [
            (format!("g_db.marathon-{uuid}"), format!("g_db.{uuid}"), true),
            (format!("g_db.instance-{uuid}"), format!("g_db.instance-{uuid}._app.7"), true),
            (format!("a.b.instance-{uuid}"), format!("a.b.instance-{uuid}._app.1"), true),
            (format!("pod.instance-{uuid}"), format!("pod.instance-{uuid}.web"), true),
            (format!("g_db.marathon-{uuid}"), format!("g_db.{uuid}.3"), true),
            (format!("g_db.marathon-{other}"), format!("g_db.{uuid}.3"), false),
            (format!("g_db.instance-{other}"), format!("g_db.instance-{uuid}._app.7"), false),
            (format!("x.instance-{uuid}"), format!("g_db.instance-{uuid}._app.7"), false),
            // A task doesn't stand for the others of its instance.
            (format!("db.instance-{uuid}._app.1"), format!("db.instance-{uuid}._app.2"), false),
            (format!("db.{uuid}"), format!("db.{uuid}"), false),
            (format!("db.instance-{uuid}x"), format!("db.{uuid}x"), false),
            ("db.instance-é".to_owned(), "db.é".to_owned(), false),
            (String::new(), String::new(), false),
        ] {
            assert_eq!(instance_has_task(&instance, &task), expected, "{instance} {task}");
        }
    }
}
