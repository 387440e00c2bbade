//! `tidegate demo`: a short one to its end, and one that is interrupted.

use crate::support::family::Family;
use crate::support::process::Process;
use crate::support::up::{INSTALLATION, shared_data_dir};
use crate::support::{PATIENCE, binary, root};
use rustix::process::Signal;
use std::process::Command;

/// The shortest that the command takes, in seconds.
const SECONDS: &str = "10";

fn demo() -> (Process, Family) {
    let mut command = Command::new(binary("tidegate"));
    command.current_dir(root()).args(["demo", "--seconds", SECONDS]);
    command.arg("--data-dir").arg(shared_data_dir());
    let family = Family::of(&mut command);
    (Process::start(&mut command), family)
}

/// The numbers of the only line that begins with `name`.
fn numbers(output: &str, name: &str) -> Vec<u64> {
    let lines: Vec<&str> = output.lines().filter(|line| line.starts_with(name)).collect();
    assert_eq!(lines.len(), 1, "lines {name:?} in:\n{output}");
    lines[0].split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[test]
fn a_short_demo_loses_nothing_and_ends_at_zero() {
    let (mut process, family) = demo();
    process.wait_for_lines_within(INSTALLATION, "requests in", 1);
    // The requests, and after them the last answers and replicas: the demo itself ends by then.
    let status = process.wait_within(3 * PATIENCE);
    let output = process.output();
    assert!(status.success(), "{output}");
    family.assert_gone();
    let [sent, answered, refused, failed, without] = numbers(&output, "sent ")[..] else {
        panic!("{output}")
    };
    assert_eq!(sent, answered + refused + failed + without, "{output}");
    assert_eq!((failed, without), (0, 0), "{output}");
    assert!(answered > 0, "{output}");
    let gateway = numbers(&output, "gateway ");
    assert_eq!(gateway, [sent, answered, 0, 0], "{output}");
    let [from, most, left] = numbers(&output, "replicas ")[..] else { panic!("{output}") };
    assert_eq!((from, left), (0, 0), "{output}");
    assert!(most > 0, "{output}");
    assert!(output.ends_with("nothing was lost"), "{output}");
}

#[test]
fn an_interrupted_demo_says_so_and_leaves_nothing() {
    let (mut process, family) = demo();
    process.wait_for_lines_within(INSTALLATION, "requests in", 1);
    process.wait_for_line("burst");
    process.signal(Signal::INT);
    assert_eq!(process.wait().code(), Some(1), "{}", process.output());
    family.assert_gone();
    assert!(process.output().contains("interrupted"), "{}", process.output());
}
