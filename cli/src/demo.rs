//! `tidegate demo`: real images for a real model, from zero replicas to several and back.

mod counted;
mod images;
mod load;
mod schedule;
mod summary;
mod tally;
mod watch;

use crate::documents;
use crate::exit::BadUsage;
use crate::machine::{self, Machine, Plan};
use crate::run_dir::RunDir;
use crate::screen::{Format, Screen};
use crate::signals::Signals;
use crate::venv::Venvs;
use anyhow::{Context, Result, anyhow, bail};
use images::Image;
use load::{Load, SharedTally, Stop};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tally::Tally;
use tidegate_api::document::InferenceApi;
use watch::{Seen, Watch};

/// The example, seen from the root of the repository.
const EXAMPLE: &str = "examples/digits/tidegate.yaml";

/// Enough for requests that are running to finish; the demo ends with none.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Flags of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// How long requests are sent, pauses included; at the end it also waits for the last replica
    #[arg(long, env = "TIDEGATE_DEMO_SECONDS", default_value = "60", value_parser = clap::value_parser!(u64).range(10..=600))]
    seconds: u64,
    /// Where the Python environment and logs are kept
    #[arg(
        long,
        env = "TIDEGATE_DEMO_DATA_DIR",
        default_value = "target/tidegate",
        value_name = "DIR"
    )]
    data_dir: PathBuf,
    /// The Python, 3.11 or newer, that makes the environment
    #[arg(long, env = "TIDEGATE_DEMO_PYTHON", default_value = "python3", value_name = "PROGRAM")]
    python: PathBuf,
    /// The same seed sends the same images at the same times
    #[arg(long, env = "TIDEGATE_DEMO_SEED", default_value = "1")]
    seed: u64,
    /// The document of the digits example
    #[arg(long, env = "TIDEGATE_DEMO_FILE", default_value = EXAMPLE, value_name = "FILE")]
    file: PathBuf,
}

/// What must be there before the demo can begin.
struct Prepared {
    apis: Vec<InferenceApi>,
    images: Vec<Image>,
    machine: Machine,
}

/// Runs the demo; fails if a request was lost, a count doesn't add up or a replica remains.
pub(crate) fn run(args: &DemoArgs) -> Result<ExitCode> {
    if !args.file.is_file() {
        let file = args.file.display();
        let hint = "run the demo from the root of Tidegate's repository, or pass its \
                    examples/digits/tidegate.yaml with --file";
        return Err(BadUsage(format!("{file} is not here; {hint}")).into());
    }
    let apis = documents::read(std::slice::from_ref(&args.file))?;
    machine::raise_file_limit();
    // One thread, the main one: replicas are tied to the life of the thread that starts them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(demo(args, apis))
}

async fn demo(args: &DemoArgs, apis: Vec<InferenceApi>) -> Result<ExitCode> {
    let signals = Signals::listen()?;
    let screen = Screen::new(Format::Auto);
    let prepared = tokio::select! {
        prepared = prepare(args, apis, &screen) => prepared?,
        () = signals.first() => bail!("interrupted before the first request"),
    };
    play(args, prepared, &signals, &screen).await
}

async fn prepare(args: &DemoArgs, apis: Vec<InferenceApi>, screen: &Screen) -> Result<Prepared> {
    let data_dir = std::path::absolute(&args.data_dir).context("can't find the current folder")?;
    let run_dir = RunDir::create(&data_dir)?;
    machine::start_log(&run_dir)?;
    let venvs = Venvs { python: args.python.clone(), data_dir };
    let python_bins = machine::python_bins(&apis, &venvs, &|step| screen.step(step)).await?;
    let (Some(bin), [_]) = (python_bins.values().next(), apis.as_slice()) else {
        let file = args.file.display();
        bail!("{file} is not the digits example: it must hold one API, with Python requirements");
    };
    screen.step("reading the images");
    let folder = args.file.parent().unwrap_or_else(|| Path::new("."));
    let images = images::load(&std::path::absolute(folder)?, bin).await?;
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let plan = Plan {
        apis: apis.clone(),
        listen: free,
        admin: free,
        status: free,
        python_bins,
        state_file: None,
        prometheus: None,
        tick: Duration::from_secs(1),
        drain_timeout: DRAIN_TIMEOUT,
    };
    let machine = Machine::start(plan, run_dir).await?;
    Ok(Prepared { apis, images, machine })
}

/// Sends the load, shows what happens, stops everything, sums up.
async fn play(
    args: &DemoArgs,
    prepared: Prepared,
    signals: &Signals,
    screen: &Screen,
) -> Result<ExitCode> {
    let Prepared { apis, images, machine } = prepared;
    let phases = schedule::phases(Duration::from_secs(args.seconds));
    let arrivals = schedule::arrivals(&phases, args.seed);
    introduce(screen, &apis, &machine, images.len(), arrivals.len(), args);
    let tally = SharedTally::new(Tally::new()?);
    let stop = Stop::default();
    let start = crate::clock::now();
    let load = Load { gateway: machine.data, images, arrivals, seed: args.seed };
    let sender = begin(load, start, tally.clone(), stop.clone())?;

    let handle = machine.handle();
    let mut watch = Watch::new(screen, &phases, start, &tally, handle.clone(), machine.admin);
    let until = watch.until_over(|| sender.is_finished());
    let stopping = || {
        stop.sending.cancel();
        if signals.came() {
            screen.line("stopping: requests finish first; Ctrl-C again stops at once");
        }
    };
    machine.run(signals, until, stopping).await?;
    let seen = watch.into_seen(signals.came());
    stop.waiting.cancel();
    sender.join().map_err(|_| anyhow!("the sender of requests panicked"))?;
    Ok(sum_up(screen, &tally, &seen))
}

fn introduce(
    screen: &Screen,
    apis: &[InferenceApi],
    machine: &Machine,
    images: usize,
    requests: usize,
    args: &DemoArgs,
) {
    let name = apis.first().map_or("", |api| &api.name);
    let most = apis.first().map_or(0, |api| api.autoscaling.max_replicas);
    screen.line(&format!("{name}: 0 to {most} replicas behind http://{}", machine.data));
    screen.line(&format!("logs: {}", machine.logs().display()));
    screen.line(&format!(
        "{requests} requests in {} s (seed {}), each one of {images} images that the model has \
         never seen",
        args.seconds, args.seed
    ));
    screen.line("");
}

/// Starts to send on a thread of its own, so that what it measures isn't disturbed by this one.
fn begin(load: Load, start: Instant, tally: SharedTally, stop: Stop) -> Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("load".to_owned());
    let send = move || runtime.block_on(load.run(start, tally, stop));
    thread.spawn(send).context("can't start a thread")
}

fn sum_up(screen: &Screen, tally: &SharedTally, seen: &Seen) -> ExitCode {
    let tally = tally.lock();
    let summary = seen.summary(&tally);
    summary.print(screen);
    let losses = summary.losses();
    if losses.is_empty() {
        screen.line("result      nothing was lost");
        return ExitCode::SUCCESS;
    }
    losses.iter().for_each(|loss| screen.line(&format!("result      {loss}")));
    ExitCode::FAILURE
}
