//! Act: marks the pods that are to go, asks the targets for replicas, and remembers what came of it.

use super::scaled::Pending;
use super::tick::Cluster;
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::document::Target;
use tidegate_kubernetes::facts::Key;
use tidegate_kubernetes::failure::Failure;
use tidegate_kubernetes::write::{Told, Writer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Calls of the API server at once.
const MOST_AT_ONCE: usize = 16;

/// What one API's target is to be asked for.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) key: Key,
    pub(super) target: Target,
    pub(super) from: u32,
    pub(super) to: u32,
    /// The target's version that this was decided for.
    pub(super) version: String,
    /// What to say that deleting pods costs.
    pub(super) marks: Vec<(String, Option<i32>)>,
    pub(super) reason: &'static str,
    pub(super) detail: String,
}

impl Cluster {
    /// Carries the orders out, some at once, and waits for all.
    pub(super) async fn act(&mut self, orders: Vec<Order>) {
        let turns = Arc::new(Semaphore::new(MOST_AT_ONCE));
        let mut tasks = JoinSet::new();
        for order in orders {
            let (turns, writer) = (Arc::clone(&turns), Arc::clone(&self.writer));
            tasks.spawn(async move {
                // Never closed; were it, there would just be no bound.
                let _turn = turns.acquire().await.ok();
                let done = carry_out(&writer, &order).await;
                (order, done)
            });
        }
        while let Some(ended) = tasks.join_next().await {
            match ended {
                Ok((order, done)) => self.done(order, done, self.clock.now()),
                Err(error) => tracing::error!(%error, "a write has broken"),
            }
        }
    }

    fn done(&mut self, order: Order, done: Result<String, Failure>, now: Duration) {
        let Order { key, from, to, reason, detail, .. } = order;
        let api = key.to_string();
        let Some(scaled) = self.apis.get_mut(&key).and_then(|api| api.scaled.as_mut()) else {
            return;
        };
        let failure = match done {
            Ok(version) => {
                tracing::info!(api, from, to, reason, detail, "scale");
                scaled.failure = None;
                scaled.wanted = to;
                scaled.pending = Some(Pending { replicas: to, version, since: now });
                scaled.remember(now, (from, to), reason, &detail);
                let note = format!("from {from} to {to} replicas: {detail}");
                self.tell(&key, |uid| Told {
                    key: key.clone(),
                    uid,
                    is_warning: false,
                    reason: "Scaled",
                    note,
                });
                return;
            }
            Err(failure) => failure,
        };
        if let Some(hold_back) = failure.hold_back {
            self.quiet_until = self.quiet_until.max(now + hold_back);
        }
        // The target has changed since it was seen, or somebody else leads: the next tick sees.
        if matches!(failure.code, "conflict" | "not-leading") {
            tracing::debug!(api, to, %failure, "not scaled");
            return;
        }
        let text = failure.to_string();
        if scaled.failure.as_ref() != Some(&text) {
            tracing::warn!(api, from, to, code = failure.code, %failure, "can't scale, tries again");
        }
        scaled.failure = Some(text);
    }
}

async fn carry_out(writer: &Writer, order: &Order) -> Result<String, Failure> {
    let Order { key, target, to, version, marks, .. } = order;
    for (name, cost) in marks {
        let pod = Key { namespace: key.namespace.clone(), name: name.clone() };
        if let Err(failure) = writer.deletion_cost(&pod, *cost).await {
            // A pod that is gone needs no mark; without one a busier pod may go, which drains.
            tracing::debug!(pod = %pod, %failure, "no cost of deletion set");
            if failure.code != "not-found" {
                break;
            }
        }
    }
    writer.scale(&key.namespace, target, *to, version).await
}
