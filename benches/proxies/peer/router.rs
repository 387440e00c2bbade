//! The routers of SGLang and vLLM: both are Rust behind a command of Python's, with the same flags.
//! They try nothing again and break no circuit here, as the others do not.

use super::{Method, Setup, output};
use anyhow::{Result, bail};
use std::path::Path;

/// The command, and the package of PyPI that has it.
pub(super) fn names(vllm: bool) -> (&'static str, &'static str) {
    if vllm { ("vllm-router", "vllm-router") } else { ("sglang-router", "sglang-router") }
}

/// The version that the installed package says: the commands themselves do not.
pub(super) fn version(program: &Path, package: &str) -> Result<String> {
    let said = output(&program.with_file_name("pip"), "freeze")?;
    let line = said.lines().find_map(|line| line.strip_prefix(package)?.strip_prefix("=="));
    Ok(line.unwrap_or("unknown").trim().to_owned())
}

/// The arguments that run it.
pub(super) fn arguments(vllm: bool, setup: &Setup<'_>) -> Result<Vec<String>> {
    let policy = match setup.method {
        Method::Default => "round_robin",
        Method::Random => "random",
        Method::TwoRandom => "power_of_two",
        Method::Least | Method::LeastOneEach => bail!("it has no such policy"),
    };
    let (listen, admin) = (setup.listen, setup.admin);
    let command = if vllm { "" } else { "launch " };
    let text = format!(
        "{command}--host {} --port {} --prometheus-host {} --prometheus-port {} --policy {policy} \
         --disable-retries --disable-circuit-breaker --worker-startup-check-interval 1 \
         --log-level error --worker-urls",
        listen.ip(),
        listen.port(),
        admin.ip(),
        admin.port(),
    );
    let workers = setup.upstreams.iter().map(|address| format!("http://{address}"));
    Ok(text.split_whitespace().map(str::to_owned).chain(workers).collect())
}
