//! Runs it all: builds, finds, starts, measures, in turn, and reports.

mod build;
mod run;
mod tail;

use crate::flags::Flags;
use crate::load::Until;
use crate::machine::{commit, load_average, machine};
use crate::peer::{Found, Peer, on_path};
use crate::report::Report;
use crate::sample::{Instructions, Sample};
use crate::tail::TailSample;
use crate::workload::{
    BODY_CONNECTIONS, POST_CONNECTIONS, RATE, STREAMS, TLS_CONNECTIONS, Workload,
};
use crate::{callgrind, clock, pin, summary};
use anyhow::{Context, Result, bail};
use run::{Load, Runner};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

/// What a shell says of a program that was interrupted.
const EXIT_INTERRUPTED: u8 = 130;
/// Before a measurement, a part of its time is spent warming up.
const WARM_UP_PART: u32 = 4;

/// What was gathered so far.
#[derive(Default)]
struct Gathered {
    samples: Vec<Sample>,
    instructions: Vec<Instructions>,
    tails: Vec<TailSample>,
    notes: Vec<String>,
    failures: usize,
}

/// Measures, reports, and says whether all went well. Ctrl-C or SIGTERM ends it and its children.
///
/// # Errors
/// If it can't be begun, or its results can't be written.
pub(crate) fn run(flags: Flags) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            // Dropping what is measured ends its children.
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(EXIT_INTERRUPTED)),
            _ = terminate.recv() => Ok(ExitCode::from(EXIT_INTERRUPTED)),
            ended = measure(flags) => ended,
        }
    })
}

async fn measure(flags: Flags) -> Result<ExitCode> {
    let (date, load_before) = (clock::date(), load_average());
    let mut gathered = Gathered::default();
    let peers = find(&flags, &mut gathered).await?;
    let cores = pin::cores()?;
    if cores.peer == cores.load {
        gathered.note("there is one core only: peer, load and origin share it".to_owned());
    }
    let runner = Runner::start(cores, flags.endpoints).await?;
    in_turn(&flags, &runner, &peers, &mut gathered).await;
    if flags.only().contains(&Workload::Instructions) {
        count_instructions(&runner, &peers, &mut gathered).await;
    }
    drop(runner);
    if flags.only().contains(&Workload::Tail) {
        tail::measure(&flags, cores, &peers, &mut gathered).await?;
    }
    let report = Report {
        date,
        commit: commit(),
        machine: machine(),
        load_average: [load_before, load_average()],
        versions: versions(&peers),
        repeat: flags.repeat(),
        seconds: flags.seconds().as_secs_f64(),
        endpoints: flags.endpoints,
        tail_seconds: flags.tail_seconds().as_secs_f64(),
        notes: gathered.notes,
        rows: summary::rows(&gathered.samples),
        instructions: gathered.instructions,
        tails: crate::tail::rows(&gathered.tails),
        tail_samples: gathered.tails,
        samples: gathered.samples,
    };
    let written = report.write(&flags.output)?;
    let mut out = std::io::stdout();
    writeln!(out, "\n{}", report.markdown()).context("can't print the results")?;
    for path in written {
        writeln!(out, "written: {}", path.display()).context("can't print the results")?;
    }
    Ok(if gathered.failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Those that were asked for and are here.
async fn find(flags: &Flags, gathered: &mut Gathered) -> Result<Vec<Found>> {
    let built = match &flags.tidegate {
        _ if !flags.peers().iter().any(|peer| peer.is_ours()) => None,
        Some(given) => Some(given.clone()),
        None => Some(build::tidegate().await?),
    };
    let mut peers = Vec::new();
    for peer in flags.peers() {
        if flags.endpoints > 1 && !peer.is_balancer() && peer != Peer::Direct {
            let name = peer.name();
            gathered.note(format!("skipped: {name}: it can't spread requests over endpoints"));
            continue;
        }
        match peer.find(built.as_deref()) {
            Ok(found) if peer == Peer::Tidegate => peers.push(found.with(&flags.tidegate_args)),
            Ok(found) => peers.push(found),
            Err(error) => gathered.note(format!("skipped: {error:#}")),
        }
    }
    if peers.is_empty() {
        bail!("none of the peers is here: see --peers");
    }
    Ok(peers)
}

/// Each load, and within each repeat one peer after the other.
async fn in_turn(flags: &Flags, runner: &Runner, peers: &[Found], gathered: &mut Gathered) {
    let loads = loads(flags);
    let all = loads.len() * peers.len() * flags.repeat() as usize;
    let mut done = 0;
    for (name, load) in &loads {
        for repeat in 1..=flags.repeat() {
            for found in peers {
                done += 1;
                let is_fit = !found.peer.is_router() || load.is_completion();
                if !is_fit || load.is_secured() && !found.peer.speaks_tls() {
                    continue;
                }
                let peer = found.peer.name();
                let what = format!("[{done}/{all}] {name}, {peer}, repeat {repeat}");
                match runner.sample(found, name, load, repeat).await {
                    Ok(sample) => {
                        let cpu = sample.cpu_us.map(|cpu| format!(" {cpu:.1} µs CPU,"));
                        let cpu = cpu.unwrap_or_default();
                        say(&format!("{what}:{cpu} p50 {:.0} µs", sample.p50_us));
                        gathered.samples.push(sample);
                    }
                    Err(error) => gathered.failed(&format!("{what}: {error:#}")),
                }
            }
        }
    }
}

/// The loads that were asked for, by name.
fn loads(flags: &Flags) -> Vec<(String, Load)> {
    let (warm_up, time) = (flags.seconds() / WARM_UP_PART, flags.seconds());
    let until = flags
        .requests
        .map_or(Until::Elapsed { warm_up, time }, |count| Until::Requests(count.get()));
    let mut loads = Vec::new();
    for workload in flags.only() {
        match workload {
            Workload::Small => loads.extend(flags.connections().into_iter().map(|connections| {
                let noun = if connections == 1 { "connection" } else { "connections" };
                let load = Load::Small { connections, until };
                (format!("small, {connections} {noun}"), load)
            })),
            Workload::Post => {
                let name = format!("small POST, {POST_CONNECTIONS} connections");
                loads.push((name, Load::Post { until }));
            }
            Workload::Tls => {
                loads.extend([("HTTP/1.1", false), ("HTTP/2", true)].map(|(protocol, http2)| {
                    let name = format!("{protocol} in TLS, {TLS_CONNECTIONS} connections");
                    (name, Load::Tls { http2, until })
                }))
            }
            Workload::Rate => {
                loads.push((format!("small, {RATE} a second"), Load::Rate { warm_up, time }));
            }
            Workload::Json => {
                let name = format!("220 KB, {BODY_CONNECTIONS} connections");
                loads.push((name, Load::Json { until }));
            }
            Workload::Sse => loads.push((format!("SSE, {STREAMS} streams"), Load::Sse)),
            Workload::Instructions | Workload::Tail => {}
        }
    }
    loads
}

async fn count_instructions(runner: &Runner, peers: &[Found], gathered: &mut Gathered) {
    let Some(valgrind) = on_path("valgrind") else {
        let what = "skipped: instructions: valgrind is not installed: `apt-get install valgrind`";
        return gathered.note(what.to_owned());
    };
    let counted = |found: &&Found| found.peer != Peer::Direct && !found.peer.is_router();
    for found in peers.iter().filter(counted) {
        let peer = found.peer;
        match runner.instructions(found, &valgrind, callgrind::REQUESTS).await {
            Ok(a_request) => {
                say(&format!("instructions, {}: {a_request:.0}", peer.name()));
                gathered.instructions.push(Instructions { peer, a_request });
            }
            Err(error) => gathered.failed(&format!("instructions, {}: {error:#}", peer.name())),
        }
    }
}

fn versions(peers: &[Found]) -> BTreeMap<&'static str, String> {
    let named = peers.iter().filter(|found| !found.version.is_empty());
    named.map(|found| (found.peer.name(), found.version.clone())).collect()
}

// === impl Gathered ===

impl Gathered {
    fn note(&mut self, what: String) {
        say(&what);
        self.notes.push(what);
    }

    fn failed(&mut self, what: &str) {
        self.failures += 1;
        self.note(format!("failed: {what}"));
    }
}

/// Tells the one who waits how it goes on.
fn say(what: &str) {
    // Nobody is left to tell it to if stderr is closed.
    writeln!(std::io::stderr(), "{what}").ok();
}
