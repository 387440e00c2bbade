//! One measurement: a peer freshly started before the origin, a load, what the peer used.

use crate::child::{Child, free_addresses};
use crate::load::{Client, Connection, Edge, Outcome, Secured, Until};
use crate::load::{closed, http1, http1_in_tls, http2_in_tls, open, streams};
use crate::machine::load_average;
use crate::peer::{Found, Method, Setup};
use crate::pin::{Cores, pin};
use crate::sample::{Around, Sample};
use crate::usage::{self, Usage};
use crate::workload::{
    BODY_CONNECTIONS, POST_CONNECTIONS, RATE, STREAMS, TLS_CONNECTIONS, body_request, post_request,
    small_request,
};
use crate::{callgrind, clock};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// How long a peer may take to answer at first; under valgrind all is slow.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const TRY_EVERY: Duration = Duration::from_millis(10);
/// Connections on which instructions are counted.
const COUNTED_CONNECTIONS: u16 = 16;

/// What is asked in one measurement.
#[derive(Debug, Clone, Copy)]
pub(super) enum Load {
    /// Small requests, closed loop.
    Small { connections: u16, until: Until },
    /// Small requests with a body, closed loop.
    Post { until: Until },
    /// Small requests in TLS, closed loop.
    Tls { http2: bool, until: Until },
    /// Small requests at a fixed rate.
    Rate { warm_up: Duration, time: Duration },
    /// Large bodies, closed loop.
    Json { until: Until },
    /// Streams of events.
    Sse,
}

/// The origin, and where everything runs.
pub(super) struct Runner {
    cores: Cores,
    origins: Vec<SocketAddr>,
    ticks_per_second: u64,
    folder: TempDir,
    secured: Secured,
    /// Ends with the runner.
    _origin: Child,
}

/// A peer that answers.
struct Running {
    /// None if the load asks the origin itself.
    child: Option<Child>,
    address: SocketAddr,
    /// Ends with it.
    _folder: TempDir,
}

// === impl Load ===

impl Load {
    /// Whether routers of language models take its requests.
    pub(super) const fn is_completion(&self) -> bool {
        matches!(self, Self::Post { .. } | Self::Json { .. } | Self::Sse)
    }

    /// Whether it is asked in TLS.
    pub(super) const fn is_secured(&self) -> bool {
        matches!(self, Self::Tls { .. })
    }
}

// === impl Runner ===

impl Runner {
    /// Starts the origin, and keeps this thread beside it.
    ///
    /// # Errors
    /// If either can't be done.
    pub(super) async fn start(cores: Cores, endpoints: u16) -> Result<Self> {
        pin(cores.load)?;
        let folder = TempDir::new().context("can't make a temporary folder")?;
        let exe = std::env::current_exe().context("can't find this program's own file")?;
        let origins = free_addresses(usize::from(endpoints))?;
        let mut command: Vec<OsString> = vec![exe.into(), "origin".into()];
        command.extend(origins.iter().map(|origin| origin.to_string().into()));
        let mut child = Child::start("origin", &command, cores.load, cores.load, folder.path())?;
        for origin in &origins {
            answers(*origin, &mut child).await?;
        }
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        let secured = Secured::make(folder.path())?;
        Ok(Self { cores, origins, ticks_per_second, folder, secured, _origin: child })
    }

    /// Measures a peer once.
    ///
    /// # Errors
    /// If it does not come up, fails a request, or does not end.
    pub(super) async fn sample(
        &self,
        found: &Found,
        name: &str,
        load: &Load,
        repeat: u32,
    ) -> Result<Sample> {
        let mut running = self.start_peer(found, None, load.is_secured()).await?;
        let pid = running.child.as_ref().map(Child::pid);
        let idle = pid.map(usage::memory).transpose()?;
        let mut begin = Usage::default();
        let mut around = Around { spent: None, idle, loaded: None, load_average: 0.0 };
        let mut edge = |edge: Edge| -> Result<()> {
            let Some(pid) = pid else { return Ok(()) };
            let now = usage::usage(pid)?;
            match edge {
                Edge::Begin => begin = now,
                Edge::End => {
                    around.spent = Some(now.since(&begin, self.ticks_per_second));
                    around.loaded = Some(usage::memory(pid)?);
                }
            }
            Ok(())
        };
        let outcome = self.ask(running.address, load, &mut edge).await;
        let outcome = running.explain(outcome)?;
        running.stop()?;
        around.load_average = load_average();
        Ok(Sample::new(name, found.peer, repeat, &outcome, &around))
    }

    /// Counts the instructions of a small request.
    ///
    /// # Errors
    /// If valgrind can't run it, or one of the runs fails.
    pub(super) async fn instructions(
        &self,
        found: &Found,
        valgrind: &Path,
        requests: [u64; 2],
    ) -> Result<f64> {
        let mut totals = [0; 2];
        for (count, total) in requests.into_iter().zip(&mut totals) {
            let out = self.folder.path().join(format!("callgrind.{}.{count}", found.peer.name()));
            let mut running = self.start_peer(found, Some((valgrind, &out)), false).await?;
            let load =
                Load::Small { connections: COUNTED_CONNECTIONS, until: Until::Requests(count) };
            let outcome = self.ask(running.address, &load, &mut |_| Ok(())).await;
            running.explain(outcome)?;
            running.stop()?;
            *total = callgrind::total(&out)?;
        }
        callgrind::difference(requests, totals)
    }

    /// Starts a peer, perhaps under valgrind with a file for what it counts, and waits until it
    /// answers.
    async fn start_peer(
        &self,
        found: &Found,
        valgrind: Option<(&Path, &Path)>,
        is_secured: bool,
    ) -> Result<Running> {
        let folder = TempDir::new_in(self.folder.path()).context("can't make a folder")?;
        let [listen, admin] = free_addresses(2)?[..] else { bail!("two ports were asked for") };
        let setup = Setup {
            listen,
            admin,
            upstreams: &self.origins,
            admins: &[],
            method: Method::Default,
            folder: folder.path(),
            single_process: valgrind.is_some(),
            tls: is_secured.then_some(&self.secured),
        };
        let Some(mut command) = found.command(&setup)? else {
            let origin = self.origins.first().context("there is no origin")?;
            return Ok(Running { child: None, address: *origin, _folder: folder });
        };
        if let Some((valgrind, out)) = valgrind {
            command = callgrind::wrapped(valgrind, out, &command);
        }
        let (core, back_to) = (self.cores.peer, self.cores.load);
        let mut child = Child::start(found.peer.name(), &command, core, back_to, folder.path())?;
        match setup.tls {
            None => answers(setup.listen, &mut child).await?,
            Some(secured) => answers_in_tls(setup.listen, secured, &mut child).await?,
        }
        Ok(Running { child: Some(child), address: setup.listen, _folder: folder })
    }

    async fn ask(
        &self,
        to: SocketAddr,
        load: &Load,
        edge: &mut impl FnMut(Edge) -> Result<()>,
    ) -> Result<Outcome> {
        match *load {
            Load::Small { connections, until } => {
                closed(http1(to, small_request(), connections).await?, until, edge).await
            }
            Load::Post { until } => {
                closed(http1(to, post_request(), POST_CONNECTIONS).await?, until, edge).await
            }
            Load::Tls { http2: false, until } => {
                closed(http1_in_tls(to, &self.secured, TLS_CONNECTIONS).await?, until, edge).await
            }
            Load::Tls { http2: true, until } => {
                closed(http2_in_tls(to, &self.secured, TLS_CONNECTIONS).await?, until, edge).await
            }
            Load::Rate { warm_up, time } => {
                open(to, small_request(), RATE, (warm_up, time), edge).await
            }
            Load::Json { until } => {
                closed(http1(to, body_request(), BODY_CONNECTIONS).await?, until, edge).await
            }
            Load::Sse => streams(to, STREAMS, edge).await,
        }
    }
}

// === impl Running ===

impl Running {
    /// Adds what the peer said, if something failed.
    fn explain(&self, outcome: Result<Outcome>) -> Result<Outcome> {
        let said = || self.child.as_ref().map(Child::said).unwrap_or_default();
        outcome.with_context(|| format!("the peer said: {:?}", said()))
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(child) = &mut self.child {
            child.check()?;
            child.stop()?;
        }
        Ok(())
    }
}

/// Waits until a small request is answered there.
pub(super) async fn answers(at: SocketAddr, child: &mut Child) -> Result<()> {
    let once = async || Ok(Connection::open(at).await?.exchange(&post_request()).await?);
    succeeds(once, child).await
}

/// The same in TLS.
async fn answers_in_tls(at: SocketAddr, secured: &Secured, child: &mut Child) -> Result<()> {
    let once = async || {
        let clients = http1_in_tls(at, secured, 1).await?;
        for mut client in clients {
            client.ask().await?;
        }
        Ok(())
    };
    succeeds(once, child).await
}

/// Tries until it succeeds.
async fn succeeds(once: impl AsyncFn() -> Result<()>, child: &mut Child) -> Result<()> {
    let deadline = clock::now() + u64::try_from(START_PATIENCE.as_nanos()).unwrap_or(u64::MAX);
    loop {
        let error = match tokio::time::timeout(START_PATIENCE, once()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "no answer".to_owned(),
        };
        child.check()?;
        if clock::now() > deadline {
            bail!("it did not answer within {START_PATIENCE:?}: {error}");
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}
