//! Follows the `/scale` of targets whose kinds nobody watches: each is asked for by itself, when it is new
//! and now and then.

use super::Watched;
use crate::facts::Workload;
use crate::failure::{Failure, Tell};
use crate::scalable::{Other, Scaling};
use futures_util::StreamExt;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, Error};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks for targets that are new.
const LOOK: Duration = Duration::from_secs(1);
/// How many of those later everything is asked for.
const ROUND: u32 = 5;
/// Asked for at once.
const MOST_AT_ONCE: usize = 8;
/// The longest that the API server is waited for.
const DEADLINE: Duration = Duration::from_secs(5);

/// What is called how in addresses, by group, version and kind.
type Resources = BTreeMap<(String, String), ApiResource>;

/// Follows them until it is dropped.
pub(super) async fn follow(client: Client, watched: Arc<Watched>, tell: Tell) -> Infallible {
    let mut resources = Resources::new();
    let mut looks = 0;
    loop {
        let (named, known) = watched.read(|stores| {
            let named = Other::all(stores.resources());
            let known: BTreeSet<Other> = stores.all_others().keys().cloned().collect();
            (named, known)
        });
        let is_due = |other: &&Other| looks % ROUND == 0 || !known.contains(*other);
        let asked: Vec<Other> = named.iter().filter(is_due).cloned().collect();
        let found = ask_all(&client, &asked, &mut resources, &tell).await;
        let gone = known.iter().any(|other| !named.contains(other));
        let is_news = watched.read(|stores| {
            let others = stores.all_others();
            gone || found.iter().any(|(other, scaling)| others.get(other) != Some(scaling))
        });
        if is_news {
            watched.write(|stores| stores.set_others(&named, found));
        }
        looks += 1;
        tokio::time::sleep(LOOK).await;
    }
}

/// Asks for each, some at once.
async fn ask_all(
    client: &Client,
    others: &[Other],
    resources: &mut Resources,
    tell: &Tell,
) -> Vec<(Other, Scaling)> {
    let mut asked = Vec::new();
    for other in others {
        let (version, kind, _) = &other.target;
        let of = (version.clone(), kind.clone());
        let resource = match resources.get(&of) {
            Some(resource) => Ok(resource.clone()),
            None => kind_of(client, other).await,
        };
        if let Ok(resource) = &resource {
            resources.insert(of, resource.clone());
        }
        asked.push((other.clone(), resource));
    }
    let asked = futures_util::stream::iter(asked).map(|(other, resource)| {
        let (client, tell) = (client.clone(), Arc::clone(tell));
        async move {
            let scaling = match resource {
                Ok(resource) => ask(&client, &other, &resource).await,
                Err(failure) if failure.code == "not-found" => Ok(Scaling::NoKind),
                Err(failure) => Err(failure),
            };
            let scaling = scaling.unwrap_or_else(|failure| {
                tell("scale", failure.code);
                Scaling::Unknown(Arc::from(failure.message))
            });
            (other, scaling)
        }
    });
    asked.buffer_unordered(MOST_AT_ONCE).collect().await
}

/// Asks once for one.
pub(crate) async fn once(client: &Client, other: &Other) -> Result<Scaling, Failure> {
    match kind_of(client, other).await {
        Ok(resource) => ask(client, other, &resource).await,
        Err(failure) if failure.code == "not-found" => Ok(Scaling::NoKind),
        Err(failure) => Err(failure),
    }
}

/// What its kind is called in addresses; `not-found` where there is none with a `/scale`.
async fn kind_of(client: &Client, other: &Other) -> Result<ApiResource, Failure> {
    let (version, kind, _) = &other.target;
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let kind = GroupVersionKind::gvk(group, version, kind);
    let found = async {
        match kube::discovery::pinned_kind(client, &kind).await {
            Ok((resource, can)) => {
                let has_scale = can.subresources.iter().any(|(of, _)| of.plural == "scale");
                has_scale.then_some(resource).ok_or_else(|| Failure::no_kind("it has no /scale"))
            }
            Err(Error::Discovery(error)) => Err(Failure::no_kind(&error.to_string())),
            Err(error) => Err(error.into()),
        }
    };
    in_time(found).await
}

async fn ask(client: &Client, other: &Other, resource: &ApiResource) -> Result<Scaling, Failure> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &other.namespace, resource);
    let asked = async { Ok(api.get_scale(&other.target.2).await?) };
    match in_time(asked).await {
        Ok(scale) => Ok(Scaling::Known(Workload::of_scale(scale))),
        Err(failure) if failure.code == "not-found" => Ok(Scaling::Gone),
        Err(failure) => Err(failure),
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let done = tokio::time::timeout(DEADLINE, call).await;
    done.unwrap_or_else(|_| Err(Failure::deadline(DEADLINE)))
}
