//! What is logged, in which form, and what a slow reader costs.

use super::*;
use crate::fields::Fields;
use crate::hop::TrustedHops;
use serde_json::Value;
use std::sync::Mutex;

/// What is written, once the gate is open.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

/// A reader that does not read until it is let.
struct Stuck(Receiver<()>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.recv() {
            Ok(()) => Ok(0),
            Err(_) => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn counter() -> IntCounter {
    IntCounter::new("dropped", "Dropped.").unwrap()
}

fn ending(status: u16, reason: &'static str) -> Ending<'static> {
    let duration = Duration::from_micros(1500);
    Ending { api: "", status, reason, queue_wait: duration, first_byte: None, duration }
}

fn identity() -> Identity {
    Identity::establish(&mut Fields::default(), Sampling::ALL)
}

fn peer() -> Peer {
    TrustedHops::NONE.peer([192, 0, 2, 7].into())
}

/// The lines of requests that ended so.
fn logged(selection: Selection, endings: &[Ending<'static>], uri: &str) -> Vec<Value> {
    let page = Page::default();
    let (log, writer) = AccessLog::to(selection, counter(), page.clone()).unwrap();
    for ending in endings {
        let request = http::Request::get(uri).body(()).unwrap().into();
        if let Some(entry) = log.begin(&request, &identity(), &peer()) {
            entry.end(*ending);
        }
    }
    drop(log);
    writer.finish();
    let bytes = page.0.lock().unwrap().clone();
    let lines = String::from_utf8(bytes).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_selection_takes_its_own() {
    let endings =
        [ending(200, ""), ending(200, "upstream-reset"), ending(404, ""), ending(302, "")];
    let statuses = |selection| {
        let lines = logged(selection, &endings, "/");
        lines.iter().map(|line| line["status"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(statuses(Selection::All), [200, 200, 404, 302]);
    assert_eq!(statuses(Selection::Errors), [200, 404]);
    assert_eq!(statuses(Selection::Off), [0; 0]);
    assert_eq!(statuses(Selection::Sampled(Sampling::ALL)).len(), 4);
    assert_eq!(statuses(Selection::Sampled(Sampling::NONE)).len(), 0);
    let many = vec![ending(200, ""); 4000];
    let some = logged(Selection::Sampled(Sampling::share(0.25)), &many, "/").len();
    assert!((800..1200).contains(&some), "{some}");
}

#[test]
fn a_line_says_what_is_known_and_no_query() {
    let lines = logged(Selection::All, &[ending(503, "queue-full")], "/a%22/b?key=secret");
    let line = lines[0].as_object().unwrap();
    assert_eq!((&line["path"], &line["method"]), (&Value::from("/a%22/b"), &Value::from("GET")));
    assert_eq!((&line["status"], &line["reason"]), (&Value::from(503), &Value::from("queue-full")));
    assert_eq!(line["duration_seconds"], 0.0015);
    assert_eq!(line["request_id"], line["trace_id"]);
    assert!(!line.contains_key("tenant") && !line.contains_key("first_byte_seconds"));
    assert!(!format!("{line:?}").contains("secret"));
}

#[test]
fn what_a_client_chooses_can_make_neither_a_line_nor_a_large_one() {
    let page = Page::default();
    let (log, writer) = AccessLog::to(Selection::All, counter(), page.clone()).unwrap();
    let mut entry = log.begin_unread(&identity(), None).unwrap();
    entry.tenant = Some("a\"}\n{\"event\":\"request\u{1b}\u{2028}".to_owned());
    entry.end(ending(400, "bad-request"));
    let request = http::Request::get(format!("/{}", "ä".repeat(3000))).body(()).unwrap().into();
    log.begin(&request, &identity(), &peer()).unwrap().end(ending(200, ""));
    drop(log);
    writer.finish();
    let bytes = page.0.lock().unwrap().clone();
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["tenant"], "a\"}\n{\"event\":\"request\u{1b}\u{2028}");
    assert!(lines[1]["path"].as_str().unwrap().len() <= MAX_TEXT_BYTES);
}

#[test]
fn a_reader_that_does_not_read_costs_lines_and_nothing_else() {
    let (release, stuck) = sync_channel(0);
    let dropped = counter();
    let (log, writer) = AccessLog::to(Selection::All, dropped.clone(), Stuck(stuck)).unwrap();
    // One more than wait may be with the thread, with as many as it takes at once.
    for _ in 0..3 * MAX_LINES {
        log.begin_unread(&identity(), None).unwrap().end(ending(200, ""));
    }
    assert!(dropped.get() > 0, "nothing was dropped");
    drop(release);
    drop(log);
    writer.finish();
}
