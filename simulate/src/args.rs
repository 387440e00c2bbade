//! Flags of `simulate`, and from them the scene, the workload and the comparison.

mod begin;

use crate::comparison::{Comparison, Contender, Optimum, Steering, compare};
use crate::distribution::Distribution;
use crate::document::{Document, Setting};
use crate::error::SimulateError;
use crate::gateway::{Balancing, Limits, Order};
use crate::optimum::blind;
use crate::plot::{self, Picture};
use crate::report::{self, Format};
use crate::rule::POLICIES;
use crate::scene::{Objective, Scene};
use crate::span::of;
use crate::sweep::{Axis, contenders};
use crate::workload::shape::{Plan, Shape};
use crate::workload::trace::{self, Reading};
use crate::workload::{Workload, WorkloadError};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::time::Duration;
use tidegate_api::InferenceApi;
use tidegate_api::schedule::wall_time;
use tidegate_proxy::policy::overload::QueueOrder;

/// Flags of `simulate`.
///
/// Lengths of time are written 200ms, 5s or 1h; random ones 200ms (always the same),
/// exponential:200ms, lognormal:200ms:1.5 (mean, and standard deviation over mean) or
/// uniform:1s:3s.
#[derive(Debug, clap::Args)]
pub struct SimulateArgs {
    /// Play this CSV of arrivals: arrival_s[,service_s][,tenant], or
    /// TIMESTAMP,ContextTokens,GeneratedTokens. Without it a load is made up
    #[arg(long, env = "TIDEGATE_SIMULATE_TRACE", value_name = "FILE", help_heading = "Load")]
    trace: Option<PathBuf>,
    /// How the rate of a made-up load goes over time
    #[arg(
        long,
        env = "TIDEGATE_SIMULATE_LOAD",
        conflicts_with = "trace",
        default_value = "poisson",
        value_enum,
        help_heading = "Load"
    )]
    load: Shape,
    /// Requests a second
    #[arg(long, env = "TIDEGATE_SIMULATE_RATE", allow_negative_numbers = true, conflicts_with = "trace", default_value = "10", value_parser = not_negative, help_heading = "Load")]
    rate: f64,
    /// The other rate, of loads that change
    #[arg(long, env = "TIDEGATE_SIMULATE_PEAK", allow_negative_numbers = true, conflicts_with = "trace", default_value = "100", value_parser = not_negative, help_heading = "Load")]
    peak: f64,
    /// How long a made-up load lasts
    #[arg(long, env = "TIDEGATE_SIMULATE_DURATION", conflicts_with = "trace", default_value = "10m", value_parser = positive_time, help_heading = "Load")]
    duration: Duration,
    /// When a step, ramp or spike begins
    #[arg(long, env = "TIDEGATE_SIMULATE_CHANGE_AT", conflicts_with = "trace", default_value = "2m", value_parser = time, help_heading = "Load")]
    change_at: Duration,
    /// How long a ramp or spike takes
    #[arg(long, env = "TIDEGATE_SIMULATE_CHANGE_FOR", conflicts_with = "trace", default_value = "1m", value_parser = positive_time, help_heading = "Load")]
    change_for: Duration,
    /// How long sine and on-off take until they begin again, and MMPP on average
    #[arg(long, env = "TIDEGATE_SIMULATE_PERIOD", conflicts_with = "trace", default_value = "5m", value_parser = positive_time, help_heading = "Load")]
    period: Duration,
    /// How long a request runs, where a trace doesn't say
    #[arg(
        long,
        env = "TIDEGATE_SIMULATE_SERVICE",
        default_value = "exponential:200ms",
        value_name = "TIMES",
        help_heading = "Load"
    )]
    service: Distribution,
    /// Prompt tokens that one running request gets through in a second
    #[arg(long, env = "TIDEGATE_SIMULATE_PREFILL_TOKENS_PER_SECOND", allow_negative_numbers = true, default_value = "4000", value_parser = positive, help_heading = "Load")]
    prefill_tokens_per_second: f64,
    /// Tokens that one running request generates in a second
    #[arg(long, env = "TIDEGATE_SIMULATE_DECODE_TOKENS_PER_SECOND", allow_negative_numbers = true, default_value = "50", value_parser = positive, help_heading = "Load")]
    decode_tokens_per_second: f64,
    /// Play a trace so many times, end to end
    #[arg(long, env = "TIDEGATE_SIMULATE_REPEAT", requires = "trace", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Load")]
    repeat: u32,
    /// Let a trace's requests come so many times faster; what each costs stays
    #[arg(long, env = "TIDEGATE_SIMULATE_SPEED", allow_negative_numbers = true, requires = "trace", default_value = "1", value_parser = positive, help_heading = "Load")]
    speed: f64,
    /// Let so many times as many requests come, in a trace's own rhythm
    #[arg(long, env = "TIDEGATE_SIMULATE_SCALE_RATE", allow_negative_numbers = true, requires = "trace", default_value = "1", value_parser = positive, help_heading = "Load")]
    scale_rate: f64,
    /// The moment at which it begins, which schedules go by: a Monday if nothing is said
    #[arg(long, env = "TIDEGATE_SIMULATE_START", default_value = "2024-01-01T00:00:00Z", value_parser = moment, value_name = "TIME", help_heading = "Load")]
    start: Duration,

    /// The policies to compare, by their names in a document, and fixed:N for always N replicas;
    /// without it, all. rate:SHARE knows the rate of a made-up load, and has enough replicas for SHARE to
    /// be late at each moment; need:SPARE:HOLD sees at once what is needed, and keeps it for HOLD, and
    /// SPARE replicas more from the first request on
    #[arg(
        long,
        env = "TIDEGATE_SIMULATE_POLICIES",
        value_delimiter = ',',
        value_name = "NAME",
        help_heading = "API"
    )]
    policies: Vec<String>,
    /// Take the settings of this InferenceApi document; without it all defaults, and at most 100
    /// replicas
    #[arg(long, env = "TIDEGATE_SIMULATE_API", value_name = "FILE", help_heading = "API")]
    api: Option<PathBuf>,
    /// Set a key below the document's spec: autoscaling.concurrency.target=10
    #[arg(
        long,
        env = "TIDEGATE_SIMULATE_SET",
        value_delimiter = ',',
        value_name = "KEY=VALUE",
        help_heading = "API"
    )]
    set: Vec<Setting>,
    /// Requests that run at once in one replica: concurrency.limit
    #[arg(long, env = "TIDEGATE_SIMULATE_CONCURRENCY", help_heading = "API")]
    concurrency: Option<u32>,
    /// The fewest replicas: autoscaling.minReplicas
    #[arg(long, env = "TIDEGATE_SIMULATE_MIN_REPLICAS", help_heading = "API")]
    min_replicas: Option<u32>,
    /// The most replicas: autoscaling.maxReplicas
    #[arg(long, env = "TIDEGATE_SIMULATE_MAX_REPLICAS", help_heading = "API")]
    max_replicas: Option<u32>,
    /// Compare values of a key below the document's spec: autoscaling.concurrency.target=5,10,20.
    /// Given several times, every combination
    #[arg(long, env = "TIDEGATE_SIMULATE_SWEEP", value_name = "KEY=VALUES", help_heading = "API")]
    sweep: Vec<Axis>,

    /// How long a replica takes to be ready
    #[arg(
        long,
        env = "TIDEGATE_SIMULATE_COLD_START",
        default_value = "10s",
        value_name = "TIMES",
        help_heading = "Replicas"
    )]
    cold_start: Distribution,
    /// Replicas that are ready when it begins
    #[arg(long, env = "TIDEGATE_SIMULATE_INITIAL_REPLICAS", default_value = "0", value_parser = clap::value_parser!(u32).range(0..=100_000), help_heading = "Replicas")]
    initial_replicas: u32,
    /// How long a replica that is let go stays at the least
    #[arg(long, env = "TIDEGATE_SIMULATE_DRAIN_DELAY", default_value = "1s", value_parser = time, help_heading = "Replicas")]
    drain_delay: Duration,
    /// The mean time after which a ready replica fails, with all that runs on it; 0s is never
    #[arg(long, env = "TIDEGATE_SIMULATE_FAIL_EVERY", default_value = "0s", value_parser = time, help_heading = "Replicas")]
    fail_every: Duration,
    /// What one replica costs in an hour
    #[arg(long, env = "TIDEGATE_SIMULATE_PRICE", allow_negative_numbers = true, default_value = "1", value_parser = not_negative, help_heading = "Replicas")]
    price: f64,
    /// How requests find a replica
    #[arg(
        long,
        env = "TIDEGATE_SIMULATE_BALANCING",
        default_value = "late-binding",
        value_enum,
        help_heading = "Replicas"
    )]
    balancing: Balancing,
    /// Who of those that wait is next. lifo-on-overload: the newest while the oldest has waited for longer
    /// than --overload-after, for as long again
    #[arg(
        long,
        env = "TIDEGATE_SIMULATE_QUEUE_ORDER",
        default_value = "fifo",
        value_enum,
        help_heading = "Replicas"
    )]
    queue_order: Order,
    /// The wait that is no overload yet
    #[arg(long, env = "TIDEGATE_SIMULATE_OVERLOAD_AFTER", default_value = "1s", value_parser = positive_time, help_heading = "Replicas")]
    overload_after: Duration,

    /// The time between two decisions
    #[arg(long, env = "TIDEGATE_SIMULATE_TICK", default_value = "1s", value_parser = positive_time, help_heading = "Autoscaler")]
    tick: Duration,
    /// From the moment that metrics describe to the decision made of them, at most a tick
    #[arg(long, env = "TIDEGATE_SIMULATE_SCRAPE_DELAY", default_value = "10ms", value_parser = time, help_heading = "Autoscaler")]
    scrape_delay: Duration,
    /// The share of scrapes that are lost
    #[arg(long, env = "TIDEGATE_SIMULATE_SCRAPE_LOSS", allow_negative_numbers = true, default_value = "0", value_parser = share, help_heading = "Autoscaler")]
    scrape_loss: f64,

    /// A request that waits longer is late
    #[arg(long, env = "TIDEGATE_SIMULATE_OBJECTIVE_WAIT", default_value = "200ms", value_parser = time, help_heading = "Objective")]
    objective_wait: Duration,
    /// The share of requests that may be late
    #[arg(long, env = "TIDEGATE_SIMULATE_OBJECTIVE_LATE", allow_negative_numbers = true, default_value = "0.01", value_parser = share, help_heading = "Objective")]
    objective_late: f64,
    /// Moments at which the load rises without a sign: tells how many replicas every policy must have
    /// there beforehand that can't foresee them
    #[arg(long, env = "TIDEGATE_SIMULATE_RISES", value_delimiter = ',', value_parser = time, value_name = "TIME", help_heading = "Objective")]
    rises: Vec<Duration>,
    /// Tells what every policy must pay, that meets the objective also if requests take this part of their
    /// time: until the first answer it can't know which. 0.05 is a twentieth
    #[arg(long, env = "TIDEGATE_SIMULATE_IF_SHORTER", value_parser = share, value_name = "SHARE", help_heading = "Objective")]
    if_shorter: Option<f64>,
    /// What to set beside the policies: a plan of someone who knows the future, with a bound that
    /// nobody gets below; only that bound; or nothing
    #[arg(
        long,
        env = "TIDEGATE_SIMULATE_OPTIMUM",
        default_value = "plan",
        value_enum,
        help_heading = "Objective"
    )]
    optimum: Optimum,

    /// How the results are printed
    #[arg(
        long,
        env = "TIDEGATE_SIMULATE_FORMAT",
        default_value = "table",
        value_enum,
        help_heading = "Output"
    )]
    format: Format,
    /// Draw a picture, .svg or .png: a panel for each policy, or what a sweep's settings trade for
    /// what
    #[arg(long, env = "TIDEGATE_SIMULATE_PLOT", value_name = "FILE", help_heading = "Output")]
    plot: Option<PathBuf>,
    /// Every random draw follows from it: the same seed gives the same results
    #[arg(long, env = "TIDEGATE_SIMULATE_SEED", default_value = "1", help_heading = "Output")]
    seed: u64,
}

/// Simulates, and prints what came of it.
///
/// # Errors
/// Flags, a trace or a document that can't be used; a picture that can't be written.
pub fn run(args: &SimulateArgs) -> Result<(), SimulateError> {
    run_to(args, &mut std::io::stdout().lock())
}

/// Simulates, and writes what came of it.
pub(crate) fn run_to(args: &SimulateArgs, out: &mut dyn Write) -> Result<(), SimulateError> {
    begin::check(args)?;
    let rises = args.rises.iter().copied().map(of).collect();
    let workload = Workload { rises, ..args.workload()? };
    let document = args.document()?;
    let scene = args.scene(&document.check()?);
    let names: Vec<String> = match &args.policies[..] {
        [] => POLICIES.iter().map(|name| (*name).to_owned()).collect(),
        names => names.to_vec(),
    };
    let contenders = contenders(&document, &names, &args.sweep)?;
    for contender in &contenders {
        if let Steering::Oracle(oracle) = contender.steering {
            oracle.check(&workload)?;
        }
    }
    let results = args.compare(&scene, &workload, &contenders);
    let text = report::write(&results, args.format, args.price);
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Nobody is left to tell where the output is closed.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.map_err(SimulateError::Output)?,
    }
    if let Some(path) = &args.plot {
        let (optimum, swept) = (args.optimum, !args.sweep.is_empty());
        let picture = Picture { results: &results, workload: &workload, optimum, swept };
        plot::write(path, &picture)?;
    }
    Ok(())
}

impl SimulateArgs {
    fn workload(&self) -> Result<Workload, WorkloadError> {
        if let Some(path) = &self.trace {
            let reading = Reading {
                service: self.service,
                prefill: self.prefill_tokens_per_second,
                decode: self.decode_tokens_per_second,
                repeat: self.repeat,
                speed: self.speed,
                scale_rate: self.scale_rate,
            };
            return trace::read(path, &reading, self.seed);
        }
        let plan = Plan {
            shape: self.load,
            rate: self.rate,
            peak: self.peak,
            duration: self.duration.as_secs_f64(),
            change_at: self.change_at.as_secs_f64(),
            change_for: self.change_for.as_secs_f64(),
            period: self.period.as_secs_f64(),
            service: self.service,
        };
        plan.draw(self.seed)
    }

    /// The file or the defaults, then `--set`, then the flags that stand for keys.
    fn document(&self) -> Result<Document, SimulateError> {
        let base = self.api.as_deref().map_or_else(|| Ok(Document::new()), Document::read)?;
        let set = self.set.iter().fold(base, |document, one| document.with_setting(one));
        let flags = [
            ("concurrency.limit", self.concurrency),
            ("autoscaling.minReplicas", self.min_replicas),
            ("autoscaling.maxReplicas", self.max_replicas),
        ];
        let given = flags.into_iter().filter_map(|(key, value)| Some((key, value?)));
        Ok(given.fold(set, |document, (key, value)| document.with(key, value.into())))
    }

    fn scene(&self, api: &InferenceApi) -> Scene {
        Scene {
            limits: limits(api),
            balancing: self.balancing,
            order: match self.queue_order {
                Order::Fifo => QueueOrder::Fifo,
                Order::LifoOnOverload => QueueOrder::LifoOnOverload { target: self.overload_after },
            },
            cold_start: self.cold_start,
            drain_delay: of(self.drain_delay),
            tick: of(self.tick),
            scrape_delay: of(self.scrape_delay),
            scrape_loss: self.scrape_loss,
            fail_every: of(self.fail_every),
            initial: self.initial_replicas,
            min: api.autoscaling.min_replicas,
            start: self.start,
            objective: Objective { wait: of(self.objective_wait), late: self.objective_late },
            seed: self.seed,
        }
    }

    fn compare(&self, scene: &Scene, workload: &Workload, all: &[Contender]) -> Comparison {
        // Hidden where standard error is no terminal.
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {eta} left") {
            bar.set_style(style);
        }
        let comparison = compare(scene, workload, all, self.optimum, &bar);
        bar.finish_and_clear();
        let with_plan = self.optimum == Optimum::Plan;
        let blind = self.if_shorter.and_then(|share| blind(scene, workload, share, with_plan));
        Comparison { blind, ..comparison }
    }
}

/// What an API's document says of what runs and waits where.
pub(crate) fn limits(api: &InferenceApi) -> Limits {
    Limits {
        concurrency: api.concurrency.limit.get(),
        queue: api.concurrency.queue_capacity,
        replicas: api.autoscaling.max_replicas,
        patience: of(api.concurrency.queue_timeout),
        cold_patience: of(api.timeouts.cold_start),
    }
}

/// The longest time that a flag may say: a year.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| format!("{error}; write 10s"))?;
    if time > LONGEST { Err("must be a year at the most".to_owned()) } else { Ok(time) }
}

fn moment(text: &str) -> Result<Duration, String> {
    let must = "must be a time with its zone, such as 2024-01-01T08:00:00Z";
    wall_time(text).ok_or_else(|| must.to_owned())
}

fn positive_time(text: &str) -> Result<Duration, String> {
    match time(text)? {
        Duration::ZERO => Err("must be longer than 0s".to_owned()),
        time => Ok(time),
    }
}

fn number(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().map_err(|error| error.to_string())?;
    if number.is_finite() { Ok(number) } else { Err("must be a finite number".to_owned()) }
}

fn not_negative(text: &str) -> Result<f64, String> {
    let number = number(text)?;
    if number < 0.0 { Err("must not be negative".to_owned()) } else { Ok(number) }
}

fn positive(text: &str) -> Result<f64, String> {
    let number = number(text)?;
    if number > 0.0 { Ok(number) } else { Err("must be above 0".to_owned()) }
}

fn share(text: &str) -> Result<f64, String> {
    let number = number(text)?;
    let must = "must be a share from 0 to 1: 0.01 is 1 %";
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err(must.to_owned()) }
}

#[cfg(test)]
mod tests;
