//! Builds the slim `tidegate-proxy` as containers have it.

use super::say;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::process::Command;

/// What counts of cargo's messages.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}

/// Builds it with `--profile dist`, and says where it is.
///
/// # Errors
/// If it can't be built.
pub(super) async fn tidegate() -> Result<PathBuf> {
    say("building tidegate-proxy with --profile dist (a few minutes the first time)");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--locked", "-p", "tidegate-proxy", "--bin", "tidegate-proxy"])
        .args(["--profile", "dist", "--message-format", "json-render-diagnostics"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .context("can't run cargo; --tidegate takes a binary that is built already")?;
    if !built.status.success() {
        bail!("tidegate-proxy can't be built; see what cargo says above");
    }
    executable(&String::from_utf8_lossy(&built.stdout)).context("cargo built no binary")
}

/// The last file that cargo says can be run.
fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    messages.filter_map(|message| message.executable).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_found_among_the_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\nnoise\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/tidegate-proxy\"}\n\
                        {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable(messages), Some("/t/tidegate-proxy".into()));
        assert_eq!(executable("{}"), None);
    }
}
