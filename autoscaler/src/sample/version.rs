//! What a gateway says of each API that may be a version of another: how its requests ended, and how
//! long they took.

use super::SampleError;
use super::series::Series;
use crate::policy::rollout::Tally;
use crate::policy::rollout::latency::Latency;
use std::collections::BTreeMap;
use tidegate_api::names::{label, metric};
use tidegate_api::reason::Reason;

/// The tenant had more than its share: the version has nothing to do with it.
const TOO_MANY_REQUESTS: u16 = 429;

/// Takes the series of one page.
#[derive(Debug, Default)]
pub(super) struct Versions {
    ends: BTreeMap<String, (f64, f64)>,
    /// Ends of buckets, and how many requests are at or below each.
    buckets: BTreeMap<String, Vec<(f64, f64)>>,
}

impl Versions {
    /// Takes one of an API's series, if it is one of those.
    pub(super) fn take(&mut self, api: &str, series: &Series<'_>) -> Result<(), SampleError> {
        match series.name {
            metric::REQUESTS => {
                let code = series.label(label::CODE).and_then(|code| code.parse::<u16>().ok());
                let (well, failed) = self.ends.entry(api.to_owned()).or_default();
                match code {
                    None | Some(TOO_MANY_REQUESTS) => {}
                    Some(code) if code == Reason::ClientGone.status() => {}
                    Some(500..) => *failed += series.number()?,
                    Some(_) => *well += series.number()?,
                }
            }
            metric::VERSION_DURATION_SECONDS_BUCKET => {
                // "+Inf" is a number to the parser.
                let end = series.label(label::LE).and_then(|end| end.parse::<f64>().ok());
                let end = end.ok_or(SampleError::Missing(label::LE))?;
                let count = series.number()?;
                self.buckets.entry(api.to_owned()).or_default().push((end, count));
            }
            _ => {}
        }
        Ok(())
    }

    /// What was taken, by API.
    pub(super) fn tallies(mut self) -> BTreeMap<String, Tally> {
        let tally = |(api, (well, failed)): (String, (f64, f64))| {
            let latency = self.buckets.remove(&api).map(latency).unwrap_or_default();
            (api, Tally { well, failed, latency })
        };
        self.ends.into_iter().map(tally).collect()
    }
}

fn latency(mut cumulative: Vec<(f64, f64)>) -> Latency {
    cumulative.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut below = 0.0;
    let mut latency = Latency::default();
    for (end, count) in cumulative {
        let within = (count - below).max(0.0);
        below = count;
        if end.is_finite() {
            latency.buckets.push((end, within));
        } else {
            latency.beyond = within;
        }
    }
    latency
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::gateway;

    #[test]
    fn requests_are_told_apart_by_how_they_ended() {
        let text = r#"
tidegate_requests_total{api="v1",code="200",reason=""} 30
tidegate_requests_total{api="v1",code="404",reason=""} 2
tidegate_requests_total{api="v1",code="500",reason=""} 3
tidegate_requests_total{api="v1",code="503",reason="cold-start-timeout"} 4
tidegate_requests_total{api="v1",code="429",reason="rate-limited"} 50
tidegate_requests_total{api="v1",code="499",reason="client-gone"} 60
tidegate_version_duration_seconds_bucket{api="v1",le="0.1"} 5
tidegate_version_duration_seconds_bucket{api="v1",le="0.2"} 30
tidegate_version_duration_seconds_bucket{api="v1",le="+Inf"} 37
tidegate_version_duration_seconds_sum{api="v1"} 9
tidegate_requests_total{api="v2",code="200",reason=""} 1
"#;
        let versions = gateway(text).unwrap().versions;
        let latency = Latency { buckets: vec![(0.1, 5.0), (0.2, 25.0)], beyond: 7.0 };
        assert_eq!(versions["v1"], Tally { well: 32.0, failed: 7.0, latency });
        assert_eq!(versions["v2"], Tally { well: 1.0, ..Tally::default() });
    }
}
