//! The two command lines of a replica, as data: the model's and its sidecar's.

use super::preflight::{PORT, search_path};
use super::target::LocalSettings;
use crate::child::DeathSignal;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tidegate_api::document::{InferenceApi, Probe};
use tidegate_api::duration_text as time;
use tokio::process::Command;

/// The model's command, without output redirected.
pub(super) fn model(
    api: &InferenceApi,
    program: &Path,
    python_bin: Option<&Path>,
    port: u16,
    shim: &[OsString],
) -> Command {
    let port = port.to_string();
    let mut words: Vec<OsString> = vec![program.into()];
    let arguments = api.container.command.iter().skip(1);
    words.extend(arguments.map(|word| word.replace(PORT, &port).into()));
    let mut command = shimmed(shim, DeathSignal::Kill, words);
    surround(&mut command, api, python_bin);
    command.envs(api.container.env.iter().map(|(key, value)| (key, value.replace(PORT, &port))));
    command
}

/// The sidecar's command, with standard output piped: there it says where it listens.
pub(super) fn sidecar(
    api: &InferenceApi,
    python_bin: Option<&Path>,
    port: u16,
    settings: &LocalSettings,
) -> Command {
    let mut words = settings.sidecar.clone();
    let flags = sidecar_flags(api, port, settings.drain_delay, settings.drain_timeout);
    words.extend(flags.map(OsString::from));
    let mut command = shimmed(&settings.shim, DeathSignal::Term, words);
    // It may run the model's exec probe, which expects the model's surroundings.
    surround(&mut command, api, python_bin);
    command
}

/// The model's folder and virtual environment.
fn surround(command: &mut Command, api: &InferenceApi, python_bin: Option<&Path>) {
    command.current_dir(&api.container.working_dir);
    if let Some(bin) = python_bin {
        command.env("PATH", search_path(Some(bin)));
        command.envs(bin.parent().map(|venv| ("VIRTUAL_ENV", venv)));
    }
}

/// Sends a command's output to the end of a log file.
pub(super) fn log_to(command: &mut Command, log: &Path, stdout: bool) -> std::io::Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(log)?;
    command.stdin(Stdio::null());
    command.stdout(if stdout { Stdio::from(file.try_clone()?) } else { Stdio::piped() });
    command.stderr(file);
    Ok(())
}

pub(super) fn sidecar_flags(
    api: &InferenceApi,
    port: u16,
    drain_delay: Duration,
    drain_timeout: Duration,
) -> impl Iterator<Item = String> {
    let (concurrency, timeouts, ready) = (&api.concurrency, &api.timeouts, &api.readiness);
    let or_off = |limit: Option<Duration>| time(limit.unwrap_or_default());
    [
        ("--listen", "127.0.0.1:0".to_owned()),
        ("--admin", "127.0.0.1:0".to_owned()),
        ("--upstream", format!("127.0.0.1:{port}")),
        ("--concurrency", concurrency.limit.to_string()),
        ("--queue-capacity", concurrency.queue_capacity.to_string()),
        ("--queue-bytes", concurrency.queue_bytes.to_string()),
        ("--queue-timeout", time(concurrency.queue_timeout)),
        ("--first-byte-timeout", or_off(timeouts.first_byte)),
        ("--idle-timeout", or_off(timeouts.idle)),
        ("--request-timeout", or_off(timeouts.total)),
        ("--readiness", probe(&ready.probe)),
        ("--readiness-period", time(ready.period)),
        ("--readiness-timeout", time(ready.timeout)),
        ("--readiness-failures", ready.failure_threshold.to_string()),
        ("--drain-delay", time(drain_delay)),
        ("--drain-timeout", time(drain_timeout)),
        ("--access-log", api.sidecar.access_log.to_string()),
    ]
    .into_iter()
    .chain(api.sidecar.llm.map(|llm| ("--llm", llm.to_string())))
    .flat_map(|(flag, value)| [flag.to_owned(), value])
}

/// The value of `--readiness`.
fn probe(probe: &Probe) -> String {
    match probe {
        Probe::TcpSocket => "tcp".to_owned(),
        Probe::HttpGet { path } => format!("http:{path}"),
        Probe::Grpc { service } => format!("grpc:{service}"),
        Probe::Exec { command } => format!("exec:{}", serde_json::json!(command)),
    }
}

/// `words` behind the shim that ties the child to this process, if there is a shim.
fn shimmed(shim: &[OsString], signal: DeathSignal, words: Vec<OsString>) -> Command {
    let mut all = shim.to_vec();
    if !shim.is_empty() {
        let parent = std::process::id().to_string();
        let flags = ["--parent", &parent, "--signal", signal.flag(), "--"];
        all.extend(flags.map(OsString::from));
    }
    all.extend(words);
    let mut all = all.into_iter();
    let mut command = Command::new(all.next().unwrap_or_default());
    command.args(all);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_probe_is_one_word() {
        for (given, word) in [
            (Probe::TcpSocket, "tcp"),
            (Probe::HttpGet { path: "/healthz".into() }, "http:/healthz"),
            (Probe::Grpc { service: String::new() }, "grpc:"),
            (Probe::Exec { command: vec!["a b".into(), "\"c".into()] }, r#"exec:["a b","\"c"]"#),
        ] {
            assert_eq!(probe(&given), word);
        }
    }

    #[test]
    fn the_shim_comes_first_and_may_be_absent() {
        let words = |shim: &[OsString]| {
            let command = shimmed(shim, DeathSignal::Term, vec!["model".into(), "-x".into()]);
            let std = command.as_std();
            std::iter::once(std.get_program()).chain(std.get_args()).map(OsString::from).collect()
        };
        let bare: Vec<OsString> = words(&[]);
        assert_eq!(bare, ["model", "-x"]);
        let parent = std::process::id().to_string();
        let whole: Vec<OsString> = words(&["tidegate".into(), "child".into()]);
        let want =
            ["tidegate", "child", "--parent", &parent, "--signal", "term", "--", "model", "-x"];
        assert_eq!(whole, want);
    }
}
