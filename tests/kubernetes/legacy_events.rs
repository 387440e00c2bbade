//! Events of `v1`: those of `events.k8s.io/v1` under their older names, as an API server shows them.

use super::request::{Place, Selection};
use super::store::Store;
use serde_json::{Value, json};

/// Whether these are events of `v1`.
pub(super) fn are(place: &Place) -> bool {
    (&*place.group_version, &*place.plural) == ("v1", "events")
}

/// Those that are meant.
pub(super) fn list(store: &Store, place: &Place, selection: &Selection) -> Vec<Value> {
    let kept = Place { group_version: "events.k8s.io/v1".to_owned(), ..place.clone() };
    let events = store.list(&kept, &Selection::default()).into_iter().map(legacy);
    events.filter(|event| selection.has(event)).collect()
}

fn legacy(event: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": event["metadata"],
        "involvedObject": event["regarding"],
        "reason": event["reason"],
        "message": event["note"],
        "type": event["type"],
        "eventTime": event["eventTime"],
        "reportingComponent": event["reportingController"],
        "reportingInstance": event["reportingInstance"],
        "action": event["action"],
        "count": event["deprecatedCount"],
        "firstTimestamp": event["deprecatedFirstTimestamp"],
        "lastTimestamp": event["deprecatedLastTimestamp"],
        "source": {},
    })
}
