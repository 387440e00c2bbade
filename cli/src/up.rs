//! `tidegate up`: models on this machine, from zero replicas to as many as are needed.

use crate::follow::Followed;
use crate::machine::{self, Machine, Plan};
use crate::run_dir::RunDir;
use crate::screen::{Format, Screen};
use crate::signals::Signals;
use crate::venv::Venvs;
use crate::view;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tidegate_api::document::{InferenceApi, Probe};
use tidegate_autoscaler::{Handle, Status};

/// Between two looks at the status.
const VIEW_PERIOD: Duration = Duration::from_secs(1);

/// Flags of `up`.
#[derive(Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// InferenceApi documents: what to run. They are followed as they change. Without any it waits for
    /// `tidegate deploy --local`.
    #[arg(value_name = "FILE", env = "TIDEGATE_UP_FILES", value_delimiter = ',')]
    files: Vec<PathBuf>,
    /// Where requests are taken; port 0 takes a free one
    #[arg(long, env = "TIDEGATE_UP_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: SocketAddr,
    /// The gateway's /healthz, /readyz and /metrics
    #[arg(long, env = "TIDEGATE_UP_ADMIN", default_value = "127.0.0.1:8081", value_name = "ADDR")]
    admin: SocketAddr,
    /// The autoscaler's /status and /metrics, which `tidegate top` reads
    #[arg(long, env = "TIDEGATE_UP_STATUS", default_value = "127.0.0.1:8082", value_name = "ADDR")]
    status: SocketAddr,
    /// Where Python environments and logs are kept
    #[arg(
        long,
        env = "TIDEGATE_UP_DATA_DIR",
        default_value = "target/tidegate",
        value_name = "DIR"
    )]
    data_dir: PathBuf,
    /// A file that keeps what scaling has learned over a restart; without one each run begins anew
    #[arg(long, env = "TIDEGATE_UP_STATE_FILE", value_name = "FILE")]
    state_file: Option<PathBuf>,
    /// The Python, 3.11 or newer, that makes environments
    #[arg(long, env = "TIDEGATE_UP_PYTHON", default_value = "python3", value_name = "PROGRAM")]
    python: PathBuf,
    /// Where Prometheus is, for APIs whose policy is a query
    #[arg(long, env = "TIDEGATE_UP_PROMETHEUS", value_parser = tidegate_api::http_url, value_name = "URL")]
    prometheus: Option<String>,
    /// Between two scaling decisions
    #[arg(long, env = "TIDEGATE_UP_TICK", default_value = "1s", value_parser = humantime::parse_duration, value_name = "TIME")]
    tick: Duration,
    /// How long requests may take to finish when a replica or everything stops
    #[arg(long, env = "TIDEGATE_UP_DRAIN_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration, value_name = "TIME")]
    drain_timeout: Duration,
    /// How it is shown what happens
    #[arg(long, env = "TIDEGATE_UP_FORMAT", default_value = "auto")]
    format: Format,
}

/// Runs until Ctrl-C or SIGTERM, or until a model can't be started.
pub(crate) fn run(args: &UpArgs) -> Result<ExitCode> {
    machine::raise_file_limit();
    // One thread, the main one: replicas are tied to the life of the thread that starts them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(up(args))
}

async fn up(args: &UpArgs) -> Result<ExitCode> {
    let signals = Signals::listen()?;
    let screen = Screen::beside(args.format);
    let data_dir = std::path::absolute(&args.data_dir).context("can't find the current folder")?;
    let (followed, apis) = Followed::begin(&args.files)?;
    let run_dir = RunDir::create(&data_dir)?;
    let followed = followed.with_deployed(run_dir.path());
    machine::start_log(&run_dir)?;
    let venvs = Venvs { python: args.python.clone(), data_dir };
    // Standard output holds nothing but JSON where JSON is asked for.
    let quiet = args.format == Format::Json;
    let progress = |step: &str| {
        if !quiet {
            screen.step(step)
        }
    };
    let python_bins = tokio::select! {
        bins = machine::python_bins(&apis, &venvs, &progress) => bins?,
        () = signals.first() => return Ok(ExitCode::SUCCESS),
    };
    let names = apis.iter().map(|api| api.name.as_str()).collect::<Vec<_>>().join(", ");
    let example = example(&apis);
    let plan = Plan {
        apis,
        listen: args.listen,
        admin: args.admin,
        status: args.status,
        python_bins,
        state_file: args.state_file.clone(),
        prometheus: args.prometheus.clone(),
        tick: args.tick,
        drain_timeout: args.drain_timeout,
    };
    let machine = Machine::start(plan, run_dir).await.with_context(|| cannot_run(args))?;
    machine.announce(&args.files)?;
    introduce(&screen, &machine, &names, &example, args.format);
    let changes = machine.changes();
    let follow = followed.run(&venvs, &changes, Some(&screen).filter(|_| !quiet));
    let view = show(&screen, machine.handle(), args.format);
    let stopping = || {
        if !quiet {
            screen.line("stopping: requests finish first; Ctrl-C again stops at once");
        }
    };
    // The view goes on while everything stops.
    tokio::select! {
        ended = machine.run(&signals, std::future::pending(), stopping) => ended.with_context(|| cannot_run(args))?,
        () = view => {}
        never = follow => match never {},
    }
    if !quiet {
        screen.line("stopped");
    }
    Ok(ExitCode::SUCCESS)
}

/// Names the files, which the parts that fail don't know.
fn cannot_run(args: &UpArgs) -> String {
    if args.files.is_empty() {
        return "can't start".to_owned();
    }
    let files: Vec<_> = args.files.iter().map(|file| file.display().to_string()).collect();
    format!("can't run {}", files.join(", "))
}

/// A request to try: the first route of the first API that has one, and its health where that is
/// behind the route; a question where it speaks OpenAI's API.
fn example(apis: &[InferenceApi]) -> Example {
    let first = apis.iter().find(|api| !api.routes.is_empty());
    let route = first.and_then(|api| api.routes.first());
    let prefix = route.map_or("/", |route| &route.path);
    let version = first.and_then(|api| api.traffic.as_ref()?.versions.first());
    let served = match version {
        Some(version) => apis.iter().find(|api| api.name == version.api),
        None => first,
    };
    let path = match served.map(|api| &api.readiness.probe) {
        Some(Probe::HttpGet { path }) if prefix == "/" => path.clone(),
        Some(Probe::HttpGet { path }) if route.is_some_and(|route| route.strip_prefix) => {
            format!("{}{path}", prefix.trim_end_matches('/'))
        }
        _ => prefix.to_owned(),
    };
    let host = route.and_then(|route| route.host.as_deref());
    let host = host.map(|host| host.replace('*', "any"));
    match first.and_then(|api| api.openai.as_ref()?.models.first()) {
        Some(model) => {
            let base = if prefix == "/" { "/v1" } else { prefix.trim_end_matches('/') };
            Example { host, path: format!("{base}/chat/completions"), model: Some(model.clone()) }
        }
        None => Example { host, path, model: None },
    }
}

/// What `curl` is told to ask for.
#[derive(Debug, PartialEq, Eq)]
struct Example {
    host: Option<String>,
    path: String,
    /// The model that is asked.
    model: Option<String>,
}

impl Example {
    /// What follows `curl` in a shell; names of models may have any character but white space.
    fn arguments(&self, data: SocketAddr) -> String {
        let host = self.host.as_ref().map(|host| format!(" -H 'host: {host}'")).unwrap_or_default();
        let url = format!("http://{data}{}", self.path);
        let Some(model) = &self.model else { return format!("-i{host} {url}") };
        let body = serde_json::json!({
            "model": model, "messages": [{"role": "user", "content": "Hello"}],
        });
        let body = body.to_string().replace('\'', "'\\''");
        format!("-i{host} {url} -H 'content-type: application/json' -d '{body}'")
    }
}

/// Says where everything is: in words, or as a line of JSON for a program that chose port 0.
fn introduce(screen: &Screen, machine: &Machine, names: &str, example: &Example, format: Format) {
    let (data, admin, status) = (machine.data, machine.admin, machine.status);
    let logs = machine.logs().display();
    if format == Format::Json {
        let line = serde_json::json!({
            "event": "listening", "requests": data, "gateway": admin, "autoscaler": status,
            "logs": machine.logs(),
        });
        return screen.line(&line.to_string());
    }
    let has_none = names.is_empty();
    let names = if has_none { "no API yet; see tidegate deploy --local" } else { names };
    screen.line(&format!("tidegate {}: {names}", env!("CARGO_PKG_VERSION")));
    screen.line(&format!("  requests    http://{data}"));
    screen.line(&format!("  gateway     http://{admin}/metrics"));
    screen.line(&format!(
        "  autoscaler  http://{status}/status; see it: tidegate top --url http://{status}"
    ));
    screen.line(&format!("  logs        {logs}"));
    if !has_none {
        screen.line(&format!("  try         curl {}", example.arguments(data)));
    }
    screen.line("  stop        Ctrl-C");
}

/// Shows the status for ever: a table drawn in place, or a line for each change.
async fn show(screen: &Screen, handle: Handle, format: Format) {
    let mut before = Status::default();
    loop {
        let status = handle.status();
        if screen.is_live() {
            view::decisions(&before, &status).iter().for_each(|line| screen.line(line));
            view::rollouts(&before, &status).iter().for_each(|line| screen.line(line));
            screen.draw(&view::table(&status));
        } else if format == Format::Json {
            if status != before
                && let Ok(json) = serde_json::to_string(&status)
            {
                screen.line(&json);
            }
        } else {
            let decisions = view::decisions(&before, &status);
            let counts = view::counts(&before, &status);
            let rollouts = view::rollouts(&before, &status);
            let (told, exchanges) = (view::exchanges(&before), view::exchanges(&status));
            let exchanges = exchanges.iter().filter(|line| !told.contains(line));
            let lines = decisions.iter().chain(&rollouts).chain(&counts).chain(exchanges);
            lines.for_each(|line| screen.line(line));
        }
        before = status;
        tokio::time::sleep(VIEW_PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_to_try_goes_through_a_split_too() {
        let head = "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata:";
        let text = format!(
            "{head} {{name: a}}\nspec: {{container: {{command: [serve]}}, routes: [], \
             readiness: {{httpGet: {{path: /h}}}}}}\n---\n{head} {{name: s}}\nspec: {{routes: \
             [{{path: /m, stripPrefix: true}}], traffic: {{versions: [{{api: a, weight: 100}}]}}}}\n"
        );
        let apis = tidegate_api::parse(&text, "a.yaml", "/".as_ref()).unwrap();
        let expected = Example { host: None, path: "/m/h".to_owned(), model: None };
        assert_eq!(example(&apis), expected);
    }

    #[test]
    fn who_speaks_openais_api_is_asked_something() {
        let text = "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {name: a}\n\
                    spec: {container: {command: [serve]}, routes: [{path: /v1}], \
                    openai: {models: [it's, b]}}\n";
        let apis = tidegate_api::parse(text, "a.yaml", "/".as_ref()).unwrap();
        let said = example(&apis).arguments(([127, 0, 0, 1], 80).into());
        assert!(said.starts_with("-i http://127.0.0.1:80/v1/chat/completions -H "), "{said}");
        assert!(said.contains(r#""model":"it'\''s""#), "{said}");
    }

    #[test]
    fn the_request_to_try_goes_through_the_first_route() {
        for (spec, host, path) in [
            ("readiness: {httpGet: {path: /healthz}}", None, "/healthz"),
            ("routes: [{path: /m}]\n  readiness: {httpGet: {path: /healthz}}", None, "/m"),
            (
                "routes: [{path: /m, stripPrefix: true}]\n  readiness: {httpGet: {path: /h}}",
                None,
                "/m/h",
            ),
            ("routes: [{host: \"*.a.test\", path: /}]", Some("any.a.test"), "/"),
        ] {
            let text = format!(
                "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: a}}\n\
                 spec:\n  container: {{command: [serve, \"{{port}}\"]}}\n  {spec}\n"
            );
            let apis = tidegate_api::parse(&text, "a.yaml", "/".as_ref()).unwrap();
            let host = host.map(str::to_owned);
            let expected = Example { host, path: path.to_owned(), model: None };
            assert_eq!(example(&apis), expected, "{spec}");
        }
    }
}
