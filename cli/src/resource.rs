//! What is read from an `InferenceApi` object for people. Pure.

use serde_json::Value;
use std::time::{Duration, SystemTime};

/// A condition of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Condition<'a> {
    /// `True`, `False` or `Unknown`.
    pub(crate) status: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
    /// The generation of the spec that it is about.
    pub(crate) generation: i64,
}

/// The condition of this type, if there is one.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    let all = object["status"]["conditions"].as_array()?;
    let one = all.iter().find(|condition| condition["type"] == kind)?;
    let word = |field: &str| one[field].as_str().unwrap_or_default();
    let whole = &object["status"]["observedGeneration"];
    let generation = one["observedGeneration"].as_i64().or_else(|| whole.as_i64()).unwrap_or(0);
    Some(Condition {
        status: word("status"),
        reason: word("reason"),
        message: word("message"),
        generation,
    })
}

/// Why an API is not ready that is being deleted.
pub(crate) const LEAVING: &str = "Leaving";

/// Whether it is being deleted.
pub(crate) fn is_leaving(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
        || condition(object, "Ready").is_some_and(|ready| ready.reason == LEAVING)
}

/// The object's name.
pub(crate) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// What it scales, as in `Deployment/digits`; empty where it names nothing.
pub(crate) fn target(object: &Value) -> String {
    let target = &object["spec"]["target"];
    match target["name"].as_str() {
        Some(name) => format!("{}/{name}", target["kind"].as_str().unwrap_or("Deployment")),
        // Made of the template, by the API's own name.
        None if object["spec"]["template"].is_object() => format!("Deployment/{}", name(object)),
        None => String::new(),
    }
}

/// A text; empty where there is none.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A whole number; empty where there is none.
pub(crate) fn number(value: &Value) -> String {
    value.as_i64().map_or_else(String::new, |number| number.to_string())
}

/// How long ago a time of Kubernetes was; `now` is since the Unix epoch.
pub(crate) fn age(time: &Value, now: Duration) -> String {
    let at = time.as_str().and_then(|text| humantime::parse_rfc3339_weak(text).ok());
    let at = at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    at.map_or_else(|| "-".to_owned(), |at| short(now.saturating_sub(at)))
}

/// How long ago a second since the Unix epoch was.
pub(crate) fn age_of(at: Option<i64>, now: Duration) -> String {
    let at = at.and_then(|at| u64::try_from(at).ok()).map(Duration::from_secs);
    at.map_or_else(|| "-".to_owned(), |at| short(now.saturating_sub(at)))
}

/// A duration in two or three digits a unit, as kubectl writes ages.
fn short(age: Duration) -> String {
    let (second, minute, hour, day) = (1, 60, 3600, 86_400);
    let year = 365 * day;
    let total = age.as_secs();
    let two = |big: u64, name: &str, small: u64, less: &str| match total % big / small {
        0 => format!("{}{name}", total / big),
        rest => format!("{}{name}{rest}{less}", total / big),
    };
    match total {
        0..120 => format!("{total}s"),
        120..600 => two(minute, "m", second, "s"),
        600..10_800 => format!("{}m", total / minute),
        10_800..28_800 => two(hour, "h", minute, "m"),
        28_800..172_800 => format!("{}h", total / hour),
        172_800..691_200 => two(day, "d", hour, "h"),
        691_200..63_072_000 => format!("{}d", total / day),
        63_072_000..252_288_000 => two(year, "y", day, "d"),
        _ => format!("{}y", total / year),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ages_are_written_as_kubectl_writes_them() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (201, "3m21s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (12_345, "3h25m"),
            (30_000, "8h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (64_000_000, "2y10d"),
            (252_288_000, "8y"),
        ] {
            assert_eq!(short(Duration::from_secs(seconds)), text);
        }
        let now = Duration::from_secs(100);
        assert_eq!(age(&json!("1970-01-01T00:01:30Z"), now), "10s");
        assert_eq!(age(&json!("1970-01-01T00:01:30.500000Z"), now), "9s");
        assert_eq!(age(&json!("later"), now), "-");
        assert_eq!(age_of(Some(40), now), "60s");
        assert_eq!(age_of(None, now), "-");
    }

    #[test]
    fn a_condition_is_about_a_generation() {
        let object = json!({"status": {"observedGeneration": 2, "conditions": [
            {"type": "Ready", "status": "True", "reason": "Replicas", "observedGeneration": 3},
            {"type": "Scaling", "status": "False"}]}});
        assert_eq!(condition(&object, "Ready").unwrap().generation, 3);
        assert_eq!(condition(&object, "Scaling").unwrap().generation, 2);
        assert_eq!(condition(&object, "Other"), None);
    }
}
