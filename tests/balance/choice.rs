//! Which replica a request is given.

use crate::support::eventually;
use crate::support::gateway::{Gateway, entry};
use crate::support::http::Http;
use crate::support::sidecar::Sidecar;

/// A replica with room for several, so that none is chosen for being the only free one.
fn replicas() -> [Sidecar; 3] {
    std::array::from_fn(|_| Sidecar::start(&["--concurrency", "8"]))
}

/// How many requests each replica has seen, of so many in all.
fn counts(replicas: &[Sidecar], target: &str, all: usize) -> Vec<usize> {
    let seen = || replicas.iter().map(|replica| replica.model.count_lines(target));
    eventually("the models have said what they saw", || seen().sum::<usize>() == all);
    seen().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_stays_with_its_replica_until_that_one_goes_and_others_do_not_move() {
    let replicas = replicas();
    let gateway = Gateway::start_with(
        "balancing: {policy: consistentHash, hash: {header: x-session}, loadFactor: 100}",
        &[],
    );
    let entries = || ["a", "b", "c"].into_iter().zip(&replicas).map(|(id, r)| entry(id, r, 8));
    gateway.write_endpoints(entries().collect());
    gateway.wait_for_limit(24.0);
    let http = Http::new();
    let mut homes = Vec::new();
    for session in 0..12 {
        let target = format!("/plain/session-{session}/");
        let value = session.to_string();
        for _ in 0..5 {
            let answer = http.get_with(gateway.data, &target, &[("x-session", &value)]).await;
            assert_eq!(answer.status, 200);
        }
        let seen = counts(&replicas, &format!("/session-{session}/"), 5);
        let home = seen.iter().position(|count| *count == 5);
        homes.push(home.unwrap_or_else(|| panic!("session {session} was spread: {seen:?}")));
    }
    assert!((0..3).all(|replica| homes.contains(&replica)), "all are used: {homes:?}");
    gateway.write_endpoints(entries().skip(1).collect());
    gateway.wait_for_limit(16.0);
    for (session, home) in homes.iter().enumerate() {
        let value = session.to_string();
        let target = format!("/plain/later-{session}/");
        http.get_with(gateway.data, &target, &[("x-session", &value)]).await;
        let seen = counts(&replicas, &format!("/later-{session}/"), 1);
        assert_eq!(seen[0], 0, "it is gone");
        assert!(
            *home == 0 || seen[*home] == 1,
            "session {session} has moved from {home}: {seen:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_that_begin_alike_share_a_replica() {
    let replicas = replicas();
    let gateway = Gateway::start_with(
        "balancing: {policy: consistentHash, hash: {promptPrefix: 20}, loadFactor: 100}",
        &[],
    );
    let names = ["a", "b", "c"].into_iter().zip(&replicas);
    gateway.write_endpoints(names.map(|(id, replica)| entry(id, replica, 8)).collect());
    gateway.wait_for_limit(24.0);
    let http = Http::new();
    let mut used = [false; 3];
    for prompt in 0..8 {
        let target = format!("/plain/prompt-{prompt}/");
        for end in ["short", "a longer end"] {
            let system = format!("you are number {prompt} of eight");
            let body = format!(r#"{{"model":"{end}","prompt":"{system}, {end}"}}"#);
            assert_eq!(http.post(gateway.data, &target, &body).await.status, 200);
        }
        let seen = counts(&replicas, &format!("/prompt-{prompt}/"), 2);
        let home = seen.iter().position(|count| *count == 2);
        used[home.unwrap_or_else(|| panic!("prompt {prompt} was spread: {seen:?}"))] = true;
    }
    assert!(used.iter().filter(|used| **used).count() > 1, "all in one place");
}
