//! The log: to standard error.

use std::io::IsTerminal;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts it, unless an embedding program logs its own way already.
pub(crate) fn start() {
    // The client says of each failed call that it has failed, and not which. We say both, and once.
    let targets =
        Targets::new().with_default(LevelFilter::INFO).with_target("kube_client", LevelFilter::OFF);
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false);
    let log = log.with_ansi(std::io::stderr().is_terminal()).finish();
    log.with(targets).try_init().ok();
}
