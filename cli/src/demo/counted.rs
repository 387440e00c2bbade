//! What Tidegate itself counted: the proof that the demo's own counts are true.

use crate::client::HttpClient;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tidegate_api::names::{label, metric, path};
use tidegate_autoscaler::Status;

/// Requests that ended, as one proxy counts them, and those that have not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// All that ended, whoever answered.
    pub(crate) ended: u64,
    /// Those that the model answered with 200.
    pub(crate) answered: u64,
    /// Running at a model now.
    pub(crate) in_flight: u64,
    /// Waiting now.
    pub(crate) queued: u64,
}

/// The last reading of every sidecar there was, by the replica's name.
#[derive(Debug, Default)]
pub(crate) struct Sidecars(BTreeMap<String, Counted>);

impl Counted {
    /// Asks the proxy whose admin port this is.
    pub(crate) async fn ask(client: &HttpClient, admin: SocketAddr) -> anyhow::Result<Self> {
        Ok(parse(&client.get(&format!("http://{admin}{}", path::METRICS)).await?))
    }
}

impl Sidecars {
    /// Asks every sidecar that listens now; one that doesn't answer keeps its last reading.
    pub(crate) async fn ask(&mut self, client: &HttpClient, status: &Status) {
        for replica in status.apis.iter().flat_map(|api| &api.replicas) {
            let Some(admin) = replica.admin else { continue };
            if let Ok(counted) = Counted::ask(client, admin).await {
                self.0.insert(replica.id.clone(), counted);
            }
        }
    }

    /// How many sidecars there were.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What they counted together.
    pub(crate) fn answered(&self) -> u64 {
        self.0.values().map(|counted| counted.answered).sum()
    }
}

/// Reads the Prometheus text of a proxy. Its label values are plain words.
fn parse(text: &str) -> Counted {
    let mut counted = Counted::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let Ok(value) = value.parse::<f64>().map(|value| value as u64) else { continue };
        match name {
            metric::REQUESTS => {
                counted.ended += value;
                let has = |name: &str, value: &str| labels.contains(&format!("{name}=\"{value}\""));
                if has(label::CODE, "200") && has(label::REASON, "") {
                    counted.answered += value;
                }
            }
            metric::REQUESTS_IN_FLIGHT => counted.in_flight += value,
            metric::REQUESTS_QUEUED => counted.queued += value,
            _ => {}
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_all_apis_codes_and_reasons_are_added() {
        let text = "# TYPE tidegate_requests_total counter\n\
            tidegate_requests_total{api=\"\",code=\"404\",reason=\"no-route\"} 1\n\
            tidegate_requests_total{api=\"digits\",code=\"200\",reason=\"\"} 40\n\
            tidegate_requests_total{api=\"digits\",code=\"503\",reason=\"queue-full\"} 2\n\
            tidegate_requests_in_flight{api=\"digits\"} 3\n\
            tidegate_requests_queued 4\ntidegate_requests_total_other 9\nnonsense\n";
        let counted = parse(text);
        assert_eq!(counted, Counted { ended: 43, answered: 40, in_flight: 3, queued: 4 });
    }
}
