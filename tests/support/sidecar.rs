//! A sidecar process before a plain Python model.

use super::process::Process;
use super::{binary, http, root};
use std::net::SocketAddr;
use std::process::Command;

/// A model and the sidecar before it.
pub(crate) struct Sidecar {
    /// The sidecar's process.
    pub(crate) process: Process,
    /// The model's process.
    pub(crate) model: Process,
    /// The model's address.
    pub(crate) model_addr: SocketAddr,
    /// Where requests go.
    pub(crate) data: SocketAddr,
    /// The admin port.
    pub(crate) admin: SocketAddr,
}

impl Sidecar {
    /// Starts both, with more flags for the sidecar, and waits until it is ready.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let (model, model_addr) = plain_model(0);
        Self::before(model, model_addr, flags)
    }

    /// One before this model.
    pub(crate) fn before(model: Process, model_addr: SocketAddr, flags: &[&str]) -> Self {
        let upstream = model_addr.to_string();
        let (process, data, admin) =
            proxy("sidecar", &[&["--upstream", &upstream], flags].concat());
        let sidecar = Self { process, model, model_addr, data, admin };
        super::eventually("the sidecar is ready", || http::get(admin, "/readyz").status == 200);
        sidecar
    }

    /// One of the sidecar's metrics.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> f64 {
        http::metric(self.admin, name, labels)
    }

    /// Waits until nothing runs and nothing waits.
    pub(crate) fn wait_until_idle(&self) {
        super::eventually("nothing runs or waits", || {
            self.metric("tidegate_requests_in_flight", "") == 0.0
                && self.metric("tidegate_requests_queued", "") == 0.0
        });
    }
}

/// The plain model, on this port.
pub(crate) fn plain_model(port: u16) -> (Process, SocketAddr) {
    let script = root().join("tests/models/plain.py");
    let model = Process::start(Command::new("python3").arg(script).arg(port.to_string()));
    let address = listening(&model);
    (model, address)
}

/// Where a model says that it listens.
pub(crate) fn listening(model: &Process) -> SocketAddr {
    let line = model.wait_for_line("LISTENING");
    let port: u16 = line.rsplit(' ').next().unwrap().parse().unwrap();
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A sidecar or gateway, on free ports unless the flags say which.
pub(crate) fn proxy(role: &str, flags: &[&str]) -> (Process, SocketAddr, SocketAddr) {
    let mut command = Command::new(binary("tidegate-proxy"));
    command.arg(role).args(flags);
    for (flag, value) in
        [("--listen", "127.0.0.1:0"), ("--admin", "127.0.0.1:0"), ("--drain-delay", "0s")]
    {
        if !flags.contains(&flag) {
            command.args([flag, value]);
        }
    }
    let process = Process::start(&mut command);
    let line = process.wait_for_line(r#""event":"listening""#);
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = |key: &str| json[key].as_str().unwrap().parse().unwrap();
    (process, address("data"), address("admin"))
}
