//! Knative's published cases of its breaker, which is to its sidecar what the admission is to ours.
//!
//! `breaker.json` re-expresses them (Knative Serving, Apache-2.0; it names its source). Two words differ.
//! Their queue and their permits share one number of places, so that what is missing in permits may wait;
//! ours is as long as it says, and here it is told so at each change. A `reserve` is an offer that is not
//! followed by a wait. Left out: four settings that are refused there (three can't be written with
//! unsigned numbers, and a queue of length 0 is allowed here), and three cases over HTTP. Of those, a full
//! queue and a deadline are in `stack`'s tests, and a kubelet's probes come to the admin port here, where
//! nothing waits.

use super::*;
use serde_json::Value;
use std::collections::BTreeMap;

const CASES: &str = include_str!("breaker.json");

/// A breaker by its words.
struct Breaker {
    admission: Admission<String>,
    slot: SlotId,
    /// Places to run and to wait.
    places: u32,
    running: BTreeMap<String, Grant>,
    waiting: BTreeMap<String, Ticket>,
    now: Instant,
}

impl Breaker {
    fn of(case: &Value) -> Self {
        let number = |key: &str| case[key].as_u64().unwrap() as u32;
        let now = Instant::now();
        let mut admission = Admission::new(RULES, 1, now);
        let slot = admission.slots_mut().add(0, 0, Usability::Usable);
        let places = number("queue_depth") + number("max_concurrency");
        let (running, waiting) = (BTreeMap::new(), BTreeMap::new());
        let mut breaker = Self { admission, slot, places, running, waiting, now };
        breaker.set_capacity(number("initial_capacity"));
        breaker
    }

    fn set_capacity(&mut self, capacity: u32) {
        self.admission.set_limit(self.slot, capacity, None);
        self.admission.set_limits(QueueLimits { capacity: self.places - capacity, ..LIMITS });
        self.start();
    }

    /// Who waits and can run does.
    fn start(&mut self) {
        while let Some(turn) = self.admission.poll(self.now) {
            let Turn::Start(ticket, name, grant) = turn else { panic!("{turn:?}") };
            assert_eq!(self.waiting.remove(&name), Some(ticket));
            self.running.insert(name, grant);
        }
    }

    fn request(&mut self, name: &str) -> &'static str {
        let claim = Claim::default();
        match self.admission.offer(&claim, None, self.now) {
            Offer::Admitted(grant) => {
                self.running.insert(name.to_owned(), grant);
                "running"
            }
            Offer::MustWait => {
                let deadline = self.now + Duration::from_secs(60);
                let name = name.to_owned();
                let ticket = self.admission.wait(&claim, None, deadline, name.clone(), self.now);
                self.waiting.insert(name, ticket);
                "queued"
            }
            Offer::Refused(_) => "rejected_queue_full",
        }
    }

    fn reserve(&mut self, name: &str) -> &'static str {
        let Offer::Admitted(grant) = self.admission.offer(&Claim::default(), None, self.now) else {
            return "fail";
        };
        self.running.insert(name.to_owned(), grant);
        "ok"
    }

    fn finish(&mut self, name: &str) -> &'static str {
        let grant = self.running.remove(name).unwrap();
        self.admission.finish(grant, true, self.now);
        self.start();
        "ok"
    }

    fn cancel(&mut self, name: &str) -> &'static str {
        let ticket = self.waiting.remove(name).unwrap();
        self.admission.cancel(ticket, self.now).map_or("runs", |_| "fails")
    }
}

#[test]
fn the_admission_does_what_knatives_breaker_does() {
    let file: Value = serde_json::from_str(CASES).unwrap();
    let mut played = 0;
    for case in file["cases"].as_array().unwrap() {
        let Some(ops) = case["ops"].as_array() else { continue };
        let mut breaker = Breaker::of(case);
        for op in ops {
            if op[0] == "set_capacity" {
                breaker.set_capacity(op[1].as_u64().unwrap() as u32);
                continue;
            }
            if op[0] == "want_capacity" {
                assert_eq!(u64::from(breaker.admission.snapshot(breaker.now).limit), op[1]);
                continue;
            }
            let name = op[1].as_str().unwrap();
            let got = match op[0].as_str().unwrap() {
                "request" => breaker.request(name),
                "reserve" => breaker.reserve(name),
                "finish" | "release" => breaker.finish(name),
                "cancel" => breaker.cancel(name),
                // Its client has left before it came: there is nobody to offer anything to.
                "request_cancelled_ctx" => "fails",
                other => panic!("{other}"),
            };
            assert_eq!(got, op[2].as_str().unwrap_or("ok"), "{} {op}", case["name"]);
        }
        played += 1;
    }
    assert_eq!(played, 7);
}
