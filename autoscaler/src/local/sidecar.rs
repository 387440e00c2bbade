//! A replica's sidecar: its process, from the line in which it says where it listens to its drain.

use super::failure::StartFailure;
use super::launch;
use super::process::Process;
use super::replica::{Leave, Order, Plan, killed, shown};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::ChildStdout;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a sidecar may take to say where it listens.
const BIND_DEADLINE: Duration = Duration::from_secs(10);

/// The longest line in which it may say so.
const MOST_LINE: u64 = 4096;

/// What a sidecar may take beyond its own drain times before it is killed.
const DRAIN_SLACK: Duration = Duration::from_secs(5);

/// The sidecar's process.
pub(super) struct Sidecar {
    pub(super) process: Process,
    pub(super) bound: Bound,
    /// Copies what else it prints to the log; ends with it.
    _output: JoinSet<()>,
}

/// The line by which a sidecar says where it listens.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Bound {
    pub(super) data: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Sidecar {
    pub(super) async fn start(plan: &Plan) -> Result<Self, StartFailure> {
        let mut command =
            launch::sidecar(&plan.make.api, plan.make.python_bin(), plan.port, &plan.settings);
        launch::log_to(&mut command, &plan.log, false).map_err(StartFailure::SidecarSpawn)?;
        let mut process = Process::spawn(command).map_err(StartFailure::SidecarSpawn)?;
        let Some(stdout) = process.take_stdout() else {
            return Err(StartFailure::SidecarSilent("it has no standard output".to_owned()));
        };
        let mut stdout = BufReader::new(stdout);
        let bound = tokio::time::timeout(BIND_DEADLINE, bound(&mut process, &mut stdout))
            .await
            .unwrap_or_else(|_| {
                let why = format!("no line on its standard output within {BIND_DEADLINE:?}");
                Err(StartFailure::SidecarSilent(why))
            })?;
        let mut output = JoinSet::new();
        output.spawn(copy_to_log(stdout, plan.log.clone()));
        Ok(Self { process, bound, _output: output })
    }

    /// Lets the sidecar drain, as far as the reason to leave allows, and sees to it that it ends.
    pub(super) async fn leave(
        &mut self,
        plan: &Plan,
        why: &Leave,
        orders: &mut watch::Receiver<Order>,
    ) {
        if let Leave::Ordered(order @ (Order::Drain | Order::AwaitDrain)) = why {
            if *order == Order::Drain {
                self.process.terminate();
            }
            let settings = &plan.settings;
            let longest = settings.drain_delay + settings.drain_timeout + DRAIN_SLACK;
            tokio::select! {
                status = self.process.exited() => {
                    tracing::debug!(replica = plan.id, status = %shown(&status), "sidecar drained");
                }
                () = killed(orders) => {}
                () = plan.clock.sleep_until(plan.clock.now() + longest) => {
                    tracing::warn!(replica = plan.id, ?longest, "sidecar did not drain in time");
                }
            }
        }
        self.process.kill().await;
    }
}

/// Reads the line in which a sidecar says where it listens.
async fn bound(
    process: &mut Process,
    stdout: &mut BufReader<ChildStdout>,
) -> Result<Bound, StartFailure> {
    let silent = |why: String| StartFailure::SidecarSilent(why);
    let mut line = String::new();
    let read = stdout.take(MOST_LINE).read_line(&mut line).await;
    if read.map_err(|error| silent(error.to_string()))? == 0 {
        let ended = process.exited().await;
        return Err(ended.map_or_else(StartFailure::SidecarSpawn, StartFailure::SidecarExited));
    }
    serde_json::from_str(&line)
        .map_err(|error| silent(format!("it printed {:?}: {error}", line.trim_end())))
}

/// Copies what a sidecar prints after its first line, so that it never waits for a reader.
async fn copy_to_log(mut stdout: BufReader<ChildStdout>, log: PathBuf) {
    let copy = async {
        let mut log = tokio::fs::OpenOptions::new().append(true).open(&log).await?;
        tokio::io::copy(&mut stdout, &mut log).await
    };
    if let Err(error) = copy.await {
        tracing::warn!(log = %log.display(), %error, "can't copy a sidecar's output to its log");
    }
}
