//! Replicas come with the requests and go when they end.

use crate::support::eventually;
use crate::support::http::get;
use crate::support::load::Load;
use crate::support::up::{Up, document, plain_command};

const SPEC: &str = "
  concurrency: {limit: 2}
  autoscaling:
    maxReplicas: 3
    concurrency: {stableWindow: 2s, panicWindow: 1s, scaleToZeroGrace: 0s}
";

#[tokio::test(flavor = "multi_thread")]
async fn replicas_come_with_the_load_and_go_with_it() {
    let up = Up::start(&document(&plain_command(), SPEC), &["--tick", "100ms"]);
    assert_eq!(up.replicas(), []);
    let load = Load::start(16, up.data, "/sleep?ms=20");
    up.wait_for_ready(3);
    load.wait_for_more(100);
    let answers = load.stop().await;
    let answered = answers[&(200, String::new())];
    assert_eq!(answers.len(), 1, "{answers:?}");
    eventually("the gateway's books agree", || {
        up.metric("tidegate_requests_total", r#"code="200""#) == answered as f64
            && up.metric("tidegate_requests_total", "") == answered as f64
    });
    eventually("all replicas are gone", || up.replicas().is_empty());
    // What is left of all the processes is `up` itself, and its watchdog.
    let mut left = up.family.members();
    left.retain(|member| !member.command.ends_with("--watchdog"));
    assert_eq!(left.iter().map(|member| member.pid).collect::<Vec<_>>(), [up.process.pid()]);
    // And once more from zero.
    let answer = get(up.data, "/again");
    assert_eq!(answer.status, 200);
    let waited_ms: u64 = answer.header("x-tidegate-cold-start").parse().unwrap();
    assert!(waited_ms > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_go_under_load_cost_no_request() {
    let up = Up::start(&document(&plain_command(), SPEC), &["--tick", "100ms"]);
    let few = Load::start(1, up.data, "/sleep?ms=20");
    let many = Load::start(16, up.data, "/sleep?ms=20");
    up.wait_for_ready(3);
    let mut answers = many.stop().await;
    // One client is less than what two replicas are for: two of three go while it asks.
    up.wait_for_ready(1);
    few.wait_for_more(10);
    answers.extend(few.stop().await);
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers.contains_key(&(200, String::new())), "{answers:?}");
    up.wait_until_idle();
}

#[test]
fn each_api_has_its_own_replicas() {
    let one = |name: &str| {
        let spec = format!(
            "  concurrency: {{limit: 2}}\n  routes: [{{path: /{name}, stripPrefix: true}}]"
        );
        document(&plain_command(), &spec).replace("name: plain", &format!("name: {name}"))
    };
    let up = Up::start(&format!("{}---\n{}", one("busy"), one("idle")), &[]);
    assert_eq!(get(up.data, "/busy/x").status, 200);
    assert_eq!(get(up.data, "/else").reason(), "no-route");
    let status = get(up.autoscaler, "/status").text();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let wanted =
        |api: usize| (status["apis"][api]["name"].as_str(), status["apis"][api]["wanted"].as_u64());
    assert_eq!((wanted(0), wanted(1)), ((Some("busy"), Some(1)), (Some("idle"), Some(0))));
    assert!(up.log(&up.replicas()[0]).contains("REQUEST GET /x "));
}

#[test]
fn a_schedule_holds_replicas_that_nobody_asks_for() {
    // Each minute it begins anew, so it is always on.
    let schedule = "{cron: '* * * * *', timeZone: Asia/Tokyo, minReplicas: 2, duration: 2m}";
    let spec = format!("  autoscaling: {{maxReplicas: 3, schedules: [{schedule}]}}");
    let up = Up::start(&document(&plain_command(), &spec), &["--tick", "100ms"]);
    up.wait_for_ready(2);
    let decisions = up.status()["decisions"].take();
    assert_eq!((&decisions[0]["reason"], &decisions[0]["to"]), (&"schedule".into(), &2.into()));
    assert_eq!(decisions.as_array().unwrap().len(), 1, "{decisions:#}");
}
