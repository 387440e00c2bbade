//! Two gateways before the same replicas.

use crate::support::eventually;
use crate::support::gateway::{Gateway, entry};
use crate::support::http::Http;
use crate::support::load::Load;
use crate::support::sidecar::Sidecar;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_behind_anothers_request_while_a_replica_is_free() {
    let replicas = [0; 2].map(|_| Sidecar::start(&[]));
    let gateways = [0; 2].map(|_| Gateway::start("60s", &[]));
    for gateway in &gateways {
        let entries = ["a", "b"].into_iter().zip(&replicas).map(|(id, r)| entry(id, r, 1));
        gateway.write_endpoints(entries.collect());
        gateway.wait_for_limit(2.0);
    }
    let http = Http::new();
    let mut held = JoinSet::new();
    for _ in 0..2 {
        for gateway in &gateways {
            let (http, data) = (http.clone(), gateway.data);
            held.spawn(async move { http.get(data, "/plain/sleep?ms=600000").await });
        }
    }
    eventually("each replica runs one", || {
        replicas.iter().all(|replica| replica.metric("tidegate_requests_in_flight", "") == 1.0)
    });
    let begun =
        || replicas.iter().map(|replica| replica.model.count_lines("/sleep")).sum::<usize>();
    eventually("each model has said so", || begun() == 2);
    // The two others wait at their gateways; wherever a place comes free, one of them has it.
    for replica in &replicas {
        assert_eq!(replica.metric("tidegate_requests_queued", ""), 0.0);
    }
    let load = Load::start(4, gateways[0].data, "/plain/echo");
    held.abort_all();
    load.wait_for_more(20);
    assert_eq!(load.stop().await.keys().collect::<Vec<_>>(), [&(200, String::new())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_all_are_served_once_and_no_replica_has_a_line() {
    let replicas = [0; 3].map(|_| Sidecar::start(&[]));
    let gateways = [0; 2].map(|_| Gateway::start("60s", &[]));
    for gateway in &gateways {
        let entries = ["a", "b", "c"].into_iter().zip(&replicas).map(|(id, r)| entry(id, r, 1));
        gateway.write_endpoints(entries.collect());
        gateway.wait_for_limit(3.0);
    }
    let loads: Vec<_> =
        gateways.iter().map(|gateway| Load::start(4, gateway.data, "/plain/echo")).collect();
    for load in &loads {
        load.wait_for_more(300);
    }
    let mut answered = 0;
    for load in loads {
        let answers = load.stop().await;
        assert_eq!(answers.keys().collect::<Vec<_>>(), [&(200, String::new())], "{answers:?}");
        answered += answers[&(200, String::new())];
    }
    let sum = |name: &str, labels: &str| -> f64 {
        replicas.iter().map(|replica| replica.metric(name, labels)).sum()
    };
    eventually("each was served once", || {
        sum("tidegate_requests_total", r#"code="200""#) == answered as f64
    });
    assert!(sum("tidegate_requests_total", "queue-full") > 0.0, "they met");
    assert_eq!(sum("tidegate_queue_seconds_total", ""), 0.0, "nobody waited at a replica");
}

/// A gateway is the first to know that its own request has ended. It must not keep the slot for all of
/// its requests, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_both_have_a_line_take_turns() {
    let replica = Sidecar::start(&[]);
    let gateways = [0; 2].map(|_| Gateway::start("60s", &[]));
    for gateway in &gateways {
        gateway.write_endpoints(vec![entry("a", &replica, 1)]);
        gateway.wait_for_limit(1.0);
    }
    let loads: Vec<_> =
        gateways.iter().map(|gateway| Load::start(4, gateway.data, "/plain/sleep?ms=5")).collect();
    for load in &loads {
        load.wait_for_more(20);
    }
    let before: Vec<_> = loads.iter().map(Load::answered).collect();
    let since = |index: usize| loads[index].answered() - before[index];
    eventually("many are answered", || since(0) + since(1) >= 300);
    let (fewest, most) = (since(0).min(since(1)), since(0).max(since(1)));
    assert!(fewest * 3 >= most, "{fewest} to {most} is no taking of turns");
    for load in loads {
        assert_eq!(load.stop().await.keys().collect::<Vec<_>>(), [&(200, String::new())]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_tells_when_it_has_room() {
    let replica = Sidecar::start(&[]);
    let http = Http::new();
    let room = async |waited| {
        let answer = http.get(replica.admin, &format!("/room?waited_us={waited}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap()
    };
    let free = room(0).await;
    assert_eq!((&free["held"], &free["limit"]), (&0.into(), &1.into()));
    assert_eq!((&free["waited"], free["pass"].is_u64()), (&false.into(), true));
    let mut held = JoinSet::new();
    let (asking, data) = (http.clone(), replica.data);
    held.spawn(async move { asking.get(data, "/sleep?ms=600000").await });
    eventually("one runs", || replica.metric("tidegate_requests_in_flight", "") == 1.0);
    let (told, ()) = tokio::join!(room(7), async {
        // Told or not: it may ask before or after the slot is free.
        held.abort_all();
        while held.join_next().await.is_some() {}
    });
    assert_eq!((&told["held"], told["pass"].is_u64()), (&0.into(), true));
}
