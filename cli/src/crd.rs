//! `crd`: the definition of the InferenceApi resource, for a cluster.

use anyhow::Context;
use std::io::Write;
use std::process::ExitCode;

/// Prints it as YAML.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let yaml = tidegate_kubernetes::crd::yaml().context("can't write the definition as YAML")?;
    std::io::stdout()
        .write_all(yaml.as_bytes())
        .context("can't write to standard output; is it open?")?;
    Ok(ExitCode::SUCCESS)
}
