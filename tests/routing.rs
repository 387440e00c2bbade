//! Which API a request goes to: by host, path, header, gRPC method, and by the model it names.

mod access;
mod endpoints;
mod models;
mod reload;
mod shadow;
mod split;

use crate::support::eventually;
use crate::support::gateway::{Gateway, bare};
use crate::support::http::{Answer, connect, read_answer};
use crate::support::process::Process;
use crate::support::sidecar::plain_model;
use std::io::Write;
use std::net::SocketAddr;

/// Gateway and models, one for each API.
struct Routed {
    gateway: Gateway,
    models: Vec<(String, Process)>,
}

impl Routed {
    /// APIs of these names, each with these lines in its `spec`.
    fn start(apis: &[(&str, &str)], flags: &[&str]) -> Self {
        let names: Vec<_> = apis.iter().map(|(name, _)| *name).collect();
        Self::serve(&documents(apis), &names, flags)
    }

    /// These documents, with a model for each API of these names.
    fn serve(text: &str, names: &[&str], flags: &[&str]) -> Self {
        let gateway = Gateway::run(text, flags);
        let models: Vec<_> =
            names.iter().map(|name| ((*name).to_owned(), plain_model(0))).collect();
        let entry = |(name, (_, address)): &(String, (Process, SocketAddr))| {
            (name.clone(), vec![bare("a", *address, 8)])
        };
        gateway.write_endpoints_of(models.iter().map(entry).collect());
        gateway.wait_for_limit(8.0 * names.len() as f64);
        let models = models.into_iter().map(|(name, (process, _))| (name, process)).collect();
        Self { gateway, models }
    }

    /// Sends these bytes on a connection of their own.
    fn send(&self, bytes: &[u8]) -> Answer {
        let mut stream = connect(self.gateway.data);
        // It may be refused before it has come.
        stream.write_all(bytes).ok();
        read_answer(&mut stream)
    }

    /// A request of this head, without the lines that each has.
    fn ask(&self, head: &str, body: &str) -> Answer {
        let length = format!("connection: close\r\ncontent-length: {}\r\n", body.len());
        self.send(format!("{head}\r\n{length}\r\n{body}").as_bytes())
    }

    /// The API whose model was asked for a target with this mark, or "".
    fn asked(&self, mark: &str) -> &str {
        let seen = |process: &Process| process.count_lines(mark) > 0;
        let found = self.models.iter().find(|(_, process)| seen(process));
        found.map_or("", |(name, _)| name)
    }
}

/// The documents of APIs of these names, each with these lines in its `spec`.
fn documents(apis: &[(&str, &str)]) -> String {
    let document = |(name, spec): &(&str, &str)| {
        format!(
            "---\napiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\n\
             metadata: {{name: {name}}}\nspec:\n  container: {{command: [unused]}}\n{spec}\n"
        )
    };
    apis.iter().map(document).collect()
}

#[test]
fn the_most_definite_route_takes_the_request() {
    let routed = Routed::start(
        &[
            ("any", "  routes: [{path: /}]"),
            ("wild", "  routes: [{host: '*.models.test'}]"),
            ("name", "  routes: [{host: a.models.test, path: /v1, stripPrefix: true}]"),
            ("exact", "  routes: [{exactPath: /v1/predict}]"),
            ("red", "  routes: [{path: /v1, headers: {x-team: red}}]"),
            ("grpc", "  routes: [{grpc: {service: a.Reader, method: Predict}}]"),
        ],
        &[],
    );
    for (number, (host, path, header, api, seen)) in [
        ("x", "/", "", "any", "/"),
        ("x", "/v1/predict", "", "exact", "/v1/predict"),
        ("x", "/v1/predict/", "", "any", "/v1/predict/"),
        ("x", "/v1/x", "x-team: red\r\n", "red", "/v1/x"),
        ("x", "/v1/x", "x-team: blue\r\n", "any", "/v1/x"),
        ("x", "/v1/x", "x-team: blue\r\nX-Team: red\r\n", "red", "/v1/x"),
        ("b.models.test", "/v1/x", "x-team: red\r\n", "wild", "/v1/x"),
        ("A.Models.Test:80", "/v1/x", "", "name", "/x"),
        ("a.models.test", "/v2", "", "wild", "/v2"),
        ("models.test", "/v2", "", "any", "/v2"),
        ("x", "/a.Reader/Predict", "", "grpc", "/a.Reader/Predict"),
        ("x", "/a.Reader/Other", "", "any", "/a.Reader/Other"),
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("{path}?case={number}.");
        let head = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n{header}");
        let answer = routed.ask(head.trim_end(), "");
        assert_eq!(answer.status, 200, "{head}");
        let mark = format!(" {seen}?case={number}. ");
        eventually("its model was asked", || routed.asked(&mark) == api);
    }
    eventually("the books agree", || {
        routed.gateway.metric("tidegate_requests_total", r#"code="200""#) == 12.0
    });
}
