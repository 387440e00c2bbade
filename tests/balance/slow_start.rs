//! A replica that has just become ready is not given all at once.

use crate::support::eventually;
use crate::support::gateway::{Gateway, bare};
use crate::support::http::{connect, read_answer};
use crate::support::sidecar::plain_model;
use std::io::Write;

#[test]
fn a_new_replica_has_one_slot_at_first_and_all_when_slow_start_is_over() {
    let (model, address) = plain_model(0);
    let text = |slow: &str| {
        let routes = "[{path: /plain, stripPrefix: true}]";
        let text = Gateway::DOCUMENT.replace("COLD_START", "60s").replace("ROUTES", routes);
        format!("{text}  balancing: {{slowStart: {slow}}}\n")
    };
    let gateway = Gateway::run(&text("1h"), &[]);
    gateway.write_endpoints(vec![bare("a", address, 4)]);
    gateway.wait_for_limit(1.0);
    let ask = |_| {
        let mut stream = connect(gateway.data);
        let head = "GET /plain/sleep?ms=100 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let mut asked: Vec<_> = (0..4).map(ask).collect();
    let running = || gateway.metric("tidegate_requests_in_flight", "");
    eventually("one runs and the others wait", || {
        (running(), gateway.metric("tidegate_requests_queued", "")) == (1.0, 3.0)
    });
    asked.iter_mut().for_each(|stream| assert_eq!(read_answer(stream).status, 200));
    // Which is over, as it is ready for longer already, or will be in a moment.
    gateway.write_documents(&text("1s"));
    gateway.wait_for_limit(4.0);
    model.wait_for_lines("/sleep", 4);
    assert_eq!(model.count_lines("/sleep"), 4);
}
