//! Other documents while it runs: replicas are exchanged one after another, or not at all.

use crate::world::{Running, World, runs, until};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_api::InferenceApi;
use tidegate_autoscaler::status::{ApiStatus, ReplicaState};

fn with_env(api: &InferenceApi, value: &str) -> InferenceApi {
    let mut api = api.clone();
    api.container.env.insert("GREETING".to_owned(), value.to_owned());
    api
}

fn named(api: &InferenceApi, name: &str) -> InferenceApi {
    InferenceApi { name: name.to_owned(), ..api.clone() }
}

async fn adopt(running: &Running, apis: Vec<InferenceApi>) {
    let prepared = running.handle.prepare(apis, &BTreeMap::new()).unwrap();
    running.handle.adopt(prepared, BTreeMap::new()).await;
}

fn ids(api: &ApiStatus) -> BTreeSet<String> {
    api.replicas.iter().map(|replica| replica.id.clone()).collect()
}

/// Waits until all replicas are ready and none is of those before; sees to it that `least` were
/// ready all the time, and that there were never more than `most` live ones.
async fn until_exchanged(running: &Running, before: &ApiStatus, least: u32, most: u32) {
    let old = ids(before);
    let is_done = |api: &ApiStatus| {
        assert!(api.ready >= least, "{api:#?}");
        assert!(api.ready + api.starting <= most, "{api:#?}");
        let is_new = ids(api).is_disjoint(&old);
        is_new && api.replacement.is_none() && api.ready == before.wanted && api.starting == 0
    };
    running.until("all are exchanged", is_done).await;
    assert!(!before.replicas.iter().any(|replica| runs(replica.sidecar_pid.unwrap())));
}

#[tokio::test]
async fn replicas_are_exchanged_for_what_the_document_says_and_never_too_few_are_ready() {
    let world = World::new(3, 6, "good");
    world
        .run(None, async |running| {
            let before = running.until_ready(3).await;
            let mut other = with_env(&world.api, "second");
            other.autoscaling.min_replicas = 3;
            adopt(&running, vec![other.clone()]).await;
            assert_eq!(running.api().replacement.unwrap().outdated, 3);
            until_exchanged(&running, &before, 3, 4).await;
            assert!(world.logs().contains("greets second"));
            assert_eq!(running.handle.status().documents.changes, 1);

            // What makes no difference to a replica exchanges none: here one more comes.
            let before = running.api();
            other.autoscaling.min_replicas = 4;
            adopt(&running, vec![other]).await;
            let after = running.until_ready(4).await;
            assert!(ids(&before).is_subset(&ids(&after)));
            assert_eq!(after.decisions.last().unwrap().reason, "min-replicas");
        })
        .await;
}

#[tokio::test]
async fn what_does_not_get_ready_stops_the_exchange_and_the_old_ones_go_on() {
    let world = World::new(2, 4, "good");
    world
        .run(None, async |running| {
            let before = running.until_ready(2).await;
            let mut broken = world.api.clone();
            broken.container.command[3] = "exit".to_owned();
            adopt(&running, vec![broken]).await;
            let stopped = |api: &ApiStatus| {
                assert_eq!(api.ready, 2);
                let stopped = api.replacement.as_ref()?.stopped.clone()?;
                (api.replicas.len() == 2).then_some(stopped)
            };
            let look = || stopped(&running.api());
            let why = until("it stops", look, || format!("{:#?}", running.api())).await;
            assert!(why.contains("the model ended"), "{why}");
            assert_eq!(ids(&running.api()), ids(&before));
            let (_, metrics) = running.ask("GET", "/metrics").await;
            for line in ["replacement_stopped{api=\"api\"} 1", "replicas_outdated{api=\"api\"} 2"] {
                assert!(metrics.contains(&format!("tidegate_autoscaler_{line}")), "{metrics}");
            }
            // Scaling goes on with what works.
            world.load(4, 0);
            let grown = running.until_ready(4).await;
            assert!(ids(&before).is_subset(&ids(&grown)));
            world.load(0, 0);
            running.until_ready(2).await;
            // A document that is well is another try.
            let before = running.api();
            adopt(&running, vec![with_env(&world.api, "mended")]).await;
            until_exchanged(&running, &before, 2, 3).await;
        })
        .await;
}

#[tokio::test]
async fn a_refresh_exchanges_all_for_ones_like_them() {
    let world = World::new(2, 2, "good");
    world
        .run(None, async |running| {
            let before = running.until_ready(2).await;
            assert_eq!(running.ask("POST", "/refresh/none").await.0, 404);
            assert_eq!(running.ask("GET", "/refresh/api").await.0, 405);
            let (status, said) = running.ask("POST", "/refresh/api").await;
            assert_eq!(
                (status, said.as_str()),
                (202, "api gets new replicas, one after another\n")
            );
            until_exchanged(&running, &before, 2, 3).await;
        })
        .await;
}

#[tokio::test]
async fn apis_come_and_go_and_what_can_not_run_changes_nothing() {
    let world = World::new(1, 2, "good");
    world
        .run(None, async |running| {
            running.until_ready(1).await;
            let other = named(&world.api, "other");
            adopt(&running, vec![world.api.clone(), other.clone()]).await;
            let other_ready = |running: &Running| {
                let status = running.handle.status();
                status.apis.iter().any(|api| api.name == "other" && api.ready == 1).then_some(())
            };
            let describe = || format!("{:#?}", running.handle.status());
            until("the new one is ready", || other_ready(&running), describe).await;
            assert_eq!(running.ask("POST", "/wake/other").await.0, 202);

            let mut bad = named(&world.api, "bad");
            bad.container.working_dir = "/nonexistent".into();
            let mut worse = other.clone();
            worse.container.command[0] = "no-such-program".to_owned();
            let refused = running.handle.prepare(vec![bad, worse.clone(), worse], &BTreeMap::new());
            let said = refused.unwrap_err().to_string();
            for mistake in ["api bad: spec.container.workingDir", "no-such-program", "two APIs"] {
                assert!(said.contains(mistake), "{said}");
            }
            running.handle.refuse(&said, BTreeMap::new());
            assert_eq!(running.handle.status().documents.refused.as_deref(), Some(said.as_str()));
            let (_, metrics) = running.ask("GET", "/metrics").await;
            assert!(metrics.contains("tidegate_autoscaler_document_failures_total 1"), "{metrics}");

            adopt(&running, vec![other]).await;
            let alone = || {
                let status = running.handle.status();
                let names: Vec<_> = status.apis.iter().map(|api| api.name.as_str()).collect();
                (names == ["other"]).then_some(status)
            };
            let status = until("the first is gone", alone, describe).await;
            assert_eq!((status.documents.changes, status.documents.refused), (2, None));
            assert_eq!(status.apis[0].replicas[0].state, ReplicaState::Ready);
            assert_eq!(world.endpoints().apis.keys().collect::<Vec<_>>(), ["other"]);
            assert_eq!(running.ask("POST", "/wake/api").await.0, 404);
            let (_, metrics) = running.ask("GET", "/metrics").await;
            assert!(!metrics.contains("api=\"api\""), "{metrics}");
        })
        .await;
}
