//! The form of every page of metrics, as promtool sees it.

use crate::support::http::{Http, connect, get};
use crate::support::sidecar::Sidecar;
use crate::support::up::{Up, document, plain_command};
use crate::support::{eventually, root};
use std::collections::HashSet;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where promtool is: on the path, or where `.ci/promtool` puts it.
fn promtool() -> Option<PathBuf> {
    let places = [PathBuf::from("promtool"), root().join("target/tools/usr/bin/promtool")];
    places.into_iter().find(|place| {
        let mut asking = Command::new(place);
        asking.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        asking.status().is_ok_and(|status| status.success())
    })
}

/// Fails if promtool has anything to say of the page, or if a series is there twice, which it
/// overlooks.
fn assert_well_formed(promtool: &PathBuf, admin: SocketAddr) -> String {
    let page = get(admin, "/metrics").text();
    assert!(page.contains("\ntidegate_"), "no metrics: {page}");
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = check.wait_with_output().unwrap();
    let text = [said.stdout, said.stderr].concat();
    assert!(said.status.success() && text.is_empty(), "{}", String::from_utf8_lossy(&text));
    let series = page.lines().filter(|line| !line.starts_with('#'));
    let mut seen = HashSet::new();
    for name in series.filter_map(|line| line.rsplit_once(' ')).map(|(name, _)| name) {
        assert!(seen.insert(name), "twice: {name}");
    }
    page
}

#[test]
fn promtool_finds_nothing_to_say() {
    let Some(promtool) = promtool() else {
        return skipped();
    };
    let sidecar =
        Sidecar::start(&["--llm", "openai", "--access-log", "all", "--queue-capacity", "0"]);
    for target in ["/", "/close", "/status?code=418", "/half"] {
        get(sidecar.data, target);
    }
    let mut running = connect(sidecar.data);
    write!(running, "GET /sleep?ms=600000 HTTP/1.1\r\nhost: me\r\n\r\n").unwrap();
    sidecar.model.wait_for_line("/sleep");
    get(sidecar.data, "/refused");
    let page = assert_well_formed(&promtool, sidecar.admin);
    for word in ["queue-full", "upstream-reset", "code=\"418\"", "tidegate_output_tokens_total"] {
        assert!(page.contains(word), "{word} is not in {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_to_say_of_gateway_and_autoscaler() {
    let Some(promtool) = promtool() else {
        return skipped();
    };
    let up = Up::start(&document(&plain_command(), ""), &[]);
    let answer = Http::new().get(up.data, "/").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(Http::new().get(up.data, "/nowhere/else").await.header("x-request-id").len(), 32);
    eventually("the autoscaler measures", || {
        get(up.autoscaler, "/metrics").text().contains("api=\"plain\"")
    });
    assert!(assert_well_formed(&promtool, up.admin).contains("api=\"plain\""));
    assert_well_formed(&promtool, up.autoscaler);
}

#[expect(
    clippy::print_stderr,
    reason = "whoever reads the tests' output must see what was not tried"
)]
fn skipped() {
    eprintln!("skipped: there is no promtool; .ci/promtool fetches it where Debian's packages are");
}
