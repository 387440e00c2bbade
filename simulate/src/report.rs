//! Results as a table for people, and as JSON or CSV for programs.

use crate::comparison::{Comparison, Row};
use crate::span::seconds;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// One document with everything
    Json,
    /// One line a policy
    Csv,
}

/// The results as text. `price` is a replica's for an hour.
pub(crate) fn write(results: &Comparison, format: Format, price: f64) -> String {
    match format {
        Format::Table => table(results, price),
        Format::Json => json(results, price),
        Format::Csv => csv(results, price),
    }
}

fn cost(replica_seconds: f64, price: f64) -> f64 {
    replica_seconds / 3600.0 * price
}

fn json(results: &Comparison, price: f64) -> String {
    let rows: Vec<Value> = results
        .rows
        .iter()
        .map(|row| {
            let mut row_json = json!(row);
            row_json["cost"] = cost(row.replica_seconds, price).into();
            row_json
        })
        .collect();
    let document = json!({
        "workload": results.workload,
        "objective": {
            "wait_seconds": seconds(results.objective.wait),
            "late_share": results.objective.late,
        },
        "bound_replica_seconds": results.bound,
        "late_before_first_replica": results.early,
        "late_beyond_anything_seen": results.unseen,
        "rises": results.rises,
        "if_shorter": results.blind.as_ref().map(|blind| json!({
            "share": blind.share,
            "replica_seconds_before": blind.before,
            "replica_seconds_after": blind.after,
            "plan_replica_seconds": blind.plan,
            "of_plan": blind.ratio(),
        })),
        "policies": rows,
    });
    format!("{document:#}\n")
}

fn csv(results: &Comparison, price: f64) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head = [
        "policy",
        "settings",
        "replica_seconds",
        "of_clairvoyant",
        "cost",
        "meets",
        "arrived",
        "served",
        "refused",
        "failed",
        "waiting",
        "running",
        "late",
        "late_share",
        "late_share_warm",
        "wait_p50",
        "wait_p99",
        "wait_max",
        "peak_replicas",
        "starts",
        "direction_changes",
        "step_wanted",
        "step_ready",
    ];
    // Writing to memory can't fail, and every line has as many fields as the head.
    writer.write_record(head).ok();
    for row in &results.rows {
        let requests = &row.requests;
        let some = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        let fields = [
            row.policy.clone(),
            row.settings.clone(),
            row.replica_seconds.to_string(),
            some(row.of_clairvoyant),
            cost(row.replica_seconds, price).to_string(),
            row.meets.to_string(),
            requests.arrived.to_string(),
            requests.served.to_string(),
            requests.refused.to_string(),
            requests.failed.to_string(),
            requests.waiting.to_string(),
            requests.running.to_string(),
            requests.late.to_string(),
            requests.late_share.to_string(),
            row.late_share_warm.to_string(),
            some(requests.wait_p50),
            some(requests.wait_p99),
            some(requests.wait_max),
            row.peak_replicas.to_string(),
            row.starts.to_string(),
            row.direction_changes.to_string(),
            some(row.step_wanted),
            some(row.step_ready),
        ];
        writer.write_record(fields).ok();
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn table(results: &Comparison, price: f64) -> String {
    let facts = &results.workload;
    let (wait, late) = (seconds(results.objective.wait), results.objective.late);
    let mut text = format!(
        "{}: {} requests in {:.0} s, {:.2} running on average\n\
         objective: at most {} of them late, which is to wait over {} or to get no answer\n\n",
        facts.name,
        facts.requests,
        facts.seconds,
        facts.load,
        percent(late),
        length(wait),
    );
    let mut lines = vec![head(results)];
    lines.extend(results.rows.iter().map(|row| cells(row, results, price)));
    let columns = lines[0].len();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for line in &lines {
        let mut shown = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            if column == 0 {
                write!(shown, "{gap}{cell:<width$}").ok();
            } else {
                write!(shown, "{gap}{cell:>width$}").ok();
            }
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text.push('\n');
    notes(results).iter().for_each(|note| text.push_str(&format!("{note}\n")));
    text
}

fn head(results: &Comparison) -> Vec<String> {
    let mut head = vec![
        "POLICY",
        "REPLICA-S",
        "x BEST",
        "COST",
        "LATE",
        "WARM",
        "MET",
        "REFUSED",
        "P50",
        "P99",
        "MAX",
        "PEAK",
        "TURNS",
    ];
    if has_step(results) {
        head.extend(["90% WANTED", "READY"]);
    }
    head.into_iter().map(str::to_owned).collect()
}

fn has_step(results: &Comparison) -> bool {
    results.rows.iter().any(|row| row.step_wanted.is_some() || row.step_ready.is_some())
}

fn cells(row: &Row, results: &Comparison, price: f64) -> Vec<String> {
    let name = if row.settings.is_empty() {
        row.policy.clone()
    } else {
        format!("{} {}", row.policy, row.settings)
    };
    let requests = &row.requests;
    let wait = |wait: Option<f64>| wait.map_or_else(|| "-".to_owned(), length);
    let mut cells = vec![
        name,
        format!("{:.0}", row.replica_seconds),
        row.of_clairvoyant.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
        format!("{:.2}", cost(row.replica_seconds, price)),
        percent(requests.late_share),
        percent(row.late_share_warm),
        if row.meets { "yes" } else { "no" }.to_owned(),
        (requests.refused + requests.failed).to_string(),
        wait(requests.wait_p50),
        wait(requests.wait_p99),
        wait(requests.wait_max),
        row.peak_replicas.to_string(),
        row.direction_changes.to_string(),
    ];
    if has_step(results) {
        let after = |time: Option<f64>| time.map_or_else(|| "never".to_owned(), length);
        cells.extend([after(row.step_wanted), after(row.step_ready)]);
    }
    cells
}

fn notes(results: &Comparison) -> Vec<String> {
    let mut notes = vec![
        "P50, P99 and MAX are waits. TURNS: how often the number of replicas began to shrink after it \
         grew, or to\ngrow after it shrank."
            .to_owned(),
    ];
    if has_step(results) {
        notes.push(
            "90% WANTED, READY: how long after the step nine tenths of the replicas it takes were \
             wanted, and ready."
                .to_owned(),
        );
    }
    if let Some(bound) = results.bound {
        notes.push(format!(
            "No schedule that meets the objective costs less than {bound:.0} replica-s."
        ));
    }
    if let Some(best) = results.best_row() {
        if !best.meets {
            notes.push("The clairvoyant plan misses the objective, too.".to_owned());
        }
        notes.push(
            "clairvoyant: a plan found by search, which knows every request in advance; the \
             optimum\nlies between that bound and this plan. x BEST is the cost over this plan's."
                .to_owned(),
        );
    }
    let share = |count: usize| percent(count as f64 / results.workload.requests.max(1) as f64);
    if results.early > 0 {
        notes.push(format!(
            "{} requests ({}) come before a first replica can be ready: late under every policy \
             that does\nnot know the future. WARM is the share of late ones among the others.",
            results.early,
            share(results.early),
        ));
    }
    if let Some(unseen) = results.unseen.filter(|unseen| *unseen > results.early) {
        notes.push(format!(
            "{unseen} requests ({}) at the least are late under every policy that asks for no more \
             replicas\nthan it has seen a need for, whatever it spends.",
            share(unseen),
        ));
    }
    notes.extend(results.rises.as_ref().map(|rises| match rises.standing {
        None => "Every policy that has no replica before the first request is late for more than may be."
            .to_owned(),
        Some(count) => format!(
            "Every policy that can't foresee the rises, and meets the objective whenever they come, has \
             {count} replicas\nthere before one of them, for as long as it does not come."
        ),
    }));
    notes.extend(results.blind.as_ref().map(|blind| {
        let ratio = blind.ratio().map(|ratio| format!(", {ratio:.2} x BEST there")).unwrap_or_default();
        format!(
            "Every policy that begins with nothing, and meets the objective also where each request takes {} of its \
             time,\npays {:.0} replica-s there{ratio}.",
            blind.share,
            blind.paid(),
        )
    }));
    notes
}

fn percent(share: f64) -> String {
    format!("{:.2}%", share * 100.0)
}

/// Seconds, in the unit that reads best.
fn length(seconds: f64) -> String {
    if seconds < 0.0005 {
        "0".to_owned()
    } else if seconds < 1.0 {
        format!("{:.0}ms", seconds * 1000.0)
    } else if seconds < 100.0 {
        format!("{seconds:.1}s")
    } else {
        format!("{seconds:.0}s")
    }
}
