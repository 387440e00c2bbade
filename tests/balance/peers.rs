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
    let first = replicas.iter().map(|replica| replica.model.count_lines("/sleep")).sum::<usize>();
    assert_eq!(first, 2);
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
