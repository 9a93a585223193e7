//! A Marathon that means harm: whatever it answers, the memory of the agent stays under the limit of
//! its unit, the table stays, and a task that really dies is out of it soon.
//!
//! Each agent runs in a process of its own (`agent.rs`), so that its memory can be measured.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
#![allow(clippy::print_stdout, reason = "the agent's process speaks through it; figures are told")]

mod agent;
mod bombs;
mod harm;

use std::time::{Duration, Instant};

use agent::AgentProcess;
use harm::{HostileMarathon, Trick};

/// Longest time for anything but a death.
const PATIENCE: Duration = Duration::from_secs(120);

/// Longest time for a death: ten times what is promised, since other tests share the machine.
const DEATH: Duration = Duration::from_secs(10);

const WEB: &str = "3.3.0.6:80";
const DB: &str = "3.3.0.7:3306";

struct Scene {
    marathon: HostileMarathon,
    agent: AgentProcess,
}

impl Scene {
    /// An agent that serves all tasks of an honest Marathon.
    async fn begin() -> Self {
        let marathon = HostileMarathon::start().await;
        let agent = AgentProcess::start(&marathon.url());
        let scene = Self { marathon, agent };
        scene.until_all_served().await;
        scene
    }

    async fn until_all_served(&self) {
        let end = Instant::now() + PATIENCE;
        let web = self.marathon.servers();
        while self.agent.served(WEB) != web {
            assert!(Instant::now() < end, "{:?} instead of {web:?}", self.agent.served(WEB));
            pause().await;
        }
        self.assert_others_stay();
    }

    fn assert_others_stay(&self) {
        assert_eq!(self.agent.served(DB), ["10.1.0.9:31000"], "another app is affected");
    }

    /// A task dies, as its event says in the midst of all else. The others stay.
    async fn kill_one(&self, trick: &str) {
        let dead = self.marathon.kill_one().await;
        let begin = Instant::now();
        loop {
            let served = self.agent.served(WEB);
            if !served.contains(&dead) {
                break;
            }
            assert!(begin.elapsed() < DEATH, "{trick}: {dead} is still served");
            pause().await;
        }
        println!("{trick}: the dead task was out after {:?}", begin.elapsed());
        let served = self.agent.served(WEB);
        assert!(served.len() >= 3, "{trick}: only {served:?} are left");
        self.assert_others_stay();
    }

    /// Waits for the end of a read, after so many others.
    async fn until_read(&self, reads: u64, trick: &str) {
        let end = Instant::now() + PATIENCE;
        while self.agent.reads().await == reads {
            assert!(Instant::now() < end, "{trick}: it is still being read");
            pause().await;
        }
    }

    async fn assert_lives(&self, trick: &str) {
        let (status, body) = self.agent.get("/healthz").await;
        assert_eq!(status, 200, "{trick}: {body}");
        let (peak, limit) = (self.agent.peak_memory(), agent::memory_max());
        println!("{trick}: {} MiB of {} at most", peak >> 20, limit >> 20);
        assert!(peak < limit, "{trick}: {peak} bytes");
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Lets a Marathon play a trick while a task dies, and be honest again.
async fn survive(tricks: impl IntoIterator<Item = Trick>) {
    let scene = Scene::begin().await;
    for trick in tricks {
        let name = format!("{trick:?}");
        let (reads, ends) = (scene.agent.reads().await, trick.is_of_answers());
        scene.marathon.play(trick).await;
        scene.kill_one(&name).await;
        if ends {
            scene.until_read(reads, &name).await;
        }
        scene.assert_lives(&name).await;
        scene.marathon.play(Trick::None).await;
        scene.until_all_served().await;
    }
}

fn run(work: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(work);
}

#[test]
fn answers_without_end() {
    run(survive([
        Trick::EndlessHeader,
        Trick::EndlessChunks,
        Trick::DripBody,
        Trick::Bomb,
        Trick::EndlessRedirect,
        Trick::Silence,
    ]));
}

#[test]
fn lies() {
    run(survive([
        Trick::WrongLength,
        Trick::WebPage,
        Trick::OtherApp,
        Trick::NoTasks,
        Trick::Noise,
        Trick::HugeErrorPage,
    ]));
}

#[test]
fn floods_of_events() {
    run(survive([
        Trick::UnknownIds,
        Trick::HugeEvents,
        Trick::EndlessEvent,
        Trick::ManyNames,
        Trick::ShortStreams,
    ]));
}

/// The worst documents, each read twice: the second time the first one is still known.
#[test]
fn bombs_of_json() {
    run(async {
        for (name, bomb) in bombs::WORST_DOCUMENTS {
            let scene = Scene::begin().await;
            scene.marathon.play(Trick::Body(bomb().into())).await;
            for _ in 0..2 {
                let reads = scene.agent.reads().await;
                scene.marathon.ask_for_a_read().await;
                scene.until_read(reads, name).await;
            }
            scene.kill_one(name).await;
            scene.assert_lives(name).await;
        }
    });
}

#[test]
fn clients_that_are_slow_do_not_keep_others_waiting() {
    run(async {
        let scene = Scene::begin().await;
        let slow: Vec<_> = (0..64).map(|_| scene.agent.connect_slowly()).collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        scene.assert_lives("64 slow clients").await;
        drop(slow);
    });
}
