//! A Kubernetes cluster as a place where APIs are deployed.

use crate::backend::{Applied, Change, Details, Event, LogsWanted, Part, Replica, Told, Where};
use crate::clock;
use crate::exit::NotDone;
use anyhow::Result;
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::time::SystemTime;
use tidegate_api::names::API_KIND;
use tidegate_kubernetes::apis::{self, Apis};
use tidegate_kubernetes::connect::{ConnectError, Connection, connect};
use tidegate_kubernetes::doctor::{self, Finding};
use tidegate_kubernetes::facts::PodPhase;
use tidegate_kubernetes::failure::Failure;
use tidegate_kubernetes::logs;
use tidegate_kubernetes::target::{self, Happened, Target};
use tokio::sync::mpsc::{self, Sender};

/// Pods that are not ready and whose events are looked at.
const MOST_TROUBLED: usize = 5;

/// Lines of each of their containers that are shown.
const LAST_LINES: u32 = 20;

/// The reason of the events by which the autoscaler tells that it has scaled.
const SCALED: &str = "Scaled";

/// A cluster, and the namespace that is meant.
pub(crate) struct Cluster {
    connection: Connection,
    namespace: String,
}

impl Cluster {
    /// The cluster that the flags, or KUBECONFIG, or the pod's own account name.
    pub(crate) async fn open(place: &Where) -> Result<Self> {
        let connection =
            connect("tidegate", place.context.as_deref()).await.map_err(not_connected)?;
        let namespace = place.namespace.clone().unwrap_or_else(|| connection.namespace.clone());
        Ok(Self { connection, namespace })
    }

    /// All APIs of the namespace, or of all.
    pub(crate) async fn list(&self, all: bool) -> Result<Vec<Value>> {
        self.apis(all).list().await.map_err(|failure| self.not_done(failure))
    }

    /// One API.
    pub(crate) async fn get(&self, name: &str) -> Result<Value> {
        let found = self.apis(false).get(name).await.map_err(|failure| self.not_done(failure))?;
        found.ok_or_else(|| self.missing(name).into())
    }

    /// Tells what there is and each change.
    pub(crate) async fn follow(
        &self,
        name: Option<&str>,
        all: bool,
        mut tell: impl FnMut(Change) -> ControlFlow<()>,
    ) -> Result<()> {
        let tell = |change| {
            tell(match change {
                apis::Change::All(all) => Change::All(all),
                apis::Change::Set(one) => Change::Set(one),
                apis::Change::Gone(one) => Change::Gone(one),
            })
        };
        self.apis(all).follow(name, tell).await.map_err(|failure| self.not_done(failure))
    }

    /// Makes an API be as a document says.
    pub(crate) async fn apply(&self, object: &Value, force: bool) -> Result<(Applied, Value)> {
        let mut object = object.clone();
        object["metadata"]["namespace"] = json!(self.namespace);
        let done = self.apis(false).apply(&object, force).await;
        let (applied, object) = done.map_err(|failure| self.not_done(failure))?;
        let applied = match applied {
            apis::Applied::Created => Applied::Created,
            apis::Applied::Updated => Applied::Updated,
            apis::Applied::Unchanged => Applied::Unchanged,
        };
        Ok((applied, object))
    }

    /// Everything that is known of an API. What may not be read is left out, and told.
    pub(crate) async fn details(&self, name: &str) -> Result<Details> {
        let mut details = Details { object: self.get(name).await?, ..Details::default() };
        let mut about = vec![(API_KIND.to_owned(), name.to_owned())];
        if let Some(target) = Target::of(&details.object) {
            about.push((target.kind.clone(), target.name.clone()));
            match self.replicas(&target).await {
                Ok(replicas) => {
                    let troubled = replicas.iter().filter(|replica| replica.state != READY);
                    let pods = troubled.take(MOST_TROUBLED);
                    about.extend(pods.map(|replica| ("Pod".to_owned(), replica.name.clone())));
                    details.replicas = replicas;
                }
                Err(failure) => details.unknown.push(format!("pods: {failure}")),
            }
        }
        for (kind, name) in about {
            match target::events(&self.connection, &self.namespace, &kind, &name).await {
                Ok(events) => details.events.extend(events.into_iter().map(event)),
                Err(failure) => {
                    details.unknown.push(format!("events: {failure}"));
                    break;
                }
            }
        }
        details.events.sort_by_key(|event| event.at);
        let is_decision =
            |event: &Event| event.reason == SCALED && event.about.starts_with(API_KIND);
        (details.decisions, details.events) = details.events.into_iter().partition(is_decision);
        Ok(details)
    }

    /// Sends the lines of its pods, with the pod and the container as their source.
    pub(crate) async fn logs(
        &self,
        name: &str,
        wanted: &LogsWanted,
        out: Sender<Told>,
    ) -> Result<()> {
        let target = self.target(name).await?;
        let (connection, namespace) = (&self.connection, &self.namespace);
        let selector = target.selector(connection, namespace).await;
        let selector = selector.map_err(|failure| self.not_done(failure))?;
        let selector = selector.ok_or_else(|| no_target(name, &target))?;
        let wanted = logs::Wanted {
            follow: wanted.follow,
            tail: wanted.tail,
            since: wanted.since.map(|since| u32::try_from(since.as_secs()).unwrap_or(u32::MAX)),
            sidecar: wanted.only.map(|part| part == Part::Sidecar),
        };
        let (sender, mut lines) = mpsc::channel(1);
        let pass_on = async {
            while let Some(line) = lines.recv().await {
                if out.send(told(line)).await.is_err() {
                    return;
                }
            }
        };
        let read = logs::logs(connection, namespace, &selector, &wanted, sender);
        let (done, ()) = tokio::join!(read, pass_on);
        done.map_err(|failure| self.not_done(failure))
    }

    /// The last lines of pods that are not ready.
    pub(crate) async fn last_lines(&self, name: &str) -> Result<Vec<Told>> {
        let target = self.target(name).await?;
        let (connection, namespace) = (&self.connection, &self.namespace);
        let seen = async {
            let Some(selector) = target.selector(connection, namespace).await? else {
                return Ok(Vec::new());
            };
            target::replicas(connection, namespace, &selector).await
        };
        let mut pods = seen.await.map_err(|failure| self.not_done(failure))?;
        pods.retain(|pod| pod.phase == PodPhase::Starting);
        pods.truncate(MOST_TROUBLED);
        if pods.is_empty() {
            return Ok(Vec::new());
        }
        let lines = logs::last_lines(connection, namespace, pods, LAST_LINES).await;
        Ok(lines.into_iter().map(told).collect())
    }

    /// Takes an API away; its target stays.
    pub(crate) async fn delete(&self, name: &str) -> Result<Option<String>> {
        let found = self.apis(false).get(name).await.map_err(|failure| self.not_done(failure))?;
        let target = found.as_ref().and_then(Target::of);
        let is_owned = found.as_ref().is_some_and(target::is_owned);
        let done = self.apis(false).delete(name).await;
        let was_there = done.map_err(|failure| self.not_done(failure))?;
        Ok(was_there.then(|| match target {
            Some(target) if is_owned => format!("{target} goes with it"),
            Some(target) => format!("{target} stays as it is, and is scaled no more"),
            None => "it named no target".to_owned(),
        }))
    }

    /// What is wrong with the cluster's set-up, and what is not.
    pub(crate) async fn examine(&self, all: bool) -> Vec<Finding> {
        doctor::examine(&self.connection, (!all).then_some(&*self.namespace)).await
    }

    /// Begins a rolling restart of an API's target.
    pub(crate) async fn refresh(&self, name: &str) -> Result<String> {
        let target = self.target(name).await?;
        let wall = SystemTime::UNIX_EPOCH + clock::wall();
        let now = humantime::format_rfc3339_seconds(wall).to_string();
        let done = target.restart(&self.connection, &self.namespace, &now).await;
        done.map_err(|failure| match failure.code {
            "not-found" => no_target(name, &target),
            _ => self.not_done(failure),
        })?;
        Ok(format!("{target} is restarting, a few replicas at a time"))
    }

    /// What an API scales.
    async fn target(&self, name: &str) -> Result<Target> {
        let object = self.get(name).await?;
        let none = || NotDone::refused(format!("{name} names no target; see spec.target"));
        Ok(Target::of(&object).ok_or_else(none)?)
    }

    /// The pods of a target; none where it is not there.
    async fn replicas(&self, target: &Target) -> Result<Vec<Replica>, Failure> {
        let (connection, namespace) = (&self.connection, &self.namespace);
        match target.selector(connection, namespace).await? {
            None => Ok(Vec::new()),
            Some(selector) => {
                let pods = target::replicas(connection, namespace, &selector).await?;
                Ok(pods.into_iter().map(replica).collect())
            }
        }
    }

    fn apis(&self, all: bool) -> Apis {
        Apis::of(&self.connection, (!all).then_some(&*self.namespace))
    }

    fn missing(&self, name: &str) -> NotDone {
        NotDone::missing(format!(
            "there is no InferenceApi {name} in the namespace {}; see --namespace, and `tidegate \
             get -A`",
            self.namespace
        ))
    }

    /// A failure as a person is told it.
    fn not_done(&self, failure: Failure) -> anyhow::Error {
        let (server, advice) = (&self.connection.server, failure.advice());
        let text = format!("{failure}; {advice}");
        match failure.code {
            "unreachable" | "deadline" => {
                NotDone::unreachable(format!("the API server {server} can't be reached: {text}"))
            }
            "forbidden" => NotDone::forbidden(text),
            _ => NotDone::refused(text),
        }
        .into()
    }
}

/// Who has no cluster may have meant this machine.
fn not_connected(error: ConnectError) -> NotDone {
    NotDone::unreachable(match error {
        ConnectError::NoCluster(_) => {
            format!("{error}; --local means a `tidegate up` on this machine")
        }
        _ => error.to_string(),
    })
}

fn told(told: logs::Told) -> Told {
    match told {
        logs::Told::Line { pod, container, text } => {
            Told::Line { source: format!("{pod}/{container}"), text }
        }
        logs::Told::Note(note) => Told::Note(note),
    }
}

fn no_target(name: &str, target: &Target) -> anyhow::Error {
    let what = format!("there is no {target}; create it, or correct spec.target of {name}");
    NotDone::refused(what).into()
}

/// The state of a replica that serves.
const READY: &str = "Ready";

fn replica(pod: target::Replica) -> Replica {
    let trouble = pod.containers.iter().find_map(|container| {
        let (reason, what) = container.trouble.as_ref()?;
        let colon = if what.is_empty() { "" } else { ": " };
        Some(format!("{}: {reason}{colon}{what}", container.name))
    });
    Replica {
        state: match pod.phase {
            PodPhase::Starting => "Starting",
            PodPhase::Ready => READY,
            PodPhase::Leaving => "Leaving",
        },
        address: pod.ip.map_or_else(String::new, |ip| ip.to_string()),
        has_sidecar: pod.admin.is_some(),
        restarts: pod.restarts(),
        created: pod.created,
        trouble: trouble.or(pod.pending),
        name: pod.name,
    }
}

fn event(happened: Happened) -> Event {
    let Happened { at, is_warning, reason, about, note, count } = happened;
    Event { at, is_warning, reason, about, note, count }
}
