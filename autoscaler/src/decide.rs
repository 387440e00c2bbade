//! `decide --api FILE`: observations on standard input, decisions on standard output, JSON lines.

use crate::args::BAD_DOCUMENT;
use crate::calendar::Calendar;
use crate::documents::{self, ReadError};
use crate::explain::Answer;
use crate::line::Reader;
use crate::policy::decide::Scaler;
use crate::scaling::scaling;
use serde_json::json;
use std::io::{BufRead, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tidegate_api::document::InferenceApi;

/// The longest line that is read, in bytes: a thousand times what an observation takes.
const LONGEST_LINE: u64 = 256 * 1024;

/// Flags of `decide`: the scaling rules by themselves, for scripts and tests.
///
/// Each line of standard input is an observation:
/// {"at": 61, "replicas": 4, "ready": 3, "in_flight": 12.5, "queued": 3, "arrivals": 120,
/// "completions": 118, "service_seconds": 11.8}, where `in_flight` are the requests that run and
/// `queued` those that wait; averages and sums are since the line before. Or with windows that
/// someone else averaged: {"at": 61, "ready": 1, "stable": 100, "panic": 99}. The proxies' counters
/// are understood under their metric names. The policy `metric` reads {"at": 61, "metric": 12.5}: the
/// query's answer, or the average over ready replicas. Schedules go by "time", such as
/// "2026-03-29T08:00:00+02:00", given once or in each line. Only `at` is required.
#[derive(Debug, Clone, clap::Args)]
pub struct DecideArgs {
    /// The YAML file of the API whose rule decides.
    #[arg(long, value_name = "FILE", env = "TIDEGATE_DECIDE_API")]
    api: PathBuf,
    /// Which API, where the file has several.
    #[arg(long, value_name = "NAME", env = "TIDEGATE_DECIDE_NAME")]
    name: Option<String>,
    /// Replicas that run before the first line. By default what the first line says, or none.
    #[arg(long, value_name = "COUNT", env = "TIDEGATE_DECIDE_REPLICAS")]
    replicas: Option<u32>,
}

/// Why `decide` ends with an error.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Documents(#[from] ReadError),
    #[error("{path} has no API named {name}; it has {known}")]
    NoSuchApi { path: String, name: String, known: String },
    #[error("{path} has several APIs; choose one of {known} with --name")]
    Several { path: String, known: String },
    #[error("can't read standard input: {0}; is it open?")]
    Input(std::io::Error),
    #[error("can't write standard output: {0}; is it open?")]
    Output(std::io::Error),
}

/// Decides until standard input ends or nobody reads standard output any more.
///
/// Exit codes: 0 at the end, 65 for a document that can't be used, 1 for all else.
pub fn decide(args: &DecideArgs) -> ExitCode {
    let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
    match choose(args).and_then(|api| answer(&api, args.replicas, input, output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell where standard error is closed.
            writeln!(std::io::stderr(), "error: {failure}").ok();
            match failure {
                Failure::Documents(ReadError::Mistakes(_)) => ExitCode::from(BAD_DOCUMENT),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// The one API that is meant.
fn choose(args: &DecideArgs) -> Result<InferenceApi, Failure> {
    let mut apis = documents::read(std::slice::from_ref(&args.api), "--api")?;
    let path = args.api.display().to_string();
    let names: Vec<&str> = apis.iter().map(|api| api.name.as_str()).collect();
    let known = names.join(", ");
    let index = match &args.name {
        Some(name) => match names.iter().position(|known| known == name) {
            Some(index) => index,
            None => return Err(Failure::NoSuchApi { path, name: name.clone(), known }),
        },
        None if names.len() > 1 => return Err(Failure::Several { path, known }),
        None => 0,
    };
    Ok(apis.swap_remove(index))
}

/// Answers each line with a line, at once.
fn answer(
    api: &InferenceApi,
    begin_with: Option<u32>,
    mut input: impl BufRead,
    mut output: impl Write,
) -> Result<(), Failure> {
    let settings = &scaling(api);
    let mut calendar = Calendar::new(api.autoscaling.schedules.clone());
    let mut reader = Reader::new();
    let mut scaler: Option<Scaler> = None;
    let mut wanted = begin_with.unwrap_or(0);
    let mut number = 0_u64;
    while let Some(text) = next_line(&mut input).map_err(Failure::Input)? {
        number += 1;
        let reading = match text.and_then(|text| reader.read(&text).map_err(|e| e.to_string())) {
            Ok(reading) => reading,
            Err(error) => {
                if !say(&mut output, &json!({ "error": error, "line": number }))? {
                    return Ok(());
                }
                continue;
            }
        };
        let mut seen = reading.seen;
        if scaler.is_none() && begin_with.is_none() {
            wanted = seen.ready;
        }
        seen.current = reading.replicas.unwrap_or(wanted);
        if !reading.knows_ready {
            seen.ready = seen.current;
        }
        if !reading.knows_starting {
            seen.starting = seen.current.saturating_sub(seen.ready);
        }
        seen.floor = reading.wall.and_then(|wall| calendar.floor(wall));
        if let Some(reading) = &mut seen.metric.reading {
            reading.replicas = seen.ready;
        }
        let before = begin_with.unwrap_or(seen.current);
        let scaler = scaler.get_or_insert_with(|| Scaler::begin(settings, before, reading.now));
        let decision = scaler.decide(&seen, reading.now);
        wanted = decision.replicas;
        let line = Answer::new(reading.at, &decision, &reading.ignored);
        if !say(&mut output, &line)? {
            return Ok(());
        }
    }
    Ok(())
}

/// The next line, or why it can't be used; nothing at the end.
fn next_line(input: &mut impl BufRead) -> std::io::Result<Option<Result<String, String>>> {
    let mut line = Vec::new();
    if input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() as u64 == LONGEST_LINE && line.last() != Some(&b'\n') {
        input.skip_until(b'\n')?;
        let error = format!("is longer than {LONGEST_LINE} bytes; give one observation a line");
        return Ok(Some(Err(error)));
    }
    let text = String::from_utf8(line);
    Ok(Some(text.map_err(|_| "is not UTF-8; write it as JSON".to_owned())))
}

/// Writes one line and flushes it. False where nobody reads any more.
fn say(output: &mut impl Write, line: &impl serde::Serialize) -> Result<bool, Failure> {
    let line = serde_json::to_string(line).map_err(std::io::Error::from);
    match line.and_then(|line| writeln!(output, "{line}")).and_then(|()| output.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Output(error)),
    }
}
