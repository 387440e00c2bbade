//! Own: what is made of the APIs that carry a pod template is there, and as it should be.
//!
//! It is applied when an API is new or its spec has changed, when its Deployment is gone, and now and
//! then, as Services and budgets are not watched. What failed is tried again, more and more seldom.

use super::tick::Cluster;
use std::sync::Arc;
use std::time::Duration;
use tidegate_kubernetes::facts::Key;
use tidegate_kubernetes::failure::Failure;
use tidegate_kubernetes::owned::{Owned, owned};
use tidegate_kubernetes::write::{Told, Writer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// APIs whose objects are applied at once.
const MOST_AT_ONCE: usize = 16;
/// How often all is applied though nothing has changed that is seen.
const RESYNC: Duration = Duration::from_secs(600);
/// How long to wait for what was applied to be seen, and after a first failure.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// The longest wait after failures in a row.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// What is remembered of an API's objects.
#[derive(Debug, Default)]
pub(super) struct Owning {
    /// The generation of the spec that was applied last.
    applied: Option<i64>,
    /// The generation of the spec that was tried last.
    tried: Option<i64>,
    /// Before that time the same is not tried again.
    not_before: Duration,
    /// When all is applied anew.
    resync: Duration,
    /// The wait after the last failure.
    wait: Duration,
    /// Why it could not be applied, if it could not.
    failure: Option<Failure>,
}

impl Owning {
    /// Whether it is as the spec says; nothing before the first try.
    pub(super) fn is_applied(&self) -> Option<Result<(), &Failure>> {
        match (&self.failure, self.applied) {
            (Some(failure), _) => Some(Err(failure)),
            (None, Some(_)) => Some(Ok(())),
            (None, None) => None,
        }
    }

    /// Whether to apply now. A spec that has changed does not wait for what its last one has failed.
    fn is_due(&self, generation: i64, is_there: bool, now: Duration) -> bool {
        let is_wanted = self.applied != Some(generation) || !is_there || now >= self.resync;
        is_wanted && (now >= self.not_before || self.tried != Some(generation))
    }

    /// Remembers what came of it.
    fn done(&mut self, generation: i64, done: &Result<(), Failure>, now: Duration) {
        if self.tried != Some(generation) {
            self.wait = Duration::ZERO;
        }
        self.tried = Some(generation);
        match done {
            Ok(()) => {
                *self = Self {
                    applied: Some(generation),
                    tried: self.tried,
                    not_before: now + FIRST_WAIT,
                    resync: now + RESYNC,
                    ..Self::default()
                };
            }
            Err(failure) => {
                // A template that is no Deployment's seldom becomes one by waiting.
                let least = if failure.code == "invalid" { LONGEST_WAIT } else { FIRST_WAIT };
                self.wait = (self.wait * 2).clamp(least, LONGEST_WAIT);
                self.not_before = now + self.wait.max(failure.hold_back.unwrap_or_default());
                self.failure = Some(failure.clone());
            }
        }
    }
}

impl Cluster {
    /// Applies what is due, some APIs at once, and waits for all.
    pub(super) async fn own(&mut self, now: Duration) {
        if now < self.quiet_until {
            return;
        }
        let turns = Arc::new(Semaphore::new(MOST_AT_ONCE));
        let mut tasks = JoinSet::new();
        for (key, view) in &self.view.apis {
            let Some(document) = view.document().filter(|api| api.template.is_some()) else {
                continue;
            };
            let Some(api) = self.apis.get(key) else { continue };
            let generation = view.resource.generation;
            if !api.owning.is_due(generation, view.workload.is_some(), now) {
                continue;
            }
            let all = owned(document, key, &view.resource.uid);
            let (key, uid) = (key.clone(), view.resource.uid.clone());
            let (turns, writer) = (Arc::clone(&turns), Arc::clone(&self.writer));
            tasks.spawn(async move {
                // Never closed; were it, there would just be no bound.
                let _turn = turns.acquire().await.ok();
                let done = make(&writer, &all, &key, &uid).await;
                (key, generation, done)
            });
        }
        while let Some(ended) = tasks.join_next().await {
            match ended {
                Ok((key, generation, done)) => self.owned(&key, generation, done),
                Err(error) => tracing::error!(%error, "a write has broken"),
            }
        }
    }

    fn owned(&mut self, key: &Key, generation: i64, done: Result<(), Failure>) {
        let now = self.clock.now();
        let Some(api) = self.apis.get_mut(key) else { return };
        let (before, was_failing) = (api.owning.applied, api.owning.failure.clone());
        if done.as_ref().is_err_and(|failure| failure.code == "not-leading") {
            return;
        }
        api.owning.done(generation, &done, now);
        if let Err(Failure { hold_back: Some(hold_back), .. }) = &done {
            self.quiet_until = self.quiet_until.max(now + *hold_back);
        }
        let (is_warning, reason, note) = match done {
            Ok(()) if before == Some(generation) => return,
            Ok(()) => {
                tracing::info!(api = %key, generation, "applied what is made of its template");
                let note = "Deployment, Service and PodDisruptionBudget are as the template says";
                (false, "Applied", note.to_owned())
            }
            Err(failure) if was_failing.as_ref() == Some(&failure) => return,
            Err(failure) => {
                tracing::warn!(api = %key, code = failure.code, %failure, "can't apply its template");
                (true, unapplied(&failure), failure.message)
            }
        };
        self.tell(key, |uid| Told { key: key.clone(), uid, is_warning, reason, note });
    }
}

/// What an event and the condition call it.
pub(super) fn unapplied(failure: &Failure) -> &'static str {
    match failure.code {
        "invalid" => "InvalidTemplate",
        _ => "CanNotApply",
    }
}

async fn make(writer: &Writer, all: &[Owned], key: &Key, uid: &str) -> Result<(), Failure> {
    for owned in all {
        writer.make(owned, key, uid).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn failure() -> Result<(), Failure> {
        Err(Failure { code: "server", message: "no".to_owned(), hold_back: None })
    }

    #[test]
    fn a_spec_is_applied_once_and_anew_when_it_changes_or_something_is_gone() {
        let mut owning = Owning::default();
        assert!(owning.is_due(1, false, at(0)));
        owning.done(1, &Ok(()), at(0));
        assert!(!owning.is_due(1, false, at(1)), "it is not seen at once");
        assert!(!owning.is_due(1, true, at(300)));
        assert!(owning.is_due(1, false, at(6)), "it is gone");
        assert!(owning.is_due(2, true, at(6)), "it has changed");
        assert!(owning.is_due(1, true, at(601)), "now and then");
    }

    #[test]
    fn what_fails_is_tried_more_and_more_seldom() {
        let mut owning = Owning::default();
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..8 {
            owning.done(1, &failure(), now);
            let begin = now;
            while !owning.is_due(1, false, now) {
                now += at(1);
            }
            waits.push((now - begin).as_secs());
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert!(owning.failure.is_some());
        assert!(owning.is_due(2, true, now - at(1)), "a spec that is mended is tried at once");
        owning.done(2, &failure(), now);
        assert!(!owning.is_due(2, true, now + at(4)) && owning.is_due(2, true, now + at(5)));
        owning.done(2, &Ok(()), now);
        assert_eq!(owning.failure, None);
    }

    #[test]
    fn what_no_waiting_mends_is_not_tried_hotly() {
        let mut owning = Owning::default();
        let invalid = Failure { code: "invalid", message: "no".to_owned(), hold_back: None };
        owning.done(1, &Err(invalid), at(0));
        assert!(!owning.is_due(1, false, at(299)) && owning.is_due(1, false, at(300)));
        assert!(owning.is_due(2, false, at(1)), "a spec that is mended is tried at once");
    }
}
