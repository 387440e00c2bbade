//! `tidegate top`: what a running autoscaler sees, or the statuses of a cluster's APIs.

mod cluster;

use crate::backend::Where;
use crate::client::HttpClient;
use crate::local::Local;
use crate::screen::{Format, Screen};
use crate::signals::until_interrupted;
use crate::view;
use anyhow::{Context, Result};
use std::process::ExitCode;
use std::time::Duration;
use tidegate_api::names::path;
use tidegate_autoscaler::Status;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Flags of `top`.
///
/// The table's `RSS MIB` is the resident memory of a replica's sidecar process.
#[derive(Debug, clap::Args)]
pub(crate) struct TopArgs {
    /// Where the autoscaler's status is served: what `tidegate up` prints at its start
    #[arg(long, env = "TIDEGATE_TOP_URL", default_value = "http://127.0.0.1:8082")]
    url: String,
    /// Print once and end
    #[arg(long, env = "TIDEGATE_TOP_ONCE")]
    once: bool,
    /// Print JSON instead of a table
    #[arg(long, env = "TIDEGATE_TOP_JSON")]
    json: bool,
    /// Show the APIs of a Kubernetes cluster, by their statuses
    #[arg(long, conflicts_with = "url", env = "TIDEGATE_TOP_CLUSTER")]
    cluster: bool,
    /// The APIs of all namespaces of the cluster
    #[arg(long, short = 'A', env = "TIDEGATE_TOP_ALL_NAMESPACES")]
    all_namespaces: bool,
    #[command(flatten)]
    place: Where,
}

/// Shows the status once, or each second until Ctrl-C or until the autoscaler is gone.
pub(crate) fn run(args: &TopArgs) -> Result<ExitCode> {
    until_interrupted(async {
        let client = HttpClient::new();
        let screen = Screen::new(if args.json { Format::Json } else { Format::Auto });
        if args.cluster {
            return cluster::show(args, &screen).await.map(|()| ExitCode::SUCCESS);
        }
        let base = if args.place.local {
            Local::open(&args.place)?.autoscaler()
        } else {
            args.url.clone()
        };
        let url = format!("{}{}", base.trim_end_matches('/'), path::STATUS);
        loop {
            let text = client.get(&url).await.with_context(|| {
                format!("no autoscaler at {base}: is `tidegate up` running? see --url")
            })?;
            let status: Status = serde_json::from_str(&text)
                .with_context(|| format!("{url} is not an autoscaler's status; see --url"))?;
            if args.json {
                screen.line(&serde_json::to_string(&status)?);
            } else if screen.is_live() && !args.once {
                screen.draw(&view::table(&status));
            } else {
                view::table(&status).iter().for_each(|line| screen.line(line));
            }
            if args.once {
                return Ok(ExitCode::SUCCESS);
            }
            tokio::time::sleep(PERIOD).await;
        }
    })
}
