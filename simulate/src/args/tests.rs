//! The command as a whole: flags in, bytes out.

use super::*;
use clap::{CommandFactory as _, Parser as _};

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: SimulateArgs,
}

fn output(flags: &[&str]) -> Result<String, String> {
    let line = Line::try_parse_from(["simulate"].iter().chain(flags)).map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    run_to(&line.args, &mut out).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn equal_flags_give_equal_bytes_in_every_format() {
    for format in ["table", "json", "csv"] {
        let play = |seed| {
            output(&[
                "--duration",
                "90s",
                "--fail-every",
                "60s",
                "--scrape-loss",
                "0.1",
                "--cold-start",
                "uniform:2s:9s",
                "--format",
                format,
                "--seed",
                seed,
            ])
        };
        assert_eq!(play("4").unwrap(), play("4").unwrap());
        assert_ne!(play("4").unwrap(), play("5").unwrap());
    }
}

#[test]
fn json_and_csv_say_the_same() {
    let flags = ["--duration", "60s", "--load", "step", "--change-at", "20s", "--format"];
    let json = output(&[&flags[..], &["json"]].concat()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let csv = output(&[&flags[..], &["csv"]].concat()).unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let head = reader.headers().unwrap().clone();
    let lines: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let rows = json["policies"].as_array().unwrap();
    assert_eq!(lines.len(), rows.len());
    assert_eq!(rows.len(), 1 + POLICIES.len());
    for (line, row) in lines.iter().zip(rows) {
        let field = |name: &str| {
            let column = head.iter().position(|column| column == name).unwrap();
            line.get(column).unwrap().to_owned()
        };
        assert_eq!(field("policy"), row["policy"].as_str().unwrap());
        assert_eq!(field("late"), row["requests"]["late"].to_string());
        assert_eq!(field("wait_p99").parse::<f64>().ok(), row["requests"]["wait_p99"].as_f64());
        let arrived = row["requests"]["arrived"].as_u64().unwrap();
        let parts = ["served", "refused", "failed", "waiting", "running"];
        let sum: u64 = parts.iter().map(|part| row["requests"][part].as_u64().unwrap()).sum();
        assert_eq!(sum, arrived);
    }
}

#[test]
fn every_flag_has_a_help_and_a_variable() {
    let command = Line::command();
    for flag in command.get_arguments().filter(|flag| !flag.is_global_set()) {
        let name = flag.get_id().as_str();
        if name == "help" {
            continue;
        }
        assert!(flag.get_help().is_some(), "{name}");
        let variable = flag.get_env().and_then(|name| name.to_str()).unwrap_or_default();
        let want = format!("TIDEGATE_SIMULATE_{}", name.to_uppercase());
        assert_eq!(variable, want);
    }
}

#[test]
fn what_can_not_be_done_is_said_before_anything_is_played() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("absent/picture.svg");
    let error = output(&["--plot", file.to_str().unwrap()]).unwrap_err();
    assert!(error.contains("there is no such folder"), "{error}");
    let error = output(&["--tick", "2s", "--scrape-delay", "3s"]).unwrap_err();
    assert!(error.starts_with("--scrape-delay 3s is longer than --tick 2s"), "{error}");
    output(&["--tick", "2s", "--scrape-delay", "2s", "--duration", "10s"]).unwrap();
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    for (flags, want) in [
        (&["--rate", "NaN"][..], "finite"),
        (&["--rate=-1"], "must not be negative"),
        (&["--rate", "-1"], "must not be negative"),
        (&["--speed", "-0.5"], "must be above 0"),
        (&["--price", "-1"], "must not be negative"),
        (&["--speed", "2"], "--trace"),
        (&["--repeat", "2"], "--trace"),
        (&["--scale-rate", "2"], "--trace"),
        (&["--trace", "a.csv", "--load", "step"], "cannot be used with"),
        (&["--trace", "a.csv", "--duration", "10s"], "cannot be used with"),
        (&["--duration", "0s"], "longer than 0s"),
        (&["--scrape-loss", "1.5"], "share from 0 to 1"),
        (&["--cold-start", "soon"], "no length of time"),
        (&["--rate", "0"], "not one request"),
        (&["--set", "autoscaling"], "key=value"),
        (&["--min-replicas", "9", "--max-replicas", "3"], "maxReplicas"),
    ] {
        let error = output(flags).unwrap_err();
        assert!(error.contains(want), "{flags:?}: {error}");
    }
}

/// A disk without room.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn results_that_find_no_room_are_no_success() {
    let line = Line::try_parse_from(["simulate", "--duration", "10s", "--optimum", "off"]).unwrap();
    let error = run_to(&line.args, &mut Full).unwrap_err();
    assert!(matches!(error, SimulateError::Output(_)), "{error}");
}

#[test]
fn where_nobody_ran_nobody_knows_how_long_they_would_have_waited() {
    let flags = ["--duration", "10s", "--policies", "fixed:0", "--optimum", "off", "--format"];
    let csv = output(&[&flags[..], &["csv"]].concat()).unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let column = reader.headers().unwrap().iter().position(|name| name == "wait_p99").unwrap();
    let row = reader.records().next().unwrap().unwrap();
    assert_eq!(row.get(column), Some(""));
}
