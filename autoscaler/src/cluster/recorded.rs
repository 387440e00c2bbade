//! Pods by what a Prometheus has scraped of them, instead of asking each: `--source prometheus`.
//!
//! It is asked beside the ticks, now and then. A tick takes what is new, each scrape once and with the
//! time at which it was made; between two scrapes a pod is as busy as it last was.

use super::tick::Seeing;
use crate::clock::Clock;
use crate::prometheus::pods::{self, Page};
use crate::prometheus::query_url;
use crate::sample::{self, SampleError};
use crate::scrape::{Reading, ScrapeError, Scraper};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tidegate_kubernetes::view::View;
use tokio::task::JoinSet;

/// How long an answer of Prometheus may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long its last answer counts where there is none any more.
const STALE: Duration = Duration::from_secs(60);

/// What Prometheus has said of pods.
#[derive(Debug)]
pub(super) struct Recorded {
    base: String,
    /// The address of the query for sidecars.
    sidecars: String,
    period: Duration,
    clock: Clock,
    /// The clock's time at the Unix epoch, in seconds, as it was at the beginning: a clock that is set
    /// anew must not bend what lies between two scrapes.
    epoch: f64,
    due: Duration,
    asking: JoinSet<Result<Pages, String>>,
    last: Pages,
    /// When the last answer came; nothing before the first.
    answered: Option<Duration>,
    is_failing: bool,
    /// The scrape of each pod that was taken last.
    taken: BTreeMap<String, f64>,
}

/// The last page of each pod.
type Pages = BTreeMap<String, Page>;

/// What is known of one pod at this tick.
enum Known<T> {
    New(Reading<T>),
    Same,
    Lost(ScrapeError),
}

impl Recorded {
    /// Nothing yet of a Prometheus at `base`, which is asked each `period`.
    pub(super) fn new(base: &str, namespace: Option<&str>, period: Duration, clock: Clock) -> Self {
        Self {
            base: base.to_owned(),
            sidecars: query_url(base, &pods::sidecars(namespace)),
            period,
            clock,
            epoch: clock.now().as_secs_f64() - clock.wall().as_secs_f64(),
            due: Duration::ZERO,
            asking: JoinSet::new(),
            last: Pages::new(),
            answered: None,
            is_failing: false,
            taken: BTreeMap::new(),
        }
    }

    /// What is new of the pods of the view; and asks for more when it is time.
    pub(super) fn observe(&mut self, view: &View, scraper: &Scraper) -> Seeing {
        let now = self.clock.now();
        self.hear(now);
        self.ask(view, scraper, now);
        let (mut asked, mut replicas) = (BTreeSet::new(), BTreeMap::new());
        let mut gateways = Vec::new();
        let mut present = BTreeSet::new();
        for (key, api) in &view.apis {
            for pod in api.pods.iter().filter(|pod| pod.admin.is_some()) {
                let id = format!("{}/{}", key.namespace, pod.name);
                match self.known(&id, now, sample::replica) {
                    Known::New(reading) => replicas.insert(id.clone(), Ok(reading)),
                    Known::Lost(error) => replicas.insert(id.clone(), Err(error)),
                    Known::Same => {
                        present.insert(id);
                        continue;
                    }
                };
                asked.insert(id.clone());
                present.insert(id);
            }
        }
        for (id, _) in &view.gateways {
            gateways.push((
                id.clone(),
                match self.known(id, now, sample::gateway) {
                    Known::New(reading) => Some(Ok(reading)),
                    Known::Lost(error) => Some(Err(error)),
                    Known::Same => None,
                },
            ));
            present.insert(id.clone());
        }
        self.taken.retain(|id, _| present.contains(id));
        Seeing { asked, replicas, gateways }
    }

    fn known<T>(
        &mut self,
        id: &str,
        now: Duration,
        read: impl FnOnce(&str) -> Result<T, SampleError>,
    ) -> Known<T> {
        let is_fresh = self.answered.is_some_and(|at| now.saturating_sub(at) < STALE);
        let Some(page) = self.last.get(id).filter(|_| is_fresh) else {
            let (from, source) = (id.to_owned(), SampleError::NoSeries);
            return Known::Lost(ScrapeError::Sample { from, source });
        };
        if self.taken.get(id) == Some(&page.at) {
            return Known::Same;
        }
        let seconds = (page.at + self.epoch).max(0.0);
        // A time that makes no sense is that of the answer.
        let at = Duration::try_from_secs_f64(seconds).unwrap_or(now);
        let sample = read(&page.text);
        self.taken.insert(id.to_owned(), page.at);
        match sample {
            Ok(sample) => Known::New(Reading { at, sample }),
            Err(source) => Known::Lost(ScrapeError::Sample { from: id.to_owned(), source }),
        }
    }

    /// Takes an answer that has come.
    fn hear(&mut self, now: Duration) {
        let Some(ended) = self.asking.try_join_next() else { return };
        match ended.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(pages) => {
                if self.answered.is_none() || self.is_failing {
                    tracing::info!(pods = pages.len(), "prometheus says what pods do");
                }
                (self.last, self.answered, self.is_failing) = (pages, Some(now), false);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(error, "prometheus does not say what pods do");
                }
            }
        }
    }

    /// Asks when it is time, unless it is still being answered.
    fn ask(&mut self, view: &View, scraper: &Scraper, now: Duration) {
        if now < self.due || !self.asking.is_empty() {
            return;
        }
        self.due = now + self.period;
        let gateways = pods::gateways(view.gateways.iter().map(|(id, _)| id.as_str()));
        let gateways = gateways.map(|query| query_url(&self.base, &query));
        let (scraper, sidecars) = (scraper.clone(), self.sidecars.clone());
        self.asking.spawn(async move {
            let mut pages = Pages::new();
            for url in std::iter::once(sidecars).chain(gateways) {
                let answer = scraper.large_answer(&url, DEADLINE).await;
                let answer = answer.map_err(|error| error.to_string())?;
                pages.extend(pods::pages(&answer).map_err(|gap| format!("{gap:?}"))?);
            }
            Ok(pages)
        });
    }
}
