//! Flags that say whom to wake, and what is made of them.

use super::value::host_and_port;
use crate::wake::WakeSettings;
use clap::Args;
use std::path::PathBuf;

/// Whom a gateway wakes.
#[derive(Debug, Clone, Args)]
pub(crate) struct WakeArgs {
    /// The autoscaler's admin port, to wake an API at zero at once. All that the name stands for
    /// are told; several are separated by commas
    #[arg(long, env = "TIDEGATE_WAKE", value_name = "HOST:PORT", value_delimiter = ',', value_parser = host_and_port)]
    wake: Vec<String>,
    /// A file with the token that says who wakes it: a service account's, on Kubernetes. Read anew
    /// each time
    #[arg(long, env = "TIDEGATE_WAKE_TOKEN_FILE", value_name = "FILE", requires = "wake")]
    wake_token_file: Option<PathBuf>,
}

impl WakeArgs {
    /// Nothing where nobody is to be woken.
    pub(super) fn settings(self) -> Option<WakeSettings> {
        let Self { wake: targets, wake_token_file: token_file } = self;
        (!targets.is_empty()).then_some(WakeSettings { targets, token_file })
    }
}
