//! What is done for requests while their API comes up from zero.

use super::{Check, word};
use crate::document::{ColdStart, Fallback};
use crate::key_path::KeyPath;
use crate::quantity::{DurationText, MAX_DURATION};
use crate::raw::{RawColdStart, RawFallback};
use std::time::Duration;

/// The shortest time between two signs of life: more often, and they are load.
const MIN_KEEP_ALIVE: Duration = Duration::from_millis(100);

pub(super) fn check(raw: RawColdStart, name: &str, check: &mut Check<'_>) -> ColdStart {
    let DurationText(keep_alive) = raw.keep_alive;
    let keep_alive = (!keep_alive.is_zero()).then(|| {
        check.duration("spec.coldStart.keepAlive", raw.keep_alive, MIN_KEEP_ALIVE, MAX_DURATION)
    });
    let fallback = raw.fallback.map(|raw| fallback(raw, name, check));
    ColdStart { keep_alive, fallback }
}

/// Whether there is an API of that name is known once all documents are.
fn fallback(raw: RawFallback, name: &str, check: &mut Check<'_>) -> Fallback {
    let path = KeyPath::keys("spec.coldStart.fallback.api");
    let api = raw.api.unwrap_or_default();
    check.text(&path, &api, word::is_dns_label, word::DNS_LABEL);
    if api == name {
        check.wrong(&path, "is the API itself", "the name of another");
    }
    let after = "spec.coldStart.fallback.after";
    let after = check.duration(after, raw.after, Duration::ZERO, MAX_DURATION);
    Fallback { api, after, mark: check.node.locate(&path) }
}
