//! An API's schedules, asked at each tick and computed only when one begins or ends. Pure.

use std::time::Duration;
use tidegate_api::schedule::{Floor, Schedule, floor};

/// Schedules, and what they last said.
#[derive(Debug, Clone)]
pub struct Calendar {
    schedules: Vec<Schedule>,
    /// Since when it holds, and what.
    known: Option<(Duration, Floor)>,
}

impl Calendar {
    /// The calendar of these schedules.
    pub fn new(schedules: Vec<Schedule>) -> Self {
        Self { schedules, known: None }
    }

    /// The fewest replicas at `wall`, since the Unix epoch. That clock may go back.
    pub fn floor(&mut self, wall: Duration) -> Option<u32> {
        if self.schedules.is_empty() {
            return None;
        }
        match self.known {
            Some((from, known)) if from <= wall && wall < known.until => known.replicas,
            _ => {
                let known = floor(&self.schedules, wall);
                self.known = Some((wall, known));
                known.replicas
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_api::schedule::wall_time;

    #[test]
    fn it_says_what_holds_whichever_way_the_clock_goes() {
        let text = "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {name: a}\n\
                    spec: {container: {command: [a]}, autoscaling: {schedules: [\
                    {cron: '0 8 * * *', minReplicas: 3, duration: 2h}]}}\n";
        let api = tidegate_api::parse(text, "test", std::path::Path::new("/")).unwrap().remove(0);
        let mut calendar = Calendar::new(api.autoscaling.schedules);
        for (time, want) in [
            ("2026-01-05T07:59:59Z", None),
            ("2026-01-05T08:00:00Z", Some(3)),
            ("2026-01-05T09:59:59Z", Some(3)),
            ("2026-01-05T10:00:00Z", None),
            ("2026-01-05T09:00:00Z", Some(3)),
            ("2026-01-04T11:00:00Z", None),
            ("2026-01-06T08:30:00Z", Some(3)),
        ] {
            assert_eq!(calendar.floor(wall_time(time).unwrap()), want, "{time}");
        }
        assert_eq!(Calendar::new(Vec::new()).floor(Duration::ZERO), None);
    }
}
