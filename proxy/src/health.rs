//! Keeps asking one endpoint whether it can serve.

use crate::clock;
use crate::complaints::Complaints;
use crate::endpoint::Endpoint;
use crate::error::chain;
use crate::probe::Probe;
use crate::socket::Address;
use std::time::Duration;

/// How soon an endpoint that is not ready is asked again: a cold start must not wait for a probe.
const UNREADY_PERIOD: Duration = Duration::from_millis(25);

/// How an endpoint is asked.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// What is asked.
    pub probe: Probe,
    /// Between two probes while it is ready.
    pub period: Duration,
    /// The longest a probe may take.
    pub timeout: Duration,
    /// Probes that fail in a row before a ready endpoint counts as unready.
    pub failure_threshold: u32,
}

/// Asks `address` for ever, and tells each change to `changed`. An endpoint begins as unready. A
/// suspicion makes it unready until a probe that began later passes.
pub async fn watch(
    endpoint: &Endpoint,
    address: &Address,
    schedule: &Schedule,
    mut changed: impl FnMut(bool),
) {
    let mut ready = false;
    let mut failures = 0;
    let mut complaints = Complaints::since(clock::now());
    loop {
        let start = endpoint.probe_start();
        let suspected = endpoint.is_suspected();
        match schedule.probe.ask(address, schedule.timeout).await {
            Ok(()) => {
                endpoint.probe_passed(start);
                failures = 0;
            }
            Err(error) => {
                failures += 1;
                let (endpoint, error) = (&endpoint.id, chain(&error));
                tracing::trace!(endpoint, error, failures, "probe failed");
                if !ready && complaints.may(clock::now()) {
                    tracing::warn!(endpoint, error, "endpoint is not ready: its probe fails");
                } else if ready {
                    complaints = Complaints::since(clock::now());
                    tracing::info!(endpoint, error, failures, "probe of a ready endpoint failed");
                }
            }
        }
        let patient = ready && !suspected && failures < schedule.failure_threshold;
        let now_ready = !endpoint.is_suspected() && (failures == 0 || patient);
        if now_ready != ready {
            tracing::info!(endpoint = endpoint.id, ready = now_ready, "endpoint readiness");
        }
        // A suspicion has been acted on where it arose: what this says counts after it.
        if now_ready != ready || suspected {
            changed(now_ready);
        }
        ready = now_ready;
        let pause = if ready { schedule.period } else { UNREADY_PERIOD };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = endpoint.suspicion(), if ready => {}
        }
    }
}
