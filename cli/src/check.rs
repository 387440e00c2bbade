//! `tidegate check`: whether a cluster is set up as it should be, and what to do if not.

use crate::backend::Where;
use crate::cluster::Cluster;
use crate::exit::BadUsage;
use crate::screen::{Format, Screen};
use crate::signals::until_interrupted;
use anyhow::Result;
use console::Style;
use serde_json::{Value, json};
use std::process::ExitCode;
use tidegate_kubernetes::doctor::{Finding, Level};

/// Flags of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 nothing is wrong, 1 something is, 64 wrong usage, 69 no \
    cluster is configured, 130 Ctrl-C. What is doubtful (!) may be meant so.")]
pub(crate) struct CheckArgs {
    /// Another form than lines for people
    #[arg(long, short, value_name = "FORM", env = "TIDEGATE_CHECK_OUTPUT")]
    output: Option<Output>,
    /// Look at the InferenceApis of all namespaces
    #[arg(long, short = 'A', env = "TIDEGATE_CHECK_ALL_NAMESPACES")]
    all_namespaces: bool,
    #[command(flatten)]
    place: Where,
}

/// Forms of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// A list of findings as JSON
    Json,
}

/// Looks at everything and prints what it finds.
pub(crate) fn run(args: &CheckArgs) -> Result<ExitCode> {
    if args.place.local {
        let what = "`check` looks at clusters; of a `tidegate up`, see `get --local`";
        return Err(BadUsage(what.to_owned()).into());
    }
    until_interrupted(async {
        let cluster = Cluster::open(&args.place).await?;
        let findings = cluster.examine(args.all_namespaces).await;
        let screen = Screen::new(Format::Plain);
        match args.output {
            Some(Output::Json) => {
                let all: Vec<Value> = findings.iter().map(object).collect();
                screen.line(&serde_json::to_string_pretty(&all)?);
            }
            None => {
                findings.iter().flat_map(lines).for_each(|line| screen.line(&line));
                screen.line(&summary(&findings));
            }
        }
        let is_wrong = findings.iter().any(|finding| finding.level == Level::Wrong);
        Ok(if is_wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    })
}

/// As a line, and what to do below it.
fn lines(finding: &Finding) -> Vec<String> {
    let style = Style::new().for_stdout().bold();
    let mark = match finding.level {
        Level::Fine => style.green().apply_to("✓"),
        Level::Doubt => style.yellow().apply_to("!"),
        Level::Wrong => style.red().apply_to("✗"),
    };
    let mut lines = vec![format!("{mark} {:<13} {}", finding.about, finding.what)];
    if !finding.advice.is_empty() {
        lines.push(format!("    → {}", finding.advice));
    }
    lines
}

fn summary(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    match (count(Level::Wrong), count(Level::Doubt)) {
        (0, 0) => "all is as it should be".to_owned(),
        (0, doubts) => format!("nothing is wrong, {doubts} doubtful"),
        (wrong, doubts) => format!("{wrong} wrong, {doubts} doubtful"),
    }
}

fn object(finding: &Finding) -> Value {
    json!({
        "level": finding.level.word(),
        "about": finding.about,
        "what": finding.what,
        "advice": finding.advice,
    })
}
