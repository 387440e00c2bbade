//! The number that an API's `metric` rule goes by: asked for now and then, beside the ticks.
//!
//! A reading may take longer than a tick, so no tick waits for one: it takes what has come.

use crate::policy::observation::{Gap, MetricSeen, Reading};
use crate::prometheus;
use crate::sample::{self, SampleError};
use crate::scrape::{ScrapeError, Scraper};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tidegate_api::document::{InferenceApi, MetricSource, Policy};
use tokio::task::JoinSet;

/// How long a Prometheus may take to answer a query.
const QUERY_DEADLINE: Duration = Duration::from_secs(10);

/// Why an API's metric can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "api {api}: spec.autoscaling.metric.query: nothing says where Prometheus is; set \
     spec.autoscaling.metric.prometheus or --prometheus"
)]
pub(crate) struct NoPrometheus {
    /// The API.
    pub api: String,
}

/// One API's metric and what is known of it.
#[derive(Debug)]
pub(crate) struct MetricReader {
    api: String,
    question: Question,
    period: Duration,
    /// When to ask again.
    due: Duration,
    seen: MetricSeen,
    /// The reading that is on its way, if any.
    asking: JoinSet<Result<Answer, Failure>>,
}

#[derive(Debug, Clone)]
enum Question {
    /// The address of a query.
    Query(Arc<str>),
    /// What each model is asked.
    Pod { path: Arc<str>, read: Arc<PodSeries> },
}

#[derive(Debug)]
struct PodSeries {
    name: String,
    labels: std::collections::BTreeMap<String, String>,
}

/// A value, and of how many models of how many asked.
#[derive(Debug, Clone, Copy)]
struct Answer {
    value: f64,
    asked: u32,
    complete: bool,
}

/// Why there is no reading, in two words and in full.
#[derive(Debug)]
struct Failure {
    gap: Gap,
    error: String,
}

impl MetricReader {
    /// The reader of an API's metric; nothing where its rule needs none. `prometheus` counts where
    /// the document names no address.
    pub(crate) fn of(
        api: &InferenceApi,
        prometheus: Option<&str>,
    ) -> Result<Option<Self>, NoPrometheus> {
        let Policy::Metric(policy) = &api.autoscaling.policy else { return Ok(None) };
        let question = match &policy.source {
            MetricSource::Query { query, prometheus: own } => {
                let base = own.as_deref().or(prometheus);
                let base = base.ok_or_else(|| NoPrometheus { api: api.name.clone() })?;
                Question::Query(prometheus::query_url(base, query).into())
            }
            MetricSource::Pod { name, labels, path } => {
                let read = PodSeries { name: name.clone(), labels: labels.clone() };
                Question::Pod { path: path.as_str().into(), read: Arc::new(read) }
            }
        };
        Ok(Some(Self {
            api: api.name.clone(),
            question,
            period: policy.period,
            due: Duration::ZERO,
            seen: MetricSeen::default(),
            asking: JoinSet::new(),
        }))
    }

    /// What is known, with what has come since. True beside it where a reading has
    /// failed, in whole or in part.
    pub(crate) fn seen(&mut self, now: Duration) -> (MetricSeen, bool) {
        let Some(ended) = self.asking.try_join_next() else { return (self.seen, false) };
        let reading = ended.unwrap_or_else(|panic| {
            Err(Failure { gap: Gap::Unreachable, error: panic.to_string() })
        });
        let failed = !matches!(reading, Ok(Answer { complete: true, .. }));
        match reading {
            Ok(Answer { value, asked: replicas, complete }) => {
                let reading = Some(Reading { value, replicas, at: now, complete });
                if self.seen.gap.is_some() {
                    tracing::info!(api = self.api, value, "metric is read again");
                }
                self.seen = MetricSeen { reading, gap: None };
            }
            Err(Failure { gap, error }) => {
                if self.seen.gap != Some(gap) {
                    tracing::warn!(api = self.api, what = gap.what(), error, "no metric");
                }
                self.seen.gap = Some(gap);
            }
        }
        (self.seen, failed)
    }

    /// Asks, if it is time and the last answer has come. `models` are the ready replicas' own
    /// ports.
    pub(crate) fn ask(&mut self, scraper: &Scraper, models: Vec<SocketAddr>, now: Duration) {
        if now < self.due || !self.asking.is_empty() {
            return;
        }
        let scraper = scraper.clone();
        match self.question.clone() {
            Question::Query(url) => {
                self.asking.spawn(async move { query(&scraper, &url).await });
            }
            // What was said of replicas that are gone says nothing of the next ones.
            Question::Pod { .. } if models.is_empty() => {
                self.seen = MetricSeen { reading: None, gap: Some(Gap::NoReplica) };
                return;
            }
            Question::Pod { path, read } => {
                self.asking.spawn(async move { average(&scraper, models, path, read).await });
            }
        }
        self.due = now + self.period;
    }
}

async fn query(scraper: &Scraper, url: &str) -> Result<Answer, Failure> {
    let unreachable =
        |error: ScrapeError| Failure { gap: Gap::Unreachable, error: error.to_string() };
    let answer = scraper.answer(url, QUERY_DEADLINE).await.map_err(unreachable)?;
    let value = prometheus::value(&answer).map_err(|gap| {
        let start: String = String::from_utf8_lossy(&answer).chars().take(300).collect();
        Failure { gap, error: format!("{url} answered {start}") }
    })?;
    Ok(Answer { value, asked: 0, complete: true })
}

/// The average over all models that were asked; one that can't be read adds nothing to it.
async fn average(
    scraper: &Scraper,
    models: Vec<SocketAddr>,
    path: Arc<str>,
    series: Arc<PodSeries>,
) -> Result<Answer, Failure> {
    let asked = models.len() as u32;
    let read = move |text: &str| sample::pod(text, &series.name, &series.labels);
    let answers = scraper.pod_metrics(models, path, read).await;
    let (mut sum, mut count, mut failure) = (0.0, 0, None);
    for answer in answers {
        match answer {
            Ok(value) => (sum, count) = (sum + value, count + 1),
            Err(error) => failure = Some(Failure { gap: gap(&error), error: error.to_string() }),
        }
    }
    match failure {
        Some(failure) if count == 0 => Err(failure),
        _ => Ok(Answer { value: sum / f64::from(asked), asked, complete: count == asked }),
    }
}

fn gap(error: &ScrapeError) -> Gap {
    match error {
        ScrapeError::Sample { source, .. } => match source {
            SampleError::Several => Gap::Several,
            SampleError::NoSeries | SampleError::Missing(_) => Gap::Empty,
            SampleError::Value { .. } => Gap::NotANumber,
        },
        ScrapeError::Status { .. } => Gap::Refused,
        ScrapeError::Deadline { .. } | ScrapeError::Http { .. } => Gap::Unreachable,
    }
}
