//! A gateway without an autoscaler: its documents say where the endpoints are.

use crate::support::eventually;
use crate::support::http::{connect, get, metric, read_answer};
use crate::support::replace;
use crate::support::sidecar::{Sidecar, plain_model, proxy};
use std::io::Write;
use tempfile::TempDir;

fn document(name: &str, endpoints: &str) -> String {
    format!(
        "---\napiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: {name}}}\n\
         spec:\n  concurrency: {{limit: 2}}\n  routes: [{{path: /{name}, stripPrefix: true}}]\n  \
         endpoints: {endpoints}\n"
    )
}

#[test]
fn addresses_and_names_are_endpoints_and_follow_the_documents() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("api.yaml");
    let sidecar = Sidecar::start(&[]);
    let (model, address) = plain_model(0);
    // Neither it nor its admin port are listened on.
    let nobody = "127.0.0.2:9";
    let listed = |more: &str| {
        let (own, admin) = (sidecar.data, sidecar.admin.port());
        document("listed", &format!("{{addresses: ['{own}'{more}], adminPort: {admin}}}"))
    };
    let named = |name: &str, port: u16| {
        document("named", &format!("{{dns: {{name: {name}, port: {port}, period: 100ms}}}}"))
    };
    std::fs::write(&file, listed("") + &named("no-such-name.invalid", 80)).unwrap();
    let (process, data, admin) = proxy("gateway", &["--config", file.to_str().unwrap()]);
    let limit = |api: &str| metric(admin, "tidegate_concurrency_limit", api);
    eventually("the sidecar is used", || limit("listed") == 2.0);
    assert_eq!(get(data, "/listed/x").status, 200);
    sidecar.model.wait_for_line("REQUEST GET /x ");
    process.wait_for_line("can't look a name up; keeping what was");
    let failures = || metric(admin, "tidegate_endpoint_lookup_failures_total", "");
    eventually("it is asked for again", || failures() >= 3.0);

    // Who waits meanwhile is served as soon as the name is found.
    let mut waiting = connect(data);
    write!(waiting, "GET /named/y HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    eventually("it waits", || metric(admin, "tidegate_requests_queued", "named") == 1.0);
    replace(&file, listed("") + &named("localhost", address.port()));
    assert_eq!(read_answer(&mut waiting).status, 200);
    model.wait_for_line("REQUEST GET /y ");

    // Where nobody listens no request goes; the other address is as it was.
    replace(&file, listed(&format!(", '{nobody}'")));
    eventually("it is known, and not used", || {
        metric(admin, "tidegate_endpoints", r#"api="listed",state="starting""#) == 1.0
    });
    for _ in 0..10 {
        assert_eq!(get(data, "/listed/z").status, 200);
    }
    eventually("the other API is gone", || get(data, "/named/y").status == 404);
}
