//! Copies of requests for a version that is tried out: nobody waits for it, nobody sees it.

use super::{Routed, documents};
use crate::support::eventually;
use crate::support::gateway::bare;
use crate::support::http::{Http, connect, get, read_answer};
use crate::support::load::Load;
use std::io::Write;
use std::net::TcpListener;
use tidegate_api::endpoints::EndpointsFile;

const APIS: [(&str, &str); 2] = [("v1", "  routes: []"), ("tried", "  routes: []")];

/// The API `s` with one version, and copies of this share for `tried`.
fn start(share: f64, more: &str) -> Routed {
    let [v1, (tried, spec)] = APIS;
    let spec = format!("{spec}\n{more}");
    let text = documents(&[v1, (tried, &spec)])
        + &format!(
            "---\napiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: s}}\n\
             spec:\n  routes: [{{path: /s, stripPrefix: true}}]\n  traffic:\n    \
             versions: [{{api: v1, weight: 100}}]\n    shadow: {{api: tried, share: {share}}}\n"
        );
    Routed::serve(&text, &["v1", "tried"], &[])
}

fn copies(routed: &Routed, outcome: &str) -> f64 {
    let labels = format!(r#"api="s",outcome="{outcome}""#);
    routed.gateway.metric("tidegate_shadow_requests_total", &labels)
}

/// What the shadow's model has seen.
fn seen(routed: &Routed, mark: &str) -> usize {
    routed.models[1].1.count_lines(mark)
}

#[test]
fn a_copy_is_the_same_request_and_says_what_it_is() {
    let routed = start(1.0, "");
    let head = "POST /s/echo?case=1. HTTP/1.1\r\nhost: x\r\nx-own: yes";
    let answer = routed.ask(head, "a body");
    assert_eq!((answer.status, answer.text().as_str()), (200, "a body"));
    assert_eq!(
        (answer.header("x-tidegate-version"), answer.header("x-tidegate-shadow")),
        ("v1", "")
    );
    eventually("the copy is answered", || copies(&routed, "answered") == 1.0);
    let line = routed.models[1].1.wait_for_line("/echo?case=1. ");
    for field in ["x-tidegate-shadow=true", "x-own=yes", "content-length=6", "x-request-id="] {
        assert!(line.contains(field), "no {field}: {line}");
    }
    let original = routed.models[0].1.wait_for_line("/echo?case=1. ");
    assert!(!original.contains("x-tidegate-shadow"), "{original}");
    // Counted as the shadow's own requests, not as the version's.
    let requests = |api: &str| {
        routed.gateway.metric("tidegate_requests_total", &format!(r#"api="{api}",code="200""#))
    };
    eventually("the books agree", || (requests("v1"), requests("tried")) == (1.0, 1.0));

    // A copy is not copied again, and what is not wholly here is not copied.
    let copy = "GET /s/x HTTP/1.1\r\nhost: x\r\nx-tidegate-shadow: true";
    assert_eq!(routed.ask(copy, "").status, 200);
    let mut stream = connect(routed.gateway.data);
    let head = "POST /s/echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                transfer-encoding: chunked\r\n\r\n";
    write!(stream, "{head}1\r\na\r\n").unwrap();
    eventually("it is on its way", || routed.models[0].1.count_lines("chunked") == 1);
    write!(stream, "0\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut stream).text(), "a");
    assert_eq!((copies(&routed, "not-whole"), copies(&routed, "answered")), (1.0, 1.0));
    assert_eq!(seen(&routed, "REQUEST"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_is_copied() {
    let routed = start(0.25, "");
    let http = Http::new();
    for _ in 0..1000 {
        assert_eq!(http.get(routed.gateway.data, "/s/x").await.status, 200);
    }
    // Six standard deviations of 1000 draws are 82.
    let mut count = 0.0;
    eventually("all copies are answered", || {
        count = copies(&routed, "answered");
        count == seen(&routed, "REQUEST") as f64 && (168.0..332.0).contains(&count)
    });
    assert_eq!(copies(&routed, "no-room"), 0.0);
}

#[test]
fn a_copy_gives_way_to_all_other_requests_of_the_shadow_s_own() {
    let routed = start(1.0, "");
    // It takes one request at a time, and has a route of its own.
    let text = std::fs::read_to_string(&routed.gateway.documents).unwrap();
    let (before, after) = text.rsplit_once("routes: []").unwrap();
    let route = "routes: [{path: /tried, stripPrefix: true}]";
    routed.gateway.write_documents(&format!("{before}{route}{after}"));
    let file = std::fs::read(&routed.gateway.endpoints_file).unwrap();
    let mut file: EndpointsFile = serde_json::from_slice(&file).unwrap();
    file.apis.get_mut("tried").unwrap()[0].concurrency = 1;
    routed.gateway.write_endpoints_file(&file);
    let of_tried = |name: &str| routed.gateway.metric(name, r#"api="tried""#);
    eventually("it takes one at a time", || of_tried("tidegate_concurrency_limit") == 1.0);
    let mut held = connect(routed.gateway.data);
    eventually("its route leads there", || get(routed.gateway.data, "/tried/x").status == 200);
    write!(held, "GET /tried/sleep?ms=600000 HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    eventually("it is busy", || of_tried("tidegate_requests_in_flight") == 1.0);
    // The copy comes first, of a request that is urgent itself.
    let urgent = "GET /s/copied. HTTP/1.1\r\nhost: x\r\nx-tidegate-priority: critical";
    assert_eq!(routed.ask(urgent, "").status, 200);
    eventually("the copy waits", || of_tried("tidegate_requests_queued") == 1.0);
    let mut own = connect(routed.gateway.data);
    write!(own, "GET /tried/own. HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    eventually("another waits", || of_tried("tidegate_requests_queued") == 2.0);
    drop(held);
    assert_eq!(read_answer(&mut own).status, 200);
    let model = &routed.models[1].1;
    model.wait_for_line("/copied. ");
    let seen = model.output();
    assert!(seen.find("/own. ") < seen.find("/copied. "), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_fails_or_hangs_harms_nobody() {
    let routed = start(1.0, "  concurrency: {queueCapacity: 1000, queueTimeout: 300s}");
    let data = routed.gateway.data;
    let http = Http::new();
    for code in [500, 503] {
        assert_eq!(http.get(data, &format!("/s/status?code={code}")).await.status, code);
    }
    eventually("copies have failed", || copies(&routed, "failed") == 2.0);

    // Takes connections, and never says a word on them. Eight at once are sent there.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = std::fs::read(&routed.gateway.endpoints_file).unwrap();
    let mut file: EndpointsFile = serde_json::from_slice(&file).unwrap();
    file.apis.insert("tried".to_owned(), vec![bare("silent", silent.local_addr().unwrap(), 8)]);
    routed.gateway.write_endpoints_file(&file);
    routed.gateway.process.wait_for_line("endpoint=\"silent\"");
    let load = Load::start(8, data, "/s/x");
    load.wait_for_more(600);
    let answers = load.stop().await;
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&(200, String::new())], "{answers:?}");
    let now = |name: &str| routed.gateway.metric(name, r#"api="tried""#);
    let held = (now("tidegate_requests_in_flight"), now("tidegate_requests_queued"));
    assert_eq!(held, (8.0, 248.0), "as many as may be on their way");
    let copied = answers.values().sum::<usize>() as f64;
    assert_eq!(copies(&routed, "no-room"), copied - 256.0);
    assert_eq!(get(data, "/s/x").status, 200);
}
