//! What can't run says why, where, and with which code; and leaves nothing behind.

use crate::support::binary;
use crate::support::family::Family;
use crate::support::process::Process;
use crate::support::up::{FREE_PORTS, Up, document, plain_command};
use std::net::TcpListener;
use std::process::Command;
use tempfile::TempDir;

/// How a run ended that had to fail.
struct Failure {
    code: Option<i32>,
    errors: String,
}

/// Runs a document with these flags to the end, and sees that nothing is left of it.
fn fail(text: &str, flags: &[&str]) -> Failure {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("api.yaml");
    std::fs::write(&file, text).unwrap();
    fail_with(&folder, &["api.yaml"], flags)
}

fn fail_with(folder: &TempDir, files: &[&str], flags: &[&str]) -> Failure {
    let mut command = Command::new(binary("tidegate"));
    command.current_dir(folder.path()).arg("up").args(files);
    command.args(["--data-dir", "data"]).args(flags);
    for pair in FREE_PORTS.chunks(2).filter(|pair| !flags.contains(&pair[0])) {
        command.args(pair);
    }
    let family = Family::of(&mut command);
    let mut process = Process::start(&mut command);
    let code = process.wait().code();
    family.assert_gone();
    Failure { code, errors: process.errors() }
}

impl Failure {
    /// Checks the code, and that standard error has each of these in it.
    fn says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.errors);
        for word in words {
            assert!(self.errors.contains(word), "no {word:?} in:\n{}", self.errors);
        }
    }
}

fn plain(spec: &str) -> String {
    document(&plain_command(), spec)
}

#[test]
fn a_broken_document_is_named_with_the_place() {
    fail("apiVersion: tidegate.dev/v1alpha1\nmetadata: {name: plain\nspec: [\n", &[])
        .says(65, &["api.yaml:3", "is not valid YAML", "1 mistake"]);
    fail("", &[]).says(65, &["api.yaml"]);
}

#[test]
fn an_unknown_key_is_told_with_its_line_and_the_nearest_one() {
    fail(&plain("  concurrency: {limt: 2}"), &[]).says(
        65,
        &["api.yaml:6:17", "spec.concurrency.limt", "did you mean `limit`?", "1 mistake"],
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = plain("  concurrency: {limit: 0}\n  autoscaling: {maxReplicas: many}\n  rotues: []");
    fail(&text, &[]).says(
        65,
        &[
            "api.yaml:6:",
            "spec.concurrency.limit: is 0",
            "api.yaml:7:",
            "spec.autoscaling.maxReplicas: is \"many\"",
            "api.yaml:8:",
            "did you mean `routes`?",
            "3 mistakes",
        ],
    );
}

#[test]
fn mistakes_of_several_files_are_told_together() {
    let folder = TempDir::new().unwrap();
    for name in ["one.yaml", "two.yaml"] {
        std::fs::write(folder.path().join(name), plain("  concurrency: {limit: 0}")).unwrap();
    }
    let failure = fail_with(&folder, &["one.yaml", "two.yaml"], &[]);
    failure.says(65, &["one.yaml:6:", "two.yaml:6:"]);
}

#[test]
fn a_file_that_is_not_there_is_a_wrong_command_line() {
    let folder = TempDir::new().unwrap();
    fail_with(&folder, &["gone.yaml"], &[]).says(64, &["gone.yaml does not exist"]);
    fail_with(&folder, &["."], &[]).says(64, &[". is a folder"]);
    fail(&plain(""), &["--tick", "soon"]).says(64, &["--tick"]);
    fail(&plain(""), &["--drain-timeut", "1s"]).says(64, &["--drain-timeut", "--drain-timeout"]);
}

#[test]
fn a_port_in_use_is_told_with_its_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin", "--status"] {
        let failure = fail(&plain(""), &[flag, &address]);
        failure.says(1, &[flag, &address, "Address already in use"]);
        for other in ["--listen", "--admin", "--status"].iter().filter(|other| **other != flag) {
            assert!(!failure.errors.contains(other), "{flag}: {}", failure.errors);
        }
    }
}

#[test]
fn a_port_that_another_one_serves_is_not_shared_with_it() {
    let up = Up::start(&plain(""), &[]);
    let address = up.data.to_string();
    fail(&plain(""), &["--listen", &address]).says(1, &["--listen", &address]);
}

#[test]
fn a_command_that_does_not_exist_is_told_before_anything_starts() {
    let failure = fail(&document("[no-such-program, \"{port}\"]", ""), &[]);
    failure.says(1, &["plain", "spec.container.command[0]", "no-such-program", "PATH"]);
    let failure = fail(&document("[./missing/serve, \"{port}\"]", ""), &[]);
    failure.says(1, &["spec.container.command[0]", "./missing/serve"]);
}

#[test]
fn a_model_that_exits_at_its_start_is_shown_with_its_last_words() {
    let command = r#"[sh, -c, "echo loading; echo no weights here >&2; exit 3", "{port}"]"#;
    let failure = fail(&document(command, "  autoscaling: {minReplicas: 1}"), &[]);
    failure.says(
        1,
        &[
            "api plain",
            "exit status: 3",
            "before it was ready",
            "| loading",
            "| no weights here",
            "/replicas/plain-",
            "command: sh -c",
        ],
    );
}

#[test]
fn a_model_that_is_never_ready_is_given_up_and_ended() {
    let command = r#"[sh, -c, "echo still loading; sleep 600 & wait", "{port}"]"#;
    let spec = "  readiness: {startTimeout: 2s}\n  autoscaling: {minReplicas: 1}";
    let failure = fail(&document(command, spec), &["--tick", "100ms"]);
    failure.says(1, &["api plain", "not ready within 2s", "| still loading", "3 failed starts"]);
}

#[test]
fn a_query_without_a_prometheus_says_where_to_name_it() {
    let metric = "  autoscaling: {policy: metric, metric: {query: up, target: 1}}";
    let flags = ["api plain", "spec.autoscaling.metric.prometheus", "--prometheus"];
    fail(&plain(metric), &[]).says(1, &flags);
    fail(&plain(metric), &["--prometheus", "https://a"]).says(64, &["--prometheus", "plain HTTP"]);
}
