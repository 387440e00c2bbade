//! Every policy with every combination of the settings to be tried.

use crate::comparison::{Contender, Steering};
use crate::document::{Document, Setting, word};
use crate::error::SimulateError;
use crate::optimum::Oracle;
use std::str::FromStr;
use tidegate_api::InferenceApi;
use tidegate_api::document::Policy;

/// The most plays of one comparison.
const MOST: usize = 1000;

/// A key and the values it is tried with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis(Vec<Setting>);

impl FromStr for Axis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let first: Setting = text.parse()?;
        let values = text.split_once('=').map_or("", |(_, values)| values);
        if values.split(',').any(str::is_empty) {
            return Err(format!("{text:?} has an empty value; write {}=a,b,c", first.key));
        }
        let setting = |value| Setting { key: first.key.clone(), value: word(value) };
        Ok(Self(values.split(',').map(setting).collect()))
    }
}

/// Who is compared, each with its checked document.
pub(crate) fn contenders(
    document: &Document,
    policies: &[String],
    axes: &[Axis],
) -> Result<Vec<Contender>, SimulateError> {
    let mut combinations: Vec<Vec<&Setting>> = vec![Vec::new()];
    for Axis(values) in axes {
        combinations = combinations
            .iter()
            .flat_map(|one| values.iter().map(move |value| [&one[..], &[value]].concat()))
            .collect();
        if combinations.len() * policies.len() > MOST {
            let what = format!("more than {MOST} combinations; sweep fewer values or policies");
            return Err(SimulateError::Usage(what));
        }
    }
    let mut all = Vec::new();
    for policy in policies {
        for settings in &combinations {
            all.push(contender(document, policy, settings)?);
        }
    }
    Ok(all)
}

fn contender(
    document: &Document,
    policy: &str,
    settings: &[&Setting],
) -> Result<Contender, SimulateError> {
    let labels: Vec<String> = settings.iter().map(|setting| setting.label()).collect();
    let set = settings.iter().fold(document.clone(), |set, one| set.with_setting(one));
    let oracle = Oracle::of(policy).transpose()?;
    let (set, steering) = match (policy.strip_prefix("fixed:"), oracle) {
        (_, Some(oracle)) => (set, Steering::Oracle(oracle)),
        (None, None) => (set.with("autoscaling.policy", policy.into()), Steering::Policy),
        (Some(count), None) => {
            let count = count.parse().map_err(|_| {
                SimulateError::Usage(format!("{policy:?} is no policy; write fixed:4"))
            })?;
            (set, Steering::Fixed(count))
        }
    };
    let api = Box::new(set.check()?);
    if steering == Steering::Policy {
        refuse_what_is_not_simulated(&api)?;
    }
    Ok(Contender { policy: policy.to_owned(), settings: labels.join(" "), api, steering })
}

/// A load says nothing of what a metric would be.
fn refuse_what_is_not_simulated(api: &InferenceApi) -> Result<(), SimulateError> {
    if !matches!(api.autoscaling.policy, Policy::Metric(_)) {
        return Ok(());
    }
    let what = "autoscaling.policy: metric is not simulated, as no load says what the metric \
                would be; compare other policies with --policies";
    Err(SimulateError::Usage(what.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(policies: &[&str], axes: &[&str]) -> Result<Vec<String>, String> {
        let policies: Vec<String> = policies.iter().map(ToString::to_string).collect();
        let axes: Vec<Axis> = axes.iter().map(|axis| axis.parse().unwrap()).collect();
        let found = contenders(&Document::new(), &policies, &axes);
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|one| format!("{} {}", one.policy, one.settings)).collect())
    }

    #[test]
    fn every_policy_meets_every_combination() {
        let found = names(
            &["concurrency", "fixed:3"],
            &["concurrency.limit=1,2", "concurrency.queueTimeout=5s,9s"],
        );
        let found = found.unwrap();
        assert_eq!(found.len(), 8);
        assert_eq!(found[1], "concurrency concurrency.limit=1 concurrency.queueTimeout=9s");
    }

    #[test]
    fn what_is_not_simulated_is_refused() {
        let metric = json!({"query": "up", "target": 1});
        let measured = Document::new().with("autoscaling.metric", metric);
        let refused = contenders(&measured, &["metric".to_owned()], &[]).unwrap_err();
        assert!(refused.to_string().contains("metric is not simulated"), "{refused}");
        assert!(contenders(&measured, &["fixed:3".to_owned()], &[]).is_ok(), "nobody scales");
    }

    #[test]
    fn mistakes_are_told() {
        assert!(names(&["nonsense"], &[]).unwrap_err().contains("nonsense"));
        assert!(names(&["fixed:many"], &[]).unwrap_err().contains("fixed:4"));
        assert_eq!(names(&["rate:0.1", "need:0:9s"], &[]).unwrap(), ["rate:0.1 ", "need:0:9s "]);
        assert!(names(&["rate:1.5"], &[]).unwrap_err().contains("rate:0.01"));
        assert!(names(&["concurrency"], &["concurrency.limit=0,1"]).is_err());
        let many = (1..=1001).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let many = format!("concurrency.limit={many}");
        assert!(names(&["concurrency"], &[&many]).unwrap_err().contains("1000"));
        for bad in ["a", "a=", "a=1,", "=1"] {
            assert!(bad.parse::<Axis>().is_err(), "{bad}");
        }
    }
}
