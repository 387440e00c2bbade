//! `deploy`, `get`, `describe`, `logs`, `refresh` and `delete` with `--local`: against a running
//! `tidegate up` that was started without documents.

use crate::support::http::{connect, get, read_answer};
use crate::support::process::Process;
use crate::support::up::{FREE_PORTS, document, plain_command};
use crate::support::{binary, eventually};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A `tidegate up`, and the folder it works in.
struct World {
    folder: TempDir,
    up: Process,
    requests: SocketAddr,
}

/// How a command ended, and what it said.
struct Done {
    code: Option<i32>,
    said: String,
    errors: String,
}

impl World {
    fn start(files: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        for (number, text) in files.iter().enumerate() {
            std::fs::write(folder.path().join(format!("own{number}.yaml")), text).unwrap();
        }
        let mut command = Command::new(binary("tidegate"));
        command.current_dir(folder.path()).arg("up").args(FREE_PORTS);
        command.args((0..files.len()).map(|number| format!("own{number}.yaml")));
        command.args(["--data-dir", "data", "--format", "json", "--tick", "200ms"]);
        let up = Process::start(&mut command);
        let line = up.wait_for_line(r#""event":"listening""#);
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        let requests = json["requests"].as_str().unwrap().parse().unwrap();
        Self { folder, up, requests }
    }

    fn write(&self, text: &str) -> PathBuf {
        let file = self.folder.path().join("models/api.yaml");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        file
    }

    fn run(&self, arguments: &[&str]) -> Done {
        let mut command = Command::new(binary("tidegate"));
        command.current_dir(self.folder.path()).args(arguments);
        command.args(["--local", "--data-dir", "data"]);
        let mut process = Process::start(&mut command);
        let code = process.wait().code();
        Done { code, said: process.output(), errors: process.errors() }
    }

    fn deploy(&self, text: &str) -> Done {
        self.write(text);
        self.run(&["deploy", "-f", "models/api.yaml"])
    }
}

impl Done {
    fn expect(&self, code: i32, words: &[&str]) {
        let all = format!("{}{}", self.said, self.errors);
        assert_eq!(self.code, Some(code), "{all}");
        for word in words {
            assert!(all.contains(word), "no {word:?} in:\n{all}");
        }
    }
}

fn plain(spec: &str) -> String {
    let spec = format!("  autoscaling: {{minReplicas: 1, maxReplicas: 2}}\n{spec}");
    document(&plain_command(), &spec)
}

#[test]
fn an_api_is_deployed_changed_looked_at_and_deleted() {
    let world = World::start(&[]);
    world.run(&["get"]).expect(0, &["no APIs yet", "tidegate deploy --local"]);
    world.deploy(&plain("")).expect(0, &["plain created", "plain: ready"]);
    assert_eq!(get(world.requests, "/x").status, 200);
    world.run(&["deploy", "-f", "models/api.yaml"]).expect(0, &["plain unchanged"]);

    // What can't be used changes nothing, also not for the next who deploys.
    let broken = plain("").replace("python3", "no-such-program");
    world.deploy(&broken).expect(1, &["spec.container.command[0]", "no-such-program"]);
    world.deploy(&plain("  concurrency: {limit: many}")).expect(65, &["spec.concurrency.limit"]);
    // Where documents lie in the run's folder tells nobody anything.
    let rival = plain("").replace("name: plain", "name: rival");
    world.deploy(&rival).expect(1, &["error: rival.json: spec.routes", "api plain in plain.json;"]);
    assert_eq!(get(world.requests, "/x").status, 200);

    let before = world.run(&["describe", "plain"]).said;
    world.deploy(&plain("  concurrency: {limit: 3}")).expect(0, &["plain updated", "plain: ready"]);
    let described = world.run(&["describe", "plain"]);
    described.expect(0, &["3 at once in a replica", "min-replicas", "Ready"]);
    assert_ne!(described.said, before);
    world.run(&["get"]).expect(0, &["NAME", "plain", "concurrency", "min-replicas"]);
    world.run(&["get", "plain", "-o", "json"]).expect(0, &[r#""ready": 1"#, r#""limit": 3"#]);
    world.run(&["get", "none"]).expect(66, &["there is no api none"]);
    world.run(&["logs", "plain"]).expect(0, &["REQUEST GET /x", "[plain-"]);

    let replica = || world.run(&["get", "plain", "-o", "json"]).said;
    assert!(replica().contains(r#""ready": 1"#));
    world.run(&["refresh", "plain"]).expect(0, &["plain: ", "one after another"]);
    world.run(&["refresh", "none"]).expect(66, &[]);

    world.run(&["delete", "plain", "--wait"]).expect(0, &["plain deleted"]);
    assert_eq!(get(world.requests, "/x").status, 404);
    world.run(&["delete", "plain"]).expect(66, &["plain"]);
    world.run(&["get"]).expect(0, &["no "]);
}

#[test]
fn what_does_not_get_ready_is_told_with_its_last_lines() {
    let world = World::start(&[]);
    let failing = "[sh, -c, 'echo weights are missing; exit 3', \"{port}\"]";
    let spec = "  autoscaling: {minReplicas: 1}";
    world.write(&document(failing, spec));
    let late = world.run(&["deploy", "-f", "models/api.yaml", "--timeout", "3s"]);
    late.expect(75, &["plain created", "the model ended (exit status: 3)", "weights are missing"]);
    late.expect(75, &["see `tidegate logs --local plain`"]);
    // It goes on trying, and another document is another try.
    let mended = document(&plain_command(), spec);
    world.deploy(&mended).expect(0, &["plain updated", "plain: ready"]);
    // A change that does not get ready is over as soon as that is known; the old one goes on.
    world.deploy(&document(failing, spec)).expect(1, &["don't get ready", "weights are missing"]);
    assert_eq!(get(world.requests, "/x").status, 200);
}

#[test]
fn apis_that_name_each_other_come_together_in_any_order_and_go_the_other_way() {
    let world = World::start(&[]);
    let api = |name: &str, other: &str| {
        let path = format!("routes: [{{path: /{name}, stripPrefix: true}}]");
        let fallback = format!("  coldStart:\n    fallback:\n      api: {other}");
        let text = document(&plain_command(), &format!("  {path}\n{fallback}"));
        text.replace("name: plain", &format!("name: {name}"))
    };
    let write = |name: &str, text: &str| {
        world.write("");
        std::fs::write(world.folder.path().join("models").join(name), text).unwrap();
    };
    write("big.yaml", &api("big", "small"));
    write("small.yaml", &api("small", "big"));
    let place = ["models/big.yaml:9", "spec.coldStart.fallback.api", "is \"small\""];
    world.run(&["deploy", "-f", "models/big.yaml"]).expect(65, &place);
    world.run(&["get"]).expect(0, &["no "]);
    let both = ["deploy", "-f", "models/big.yaml", "-f", "models/small.yaml"];
    world.run(&both).expect(0, &["big created", "small created"]);
    // What is there already need not come again.
    write(
        "big.yaml",
        &api("big", "small").replace("  coldStart", "  concurrency: {limit: 2}\n  coldStart"),
    );
    world.run(&["deploy", "-f", "models/big.yaml"]).expect(0, &["big updated"]);
    world.run(&["delete", "small"]).expect(1, &["spec.coldStart.fallback.api", "\"small\""]);
    write("big.yaml", &api("big", "small").replace("small", "none"));
    world.run(&["deploy", "-f", "models/big.yaml"]).expect(65, &["\"none\""]);
    let alone = api("big", "small");
    let (alone, _) = alone.split_once("  coldStart").unwrap();
    write("big.yaml", alone);
    world.run(&["deploy", "-f", "models/big.yaml"]).expect(0, &["big updated"]);
    world.run(&["delete", "small", "--wait"]).expect(0, &["small deleted"]);
    assert_eq!(get(world.requests, "/big/x").status, 200);
}

#[test]
fn an_api_that_goes_says_so_while_its_replicas_finish() {
    let world = World::start(&[]);
    world.deploy(&plain("")).expect(0, &["plain: ready"]);
    let mut stream = connect(world.requests);
    write!(stream, "GET /stream?n=20&ms=100 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    eventually("the stream has begun", || {
        world.run(&["get", "-o", "json"]).said.contains(r#""inFlight": 1"#)
    });
    world.run(&["delete", "plain"]).expect(0, &["plain deleted"]);
    let listed = world.run(&["get"]).said;
    assert!(listed.contains("plain") && listed.contains("deleting"), "{listed}");
    assert_eq!(read_answer(&mut stream).text().matches("data").count(), 20);
    eventually("it is gone", || world.run(&["get"]).said.contains("no "));
}

#[test]
fn what_it_was_started_with_is_changed_in_its_file_only() {
    let own = plain("");
    let mut world = World::start(&[&own]);
    eventually("it serves", || get(world.requests, "/x").status == 200);
    world.run(&["deploy", "-f", "own0.yaml"]).expect(0, &["plain unchanged"]);
    let other = plain("  concurrency: {limit: 3}");
    world.deploy(&other).expect(1, &["plain is in ", "own0.yaml", "change it there"]);
    world.run(&["delete", "plain"]).expect(1, &["own0.yaml"]);
    world.up.signal(rustix::process::Signal::TERM);
    assert!(world.up.wait().success());
    world.run(&["get"]).expect(69, &["no `tidegate up` runs in data"]);
}
