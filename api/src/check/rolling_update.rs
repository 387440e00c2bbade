//! How many replicas are exchanged at once.

use super::Check;
use crate::document::{Replicas, RollingUpdate};
use crate::key_path::KeyPath;
use crate::raw::RawRollingUpdate;

pub(super) fn check(raw: RawRollingUpdate, check: &mut Check<'_>) -> RollingUpdate {
    let update =
        RollingUpdate { max_surge: raw.max_surge.0, max_unavailable: raw.max_unavailable.0 };
    let is_none = |of| matches!(of, Replicas::Count(0) | Replicas::Percent(0));
    if is_none(update.max_surge) && is_none(update.max_unavailable) {
        let path = KeyPath::keys("spec.rollingUpdate.maxSurge");
        let must = "above 0, or `maxUnavailable` must be: else no replica could be replaced";
        check.wrong(&path, "is 0, as `maxUnavailable` is", must);
    }
    update
}
