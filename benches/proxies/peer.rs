//! What is compared: how each is found, told what to do, and started.

mod gateway;
mod haproxy;
mod nginx;
mod router;

use crate::load::Secured;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where programs are that are not in an ordinary user's PATH.
const SYSTEM_FOLDERS: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// One of those that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Peer {
    /// No proxy: the load asks the origin itself
    Direct,
    /// Bytes copied from socket to socket, unread
    Raw,
    /// nginx
    Nginx,
    /// nginx that also limits, and tells the origin of the hops before it, as the sidecar does
    #[value(name = "nginx-alike")]
    #[serde(rename = "nginx-alike")]
    NginxAlike,
    /// HAProxy
    Haproxy,
    /// Tidegate's sidecar
    Tidegate,
    /// Tidegate's gateway, which finds the API by the model that a body names
    Gateway,
    /// SGLang's router
    Sglang,
    /// vLLM's router
    Vllm,
}

/// How a balancer chooses among its endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// One after the other, or what a gateway does by itself.
    Default,
    /// At random.
    Random,
    /// The one with fewer requests of two drawn at random.
    TwoRandom,
    /// The one with the fewest requests.
    Least,
    /// The same, and none gets a request before its last one is answered.
    LeastOneEach,
}

/// A peer that is here.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Which.
    pub(crate) peer: Peer,
    /// Its file; none for [`Peer::Direct`].
    pub(crate) program: Option<PathBuf>,
    /// What it says its version is.
    pub(crate) version: String,
    /// Arguments beside ours.
    pub(crate) extra: Vec<String>,
}

/// How a peer is to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup<'a> {
    /// Where requests are taken.
    pub(crate) listen: SocketAddr,
    /// Where else it may listen.
    pub(crate) admin: SocketAddr,
    /// Where requests go.
    pub(crate) upstreams: &'a [SocketAddr],
    /// Where it is asked how they are, in the same order, if they are sidecars that let one request
    /// through at a time; else none.
    pub(crate) admins: &'a [SocketAddr],
    /// How it chooses among them.
    pub(crate) method: Method,
    /// Its own folder, for its configuration and what else it writes.
    pub(crate) folder: &'a Path,
    /// All in one process, as callgrind wants it.
    pub(crate) single_process: bool,
    /// The certificate with which it speaks TLS 1.3 to clients, if it does.
    pub(crate) tls: Option<&'a Secured>,
}

// === impl Peer ===

impl Peer {
    /// As flags and tables have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Raw => "raw",
            Self::Nginx => "nginx",
            Self::NginxAlike => "nginx-alike",
            Self::Haproxy => "haproxy",
            Self::Tidegate => "tidegate",
            Self::Gateway => "gateway",
            Self::Sglang => "sglang",
            Self::Vllm => "vllm",
        }
    }

    /// Whether it is Tidegate, in one of its roles.
    pub(crate) const fn is_ours(self) -> bool {
        matches!(self, Self::Tidegate | Self::Gateway)
    }

    /// Whether it takes requests with the bodies of language models only.
    pub(crate) const fn is_router(self) -> bool {
        matches!(self, Self::Sglang | Self::Vllm)
    }

    /// Whether it can spread requests over several endpoints.
    pub(crate) const fn is_balancer(self) -> bool {
        matches!(self, Self::Nginx | Self::Haproxy | Self::Gateway) || self.is_router()
    }

    /// Whether it speaks TLS.
    pub(crate) const fn speaks_tls(self) -> bool {
        matches!(
            self,
            Self::Nginx | Self::NginxAlike | Self::Haproxy | Self::Tidegate | Self::Gateway
        )
    }

    /// Looks for it. `tidegate` is that peer's file.
    ///
    /// # Errors
    /// Says how to install it if it is not here.
    pub(crate) fn find(self, tidegate: Option<&Path>) -> Result<Found> {
        let (program, version) = match self {
            Self::Direct => (None, String::new()),
            Self::Raw => {
                let exe = std::env::current_exe().context("can't find this program's own file")?;
                (Some(exe), format!("of this harness, {}", env!("CARGO_PKG_VERSION")))
            }
            Self::Nginx | Self::NginxAlike => {
                let program = installed("nginx", "nginx-light")?;
                let version = nginx::version(&output(&program, "-v")?);
                (Some(program), version)
            }
            Self::Haproxy => {
                let program = installed("haproxy", "haproxy")?;
                let version = haproxy::version(&output(&program, "-v")?);
                (Some(program), version)
            }
            Self::Sglang | Self::Vllm => {
                let (name, package) = router::names(self == Self::Vllm);
                let program = on_path(name).with_context(|| {
                    format!("{name} is not on PATH: `pip install {package}` has it")
                })?;
                let version = router::version(&program, package)?;
                (Some(program), version)
            }
            Self::Tidegate | Self::Gateway => {
                let program = tidegate.context("no tidegate-proxy was built")?;
                let said = output(program, "--version")?;
                let version = said.split_whitespace().last().unwrap_or("unknown").to_owned();
                (Some(program.to_owned()), version)
            }
        };
        Ok(Found { peer: self, program, version, extra: Vec::new() })
    }
}

// === impl Found ===

impl Found {
    /// The same, with further arguments; its version names them.
    pub(crate) fn with(mut self, extra: &str) -> Self {
        self.extra = extra.split_whitespace().map(str::to_owned).collect();
        if !self.extra.is_empty() {
            self.version += &format!(" ({})", self.extra.join(" "));
        }
        self
    }

    /// The command that runs it, once its configuration is written. None if there is nothing to
    /// run.
    ///
    /// # Errors
    /// If the configuration can't be written, or it can't be set up so.
    pub(crate) fn command(&self, setup: &Setup<'_>) -> Result<Option<Vec<OsString>>> {
        let Some(program) = &self.program else { return Ok(None) };
        let words = match self.peer {
            Peer::Direct => return Ok(None),
            Peer::Raw => {
                let upstream = the_one(setup.upstreams)?;
                ["copy".into(), setup.listen.to_string(), upstream.to_string()].to_vec()
            }
            Peer::Nginx => nginx::arguments(setup, nginx::Work::Least)?,
            Peer::NginxAlike => nginx::arguments(setup, nginx::Work::Alike)?,
            Peer::Haproxy => haproxy::arguments(setup)?,
            Peer::Tidegate => sidecar_arguments(setup)?,
            Peer::Gateway => gateway::arguments(setup)?,
            Peer::Sglang | Peer::Vllm => router::arguments(self.peer == Peer::Vllm, setup)?,
        };
        let words = words.into_iter().chain(self.extra.iter().cloned()).map(OsString::from);
        Ok(Some(std::iter::once(program.clone().into_os_string()).chain(words).collect()))
    }
}

/// One worker, metrics on as always, the queue and the limit in force but never in the way.
fn sidecar_arguments(setup: &Setup<'_>) -> Result<Vec<String>> {
    let mut words = sidecar(setup.listen, setup.admin, the_one(setup.upstreams)?, 1024);
    words.extend(tls_arguments(setup));
    Ok(words)
}

/// TLS as Tidegate is told of it, in either role.
fn tls_arguments(setup: &Setup<'_>) -> Vec<String> {
    let Some(Secured { certificate, key, .. }) = setup.tls else { return Vec::new() };
    let both = format!("{}:{}", certificate.display(), key.display());
    vec!["--tls-cert".into(), both, "--tls-min-version".into(), "1.3".into()]
}

/// The arguments of a sidecar that lets so many requests through at once.
pub(crate) fn sidecar(
    listen: SocketAddr,
    admin: SocketAddr,
    upstream: SocketAddr,
    concurrency: u16,
) -> Vec<String> {
    let text = format!(
        "sidecar --listen {listen} --admin {admin} --upstream {upstream} --concurrency {concurrency} \
         --queue-capacity 1024 --workers 1 --drain-delay 0s --drain-timeout 1s --log error",
    );
    text.split_whitespace().map(str::to_owned).collect()
}

fn the_one(upstreams: &[SocketAddr]) -> Result<SocketAddr> {
    match upstreams {
        [one] => Ok(*one),
        _ => bail!("it has one upstream, and {} were given", upstreams.len()),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
}

fn installed(name: &str, package: &str) -> Result<PathBuf> {
    on_path(name)
        .with_context(|| format!("{name} is not installed: `apt-get install {package}` has it"))
}

/// The file of a program.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let mut folders = std::env::var_os("PATH").unwrap_or_default();
    folders.push(":");
    folders.push(SYSTEM_FOLDERS);
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// What a program says when asked with one flag, on either stream.
fn output(program: &Path, flag: &str) -> Result<String> {
    let said = Command::new(program)
        .arg(flag)
        .output()
        .with_context(|| format!("can't run {}", program.display()))?;
    let text = [said.stdout, said.stderr].concat();
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_has_one_upstream() {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let two = [address(3), address(4)];
        let setup = |upstreams| Setup {
            listen: address(1),
            admin: address(2),
            upstreams,
            admins: &[],
            method: Method::Default,
            folder: Path::new("/nowhere"),
            single_process: false,
            tls: None,
        };
        let words = sidecar_arguments(&setup(&two[..1])).expect("good");
        let upstream = words.iter().position(|word| word == "--upstream").expect("given");
        assert_eq!(words[upstream + 1], "127.0.0.1:3");
        assert!(sidecar_arguments(&setup(&two)).is_err());
    }

    #[test]
    fn whoever_speaks_tls_is_given_the_certificate() {
        let folder = tempfile::tempdir().expect("a folder");
        let secured = Secured::make(folder.path()).expect("a certificate");
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let setup = Setup {
            listen: address(1),
            admin: address(2),
            upstreams: &[address(3)],
            admins: &[],
            method: Method::Default,
            folder: folder.path(),
            single_process: false,
            tls: Some(&secured),
        };
        let words = sidecar_arguments(&setup).expect("good");
        let named = words.iter().position(|word| word == "--tls-cert").expect("given");
        let (certificate, key) = words[named + 1].split_once(':').expect("two files");
        let pem = |path: &str| std::fs::read_to_string(path).expect("it is there");
        assert!(pem(certificate).starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(pem(key).starts_with("-----BEGIN PRIVATE KEY-----"));
        gateway::arguments(&setup).expect("good");
        for (arguments, file, line) in [
            (
                nginx::arguments(&setup, nginx::Work::Least),
                "nginx.conf",
                "listen 127.0.0.1:1 ssl http2 reuseport;",
            ),
            (haproxy::arguments(&setup), "haproxy.cfg", "bind 127.0.0.1:1 ssl crt "),
        ] {
            arguments.expect("good");
            let config = std::fs::read_to_string(folder.path().join(file)).expect("written");
            assert!(config.contains(line), "no {line} in\n{config}");
        }
    }

    #[test]
    fn what_was_added_to_the_sidecar_is_told_and_comes_last() {
        let version = "0.1.0".to_owned();
        let found =
            Found { peer: Peer::Tidegate, program: Some("/p".into()), version, extra: vec![] };
        assert_eq!(found.clone().with("").version, "0.1.0");
        let found = found.with("--forwarded-headers off");
        assert_eq!(found.version, "0.1.0 (--forwarded-headers off)");
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let setup = Setup {
            listen: address,
            admin: address,
            upstreams: &[address],
            admins: &[],
            method: Method::Default,
            folder: Path::new("/nowhere"),
            single_process: false,
            tls: None,
        };
        let command = found.command(&setup).expect("good").expect("a program");
        assert_eq!(command[0], "/p");
        assert!(command.ends_with(&["--forwarded-headers".into(), "off".into()]), "{command:?}");
    }

    #[test]
    fn what_is_not_installed_is_named_with_its_package() {
        let error = installed("no-such-program", "such-package").expect_err("not there");
        assert!(error.to_string().contains("apt-get install such-package"), "{error}");
    }
}
