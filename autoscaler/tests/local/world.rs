//! A folder, an API in it, and an autoscaler that runs it; waiting for what should happen.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tidegate_api::document::{
    Access, Autoscaling, Balancing, ColdStart, Concurrency, ConcurrencyPolicy, Container,
    InferenceApi, Policy, Probe, Readiness, RollingUpdate, Sidecar, Timeouts,
};
use tidegate_api::endpoints::EndpointsFile;
use tidegate_autoscaler::local::GaveUp;
use tidegate_autoscaler::status::{ApiStatus, ReplicaState};
use tidegate_autoscaler::{App, Handle, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

/// How long anything may take before a test fails. Long, because all tests start Python at once.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The autoscaler's own binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_tidegate-autoscaler");

/// A script beside this file.
pub(crate) fn script(name: &str) -> String {
    format!("{}/tests/local/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// One API named `api` and the folder it lives in.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) api: InferenceApi,
    pub(crate) settings: Settings,
}

impl World {
    /// From `min` to `max` replicas of a model that behaves in this `manner`.
    pub(crate) fn new(min: u32, max: u32, manner: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let api = api(folder.path(), min, max, manner);
        let file = |name| folder.path().join(name);
        let mut sidecar: Vec<OsString> = vec!["env".into()];
        for (name, path) in
            [("FAKE_LOAD", file("load")), ("FAKE_ENDPOINTS", file("endpoints.json"))]
        {
            sidecar.push(format!("{name}={}", path.display()).into());
        }
        sidecar.extend(["python3".into(), script("sidecar.py").into()]);
        let settings = Settings {
            apis: Vec::new(),
            admin: "127.0.0.1:0".parse().unwrap(),
            endpoints_file: file("endpoints.json"),
            state_file: None,
            log_dir: file("logs"),
            sidecar,
            shim: vec![BINARY.into(), "child".into()],
            python_bins: BTreeMap::new(),
            prometheus: None,
            tick: Duration::from_millis(200),
            give_up_after: 3,
            drain_delay: Duration::from_millis(50),
            drain_timeout: Duration::from_secs(5),
        };
        Self { folder, api, settings }
    }

    /// How many requests each sidecar says it runs and holds.
    pub(crate) fn load(&self, running: u32, waiting: u32) {
        let beside = self.folder.path().join("load.new");
        std::fs::write(&beside, format!("{running} {waiting}")).unwrap();
        std::fs::rename(&beside, self.folder.path().join("load")).unwrap();
    }

    /// All logs of replicas, one after the other.
    pub(crate) fn logs(&self) -> String {
        let folder = std::fs::read_dir(&self.settings.log_dir).unwrap();
        folder.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }

    pub(crate) fn endpoints(&self) -> EndpointsFile {
        serde_json::from_slice(&std::fs::read(&self.settings.endpoints_file).unwrap()).unwrap()
    }

    /// Runs the autoscaler while `check` lasts, then stops it and waits for its end.
    pub(crate) async fn run<F: Future<Output = ()>>(
        &self,
        gateway: Option<SocketAddr>,
        check: impl FnOnce(Running) -> F,
    ) {
        watch(self.bind().await, gateway, check).await;
    }

    /// The same with these APIs instead of its own.
    pub(crate) async fn run_all<F: Future<Output = ()>>(
        &self,
        apis: Vec<InferenceApi>,
        check: impl FnOnce(Running) -> F,
    ) {
        watch(self.bind_all(apis).await, None, check).await;
    }

    /// Runs the autoscaler until it ends by itself.
    pub(crate) async fn run_to_failure(&self) -> Box<GaveUp> {
        self.run_all_to_failure(vec![self.api.clone()]).await
    }

    /// The same with these APIs instead of its own.
    pub(crate) async fn run_all_to_failure(&self, apis: Vec<InferenceApi>) -> Box<GaveUp> {
        let run = self.bind_all(apis).await.run(None, std::future::pending());
        tokio::time::timeout(DEADLINE, run).await.expect("it does not end").unwrap_err()
    }

    pub(crate) async fn bind(&self) -> App {
        self.bind_all(vec![self.api.clone()]).await
    }

    async fn bind_all(&self, apis: Vec<InferenceApi>) -> App {
        App::bind(Settings { apis, ..self.settings.clone() }).await.unwrap()
    }
}

/// Runs an autoscaler while `check` lasts, then stops it and waits for its end.
async fn watch<F: Future<Output = ()>>(
    app: App,
    gateway: Option<SocketAddr>,
    check: impl FnOnce(Running) -> F,
) {
    let running = Running { handle: app.handle(), admin: app.admin_addr() };
    let (stop, stopped) = oneshot::channel::<()>();
    let watched = async {
        tokio::time::timeout(DEADLINE, check(running)).await.expect("the check takes too long");
        stop.send(()).unwrap();
    };
    let run = app.run(gateway, async { stopped.await.unwrap() });
    let ((), ended) = tokio::join!(watched, run);
    ended.unwrap();
}

/// A running autoscaler.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) handle: Handle,
    pub(crate) admin: SocketAddr,
}

impl Running {
    pub(crate) fn api(&self) -> ApiStatus {
        self.handle.status().apis.remove(0)
    }

    /// Waits until the API's status is as `wanted`.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&ApiStatus) -> bool) -> ApiStatus {
        until(what, || Some(self.api()).filter(|api| wanted(api)), || format!("{:#?}", self.api()))
            .await
    }

    /// Waits until `count` replicas are ready and no others are there.
    pub(crate) async fn until_ready(&self, count: usize) -> ApiStatus {
        let ready = |api: &ApiStatus| {
            api.replicas.len() == count
                && api.replicas.iter().all(|replica| replica.state == ReplicaState::Ready)
        };
        self.until(&format!("{count} ready"), ready).await
    }

    /// One request to the admin port: its status code and body.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let mut stream = tokio::net::TcpStream::connect(self.admin).await.unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

/// Looks again and again until `look` finds something.
pub(crate) async fn until<T>(
    what: &str,
    mut look: impl FnMut() -> Option<T>,
    describe: impl Fn() -> String,
) -> T {
    let search = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(DEADLINE, search).await {
        Ok(found) => found,
        Err(_) => panic!("not in time: {what}\n{}", describe()),
    }
}

/// Whether a process runs (and is no zombie that only waits to be reaped).
pub(crate) fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Whether a process is there at all, be it a zombie.
pub(crate) fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Both processes of each replica.
pub(crate) fn pids(api: &ApiStatus) -> Vec<u32> {
    let pids = |replica: &tidegate_autoscaler::status::ReplicaStatus| {
        [replica.sidecar_pid, replica.model_pid]
    };
    api.replicas.iter().flat_map(pids).flatten().collect()
}

/// The process ids that models and their workers wrote into their logs.
pub(crate) fn models(logs: &str) -> Vec<u32> {
    let lines = logs.lines().filter_map(|line| line.strip_prefix("model "));
    lines.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

pub(crate) fn send(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn api(folder: &Path, min: u32, max: u32, manner: &str) -> InferenceApi {
    let words = ["python3", &script("model.py"), "{port}", manner];
    let off = Duration::from_secs(30);
    InferenceApi {
        name: "api".to_owned(),
        container: Container {
            command: words.map(str::to_owned).to_vec(),
            env: BTreeMap::from([("GREETING".to_owned(), "port-{port}".to_owned())]),
            working_dir: PathBuf::from(folder),
            python: None,
        },
        target: None,
        template: None,
        endpoints: None,
        paused: false,
        port: None,
        concurrency: Concurrency {
            limit: NonZeroU32::new(2).unwrap(),
            queue_capacity: 10,
            queue_bytes: 1 << 20,
            queue_timeout: off,
        },
        timeouts: Timeouts { first_byte: Some(off), idle: Some(off), total: None, cold_start: off },
        readiness: Readiness {
            probe: Probe::TcpSocket,
            period: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            failure_threshold: NonZeroU32::new(3).unwrap(),
            start_timeout: DEADLINE,
        },
        routes: Vec::new(),
        traffic: None,
        rollout: None,
        openai: None,
        access: Access::default(),
        balancing: Balancing::default(),
        cold_start: ColdStart::default(),
        sidecar: Sidecar::default(),
        rolling_update: RollingUpdate::default(),
        autoscaling: Autoscaling {
            min_replicas: min,
            max_replicas: max,
            policy: Policy::Concurrency(ConcurrencyPolicy {
                target: 2.0,
                utilization: 1.0,
                stable_window: Duration::from_secs(2),
                panic_window: Duration::from_secs(1),
                panic_threshold: 2.0,
                max_scale_up_rate: 1000.0,
                max_scale_down_rate: 1000.0,
                scale_down_delay: Duration::ZERO,
                activation_replicas: 1,
                scale_to_zero_grace: Duration::from_millis(500),
                last_replica_retention: Duration::ZERO,
            }),
            schedules: Vec::new(),
        },
    }
}
