//! `inject`: the admission webhook that gives pods their sidecars. Flags, wiring, signals.

use crate::admin::{self, Admin};
use crate::calls::Calls;
use crate::listener::listen;
use crate::metrics::Metrics;
use prometheus::{IntCounterVec, Opts};
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tidegate_kubernetes::connect::{ConnectError, connect};
use tidegate_kubernetes::injector::{
    CertificateError, Certificates, InjectSettings, Injector, Mode, OUTCOMES, Own, OwnError,
    OwnSettings, serve,
};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A pod's own processes.
const POD_ITSELF: &str = "127.0.0.0/8,::1";

/// Flags of `inject`.
#[derive(Debug, clap::Args)]
pub struct InjectArgs {
    /// Where the API server's reviews are answered, over HTTPS. [::] is IPv4 and IPv6, as far as the
    /// machine has them
    #[arg(
        long,
        env = "TIDEGATE_INJECTOR_LISTEN",
        default_value = "[::]:8443",
        value_name = "ADDR"
    )]
    listen: SocketAddr,
    /// Where /healthz, /readyz and /metrics are
    #[arg(
        long,
        env = "TIDEGATE_INJECTOR_ADMIN",
        default_value = "127.0.0.1:8083",
        value_name = "ADDR"
    )]
    admin: SocketAddr,
    /// The certificate's file, in PEM, as cert-manager mounts it; read again as it changes. Without
    /// it the injector makes certificates and keeps them in a Secret
    #[arg(long, env = "TIDEGATE_INJECTOR_TLS_CERT", requires = "tls_key", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The file of the certificate's key
    #[arg(long, env = "TIDEGATE_INJECTOR_TLS_KEY", requires = "tls_cert", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// The Secret that certificates which are made here are kept in
    #[arg(
        long,
        env = "TIDEGATE_INJECTOR_SECRET",
        default_value = "tidegate-injector",
        value_name = "NAME"
    )]
    secret: String,
    /// The MutatingWebhookConfiguration that must know them
    #[arg(
        long,
        env = "TIDEGATE_INJECTOR_WEBHOOK",
        default_value = "tidegate-injector",
        value_name = "NAME"
    )]
    webhook: String,
    /// The Service that the API server calls; its name is in the certificate
    #[arg(
        long,
        env = "TIDEGATE_INJECTOR_SERVICE",
        default_value = "tidegate-injector",
        value_name = "NAME"
    )]
    service: String,
    /// The namespace of the Service and the Secret; by default the context's or the pod's
    #[arg(long, env = "TIDEGATE_INJECTOR_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,
    /// The context of KUBECONFIG; by default the current one, or in a pod its own cluster
    #[arg(long, env = "TIDEGATE_INJECTOR_CONTEXT", value_name = "NAME")]
    context: Option<String>,
    /// The sidecars' image
    #[arg(
        long,
        env = "TIDEGATE_INJECTOR_IMAGE",
        default_value = concat!("tidegate/proxy:", env!("CARGO_PKG_VERSION")),
        value_name = "IMAGE"
    )]
    image: String,
    /// When that image is fetched: Always, IfNotPresent or Never; by default as Kubernetes does it
    #[arg(long, env = "TIDEGATE_INJECTOR_PULL_POLICY", value_parser = ["Always", "IfNotPresent", "Never"], value_name = "POLICY")]
    pull_policy: Option<String>,
    /// How the sidecar is put into a pod
    #[arg(
        long,
        env = "TIDEGATE_INJECTOR_MODE",
        value_enum,
        default_value = "native",
        value_name = "MODE"
    )]
    mode: Mode,
    /// The sidecar's port for requests
    #[arg(long, env = "TIDEGATE_INJECTOR_SIDECAR_PORT", default_value_t = 8012, value_parser = clap::value_parser!(u16).range(1..), value_name = "PORT")]
    sidecar_port: u16,
    /// The sidecar's admin port
    #[arg(long, env = "TIDEGATE_INJECTOR_SIDECAR_ADMIN_PORT", default_value_t = 8022, value_parser = clap::value_parser!(u16).range(1..), value_name = "PORT")]
    sidecar_admin_port: u16,
    /// The processor time that a sidecar asks for
    #[arg(
        long,
        env = "TIDEGATE_INJECTOR_CPU_REQUEST",
        default_value = "50m",
        value_name = "QUANTITY"
    )]
    cpu_request: String,
    /// The memory that a sidecar asks for
    #[arg(
        long,
        env = "TIDEGATE_INJECTOR_MEMORY_REQUEST",
        default_value = "32Mi",
        value_name = "QUANTITY"
    )]
    memory_request: String,
    /// The most memory that a sidecar may take: at least --queue-bytes, 64 MiB and 64 KiB a
    /// connection
    #[arg(
        long,
        env = "TIDEGATE_INJECTOR_MEMORY_LIMIT",
        default_value = "512Mi",
        value_name = "QUANTITY"
    )]
    memory_limit: String,
    /// Whose word sidecars believe about earlier hops: the addresses of gateways' pods, beside the
    /// pod's own. Without it a sidecar lets a gateway's requests wait, where it should refuse them
    #[arg(long, env = "TIDEGATE_INJECTOR_SIDECAR_TRUSTED_HOPS", value_name = "CIDR,...")]
    sidecar_trusted_hops: Option<String>,
}

/// Answers reviews until SIGINT or SIGTERM.
///
/// Exit codes: 0 after a signal, 1 for all else.
pub fn inject(args: InjectArgs) -> ExitCode {
    crate::log::start();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell where standard error is closed.
            writeln!(std::io::stderr(), "error: {failure}").ok();
            ExitCode::FAILURE
        }
    }
}

/// Why the injector ends with an error.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(
        "can't listen on {address} for {what}: {source}; is it in use? choose another with {flag}"
    )]
    Listen { address: SocketAddr, what: &'static str, flag: &'static str, source: std::io::Error },
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Own(#[from] OwnError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("--sidecar-port and --sidecar-admin-port are the same; choose two")]
    SamePort,
    #[error("can't set up the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("can't set up the process: {0}")]
    Process(#[from] std::io::Error),
}

fn run(args: InjectArgs) -> Result<(), Failure> {
    let settings = settings(&args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (data, address) = bind(args.listen, "reviews", "--listen")?;
        let (admin_listener, admin_address) = bind(args.admin, "its admin port", "--admin")?;
        let metrics = Metrics::new(std::iter::empty())?;
        let counted = counter(&metrics)?;
        let (own, certificates) = certificates(&args).await?;
        let told = Box::new(move |outcome| counted.with_label_values(&[outcome]).inc());
        let injector = Arc::new(Injector { settings, certificates, told });
        let (status, calls) = (Arc::default(), Calls::new(std::iter::empty()));
        let admin = Arc::new(Admin { status, metrics, calls, door: None });

        tracing::info!(data = %address, admin = %admin_address, "listening");
        let line = json!({"event": "listening", "data": address, "admin": admin_address});
        // For programs that start this one with port 0; a closed standard output is no fault.
        writeln!(std::io::stdout(), "{line}").ok();
        let renewed = async {
            match &own {
                Some(own) => own.keep(&injector.certificates).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            never = serve(data, Arc::clone(&injector)) => match never {},
            never = admin::serve(admin_listener, admin) => match never {},
            never = renewed => match never {},
        }
        tracing::info!("stops");
        Ok(())
    })
}

fn settings(args: &InjectArgs) -> Result<InjectSettings, Failure> {
    if args.sidecar_port == args.sidecar_admin_port {
        return Err(Failure::SamePort);
    }
    Ok(InjectSettings {
        image: args.image.clone(),
        pull_policy: args.pull_policy.clone(),
        mode: args.mode,
        listen: args.sidecar_port,
        admin: args.sidecar_admin_port,
        resources: json!({
            "requests": {"cpu": args.cpu_request, "memory": args.memory_request},
            "limits": {"memory": args.memory_limit},
        }),
        trusted_hops: args.sidecar_trusted_hops.as_ref().map(|hops| format!("{POD_ITSELF},{hops}")),
    })
}

fn bind(
    address: SocketAddr,
    what: &'static str,
    flag: &'static str,
) -> Result<(TcpListener, SocketAddr), Failure> {
    let failed = |source| Failure::Listen { address, what, flag, source };
    let listener = listen(address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Certificates from files, or from the Secret, with who looks after that.
async fn certificates(args: &InjectArgs) -> Result<(Option<Own>, Certificates), Failure> {
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        return Ok((None, Certificates::from_files(certificate, key)?));
    }
    let connection = connect("tidegate-injector", args.context.as_deref()).await?;
    let namespace = args.namespace.clone().unwrap_or(connection.namespace);
    let service = &args.service;
    let names = ["", ".cluster.local"].map(|end| format!("{service}.{namespace}.svc{end}"));
    let settings = OwnSettings {
        namespace,
        secret: args.secret.clone(),
        webhook: args.webhook.clone(),
        names: names.to_vec(),
    };
    let own = Own::new(connection.client, settings);
    let certificates = own.begin().await?;
    Ok((Some(own), certificates))
}

fn counter(metrics: &Metrics) -> Result<IntCounterVec, prometheus::Error> {
    let counter = IntCounterVec::new(
        Opts::new("tidegate_injector_reviews_total", "Reviews answered, by what was done."),
        &["outcome"],
    )?;
    for outcome in OUTCOMES {
        counter.with_label_values(&[outcome]).inc_by(0);
    }
    metrics.registry().register(Box::new(counter.clone()))?;
    Ok(counter)
}
