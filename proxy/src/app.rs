//! The only wiring: settings → parts → running threads. Nothing else sees settings and parts both.

use crate::access::Access;
use crate::access_log::{AccessLog, Selection, Writer};
use crate::admin::{Admin, IsReady};
use crate::catalog::{Catalog, Common, Teller};
use crate::classify::Classifier;
use crate::config::{GatewaySettings, SidecarSettings};
use crate::connections::Connections;
use crate::control::{Control, Task};
use crate::drain::Drain;
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::file_limit;
use crate::following::{Following, Reports, Sources, follow};
use crate::forward::Role;
use crate::gate::Gate;
use crate::guard::HttpLimits;
use crate::health;
use crate::in_force::InForce;
use crate::listen::{self, Sockets, Worker};
use crate::listeners::Listeners;
use crate::metrics::endpoints::EndpointCollector;
use crate::metrics::shadow::ShadowMetrics;
use crate::metrics::traffic::TrafficCollector;
use crate::metrics::{ApiMetrics, GateCollector, ProcessMetrics};
use crate::overview;
use crate::policy::models::Target;
use crate::policy::route::Rule;
use crate::policy::slots::Usability;
use crate::reload::Reload;
use crate::service::{Lead, Routes, Service, Terms};
use crate::split::WeightsInForce;
use crate::stack::{Rooms, Stack};
use crate::threads::Threads;
use crate::tls::Tls;
use arc_swap::ArcSwap;
use prometheus::Registry;
use std::future::pending;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{oneshot, watch};

/// Connections to the model kept idle for each worker at the most: as many as ran at once, if the
/// limit allows more.
const MAX_IDLE: usize = 256;

/// A running sidecar or gateway. Dropped, it ends at once.
pub struct Server {
    data: SocketAddr,
    admin: SocketAddr,
    redirect: Option<SocketAddr>,
    drain: Drain,
    workers: Vec<Worker>,
    control: Control,
    teller: Option<Teller>,
    log_writer: Option<Writer>,
    /// Hears of it when another process has taken over.
    successor: Option<oneshot::Receiver<()>>,
    is_taken_over: bool,
}

/// The gateway, as `up` starts it.
pub type Gateway = Server;

// === impl Server ===

impl Server {
    /// Starts a sidecar.
    ///
    /// # Errors
    /// If an address is taken or the system refuses a thread.
    pub fn sidecar(settings: SidecarSettings) -> Result<Self, StartError> {
        let gate = Gate::new(settings.gate());
        let SidecarSettings { readiness, .. } = settings;
        let listeners = Listeners::open(&settings.listen)?;
        let workers = listeners.workers();
        let registry = Registry::new();
        let classifier = Arc::new(Classifier::new(settings.classify));
        let service = Arc::new(Service::register(
            (&registry, &GateCollector::register(&registry)?),
            None,
            (Arc::clone(&gate), &classifier),
            (Terms::of_sidecar(settings.timeouts, settings.protocol), Access::open()),
            settings.llm,
        )?);
        let endpoint = Arc::new(Endpoint::new(
            "model".to_owned(),
            settings.upstream.clone(),
            workers,
            MAX_IDLE,
        ));
        // With no slots until the flags and the file have said how many.
        let slot = gate.add(Arc::clone(&endpoint), 0, Usability::Usable);
        let file = settings.config.as_deref();
        let in_force = Arc::new(InForce::new("sidecar", settings.given.shown(), file));
        let (reported, asked) = (Arc::clone(&gate), Arc::clone(&gate));
        let followed = Arc::clone(&in_force);
        let process = ProcessMetrics::register(&registry, "sidecar")?;
        let failures = process.reload_failures.clone();
        let reload = Reload::start(settings.config, settings.live, gate, slot, followed, failures)?;
        let connections = places(&settings.limits, &process);
        let (access_log, log_writer) = access_log(settings.access_log, &process)?;
        let (tls, mut tasks) = Tls::start(&settings.tls, &registry, &process.reload_failures)?;
        let drain = Drain::new(settings.drain);
        let routes = everything(Arc::clone(&service));
        let stack = Stack {
            role: Role::Sidecar,
            reported: Some(reported),
            unrouted: Arc::clone(&service.metrics),
            routes: Arc::new(ArcSwap::from_pointee(routes)),
            services: Arc::default(),
            limits: settings.limits,
            access_log,
            connections: Arc::clone(&connections),
            refused_arrivals: process.refused_arrivals.clone(),
            rooms: Rooms::default(),
            hops: settings.hops,
            tls,
            drain: drain.watch(),
        };
        let ready = Arc::new(AtomicBool::new(false));
        let (probed, is_ready) = (Arc::clone(&endpoint), Arc::clone(&ready));
        let is_ready: IsReady =
            Arc::new(move || is_ready.load(Ordering::Acquire) && !probed.is_suspected());
        let admin_page = Admin {
            process,
            registry,
            connections,
            ready: Arc::clone(&is_ready),
            endpoints: None,
            gate: Some(asked),
            threads: Threads::default(),
            in_force,
            drain: drain.clone(),
        };
        let (swept, address) = (Arc::clone(&endpoint), settings.upstream);
        tasks.push(Box::pin(reload.run()));
        tasks.push(Box::pin(async move {
            let changed = |now_ready| ready.store(now_ready, Ordering::Release);
            health::watch(&endpoint, &address, &readiness, changed).await;
        }));
        tasks.push(Box::pin(async move { swept.sweep().await }));
        Ok(Self { log_writer, ..Self::run(listeners, stack, admin_page, tasks, drain, is_ready)? })
    }

    /// Starts a gateway.
    ///
    /// # Errors
    /// If an address is taken, an API is named twice, a file can't be watched or the system
    /// refuses a thread.
    pub fn start(settings: GatewaySettings) -> Result<Self, StartError> {
        let GatewaySettings { wake, .. } = settings;
        let listeners = Listeners::open(&settings.listen)?;
        let workers = listeners.workers();
        let registry = Registry::new();
        let process = ProcessMetrics::register(&registry, "gateway")?;
        let file = settings.documents.as_ref().map(|(file, _)| file.as_path());
        let in_force = Arc::new(InForce::new("gateway", settings.given.shown(), file));
        let weights = WeightsInForce::default();
        let mut catalog = Catalog::new(Common {
            registry: registry.clone(),
            gates: GateCollector::register(&registry)?,
            endpoints: EndpointCollector::register(&registry)?,
            traffic: TrafficCollector::register(&registry)?,
            weights: WeightsInForce::clone(&weights),
            shadows: ShadowMetrics::register(&registry)?,
            tenant_header: settings.classify.tenant_header.clone(),
            classifier: Arc::new(Classifier::new(settings.classify)),
            order: settings.order,
            llm: settings.llm,
            wake: wake.map(Arc::new),
            failures: process.reload_failures.clone(),
            in_force: Arc::clone(&in_force),
        });
        catalog.apply(settings.apis)?;
        let (routes, services, shown) = (catalog.routes(), catalog.services(), catalog.gates());
        let sources = Sources {
            documents: settings.documents,
            endpoints: settings.endpoints_file,
            cluster: settings.cluster,
        };
        let (failures, lookups) = (&process.reload_failures, &process.lookup_failures);
        let reports = Reports { registry: &registry, failures, lookups, in_force: &in_force };
        let threads = Threads::default();
        let Following { mut tasks, is_known, teller } =
            follow(catalog, sources, (weights, (workers, threads.clone())), &reports)?;
        let connections = places(&settings.limits, &process);
        let (access_log, log_writer) = access_log(settings.access_log, &process)?;
        let (tls, follow_tls) = Tls::start(&settings.tls, &registry, &process.reload_failures)?;
        tasks.extend(follow_tls);
        let drain = Drain::new(settings.drain);
        let stack = Stack {
            role: Role::Gateway,
            // Its balancing is its own affair; what sidecars report passes through.
            reported: None,
            unrouted: Arc::new(ApiMetrics::register(&registry, Some(""))?),
            routes,
            services,
            limits: settings.limits,
            access_log,
            connections: Arc::clone(&connections),
            refused_arrivals: process.refused_arrivals.clone(),
            rooms: Rooms::default(),
            hops: settings.hops,
            tls,
            drain: drain.watch(),
        };
        let told = shown.clone();
        let is_ready: IsReady = Arc::new(move || overview::all_serve(&told.borrow()));
        let admin_page = Admin {
            process,
            registry,
            connections,
            ready: is_known,
            endpoints: Some(Box::new(move || overview::page(&shown.borrow()))),
            gate: None,
            threads,
            in_force,
            drain: drain.clone(),
        };
        let server = Self::run(listeners, stack, admin_page, tasks, drain, is_ready)?;
        Ok(Self { log_writer, teller, ..server })
    }

    /// Tells it what to serve; nothing where it follows a file of documents.
    pub fn teller(&self) -> Option<Teller> {
        self.teller.clone()
    }

    /// Where requests are taken.
    pub fn data_addr(&self) -> SocketAddr {
        self.data
    }

    /// The admin port.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    /// Waits until another process has taken over.
    pub async fn taken_over(&mut self) {
        let word = match &mut self.successor {
            Some(word) => word.await.is_ok(),
            None => false,
        };
        self.successor = None;
        if !word {
            pending().await
        }
        self.is_taken_over = true;
    }

    /// Where requests are sent on to HTTPS.
    pub fn redirect_addr(&self) -> Option<SocketAddr> {
        self.redirect
    }

    /// Drains: unready at once, closed after the delay, ended when nothing runs or waits any more,
    /// or at the timeout. Where another process has taken over, it has the new connections at once.
    pub async fn drain(self) {
        self.drain.begin(self.is_taken_over).await;
        for worker in self.workers {
            worker.join().await;
        }
        self.control.end();
        if let Some(writer) = self.log_writer {
            writer.finish();
        }
    }

    fn run(
        listeners: Listeners,
        stack: Stack,
        admin_page: Admin,
        mut tasks: Vec<Task>,
        drain: Drain,
        is_ready: IsReady,
    ) -> Result<Self, StartError> {
        let failed =
            |address| move |source| StartError::Listen { flag: "--listen", address, source };
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let Listeners {
            data: listeners,
            admin: admin_listener,
            handover,
            predecessor,
            mut redirect,
        } = listeners;
        let data = listeners
            .first()
            .map_or(Ok(nowhere), TcpListener::local_addr)
            .map_err(failed(nowhere))?;
        let admin = admin_listener.local_addr().map_err(failed(nowhere))?;
        let redirected = redirect.as_ref().map(|(listener, _)| listener.local_addr());
        let redirected = redirected.transpose().map_err(failed(nowhere))?;
        let successor = handover.map(|(handover, successor)| {
            tasks.push(Box::pin(handover.run(stack.drain.clone())));
            successor
        });
        let (doors, opened) = watch::channel(predecessor.is_none());
        if let Some(predecessor) = predecessor {
            tasks.push(Box::pin(predecessor.follow(move || is_ready(), doors)));
        }
        let stack = Arc::new(stack);
        let workers = listeners
            .into_iter()
            .enumerate()
            .map(|(worker, data)| {
                // What is sent on is little: the first worker does it.
                let sockets = Sockets { data, redirect: redirect.take(), doors: opened.clone() };
                listen::start(worker, sockets, Arc::clone(&stack), drain.clone())
            })
            .collect::<Result<Vec<_>, _>>()?;
        admin_page.threads.started(workers.iter().map(Worker::handle).collect());
        let control = Control::start(admin_listener, opened, admin_page, tasks)?;
        let (log_writer, teller, is_taken_over) = (None, None, false);
        Ok(Self {
            data,
            admin,
            redirect: redirected,
            drain,
            workers,
            control,
            teller,
            log_writer,
            successor,
            is_taken_over,
        })
    }
}

/// A sidecar's one rule: everything is for its model.
fn everything(service: Arc<Service>) -> Routes {
    let rule = Rule { path: "/".to_owned(), ..Rule::default() };
    Target::table(vec![(vec![rule], None, Lead::Api(service))])
}

fn places(limits: &HttpLimits, process: &ProcessMetrics) -> Arc<Connections> {
    let max = file_limit::allowed(limits.max_connections);
    Arc::new(Connections::new(max, process.refused_connections.clone()))
}

fn access_log(
    selection: Selection,
    process: &ProcessMetrics,
) -> Result<(Option<Arc<AccessLog>>, Option<Writer>), StartError> {
    let started = AccessLog::start(selection, process.dropped_lines.clone());
    Ok(started.map_err(StartError::AccessLog)?.unzip())
}
