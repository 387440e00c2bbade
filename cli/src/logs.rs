//! `tidegate logs`: what the replicas of an API write, model and sidecar, line by line.

use crate::backend::{Backend, LogsWanted, Part, Told, Where};
use crate::exit;
use crate::screen::{Format, Screen};
use crate::signals::until_interrupted;
use anyhow::Result;
use console::{Color, Style};
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::mpsc;

/// Lines that wait to be printed.
const MOST_WAITING: usize = 256;

/// Colors of the sources; red is for what is wrong.
const COLORS: [Color; 5] = [Color::Cyan, Color::Green, Color::Yellow, Color::Blue, Color::Magenta];

/// Flags of `logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::CODES)]
pub(crate) struct LogsArgs {
    /// The API
    #[arg(value_name = "NAME", env = "TIDEGATE_LOGS_NAME")]
    name: String,
    /// Go on with what comes, of new replicas too
    #[arg(long, short, env = "TIDEGATE_LOGS_FOLLOW")]
    follow: bool,
    /// Only so many of the last lines of each log; `all` for all
    #[arg(long, value_name = "LINES", default_value = "100", value_parser = tail, env = "TIDEGATE_LOGS_TAIL")]
    tail: Tail,
    /// Only lines of the last so much time
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, env = "TIDEGATE_LOGS_SINCE")]
    since: Option<Duration>,
    /// Only the lines of this part
    #[arg(long, value_name = "PART", env = "TIDEGATE_LOGS_ONLY")]
    only: Option<Part>,
    #[command(flatten)]
    place: Where,
}

/// How many lines; nothing for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tail(Option<u32>);

fn tail(text: &str) -> Result<Tail, String> {
    match text {
        "all" => Ok(Tail(None)),
        text => text
            .parse()
            .map(|lines| Tail(Some(lines)))
            .map_err(|_| "must be a number of lines, or `all`".to_owned()),
    }
}

/// Prints the lines, with `--follow` until Ctrl-C.
pub(crate) fn run(args: &LogsArgs) -> Result<ExitCode> {
    until_interrupted(async { logs(args).await.map(|()| ExitCode::SUCCESS) })
}

async fn logs(args: &LogsArgs) -> Result<()> {
    let backend = Backend::open(&args.place).await?;
    let wanted =
        LogsWanted { follow: args.follow, tail: args.tail.0, since: args.since, only: args.only };
    let screen = Screen::new(Format::Plain);
    let (sender, mut told) = mpsc::channel(MOST_WAITING);
    let print = async {
        while let Some(told) = told.recv().await {
            print(&screen, &told);
        }
    };
    let (done, ()) = tokio::join!(backend.logs(&args.name, &wanted, sender), print);
    done
}

/// A line with its source before it, or a note beside them.
fn print(screen: &Screen, told: &Told) {
    match told {
        Told::Line { source, text } => {
            // Without color where there is no terminal, or where the user wants none.
            let source = style(source).apply_to(format!("[{source}]"));
            screen.line(&format!("{source} {text}"));
        }
        Told::Note(note) => exit::note(note),
    }
}

/// The same for the same source.
fn style(source: &str) -> Style {
    let sum =
        source.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let color = COLORS.get(sum % COLORS.len()).copied().unwrap_or(Color::Cyan);
    Style::new().for_stdout().fg(color)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_a_number_or_all() {
        assert_eq!(tail("all"), Ok(Tail(None)));
        assert_eq!(tail("0"), Ok(Tail(Some(0))));
        assert!(tail("-1").is_err() && tail("some").is_err());
    }
}
