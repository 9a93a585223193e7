//! The worst documents: each as long as an answer may be, and of what takes the most memory.

/// Length of what comes before: the honest apps.
const HONEST: usize = 16 << 10;

/// A document's end, made when it is needed: each is 64 MiB long.
type Bomb = fn() -> Vec<u8>;

/// The ends of the worst documents, with their names: they follow an app in its list.
pub(crate) const WORST_DOCUMENTS: [(&str, Bomb); 15] = [
    ("as many tiny apps as fit", || some(caps::WORKLOADS - 2, padded_app)),
    ("as many tasks as fit", || some(90, many_tasks)),
    ("empty apps", || repeat("", "{},", "]}")),
    ("tiny apps", || number("", |n| format!(r#"{{"id":"/a{n}","tasks":[]}},"#), "]}")),
    ("VIPs", || number("", many_vips, "]}")),
    ("refused labels", || number("", refused_labels, "]}")),
    ("labels", || repeat(r#"{"id":"/one","tasks":[],"labels":{"#, r#""":"","#, "}}]}")),
    ("tasks", || number(ONE, |n| format!(r#"{{"id":"t{n}"}},"#), "]}]}")),
    ("ports times tasks", || number(&wide_app(), wide_task, "]}]}")),
    ("deep lists", || repeat(r#"{"id":"/one","tasks":[],"x":"#, "[", "")),
    ("deep objects", || repeat(ONE, r#"{"healthCheckResults":["#, "")),
    ("keys twice", || repeat(r#"{"id":"/one""#, r#","tasks":[{},{},{},{}]"#, "}]}")),
    ("a long text", || repeat(r#"{"tasks":[],"id":"/"#, r"\u00e4", r#""}]}"#)),
    ("addresses", || repeat(ADDRESSES, r#"{"ipAddress":"10.0.0.1"},"#, "]}]}]}")),
    ("no UTF-8", no_utf8),
];

const ONE: &str = r#"{"id":"/one","tasks":["#;
const ADDRESSES: &str = r#"{"id":"/one","ipAddress":{},"tasks":[{"id":"t","ipAddresses":["#;

/// As many equal units as fit.
fn repeat(head: &str, unit: &str, tail: &str) -> Vec<u8> {
    let room = caps::ANSWER - HONEST - head.len() - tail.len();
    let units = unit.repeat(room / unit.len());
    [head, units.trim_end_matches(','), tail].concat().into_bytes()
}

/// As many numbered units as fit.
fn number(head: &str, unit: impl Fn(usize) -> String, tail: &str) -> Vec<u8> {
    let mut text = head.to_owned();
    for number in 0.. {
        let next = unit(number);
        if text.len() + next.len() + tail.len() > caps::ANSWER - HONEST {
            break;
        }
        text.push_str(&next);
    }
    [text.trim_end_matches(','), tail].concat().into_bytes()
}

/// So many numbered units.
fn some(count: usize, unit: impl Fn(usize) -> String) -> Vec<u8> {
    let units: String = (0..count).map(unit).collect();
    [units.trim_end_matches(','), "]}"].concat().into_bytes()
}

/// An app without anything, in a text that is long enough for the memory that it takes.
fn padded_app(number: usize) -> String {
    format!(r#"{{"id":"/a{number}","tasks":[],"x":"{}"}},"#, "x".repeat(2400))
}

/// An app with 1000 real tasks.
fn many_tasks(number: usize) -> String {
    let task = |n: usize| {
        format!(
            r#"{{"id":"a{number}.{n}","appId":"/a{number}","host":"10.0.0.1","ports":[31000],
            "ipAddresses":[{{"ipAddress":"172.17.0.2","protocol":"IPv4"}}],"slaveId":"s1",
            "stagedAt":"2026-01-01T00:00:00.000Z","startedAt":"2026-01-01T00:00:00.000Z",
            "version":"2026-01-01T00:00:00.000Z","state":"TASK_RUNNING","healthCheckResults":[
            {{"alive":true,"consecutiveFailures":0,"lastSuccess":"2026-01-01T00:00:00.000Z"}}]}}"#
        )
    };
    let tasks: Vec<_> = (0..1000).map(task).collect();
    let tasks = tasks.join(",");
    format!(
        r#"{{"id":"/a{number}","portDefinitions":[{{"port":0,"labels":{{"VIP_0":"3.4.0.{number}:80"}}}}],
        "healthChecks":[{{"protocol":"TCP"}}],"tasks":[{tasks}]}},"#
    )
}

/// An app with 20,000 ports.
fn wide_app() -> String {
    let ports = "{},".repeat(19_999);
    format!(r#"{{"id":"/one","portDefinitions":[{ports}{{}}],"tasks":["#)
}

/// An app with as many VIPs as a port may have.
fn many_vips(number: usize) -> String {
    let (high, low) = (number / 250 % 250, number % 250);
    let labels: Vec<_> =
        (0..caps::PORT_VIPS).map(|n| format!(r#""VIP_{n}":"3.{high}.{low}.{n}:80""#)).collect();
    let labels = labels.join(",");
    format!(r#"{{"id":"/a{number}","tasks":[],"portDefinitions":[{{"labels":{{{labels}}}}}]}},"#)
}

/// An app with as many refused labels as are reported.
fn refused_labels(number: usize) -> String {
    let labels = vec![r#""VIP0":"""#; caps::WORKLOAD_REPORTS].join(",");
    format!(r#"{{"id":"/a{number}","tasks":[],"portDefinitions":[{{"labels":{{{labels}}}}}]}},"#)
}

/// A task with 20,000 ports.
fn wide_task(number: usize) -> String {
    let ports = "1,".repeat(19_999);
    format!(
        r#"{{"id":"t{number}","host":"10.0.0.1","version":"2026-01-01T00:00:00Z","ports":[{ports}1]}},"#
    )
}

fn no_utf8() -> Vec<u8> {
    let mut text = br#"{"tasks":[],"id":"/"#.to_vec();
    text.resize(caps::ANSWER - HONEST - 8, 0xff);
    text.extend(br#""}]}"#);
    text
}

/// So many bytes of blanks, compressed by `gzip -9n`: one MiB after the other.
pub(crate) fn gzip_of_blanks(length: usize) -> Vec<u8> {
    include_bytes!("blanks.gz").repeat(length >> 20)
}
