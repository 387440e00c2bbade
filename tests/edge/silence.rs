//! Connections to admin ports that say nothing, or not enough: each takes one of a few places.

use crate::support::gateway::Gateway;
use crate::support::http::{connect, get};
use crate::support::sidecar::Sidecar;
use crate::support::up::{Up, document};
use std::io::{Read, Write};

#[test]
fn who_says_nothing_on_an_admin_port_is_closed() {
    let (sidecar, gateway) = (Sidecar::start(&[]), Gateway::start("60s", &[]));
    let up = Up::start(&document("[python3, app.py, '{port}']", ""), &[]);
    let ports =
        [("sidecar", sidecar.admin), ("gateway", gateway.admin), ("autoscaler", up.autoscaler)];
    let said = ["", "GET /hea", "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"];
    // All at once: the time until they are closed is the same for all.
    let open = ports.map(|(name, port)| {
        let streams = said.map(|said| {
            let mut stream = connect(port);
            stream.write_all(said.as_bytes()).unwrap();
            stream
        });
        (name, port, streams)
    });
    for (name, port, streams) in open {
        for (mut stream, said) in streams.into_iter().zip(said) {
            let mut answer = Vec::new();
            let ended = stream.read_to_end(&mut answer);
            assert!(ended.is_ok(), "{name}, after {said:?}: {ended:?}");
            assert_eq!(answer.is_empty(), !said.ends_with("\r\n\r\n"), "{name}, after {said:?}");
        }
        assert_eq!(get(port, "/healthz").status, 200, "{name}");
    }
}
