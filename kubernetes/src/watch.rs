//! What the cluster holds, as it is told to us: one list and watch for each kind, kept as facts.

mod scales;
mod store;

pub(crate) use scales::once;
use store::Fact;
pub(crate) use store::News;
pub use store::{Store, Stores};

use crate::facts::{Key, Pod, Resource, Workload};
use crate::failure::{Failure, Tell, causes, code};
use crate::patience::Patience;
use crate::resource::inference_api;
use crate::rival::Rival;
use crate::slice::{SERVICE, Slice};
use futures_util::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, watcher};
use kube::{Api, Client, Resource as Kind};
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

/// Pods that have not ended; the others are of no use.
const LIVING: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// How the resources are called in addresses, logs and metrics.
const INFERENCE_APIS: &str = "inferenceapis";

/// By what a gateway finds replicas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Discovery {
    /// The pods of what an API targets.
    #[default]
    Pods,
    /// The EndpointSlices of the Service that has the API's name.
    EndpointSlices,
}

/// What is watched.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Only this namespace; nothing for all.
    pub namespace: Option<String>,
    /// Only pods with these labels; empty for all.
    pub pods: String,
    /// Where gateways run.
    pub gateway_namespace: String,
    /// Which pods are gateways; empty for none.
    pub gateways: String,
}

/// What is known of the cluster.
#[derive(Debug, Default)]
pub struct Watched {
    stores: Mutex<Stores>,
    /// Tells that something has changed.
    changed: tokio::sync::watch::Sender<()>,
}

impl Watched {
    /// Looks at what is known. Nothing else can happen to it meanwhile.
    pub fn read<T>(&self, look: impl FnOnce(&Stores) -> T) -> T {
        look(&self.stores.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hears of changes.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn write(&self, change: impl FnOnce(&mut Stores)) {
        self.hear(|stores| {
            change(stores);
            News::Shape
        });
    }

    /// A change that may be none.
    fn hear(&self, change: impl FnOnce(&mut Stores) -> News) {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let news = change(&mut stores);
        stores.count(news);
        drop(stores);
        if news != News::Nothing {
            self.changed.send_replace(());
        }
    }
}

/// Watches all that an autoscaler goes by, until it is dropped.
pub async fn watch(client: Client, scope: Scope, watched: Arc<Watched>, tell: Tell) -> Infallible {
    let (of, told) = (|| Arc::clone(&watched), || Arc::clone(&tell));
    watched.write(|stores| stores.slices().done());
    let mut tasks = targets(&client, &scope, &watched, &tell);
    pods(&mut tasks, &client, &scope, &watched, &tell);
    let rival = Follow {
        what: "horizontalpodautoscalers",
        fact: |object, _| Rival::of(object),
        store: Stores::rivals,
    };
    tasks.spawn({
        let others = scales::follow(client.clone(), of(), told());
        async { match others.await {} }
    });
    let rivals = within::<HorizontalPodAutoscaler>(&client, &scope);
    tasks.spawn(rival.run(rivals, Config::default(), of(), told()));
    if scope.gateways.is_empty() {
        watched.write(|stores| stores.gateways().done());
    } else {
        let pods = Api::namespaced(client.clone(), &scope.gateway_namespace);
        let gateway =
            Follow { what: "gateways", fact: |object, _| Pod::of(object), store: Stores::gateways };
        let living = Config::default().fields(LIVING);
        tasks.spawn(gateway.run(pods, living.labels(&scope.gateways), of(), told()));
    }
    ended(tasks).await
}

/// Watches what a gateway serves, and where its replicas are, until it is dropped.
pub async fn watch_replicas(
    client: Client,
    scope: Scope,
    by: Discovery,
    watched: Arc<Watched>,
    tell: Tell,
) -> Infallible {
    watched.write(|stores| {
        stores.rivals().done();
        stores.gateways().done();
    });
    let mut tasks = targets(&client, &scope, &watched, &tell);
    match by {
        Discovery::Pods => {
            watched.write(|stores| stores.slices().done());
            pods(&mut tasks, &client, &scope, &watched, &tell);
        }
        Discovery::EndpointSlices => {
            watched.write(|stores| {
                stores.go_by_slices();
                stores.pods().done();
                stores.stateful_sets().done();
            });
            let slice = Follow {
                what: "endpointslices",
                fact: |object, _| Slice::of(object),
                store: Stores::slices,
            };
            let slices = within::<EndpointSlice>(&client, &scope);
            let of_services = Config::default().labels(SERVICE);
            tasks.spawn(slice.run(slices, of_services, watched, tell));
        }
    }
    ended(tasks).await
}

/// Follows the resources, and the Deployments, which may be APIs by their annotations.
fn targets(client: &Client, scope: &Scope, watched: &Arc<Watched>, tell: &Tell) -> JoinSet<()> {
    let all = Config::default;
    let resources: Api<DynamicObject> = match &scope.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &inference_api()),
        None => Api::all_with(client.clone(), &inference_api()),
    };
    let (of, told) = (|| Arc::clone(watched), || Arc::clone(tell));
    let mut tasks = JoinSet::new();
    let resource = Follow { what: INFERENCE_APIS, fact: Resource::of, store: Stores::apis };
    tasks.spawn(resource.run(resources, all(), of(), told()));
    let deployment = Follow {
        what: "deployments",
        fact: |object, _| Workload::of_deployment(object),
        store: Stores::deployments,
    };
    tasks.spawn(deployment.run(within::<Deployment>(client, scope), all(), of(), told()));
    tasks
}

/// Follows the pods, and the StatefulSets that some of them are of.
fn pods(
    tasks: &mut JoinSet<()>,
    client: &Client,
    scope: &Scope,
    watched: &Arc<Watched>,
    tell: &Tell,
) {
    let (of, told) = (|| Arc::clone(watched), || Arc::clone(tell));
    let pod = Follow { what: "pods", fact: |object, _| Pod::of(object), store: Stores::pods };
    let living = Config::default().fields(LIVING).labels(&scope.pods);
    tasks.spawn(pod.run(within(client, scope), living, of(), told()));
    let set = Follow {
        what: "statefulsets",
        fact: |object, _| Workload::of_stateful_set(object),
        store: Stores::stateful_sets,
    };
    let sets = within::<StatefulSet>(client, scope);
    tasks.spawn(set.run(sets, Config::default(), of(), told()));
}

/// None of them ends by itself; a panic of one is told and the others go on.
async fn ended(mut tasks: JoinSet<()>) -> Infallible {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a watch has broken; it is not begun again");
        }
    }
    std::future::pending().await
}

fn within<K>(client: &Client, scope: &Scope) -> Api<K>
where
    K: Kind<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match &scope.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// How one kind of objects is followed.
struct Follow<K, T> {
    what: &'static str,
    /// Of an object, and of what was known of it before.
    fact: fn(K, Option<&T>) -> Option<T>,
    store: fn(&mut Stores) -> &mut Store<T>,
}

impl<K, T> Follow<K, T>
where
    K: Kind + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Clone,
    T: Fact,
{
    async fn run(self, api: Api<K>, config: Config, watched: Arc<Watched>, tell: Tell) {
        let Self { what, fact, store } = self;
        let mut events = pin!(watcher(api, config).backoff(Patience::default()));
        let mut failing = false;
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    tell(what, why(&error));
                    // Once, and not at each of many tries.
                    if !std::mem::replace(&mut failing, true) {
                        let error = told(what, error);
                        tracing::warn!(what, error, "can't follow the cluster, tries again");
                    }
                    continue;
                }
            };
            // A list that begins has not come yet.
            if !matches!(event, watcher::Event::Init) && std::mem::take(&mut failing) {
                tracing::info!(what, "follows the cluster again");
            }
            match event {
                watcher::Event::Init => watched.write(|stores| store(stores).begin()),
                watcher::Event::InitApply(object) => {
                    let key = Key::of(object.meta());
                    watched.write(|stores| store(stores).list(key, |before| fact(object, before)));
                }
                watcher::Event::InitDone => {
                    watched.write(|stores| store(stores).done());
                    tracing::debug!(what, "has seen what is there");
                }
                watcher::Event::Apply(object) => {
                    let key = Key::of(object.meta());
                    watched.hear(|stores| store(stores).tell(key, |before| fact(object, before)));
                }
                watcher::Event::Delete(object) => {
                    let key = Key::of(object.meta());
                    watched.write(|stores| store(stores).set(key, None));
                }
            }
        }
    }
}

/// What to tell of a failure to follow these.
fn told(what: &str, error: watcher::Error) -> String {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    let failure = match error {
        // No object is asked for by its name, so there is no such kind.
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error)
            if what == INFERENCE_APIS && code(&error) == "not-found" =>
        {
            Failure::no_resource()
        }
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => error.into(),
        error => return causes(&error),
    };
    let advice = failure.advice();
    format!("{failure}; {advice}")
}

fn why(error: &watcher::Error) -> &'static str {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => code(error),
        watcher::Error::WatchError(status) if status.code == 410 => "expired",
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => "server",
    }
}
