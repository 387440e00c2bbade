//! What never reached a model is sent elsewhere, within bounds.

use crate::support::gateway::{Gateway, entry};
use crate::support::http::Http;
use crate::support::sidecar::Sidecar;
use std::net::{SocketAddr, TcpListener};
use tidegate_api::endpoints::{EndpointEntry, EndpointState};

/// An endpoint that counts as ready and takes no connection.
fn nobody(id: &str) -> EndpointEntry {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let state = EndpointState::Active;
    EndpointEntry { id: id.to_owned(), address, admin: None, concurrency: 8, state }
}

/// Asks until an answer was sent elsewhere, or refused for good: its status, reason and attempts.
async fn first_that_failed(gateway: &Gateway) -> (u16, String, String) {
    let http = Http::new();
    for _ in 0..1000 {
        let answer = http.get(gateway.data, "/plain/x").await;
        let attempts = answer.header("x-tidegate-attempts").to_owned();
        if answer.status != 200 || !attempts.is_empty() {
            return (answer.status, answer.reason().to_owned(), attempts);
        }
    }
    panic!("no request ever met the endpoint where nobody is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_sent_elsewhere_unless_retries_are_off_or_used_up() {
    let sidecar = Sidecar::start(&["--concurrency", "8"]);
    let elsewhere = (200, String::new(), "2".to_owned());
    let failed = (502, "upstream-connect".to_owned(), String::new());
    for (retries, expected) in [
        ("{}", &elsewhere),
        ("{attempts: 0}", &failed),
        ("{budget: 0, floorPerSecond: 0}", &failed),
        ("{attempts: 1, budget: 0, floorPerSecond: 1}", &elsewhere),
    ] {
        let spec = format!("balancing: {{retries: {retries}, ejection: {{consecutiveErrors: 0}}}}");
        let gateway = Gateway::start_with(&spec, &[]);
        gateway.write_endpoints(vec![entry("a", &sidecar, 8), nobody("b")]);
        gateway.wait_for_limit(16.0);
        assert_eq!(&first_that_failed(&gateway).await, expected, "{retries}");
    }
}
