//! What can be known to fail before anything is started.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tidegate_api::document::InferenceApi;

/// Stands for the model's port in a command and in its environment.
pub(super) const PORT: &str = "{port}";

/// Why an API can't be started on this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreflightError {
    /// The document is only for Kubernetes.
    #[error(
        "api {api}: spec.container is missing: spec.target is for Kubernetes; say in spec.container \
         how a replica is started on this machine"
    )]
    NoContainer {
        /// The API.
        api: String,
    },
    /// There is no such folder.
    #[error("api {api}: spec.container.workingDir: {} is no folder; create it, or name another", dir.display())]
    WorkingDir {
        /// The API.
        api: String,
        /// The folder.
        dir: PathBuf,
    },
    /// There is no such program.
    #[error("api {api}: spec.container.command[0]: can't find the program {program:?}; {searched}")]
    Command {
        /// The API.
        api: String,
        /// What was looked for.
        program: String,
        /// Where, and what to do.
        searched: String,
    },
    /// Nothing tells the model where to listen.
    #[error(
        "api {api}: spec.container.command: nothing tells the model its port; put {{port}} into the \
         command or its env, or set spec.port to the port it listens on"
    )]
    NoPort {
        /// The API.
        api: String,
    },
    /// Several replicas would listen on one port.
    #[error(
        "api {api}: spec.port: {max} replicas can't all listen on port {port} of one machine; put \
         {{port}} into the command or its env, or set spec.autoscaling.maxReplicas to 1"
    )]
    SharedPort {
        /// The API.
        api: String,
        /// The port.
        port: u16,
        /// `maxReplicas`.
        max: u32,
    },
}

/// Checks that an API can be started here. `python_bin` is its virtual environment's `bin`, which
/// comes first on the model's `PATH`.
pub fn preflight(api: &InferenceApi, python_bin: Option<&Path>) -> Result<(), PreflightError> {
    if api.container.command.is_empty() {
        return Err(PreflightError::NoContainer { api: api.name.clone() });
    }
    let dir = &api.container.working_dir;
    if !dir.is_dir() {
        return Err(PreflightError::WorkingDir { api: api.name.clone(), dir: dir.clone() });
    }
    let max = api.autoscaling.max_replicas;
    match api.port {
        None if !has_placeholder(api) => {
            return Err(PreflightError::NoPort { api: api.name.clone() });
        }
        Some(port) if max > 1 && !has_placeholder(api) => {
            return Err(PreflightError::SharedPort {
                api: api.name.clone(),
                port: port.get(),
                max,
            });
        }
        _ => {}
    }
    resolve(api, python_bin).map(drop)
}

/// The port each replica must use, if there is no choice.
///
/// With the placeholder in the command, several replicas each get their own, whatever `spec.port`.
pub(super) fn fixed_port(api: &InferenceApi) -> Option<u16> {
    let free = has_placeholder(api) && api.autoscaling.max_replicas > 1;
    api.port.filter(|_| !free).map(std::num::NonZeroU16::get)
}

/// The model's program as a path: looked up like a shell does, the virtual environment first.
pub(super) fn resolve(
    api: &InferenceApi,
    python_bin: Option<&Path>,
) -> Result<PathBuf, PreflightError> {
    let program = api.container.command.first().map_or("", String::as_str);
    let dir = &api.container.working_dir;
    let failed = |searched| PreflightError::Command {
        api: api.name.clone(),
        program: program.to_owned(),
        searched,
    };
    if program.contains('/') {
        let path = dir.join(program);
        return if is_program(&path) {
            Ok(path)
        } else {
            Err(failed(format!("{} is no executable file", path.display())))
        };
    }
    let search = search_path(python_bin);
    std::env::split_paths(&search)
        .map(|folder| dir.join(folder).join(program))
        .find(|path| !program.is_empty() && is_program(path))
        .ok_or_else(|| {
            failed(match (python_bin, &api.container.python) {
                (Some(bin), _) => {
                    format!("it is neither in {} nor on PATH; install it", bin.display())
                }
                (None, Some(_)) => "it is not on PATH, and no virtual environment was given for \
                                    spec.container.python"
                    .to_owned(),
                (None, None) => "it is not on PATH; install it, or give its path".to_owned(),
            })
        })
}

/// `PATH` for the model: its virtual environment's `bin` first.
pub(super) fn search_path(python_bin: Option<&Path>) -> std::ffi::OsString {
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let Some(bin) = python_bin else { return inherited };
    let folders = std::iter::once(bin.to_owned()).chain(std::env::split_paths(&inherited));
    // Joining fails only for a folder with a colon in its name, which no PATH can hold.
    std::env::join_paths(folders).unwrap_or(inherited)
}

fn has_placeholder(api: &InferenceApi) -> bool {
    let container = &api.container;
    container.command.iter().chain(container.env.values()).any(|word| word.contains(PORT))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
