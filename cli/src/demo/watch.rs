//! Looks at the running demo: a line each second, and what the proxies count.

use super::counted::{Counted, Sidecars};
use super::load::SharedTally;
use super::schedule::{Phase, phase_at};
use super::summary::{Summary, millis};
use super::tally::Tally;
use crate::client::HttpClient;
use crate::clock::now;
use crate::screen::Screen;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tidegate_autoscaler::{Handle, Status};
use tokio::time::MissedTickBehavior;

/// Sidecars are asked so often that a draining one is asked again after its last request.
const LOOKS_A_SECOND: u32 = 4;

/// How long after the schedule's end the last answers may come and the last replica go.
const END_AT_MOST: Duration = Duration::from_secs(90);

/// A header is repeated after so many lines.
const LINES_A_PAGE: u32 = 20;

/// Looks at the demo while it runs.
pub(crate) struct Watch<'a> {
    screen: &'a Screen,
    phases: &'a [Phase],
    start: Instant,
    tally: &'a SharedTally,
    handle: Handle,
    gateway: SocketAddr,
    client: HttpClient,
    seen: Seen,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    gateway: Option<Counted>,
    sidecars: Sidecars,
    status: Status,
    ready_max: u32,
    interrupted: bool,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(
        screen: &'a Screen,
        phases: &'a [Phase],
        start: Instant,
        tally: &'a SharedTally,
        handle: Handle,
        gateway: SocketAddr,
    ) -> Self {
        let (client, seen) = (HttpClient::new(), Seen::default());
        Self { screen, phases, start, tally, handle, gateway, client, seen }
    }

    /// Shows a line each second until everything was sent and answered and no replica is left, or
    /// until that takes too long.
    pub(crate) async fn until_over(&mut self, all_sent: impl Fn() -> bool) {
        let length = self.phases.last().map(|phase| phase.end).unwrap_or_default();
        let mut looks = tokio::time::interval(Duration::from_secs(1) / LOOKS_A_SECOND);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for look in 0_u32.. {
            looks.tick().await;
            self.look().await;
            let time = now().saturating_duration_since(self.start);
            if look.is_multiple_of(LOOKS_A_SECOND) {
                self.show(time, look / LOOKS_A_SECOND);
            }
            let is_idle = self.seen.status.apis.iter().all(|api| api.replicas.is_empty());
            if time >= length && all_sent() && is_idle || time >= length + END_AT_MOST {
                break;
            }
        }
        // Before the gateway is stopped: it takes its counts with it.
        self.seen.gateway = Counted::ask(&self.client, self.gateway).await.ok();
    }

    /// What was seen, once everything is stopped.
    pub(crate) fn into_seen(self, interrupted: bool) -> Seen {
        Seen { interrupted, ..self.seen }
    }

    async fn look(&mut self) {
        self.seen.status = self.handle.status();
        self.seen.sidecars.ask(&self.client, &self.seen.status).await;
        let ready = self.seen.status.apis.iter().map(|api| api.ready).sum();
        self.seen.ready_max = self.seen.ready_max.max(ready);
    }

    fn show(&self, time: Duration, line: u32) {
        if line.is_multiple_of(LINES_A_PAGE) {
            self.screen.line(&row([
                "time",
                "phase",
                "sent",
                "in flight",
                "queued",
                "wanted",
                "ready",
                "p50",
                "p99",
            ]));
        }
        let mut tally = self.tally.lock();
        let latency = tally.last_second();
        let part = |time: Option<Duration>| time.map_or_else(|| "-".to_owned(), millis);
        let sum = |of: fn(&tidegate_autoscaler::status::ApiStatus) -> u32| {
            self.seen.status.apis.iter().map(of).sum::<u32>().to_string()
        };
        self.screen.line(&row([
            &format!("{} s", time.as_secs()),
            phase_at(self.phases, time).map_or("", |phase| phase.name),
            &tally.sent.to_string(),
            &sum(|api| api.in_flight),
            &sum(|api| api.queued),
            &sum(|api| api.wanted),
            &sum(|api| api.ready),
            &part(latency.map(|latency| latency.p50)),
            &part(latency.map(|latency| latency.p99)),
        ]));
    }
}

impl Seen {
    /// Together with the counts.
    pub(crate) fn summary<'a>(&'a self, tally: &'a Tally) -> Summary<'a> {
        Summary {
            tally,
            gateway: self.gateway,
            sidecars: &self.sidecars,
            status: &self.status,
            ready_max: self.ready_max,
            interrupted: self.interrupted,
        }
    }
}

fn row(cells: [&str; 9]) -> String {
    let [time, phase, sent, in_flight, queued, wanted, ready, p50, p99] = cells;
    format!(
        "{time:>5}  {phase:<11} {sent:>6} {in_flight:>10} {queued:>7} {wanted:>7} {ready:>6} \
         {p50:>7} {p99:>7}"
    )
}
