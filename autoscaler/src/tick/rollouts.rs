//! Moves requests from one version of an API to another, by what the gateway counts.

use super::{Control, GATEWAY, Seeing};
use std::time::Duration;

impl Control {
    /// Looks at every rollout, and passes on the weights that follow. Whether one has changed.
    pub(super) fn roll(&mut self, seeing: &Seeing, now: Duration) -> bool {
        let said = match &seeing.gateway {
            Some(Ok(reading)) => vec![(GATEWAY, &reading.sample.versions)],
            _ => Vec::new(),
        };
        let mut is_changed = false;
        for rollout in &mut self.rollouts {
            let look = rollout.look(&said, now);
            let look = look.or_else(|| rollout.fail(self.local.hopeless(&rollout.to)?, now));
            if let Some(look) = look {
                self.metrics.rolled(&rollout.api, look.reason);
                is_changed = true;
            }
        }
        if is_changed {
            self.tell_weights();
        }
        is_changed
    }

    /// The weights of all rollouts, for the endpoints file.
    pub(crate) fn tell_weights(&mut self) {
        let weights = self.rollouts.iter().map(|of| (of.api.clone(), of.weights()));
        self.local.set_weights(weights.collect());
    }
}
