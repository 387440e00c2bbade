//! What happens to replicas that are well, or that lose a process.

use crate::world::{World, exists, models, pids, runs, script, send, until};
use rustix::process::Signal;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use tidegate_api::endpoints::EndpointState;

#[tokio::test]
async fn replicas_start_serve_and_drain_without_a_trace() {
    let world = World::new(2, 3, "good");
    let mut all = Vec::new();
    world
        .run(None, async |running| {
            let api = running.until_ready(2).await;
            assert_eq!((api.wanted, api.ready), (2, 2));
            assert_eq!(api.decisions[0].reason, "min-replicas");
            let entries = &world.endpoints().apis["api"];
            assert_eq!(entries.len(), 2);
            for (entry, replica) in entries.iter().zip(&api.replicas) {
                assert_eq!(entry.state, EndpointState::Active);
                assert_eq!(Some(entry.address), replica.address);
                assert_eq!(entry.concurrency, 2);
            }
            all = pids(&api);
            assert!(all.len() == 4 && all.iter().all(|pid| runs(*pid)), "{all:?}");
            let resident = |api: &tidegate_autoscaler::status::ApiStatus| {
                api.replicas.iter().all(|replica| replica.sidecar_rss_bytes == Some(4096))
            };
            running.until("memory from the scrape", resident).await;
        })
        .await;
    assert!(all.iter().all(|pid| !exists(*pid)), "each process is gone and reaped");
    assert!(world.endpoints().apis["api"].is_empty());
    let logs = world.logs();
    assert_eq!(logs.matches("told to drain while the file says draining").count(), 2, "{logs}");
    assert_eq!(logs.matches("a later line").count(), 2, "{logs}");
    assert_eq!(logs.matches("greets port-").count(), 2, "{logs}");
}

#[tokio::test]
async fn a_wake_up_starts_a_replica_at_once_and_idleness_ends_it() {
    let mut world = World::new(0, 2, "good");
    // No tick comes between: only the wake-up can start it.
    world.settings.tick = std::time::Duration::from_secs(2);
    world
        .run(None, async |running| {
            assert_eq!(running.ask("POST", "/wake/other").await.0, 404);
            assert_eq!(running.ask("GET", "/wake/api").await.0, 405);
            assert_eq!(running.api().wanted, 0);
            assert_eq!(running.ask("POST", "/wake/api").await.0, 202);
            let woken = running.until("woken", |api| api.wanted == 1).await;
            assert_eq!(woken.decisions[0].reason, "wake");
            let pids = pids(&running.until_ready(1).await);
            let idle =
                running.until("zero again", |api| api.wanted == 0 && api.replicas.is_empty()).await;
            assert_eq!(idle.decisions.last().unwrap().reason, "idle");
            assert!(pids.iter().all(|pid| !exists(*pid)));
        })
        .await;
}

#[tokio::test]
async fn load_at_sidecars_adds_replicas_and_its_end_removes_them() {
    let world = World::new(1, 3, "good");
    world
        .run(None, async |running| {
            running.until_ready(1).await;
            // Each of them says that it holds five: enough for the most, however many there are.
            world.load(2, 3);
            running.until_ready(3).await;
            // The third is ready a little before it is first scraped.
            let all = running.until("all seen", |api| (api.in_flight, api.queued) == (6, 9));
            let up = all.await;
            let oldest = up.replicas[0].id.clone();
            world.load(0, 0);
            let down = running.until_ready(1).await;
            assert_eq!(down.replicas[0].id, oldest, "the newest go first");
            let (_, metrics) = running.ask("GET", "/metrics").await;
            assert!(metrics.contains("tidegate_autoscaler_replicas_desired{api=\"api\"} 1"));
            assert!(metrics.contains("tidegate_autoscaler_replicas_ready{api=\"api\"} 1"));
            let (code, status) = running.ask("GET", "/status").await;
            let status: tidegate_autoscaler::Status = serde_json::from_str(&status).unwrap();
            assert_eq!((code, status.apis[0].name.as_str()), (200, "api"));
            assert_eq!(running.ask("GET", "/healthz").await.0, 200);
            assert_eq!(running.ask("GET", "/nothing").await.0, 404);
        })
        .await;
}

#[tokio::test]
async fn what_a_gateway_holds_wakes_as_many_as_it_needs() {
    let world = World::new(0, 4, "good");
    let held = world.folder.path().join("held");
    let mut gateway = Command::new("python3")
        .args([script("gateway.py"), held.display().to_string(), "api".to_owned()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(gateway.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let admin = format!("127.0.0.1:{}", line.trim()).parse().unwrap();
    world
        .run(Some(admin), async |running| {
            let (_, metrics) = running.ask("GET", "/metrics").await;
            assert!(metrics.contains("scrape_failures_total{api=\"api\",source=\"gateway\"} 0"));
            assert_eq!(running.api().wanted, 0);
            std::fs::write(&held, "5").unwrap();
            let woken = running.until("woken", |api| api.wanted > 0).await;
            assert_eq!((woken.wanted, woken.queued), (3, 5), "{:?}", woken.decisions);
            assert_eq!(woken.decisions[0].reason, "wake");
        })
        .await;
    gateway.kill().unwrap();
    gateway.wait().unwrap();
}

#[tokio::test]
async fn a_killed_model_is_started_again_behind_the_same_sidecar() {
    let world = World::new(1, 1, "good");
    world
        .run(None, async |running| {
            let before = running.until_ready(1).await.replicas.remove(0);
            send(before.model_pid.unwrap(), Signal::KILL);
            let again = |api: &tidegate_autoscaler::status::ApiStatus| {
                api.ready == 1 && api.replicas[0].restarts == 1
            };
            let after = running.until("ready again", again).await.replicas.remove(0);
            assert_eq!((after.id, after.sidecar_pid), (before.id, before.sidecar_pid));
            assert_ne!(after.model_pid, before.model_pid);
            assert!(!exists(before.model_pid.unwrap()));
        })
        .await;
    let logs = world.logs();
    let ports: Vec<&str> = logs.lines().filter_map(|line| line.split(" port ").nth(1)).collect();
    assert!(ports.len() == 2 && ports[0] == ports[1], "the same port: {ports:?}");
}

#[tokio::test]
async fn a_replica_that_loses_its_sidecar_is_replaced() {
    for signal in [Signal::TERM, Signal::KILL] {
        let world = World::new(1, 1, "good");
        world
            .run(None, async |running| {
                let before = running.until_ready(1).await.replicas.remove(0);
                send(before.sidecar_pid.unwrap(), signal);
                let replaced = |api: &tidegate_autoscaler::status::ApiStatus| {
                    api.ready == 1 && api.replicas.iter().all(|replica| replica.id != before.id)
                };
                let after = running.until("replaced", replaced).await;
                assert_eq!(after.wanted, 1);
                assert!(!exists(before.model_pid.unwrap()));
                assert_ne!(world.endpoints().apis["api"][0].id, before.id);
            })
            .await;
    }
}

#[tokio::test]
async fn a_sidecar_that_drains_by_itself_is_replaced_before_it_ends() {
    let mut world = World::new(1, 1, "good");
    world.settings.drain_delay = std::time::Duration::from_secs(3);
    world
        .run(None, async |running| {
            let before = running.until_ready(1).await.replicas.remove(0);
            send(before.sidecar_pid.unwrap(), Signal::TERM);
            let both = |api: &tidegate_autoscaler::status::ApiStatus| {
                (api.draining, api.starting + api.ready) == (1, 1)
            };
            let both = running.until("a second replica", both).await;
            assert_eq!(both.replicas[0].id, before.id);
            assert_eq!(world.endpoints().apis["api"][0].state, EndpointState::Draining);
            assert!(runs(before.sidecar_pid.unwrap()), "the first is let drain");
            running.until_ready(1).await;
        })
        .await;
    let told = world.logs().matches("told to drain").count();
    assert_eq!(told, 2, "each sidecar is told once, the first by this test");
}

#[tokio::test]
async fn a_second_stop_kills_what_does_not_want_to_end() {
    let mut world = World::new(1, 1, "stubborn");
    world.settings.drain_delay = std::time::Duration::from_secs(30);
    let app = world.bind().await;
    let handle = app.handle();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = app.run(None, async { stopped.await.unwrap() });
    let watch = async {
        let api = || handle.status().apis.remove(0);
        let worker = || models(&world.logs()).len() == 2;
        let look = || Some(api()).filter(|api| api.ready == 1 && worker());
        let all = pids(&until("ready", look, || format!("{:?}", api())).await);
        stop.send(()).unwrap();
        let drains = || Some(api()).filter(|api| api.draining == 1);
        until("draining", drains, || format!("{:?}", api())).await;
        let told = || world.logs().contains("told to drain").then_some(());
        until("the sidecar drains", told, || world.logs()).await;
        assert!(all.iter().all(|pid| runs(*pid)), "nothing is killed by the first");
        handle.kill_now();
        all
    };
    // Less than the drain delay and the model's grace.
    let both = async { tokio::join!(run, watch) };
    let (ended, all) = tokio::time::timeout(crate::world::DEADLINE, both).await.unwrap();
    ended.unwrap();
    assert!(all.iter().all(|pid| !exists(*pid)));
    let models = models(&world.logs());
    assert!(models.iter().all(|pid| !runs(*pid)), "{models:?}");
}

#[tokio::test]
async fn dropping_the_run_kills_all_it_started() {
    let world = World::new(2, 2, "stubborn");
    let app = world.bind().await;
    let handle = app.handle();
    let api = || handle.status().apis.remove(0);
    let all = {
        let workers = || models(&world.logs()).len() == 4;
        let look = || Some(api()).filter(|api| api.ready == 2 && workers());
        let ready = until("ready, workers too", look, || format!("{:?}", api()));
        tokio::select! {
            ended = app.run(None, std::future::pending()) => panic!("it ended: {ended:?}"),
            api = ready => pids(&api),
        }
    };
    assert_eq!(all.len(), 4);
    let models = models(&world.logs());
    let gone = || all.iter().chain(&models).all(|pid| !runs(*pid)).then_some(());
    until("they end", gone, || format!("{all:?} {models:?}")).await;
}

#[tokio::test]
async fn a_log_does_not_grow_without_end() {
    let world = World::new(1, 1, "chatty");
    world
        .run(None, async |running| {
            let replica = running.until_ready(1).await.replicas.remove(0);
            let file = |end: &str| world.settings.log_dir.join(format!("{}.{end}", replica.id));
            let length = |end: &str| file(end).metadata().map_or(u64::MAX, |file| file.len());
            // Of 40 MiB it keeps what is allowed: 16 in each of two files.
            let bounded = || {
                let lengths = (length("log"), length("log.1"));
                (lengths.0 <= 16 << 20 && lengths.1 <= 16 << 20).then_some(())
            };
            let described = || format!("{} {}", length("log"), length("log.1"));
            until("two bounded logs", bounded, described).await;
        })
        .await;
}
