//! The measured cluster: apps with a VIP, tasks and a health check each, in Marathon 1.9's JSON.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The apps and their unhealthy tasks.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    /// Number of tasks of each app.
    tasks: Vec<usize>,
    /// Number of each app's first task, so that no two tasks share a socket address.
    first: Vec<usize>,
    /// Number of hosts, over which the tasks are spread.
    hosts: usize,
    unhealthy: std::collections::BTreeSet<(usize, usize)>,
}

const VERSION: &str = "2026-01-01T00:00:00.000Z";
/// Number of hosts, unless told otherwise.
const HOSTS: usize = 200;

impl Cluster {
    /// Makes apps with the same number of tasks each.
    pub(crate) fn new(apps: usize, tasks: usize) -> Self {
        Self::with_task_counts(vec![tasks; apps])
    }

    /// Makes apps with these numbers of tasks.
    pub(crate) fn with_task_counts(tasks: Vec<usize>) -> Self {
        let mut next = 0;
        let first = tasks.iter().map(|count| {
            let first = next;
            next += count;
            first
        });
        Self { first: first.collect(), tasks, hosts: HOSTS, unhealthy: Default::default() }
    }

    /// Spreads the tasks over this many hosts.
    pub(crate) fn on_hosts(self, hosts: usize) -> Self {
        Self { hosts, ..self }
    }

    /// Returns the address of a host.
    pub(crate) fn host_address(number: usize) -> IpAddr {
        Ipv4Addr::new(10, 0, to_byte(number / 200), to_byte(number % 200 + 1)).into()
    }

    pub(crate) fn app_count(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn task_count(&self, app: usize) -> usize {
        self.tasks[app]
    }

    pub(crate) fn set_healthy(&mut self, app: usize, task: usize, healthy: bool) {
        if healthy {
            self.unhealthy.remove(&(app, task));
        } else {
            self.unhealthy.insert((app, task));
        }
    }

    /// Returns the address of an app's VIP, whose port is 80.
    pub(crate) fn vip_address(app: usize) -> IpAddr {
        let (high, low) = (app / 250, app % 250 + 1);
        Ipv4Addr::new(3, 3, to_byte(high), to_byte(low)).into()
    }

    /// Returns the address and port that a task listens on.
    pub(crate) fn task_socket(&self, app: usize, task: usize) -> SocketAddr {
        let number = self.first[app] + task;
        let port = u16::try_from(1_024 + number / self.hosts).unwrap();
        SocketAddr::new(Self::host_address(number % self.hosts), port)
    }

    pub(crate) fn app_id(app: usize) -> String {
        format!("/shop/backend/app{app:05}")
    }

    fn task_id(app: usize, task: usize) -> String {
        format!("shop_backend_app{app:05}.instance-5b1c5c1e-7a0b-11ea-9f3c-{task:012x}._app.1")
    }

    /// Returns the answer for `/v2/apps?embed=apps.tasks`.
    pub(crate) fn apps_body(&self) -> String {
        let mut text = String::from("{\"apps\":[");
        for app in 0..self.app_count() {
            if app > 0 {
                text.push(',');
            }
            self.write_app(app, &mut text);
        }
        text.push_str("]}");
        text
    }

    /// Returns the answer for `/v2/apps/{id}?embed=app.tasks`.
    pub(crate) fn app_body(&self, app: usize) -> String {
        let mut text = String::from("{\"app\":");
        self.write_app(app, &mut text);
        text.push('}');
        text
    }

    fn write_app(&self, app: usize, text: &mut String) {
        let (id, vip, count) = (Self::app_id(app), Self::vip_address(app), self.tasks[app]);
        text.push_str(&format!(
            r#"{{"id":"{id}","backoffFactor":1.15,"backoffSeconds":1,"cmd":"exec /opt/app --port $PORT0","container":{{"type":"DOCKER","docker":{{"forcePullImage":false,"image":"registry.example/shop/backend:{app}","parameters":[],"privileged":false}},"volumes":[],"portMappings":[{{"containerPort":8080,"hostPort":0,"labels":{{"VIP_0":"{vip}:80"}},"name":"http","protocol":"tcp","servicePort":10000}}]}},"cpus":0.5,"disk":0,"executor":"","gpus":0,"healthChecks":[{{"gracePeriodSeconds":300,"ignoreHttp1xx":false,"intervalSeconds":10,"maxConsecutiveFailures":3,"path":"/health","portIndex":0,"protocol":"HTTP","timeoutSeconds":5,"delaySeconds":15}}],"instances":{count},"labels":{{"team":"shop","tier":"backend"}},"maxLaunchDelaySeconds":300,"mem":512,"networks":[{{"mode":"container/bridge"}}],"requirePorts":false,"upgradeStrategy":{{"maximumOverCapacity":1,"minimumHealthCapacity":1}},"version":"{VERSION}","versionInfo":{{"lastScalingAt":"{VERSION}","lastConfigChangeAt":"{VERSION}"}},"killSelection":"YOUNGEST_FIRST","unreachableStrategy":{{"inactiveAfterSeconds":0,"expungeAfterSeconds":0}},"tasksStaged":0,"tasksRunning":{count},"tasksHealthy":{count},"tasksUnhealthy":0,"deployments":[],"tasks":["#
        ));
        for task in 0..count {
            if task > 0 {
                text.push(',');
            }
            let (place, task_id) = (self.task_socket(app, task), Self::task_id(app, task));
            let alive = !self.unhealthy.contains(&(app, task));
            let (host, port) = (place.ip(), place.port());
            let failed = if alive { "null" } else { "\"2026-01-01T01:00:00.000Z\"" };
            text.push_str(&format!(
                r#"{{"ipAddresses":[{{"ipAddress":"172.17.0.2","protocol":"IPv4"}}],"stagedAt":"{VERSION}","state":"TASK_RUNNING","ports":[{port}],"startedAt":"{VERSION}","version":"{VERSION}","id":"{task_id}","appId":"{id}","slaveId":"6b9ee6b1-6a43-4e02-8a4e-0b1c6d3a3e7a-S12","host":"{host}","healthCheckResults":[{{"alive":{alive},"consecutiveFailures":{},"firstSuccess":"2026-01-01T00:01:00.000Z","lastFailure":{failed},"lastSuccess":"2026-01-01T00:01:00.000Z","lastFailureCause":null,"instanceId":"shop_backend_app{app:05}.marathon-5b1c5c1e-{task:012x}"}}],"localVolumes":[]}}"#,
                u8::from(!alive),
            ));
        }
        text.push_str("]}");
    }

    /// Returns the bytes of the event for a change of a task's health.
    pub(crate) fn health_event(app: usize, task: usize, alive: bool, second: usize) -> String {
        let (id, task_id) = (Self::app_id(app), Self::task_id(app, task));
        let at = format!(
            "2026-01-01T{:02}:{:02}:{:02}.500Z",
            2 + second / 3600,
            second / 60 % 60,
            second % 60
        );
        format!(
            "event: health_status_changed_event\r\ndata: {{\"appId\":\"{id}\",\"instanceId\":\"{task_id}\",\"taskId\":\"{task_id}\",\"version\":\"{VERSION}\",\"alive\":{alive},\"eventType\":\"health_status_changed_event\",\"timestamp\":\"{at}\"}}\r\n\r\n"
        )
    }
}

fn to_byte(number: usize) -> u8 {
    u8::try_from(number).unwrap()
}
