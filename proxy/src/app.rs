//! The only wiring: settings → parts → running threads. Nothing else sees settings and parts both.

use crate::access::{Access, Limiter, Spent};
use crate::access_log::{AccessLog, Selection, Writer};
use crate::admin::Admin;
use crate::affinity::Affinity;
use crate::classify::Classifier;
use crate::clock;
use crate::config::{GatewayApi, GatewaySettings, SidecarSettings};
use crate::connections::Connections;
use crate::discover::Discovery;
use crate::drain::Drain;
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::forward::{Role, Timeouts};
use crate::gate::Gate;
use crate::guard::HttpLimits;
use crate::health;
use crate::keys::KeyFile;
use crate::listen::{self, Worker};
use crate::metrics::endpoints::EndpointCollector;
use crate::metrics::tokens::TokenMetrics;
use crate::metrics::{ApiMetrics, GateCollector, ProcessMetrics};
use crate::overview;
use crate::policy::models::Target;
use crate::policy::route::Rule;
use crate::policy::slots::Usability;
use crate::reload::Reload;
use crate::rewrite::UpstreamProtocol;
use crate::stack::{Service, Stack};
use crate::wake;
use arc_swap::ArcSwap;
use prometheus::Registry;
use std::collections::{BTreeSet, HashMap};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Connections to the model kept idle for each worker at the most: as many as ran at once, if the
/// limit allows more.
const MAX_IDLE: usize = 256;
/// A sidecar's one rule: everything is for its model.
const EVERYTHING: &str = "/";

/// A running sidecar or gateway. Dropped, it ends at once.
pub struct Server {
    data: SocketAddr,
    admin: SocketAddr,
    drain: Drain,
    workers: Vec<Worker>,
    control: Control,
    log_writer: Option<Writer>,
}

/// The gateway, as `up` starts it.
pub type Gateway = Server;

/// The thread beside the workers: admin port, probes, discovery.
struct Control {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

// === impl Server ===

impl Server {
    /// Starts a sidecar.
    ///
    /// # Errors
    /// If an address is taken or the system refuses a thread.
    pub fn sidecar(settings: SidecarSettings) -> Result<Self, StartError> {
        let gate = Gate::new(settings.gate());
        let SidecarSettings { workers, readiness, .. } = settings;
        let data = listen::bind(settings.listen, workers, "--listen")?;
        let admin = bind_admin(settings.admin)?;
        let registry = Registry::new();
        let classifier = Arc::new(Classifier::new(settings.classify));
        let service = service(
            &registry,
            None,
            &gate,
            &classifier,
            (settings.timeouts, settings.protocol, None),
            settings.llm,
            Access::open(),
        )?;
        let endpoint = Arc::new(Endpoint::new(
            "model".to_owned(),
            settings.upstream.clone(),
            workers,
            MAX_IDLE,
        ));
        // With no slots until the flags and the file have said how many.
        let slot = gate.add(Arc::clone(&endpoint), 0, Usability::Usable);
        let reported = Arc::clone(&gate);
        let reload = Reload::start(settings.config, settings.live, gate, slot)?;
        let process = ProcessMetrics::register(&registry, "sidecar")?;
        let connections = places(&settings.limits, &process);
        let (access_log, log_writer) = access_log(settings.access_log, &process)?;
        let drain = Drain::new(settings.drain_delay, settings.drain_timeout);
        let everything = Rule { path: EVERYTHING.to_owned(), ..Rule::default() };
        let routes = Target::table(vec![(vec![everything], None, Arc::clone(&service))]);
        let stack = Stack {
            role: Role::Sidecar,
            reported: Some(reported),
            unrouted: Arc::clone(&service.metrics),
            routes: Arc::new(ArcSwap::from_pointee(routes)),
            limits: settings.limits,
            access_log,
            connections: Arc::clone(&connections),
            hops: settings.hops,
            drain: drain.watch(),
        };
        let ready = Arc::new(AtomicBool::new(false));
        let (probed, is_ready) = (Arc::clone(&endpoint), Arc::clone(&ready));
        let admin_page = Admin {
            process,
            registry,
            connections,
            ready: Box::new(move || is_ready.load(Ordering::Acquire) && !probed.is_suspected()),
            endpoints: None,
            drain: drain.watch(),
        };
        let (swept, address) = (Arc::clone(&endpoint), settings.upstream);
        let tasks: Vec<Task> = vec![
            Box::pin(reload.run()),
            Box::pin(async move {
                let changed = |now_ready| ready.store(now_ready, Ordering::Release);
                health::watch(&endpoint, &address, &readiness, changed).await;
            }),
            Box::pin(async move { swept.sweep().await }),
        ];
        Ok(Self { log_writer, ..Self::run(data, admin, stack, admin_page, tasks, drain)? })
    }

    /// Starts a gateway.
    ///
    /// # Errors
    /// If an address is taken, an API is named twice, a file can't be watched or the system
    /// refuses a thread.
    pub fn start(settings: GatewaySettings) -> Result<Self, StartError> {
        let GatewaySettings { workers, wake, .. } = settings;
        let data = listen::bind(settings.listen, workers, "--listen")?;
        let admin = bind_admin(settings.admin)?;
        let registry = Registry::new();
        let process = ProcessMetrics::register(&registry, "gateway")?;
        let mut tasks: Vec<Task> = Vec::new();
        let tenant_header = settings.classify.tenant_header.clone();
        let classifier = Arc::new(Classifier::new(settings.classify));
        let key_files = key_files(&settings.apis)?;
        for file in key_files.iter() {
            tasks.push(Box::pin(Arc::clone(file).follow(process.reload_failures.clone())));
        }
        let spent = Arc::new(Spent::new(clock::now()));
        let mut routed = Vec::new();
        let mut gates = HashMap::new();
        for api in settings.apis {
            let gate = Gate::new(api.gate(settings.order));
            let own = |file: &&Arc<KeyFile>| Some(file.path()) == api.keys.as_deref();
            let keys = key_files.iter().find(own).cloned();
            let limiter = api.rate_limit.map(|limit| {
                Limiter::new(&api.name, limit.of_gateway(&tenant_header), Arc::clone(&spent))
            });
            let service = service(
                &registry,
                Some(&api.name),
                &gate,
                &classifier,
                (api.timeouts, UpstreamProtocol::Auto, api.affinity),
                settings.llm,
                Access::new(keys, Arc::clone(&key_files), limiter),
            )?;
            routed.push((api.rules, api.models, service));
            if let Some(autoscaler) = wake {
                tasks.push(Box::pin(wake::push(autoscaler, api.name.clone(), Arc::clone(&gate))));
            }
            let read = Arc::clone(&gate);
            let counts = Box::new(move || overview::counts(&read));
            EndpointCollector::register(&registry, &api.name, counts)?;
            tasks.push(Box::pin(Arc::clone(&gate).tend()));
            gates.insert(api.name, gate);
        }
        let shown: overview::Gates =
            gates.iter().map(|(name, gate)| (name.clone(), Arc::clone(gate))).collect();
        if let Some(file) = settings.endpoints_file {
            let discovery = Discovery::new(file, gates, workers)?;
            tasks.push(Box::pin(discovery.run()));
        }
        let connections = places(&settings.limits, &process);
        let (access_log, log_writer) = access_log(settings.access_log, &process)?;
        let drain = Drain::new(settings.drain_delay, settings.drain_timeout);
        let stack = Stack {
            role: Role::Gateway,
            // Its balancing is its own affair; what sidecars report passes through.
            reported: None,
            unrouted: Arc::new(ApiMetrics::register(&registry, Some(""))?),
            routes: Arc::new(ArcSwap::from_pointee(Target::table(routed))),
            limits: settings.limits,
            access_log,
            connections: Arc::clone(&connections),
            hops: settings.hops,
            drain: drain.watch(),
        };
        let admin_page = Admin {
            process,
            registry,
            connections,
            ready: Box::new(|| true),
            endpoints: Some(Box::new(move || overview::page(&shown))),
            drain: drain.watch(),
        };
        Ok(Self { log_writer, ..Self::run(data, admin, stack, admin_page, tasks, drain)? })
    }

    /// Where requests are taken.
    pub fn data_addr(&self) -> SocketAddr {
        self.data
    }

    /// The admin port.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    /// Drains: unready at once, closed after the delay, ended when nothing runs or waits any more,
    /// or at the timeout.
    pub async fn drain(self) {
        self.drain.begin().await;
        for worker in self.workers {
            worker.join().await;
        }
        drop(self.control.stop);
        if self.control.thread.join().is_err() {
            tracing::error!("the control thread panicked");
        }
        if let Some(writer) = self.log_writer {
            writer.finish();
        }
    }

    fn run(
        listeners: Vec<TcpListener>,
        admin_listener: TcpListener,
        stack: Stack,
        admin_page: Admin,
        tasks: Vec<Task>,
        drain: Drain,
    ) -> Result<Self, StartError> {
        let failed =
            |address| move |source| StartError::Listen { flag: "--listen", address, source };
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let data = listeners
            .first()
            .map_or(Ok(nowhere), TcpListener::local_addr)
            .map_err(failed(nowhere))?;
        let admin = admin_listener.local_addr().map_err(failed(nowhere))?;
        let control = control(admin_listener, admin_page, tasks)?;
        let stack = Arc::new(stack);
        let workers = listeners
            .into_iter()
            .enumerate()
            .map(|(worker, listener)| {
                listen::start(worker, listener, Arc::clone(&stack), drain.timeout)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { data, admin, drain, workers, control, log_writer: None })
    }
}

fn bind_admin(address: SocketAddr) -> Result<TcpListener, StartError> {
    // One worker gives one listener.
    let mut listeners = listen::bind(address, 1, "--admin")?;
    Ok(listeners.remove(0))
}

fn places(limits: &HttpLimits, process: &ProcessMetrics) -> Arc<Connections> {
    Arc::new(Connections::new(limits.max_connections, process.refused_connections.clone()))
}

fn access_log(
    selection: Selection,
    process: &ProcessMetrics,
) -> Result<(Option<Arc<AccessLog>>, Option<Writer>), StartError> {
    let started = AccessLog::start(selection, process.dropped_lines.clone());
    Ok(started.map_err(StartError::AccessLog)?.unzip())
}

fn service(
    registry: &Registry,
    api: Option<&str>,
    gate: &Arc<Gate>,
    classifier: &Arc<Classifier>,
    (timeouts, protocol, affinity): (Timeouts, UpstreamProtocol, Option<Affinity>),
    llm: bool,
    access: Access,
) -> Result<Arc<Service>, StartError> {
    let mut metrics = ApiMetrics::register(registry, api)?;
    if llm {
        metrics.tokens = Some(TokenMetrics::register(registry, api)?);
    }
    let metrics = Arc::new(metrics);
    let read = Arc::clone(gate);
    GateCollector::register(registry, api, Box::new(move || read.snapshot()))?;
    let (gate, classifier) = (Arc::clone(gate), Arc::clone(classifier));
    Ok(Arc::new(Service { gate, classifier, affinity, metrics, timeouts, protocol, access }))
}

/// The files of keys that these APIs name, each once.
fn key_files(apis: &[GatewayApi]) -> Result<Arc<[Arc<KeyFile>]>, StartError> {
    let paths: BTreeSet<_> = apis.iter().filter_map(|api| api.keys.clone()).collect();
    let read = |path: PathBuf| {
        let shown = path.display().to_string();
        let file = KeyFile::read(path);
        file.map(Arc::new).map_err(|what| StartError::Keys { path: shown, what })
    };
    paths.into_iter().map(read).collect()
}

fn control(listener: TcpListener, admin: Admin, tasks: Vec<Task>) -> Result<Control, StartError> {
    let failed = |source| StartError::Worker { worker: 0, source };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                let listener = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => listener,
                    Err(error) => return tracing::error!(%error, "can't watch the admin listener"),
                };
                let mut running: JoinSet<()> = tasks.into_iter().collect();
                running.spawn(Arc::new(admin).serve(listener));
                // Ends when the sender is dropped; the tasks end with their set.
                drop(stopped.await);
            });
        })
        .map_err(failed)?;
    Ok(Control { stop, thread })
}
