//! The command line: every command with its flags.

use crate::{check, delete, deploy, describe, get, logs, refresh};
use crate::{completion, demo, top, up};
use clap::{Parser, Subcommand};
use tidegate_autoscaler::{ChildArgs, DecideArgs, RunArgs};
use tidegate_proxy::{GatewayArgs, SidecarArgs, Sourced};
use tidegate_simulate::SimulateArgs;

/// What a newcomer is told.
const BEGIN: &str = "To begin: `tidegate up FILE` runs what an InferenceApi document says, on this machine; \
    `tidegate demo` shows it with an example of the repository's.";

/// Runs inference servers behind a queue and scales them with what is asked of them
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, after_help = BEGIN)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run models on this machine: a gateway, an autoscaler, and replicas as requests come
    Up(up::UpArgs),
    /// Show it all in a minute: real images for a real model, from zero replicas and back to zero
    Demo(demo::DemoArgs),
    /// Show what a running `tidegate up` does, replica by replica, or a cluster
    Top(top::TopArgs),
    /// Deploy APIs to a Kubernetes cluster or a running `tidegate up`, and wait until they are ready
    Deploy(deploy::DeployArgs),
    /// List the APIs that are deployed
    Get(get::GetArgs),
    /// Show one API with its conditions, decisions, replicas and events
    Describe(describe::DescribeArgs),
    /// Print what an API's replicas write, model and sidecar
    Logs(logs::LogsArgs),
    /// Take APIs away
    Delete(delete::DeleteArgs),
    /// Replace an API's replicas by new ones, a few at a time
    Refresh(refresh::RefreshArgs),
    /// Answer observations on standard input with scaling decisions, a line of JSON each
    Decide(DecideArgs),
    /// Compare scaling policies on a trace or a made-up load, in virtual time
    Simulate(Box<SimulateArgs>),
    /// Stand before one model: queue, limit, measure
    Sidecar(Box<Sourced<SidecarArgs>>),
    /// Stand before many sidecars: route, balance, hold requests while an API starts
    Gateway(Box<Sourced<GatewayArgs>>),
    /// Resize what the proxies measure
    #[command(subcommand)]
    Autoscaler(Autoscaler),
    /// Print the definition of the InferenceApi resource, for `kubectl apply -f -`
    Crd,
    /// Look over a cluster's set-up, and say what is wrong and what to do
    Check(check::CheckArgs),
    /// Print a script that completes commands and flags in a shell
    Completion(completion::CompletionArgs),
    /// Become a command that ends with its parent
    #[command(hide = true)]
    Child(ChildArgs),
}

/// Commands of the autoscaler.
#[derive(Debug, Subcommand)]
pub(crate) enum Autoscaler {
    /// Scale APIs until told to stop
    Run(Box<RunArgs>),
    /// Answer observations on standard input with decisions, a line of JSON each
    Decide(DecideArgs),
    /// Give pods their sidecars: Kubernetes' admission webhook
    Inject(Box<tidegate_autoscaler::InjectArgs>),
    /// Become a command that ends with its parent
    #[command(hide = true)]
    Child(ChildArgs),
}
