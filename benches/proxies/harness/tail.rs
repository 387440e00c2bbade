//! `tail`: requests that take 20 ms on average, at 80 % of what eight endpoints can do, each of which
//! serves one at a time behind a sidecar. All balancers get the same requests at the same moments.

use super::run::answers;
use super::{Gathered, say};
use crate::child::{Child, free_addresses};
use crate::flags::Flags;
use crate::load::{in_one_line, scheduled};
use crate::peer::{Found, Method, Peer, Setup, sidecar};
use crate::pin::{Cores, pin};
use crate::schedule::{Call, draw, ideal_waits};
use crate::tail::{Beside, TailSample};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// How many endpoints there are.
const ENDPOINTS: usize = 8;
/// How long a request takes on average.
const SERVICE: Duration = Duration::from_millis(20);
/// Requests a second: 80 % of what all endpoints can do.
const CALLS_A_SECOND: f64 = 320.0;

/// One way of balancing.
struct Balancer<'a> {
    name: String,
    found: &'a Found,
    method: Method,
    /// How many of it there are side by side, each with its part of the requests.
    copies: usize,
}

/// The endpoints: sidecars before the origin. They end with it.
struct Endpoints {
    data: Vec<SocketAddr>,
    admins: Vec<SocketAddr>,
    cores: Cores,
    folder: TempDir,
    _children: Vec<Child>,
}

/// Measures every way of balancing that the peers which are here have.
///
/// # Errors
/// If the endpoints can't be started. What fails for one balancer is noted.
pub(super) async fn measure(
    flags: &Flags,
    cores: Cores,
    peers: &[Found],
    gathered: &mut Gathered,
) -> Result<()> {
    let Some(ours) = peers.iter().find(|found| found.peer.is_ours()) else {
        gathered.note("skipped: tail: its endpoints are sidecars; name a peer of ours".to_owned());
        return Ok(());
    };
    let program = ours.program.as_deref().context("no tidegate-proxy was built")?;
    let endpoints = Endpoints::start(program, cores).await?;
    let balancers: Vec<_> = peers.iter().flat_map(balancers).collect();
    let all = balancers.len() * flags.repeat() as usize;
    let mut done = 0;
    for repeat in 1..=flags.repeat() {
        let calls = draw(u64::from(repeat), CALLS_A_SECOND, SERVICE, flags.tail_seconds());
        let ideal = ideal_waits(&calls, ENDPOINTS);
        // What no balancer can be better than here: the hops and timers without it.
        let real = in_one_line(&endpoints.data, &calls).await.context("one line in the load")?;
        let beside = Beside::new(&ideal, &real);
        gathered.tails.push(TailSample::new("one line, computed", repeat, &ideal, beside));
        gathered.tails.push(TailSample::new("one line in the load itself", repeat, &real, beside));
        for balancer in &balancers {
            done += 1;
            let what = format!("[{done}/{all}] tail, {}, repeat {repeat}", balancer.name);
            match endpoints.ask(balancer, &calls).await {
                Ok(waits) => {
                    let sample = TailSample::new(&balancer.name, repeat, &waits, beside);
                    let TailSample { p99_ms, to_ideal, to_line, .. } = &sample;
                    say(&format!(
                        "{what}: p99 wait {p99_ms:.1} ms, {to_ideal:.2} x the ideal line's, {to_line:.2} x \
                         a real line's"
                    ));
                    gathered.tails.push(sample);
                }
                Err(error) => gathered.failed(&format!("{what}: {error:#}")),
            }
        }
    }
    Ok(())
}

/// The ways of balancing that a peer has.
fn balancers(found: &Found) -> Vec<Balancer<'_>> {
    let one = |name: &str, method, copies| {
        let name = format!("{}, {name}", found.peer.name());
        Balancer { name, found, method, copies }
    };
    match found.peer {
        Peer::Nginx => vec![
            one("round robin", Method::Default, 1),
            one("random", Method::Random, 1),
            one("two random", Method::TwoRandom, 1),
            one("least connections", Method::Least, 1),
        ],
        Peer::Haproxy => vec![
            one("round robin", Method::Default, 1),
            one("two random", Method::TwoRandom, 1),
            one("least connections", Method::Least, 1),
            one("least connections, maxconn 1", Method::LeastOneEach, 1),
            one("least connections, maxconn 1, two of it", Method::LeastOneEach, 2),
        ],
        Peer::Gateway => {
            vec![one("alone", Method::Default, 1), one("two of it", Method::Default, 2)]
        }
        Peer::Sglang | Peer::Vllm => {
            vec![one("round robin", Method::Default, 1), one("two random", Method::TwoRandom, 1)]
        }
        Peer::Direct | Peer::Raw | Peer::NginxAlike | Peer::Tidegate => Vec::new(),
    }
}

// === impl Endpoints ===

impl Endpoints {
    async fn start(program: &Path, cores: Cores) -> Result<Self> {
        pin(cores.load)?;
        let folder = TempDir::new().context("can't make a temporary folder")?;
        let exe = std::env::current_exe().context("can't find this program's own file")?;
        let mut ports = free_addresses(ENDPOINTS * 3)?;
        let (origins, data) = (ports.split_off(ENDPOINTS * 2), ports.split_off(ENDPOINTS));
        let admins = ports;
        let mut command: Vec<OsString> = vec![exe.into(), "origin".into()];
        command.extend(origins.iter().map(|origin| origin.to_string().into()));
        let start = |name, command: &[OsString]| {
            Child::start(name, command, cores.load, cores.load, folder.path())
        };
        let mut children = vec![start("origin", &command)?];
        for ((origin, data), admin) in origins.iter().zip(&data).zip(&admins) {
            let words = sidecar(*data, *admin, *origin, 1).into_iter().map(OsString::from);
            let command: Vec<_> =
                std::iter::once(program.as_os_str().to_owned()).chain(words).collect();
            let mut child = start("sidecar", &command)?;
            answers(*data, &mut child).await?;
            children.push(child);
        }
        Ok(Self { data, admins, cores, folder, _children: children })
    }

    /// How long each request was not being served, behind a balancer that is started for it.
    async fn ask(&self, balancer: &Balancer<'_>, calls: &[Call]) -> Result<Vec<u64>> {
        let (mut running, mut doors, mut folders) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..balancer.copies {
            let folder = TempDir::new_in(self.folder.path()).context("can't make a folder")?;
            let ports = free_addresses(2)?;
            let [listen, admin] = ports[..] else { anyhow::bail!("two ports were asked for") };
            let setup = Setup {
                listen,
                admin,
                upstreams: &self.data,
                admins: &self.admins,
                method: balancer.method,
                folder: folder.path(),
                single_process: false,
                tls: None,
            };
            let command = balancer.found.command(&setup)?.context("there is nothing to run")?;
            let name = balancer.found.peer.name();
            let (core, back_to) = (self.cores.peer, self.cores.load);
            let mut child = Child::start(name, &command, core, back_to, folder.path())?;
            answers(listen, &mut child).await?;
            running.push(child);
            doors.push(listen);
            folders.push(folder);
        }
        let said = || running.iter().map(Child::said).collect::<Vec<_>>();
        let waits = scheduled(&doors, calls).await;
        let waits = waits.with_context(|| format!("the balancer said: {:?}", said()))?;
        for child in &mut running {
            child.check()?;
            child.stop()?;
        }
        Ok(waits)
    }
}
