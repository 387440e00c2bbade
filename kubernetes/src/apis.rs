//! InferenceApis as a person's tool reads and changes them.

use crate::connect::Connection;
use crate::failure::{Failure, code};
use crate::patience::Patience;
use crate::resource::{inference_api, no_such_kind};
use futures_util::StreamExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Error};
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;
use tidegate_api::names::{API_KIND, API_VERSION};

/// Who set a field, as server-side apply tells it.
pub const FIELD_MANAGER: &str = "tidegate";

/// A person waits for each answer.
pub(crate) const ANSWER_AT_MOST: Duration = Duration::from_secs(30);

/// Objects in one answer; the rest comes with the next.
const PAGE: u32 = 500;

/// The InferenceApis of one namespace, or of all.
pub struct Apis(Api<DynamicObject>);

/// What an apply has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is new.
    Created,
    /// It was there and is now another.
    Updated,
    /// It was there as it is asked for.
    Unchanged,
}

/// What has become of the InferenceApis.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// These are all.
    All(Vec<Value>),
    /// One as it is now.
    Set(Value),
    /// One is gone: as it was last.
    Gone(Value),
}

impl std::fmt::Debug for Apis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Apis").field(&self.0.resource_url()).finish()
    }
}

impl Apis {
    /// Those of a namespace; without one, of all namespaces.
    pub fn of(connection: &Connection, namespace: Option<&str>) -> Self {
        let (client, resource) = (connection.client.clone(), inference_api());
        Self(match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        })
    }

    /// All of them, by namespace and name.
    ///
    /// # Errors
    /// A [`Failure`].
    pub async fn list(&self) -> Result<Vec<Value>, Failure> {
        let mut found = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = in_time(self.0.list(&params)).await?;
            found.extend(page.items.into_iter().map(shown));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = ListParams::default().limit(PAGE).continue_token(&token),
                None => break,
            }
        }
        Ok(found)
    }

    /// One of them, if it is there.
    ///
    /// # Errors
    /// A [`Failure`].
    pub async fn get(&self, name: &str) -> Result<Option<Value>, Failure> {
        match tokio::time::timeout(ANSWER_AT_MOST, self.0.get(name)).await {
            Ok(Ok(object)) => Ok(Some(shown(object))),
            Ok(Err(Error::Api(status))) if status.code == 404 && !no_such_kind(&status) => Ok(None),
            Ok(Err(error)) => Err(failure(error)),
            Err(_) => Err(Failure::deadline(ANSWER_AT_MOST)),
        }
    }

    /// Makes one be as this object says, and leaves alone what it does not say. With `force`, what
    /// others have set is taken over.
    ///
    /// # Errors
    /// A [`Failure`]; `conflict` where others have set something else.
    pub async fn apply(&self, object: &Value, force: bool) -> Result<(Applied, Value), Failure> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let before = self.get(name).await?;
        let mut params = PatchParams::apply(FIELD_MANAGER);
        params.force = force;
        let after = in_time(self.0.patch(name, &params, &Patch::Apply(object))).await?;
        let after = shown(after);
        // Versions also change with each status; what was asked for does not.
        let is_same = |before: &Value| {
            ["uid", "generation", "labels", "annotations"]
                .iter()
                .all(|field| before["metadata"][field] == after["metadata"][field])
        };
        let applied = match before {
            None => Applied::Created,
            Some(before) if is_same(&before) => Applied::Unchanged,
            Some(_) => Applied::Updated,
        };
        Ok((applied, after))
    }

    /// Deletes one. False where there was none.
    ///
    /// # Errors
    /// A [`Failure`].
    pub async fn delete(&self, name: &str) -> Result<bool, Failure> {
        let params = DeleteParams::default();
        match tokio::time::timeout(ANSWER_AT_MOST, self.0.delete(name, &params)).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(Error::Api(status))) if status.code == 404 && !no_such_kind(&status) => {
                Ok(false)
            }
            Ok(Err(error)) => Err(failure(error)),
            Err(_) => Err(Failure::deadline(ANSWER_AT_MOST)),
        }
    }

    /// Tells what there is, and then each change, until it is told to stop. What a new try may mend
    /// is tried again.
    ///
    /// # Errors
    /// A [`Failure`] that no new try mends.
    pub async fn follow(
        &self,
        name: Option<&str>,
        mut tell: impl FnMut(Change) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let mut config = watcher::Config::default();
        if let Some(name) = name {
            config = config.fields(&format!("metadata.name={name}"));
        }
        let mut events = pin!(watcher(self.0.clone(), config).backoff(Patience::default()));
        let mut all = Vec::new();
        while let Some(event) = events.next().await {
            let change = match event {
                Ok(Event::Init) => {
                    all.clear();
                    continue;
                }
                Ok(Event::InitApply(object)) => {
                    all.push(shown(object));
                    continue;
                }
                Ok(Event::InitDone) => Change::All(std::mem::take(&mut all)),
                Ok(Event::Apply(object)) => Change::Set(shown(object)),
                Ok(Event::Delete(object)) => Change::Gone(shown(object)),
                Err(error) => match lasting(error) {
                    Some(failure) => return Err(failure),
                    None => continue,
                },
            };
            if tell(change).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Why a watch has failed, if no new try mends it.
fn lasting(error: watcher::Error) -> Option<Failure> {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    let (InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error)) = error else {
        return None;
    };
    ["forbidden", "invalid", "not-found"].contains(&code(&error)).then(|| failure(error))
}

/// A call in its time.
pub(crate) async fn in_time<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(ANSWER_AT_MOST, call).await {
        Ok(done) => done.map_err(failure),
        Err(_) => Err(Failure::deadline(ANSWER_AT_MOST)),
    }
}

fn failure(error: Error) -> Failure {
    match &error {
        Error::Api(status) if status.code == 404 && no_such_kind(status) => Failure::no_resource(),
        _ => error.into(),
    }
}

/// An object as it is shown: with its kind, which lists leave out, and without the books that the
/// API server keeps of who has set what.
fn shown(mut object: DynamicObject) -> Value {
    object.metadata.managed_fields = None;
    // The type is plain data.
    let metadata = serde_json::to_value(&object.metadata).unwrap_or_default();
    let mut all = json!({"apiVersion": API_VERSION, "kind": API_KIND, "metadata": metadata});
    for field in ["spec", "status"] {
        let value = object.data[field].take();
        if !value.is_null() {
            all[field] = value;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_a_kind_and_no_books() {
        let mut object = DynamicObject::new("digits", &inference_api());
        object.types = None;
        object.metadata.managed_fields = Some(Vec::new());
        object.data = json!({"spec": {"paused": true}});
        let seen = shown(object);
        assert_eq!((&seen["kind"], &seen["spec"]["paused"]), (&json!(API_KIND), &json!(true)));
        assert!(seen["metadata"].get("managedFields").is_none() && seen.get("status").is_none());
    }

    #[test]
    fn a_watch_ends_for_what_lasts_and_for_nothing_else() {
        let error = |code: u16| {
            let status = kube::core::Status { code, ..Default::default() };
            watcher::Error::WatchStartFailed(Error::Api(Box::new(status)))
        };
        for (code, lasts) in [(401, true), (403, true), (404, true), (410, false), (500, false)] {
            assert_eq!(lasting(error(code)).is_some(), lasts, "{code}");
        }
    }
}
