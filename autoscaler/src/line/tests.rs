//! Lines to observations, and those that are none.

use super::*;

#[test]
fn short_names_are_since_the_line_before() {
    let mut reader = Reader::new();
    let first = reader.read(r#"{"at": 60, "in_flight": 2}"#).unwrap();
    assert_eq!(first.seen.load, Some(Load { from: BEGINNING - FIRST_SPAN, average: 2.0 }));
    let line = r#"{"at": 61.5, "replicas": 4, "ready": 3, "in_flight": 12.5, "arrivals": 120,
        "completions": 118, "service_seconds": 11.8, "queued": 3, "note": "x"}"#;
    let next = reader.read(line).unwrap();
    assert_eq!((next.at, next.now), (61.5, BEGINNING + Duration::from_millis(1500)));
    assert_eq!((next.replicas, next.seen.ready, next.seen.held), (Some(4), 3, 3));
    assert_eq!(next.seen.load, Some(Load { from: BEGINNING, average: 15.5 }));
    let traffic = next.seen.traffic.unwrap();
    assert_eq!((traffic.arrivals, traffic.completions), (120.0, 118.0));
    assert_eq!(next.ignored, ["note"]);
}

#[test]
fn metric_names_are_cumulative_and_one_that_went_back_is_unknown() {
    let mut reader = Reader::new();
    let line = |at: u32, seconds: f64, count: f64| {
        format!(
            "{{\"at\": {at}, \"tidegate_concurrency_seconds_total\": {seconds},
             \"tidegate_queue_seconds_total\": {seconds}, \"tidegate_requests_in_flight\": 7,
             \"tidegate_requests_total\": {count},
             \"tidegate_upstream_duration_seconds_count\": {count},
             \"tidegate_upstream_duration_seconds_sum\": {seconds}}}"
        )
    };
    let average = |reading: Reading| reading.seen.load.map(|load| load.average);
    assert_eq!(average(reader.read(&line(10, 100.0, 50.0)).unwrap()), Some(7.0));
    let second = reader.read(&line(12, 103.0, 60.0)).unwrap();
    let traffic = second.seen.traffic.unwrap();
    assert_eq!((traffic.arrivals, traffic.service_seconds), (10.0, 3.0));
    assert_eq!(average(second), Some(3.0));
    assert_eq!(average(reader.read(&line(13, 1.0, 2.0)).unwrap()), Some(7.0));
    assert_eq!(average(reader.read(&line(14, 2.0, 3.0)).unwrap()), Some(2.0));
}

#[test]
fn who_no_longer_says_what_waits_is_known_by_half() {
    let mut reader = Reader::new();
    let mut read = |text: &str| {
        let seen = reader.read(text).unwrap().seen;
        (seen.load.map(|load| load.average), seen.complete)
    };
    let both = |at: u32, queue: u32| {
        format!(
            "{{\"at\": {at}, \"tidegate_concurrency_seconds_total\": {at},
             \"tidegate_queue_seconds_total\": {queue}}}"
        )
    };
    read(&both(1, 1));
    assert_eq!(read(&both(2, 4)), (Some(4.0), true));
    assert_eq!(read(&both(3, 0)), (Some(1.0), false), "it went back");
    let one = |at: u32| format!("{{\"at\": {at}, \"tidegate_concurrency_seconds_total\": {at}}}");
    assert_eq!(read(&one(4)), (Some(1.0), false));
    assert_eq!(read(&one(5)), (Some(1.0), true), "it has no line");
}

#[test]
fn whole_numbers_may_have_a_point() {
    let reading = Reader::new().read(r#"{"at": 1, "replicas": 4.0, "ready": 3e0}"#).unwrap();
    assert_eq!((reading.replicas, reading.seen.ready), (Some(4), 3));
    let error = Reader::new().read(r#"{"at": 1, "ready": 1.5}"#).unwrap_err();
    assert_eq!(error, LineError::Count("ready", 1.5));
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_line() {
    let line = "\u{feff}{\"at\": 1, \"ready\": 2}\r\n";
    assert_eq!(Reader::new().read(line).unwrap().seen.ready, 2);
}

#[test]
fn a_mistake_is_said_in_the_words_of_who_wrote_the_line() {
    for (line, want) in [
        ("{\"at\": 1, \"in_flight\": \"5\"}\n", "\"5\", expected a number at column 26)"),
        ("7\n", "integer `7`, expected an object at column 1)"),
        ("\n", "EOF while parsing a value at column 0)"),
        // Milliseconds of the Unix epoch.
        (
            "{\"at\": 1764387000000}",
            "`at` is 1764387000000; give it in seconds, from 0 to 1000000000000",
        ),
    ] {
        let error = Reader::new().read(line).unwrap_err().to_string();
        assert!(error.contains(want), "{line}: {error}");
    }
}

#[test]
fn time_that_goes_back_stands_still() {
    let mut reader = Reader::new();
    for (at, now) in [(100.0, 0), (101.0, 1), (50.0, 1), (52.0, 3)] {
        let reading = reader.read(&format!("{{\"at\": {at}}}")).unwrap();
        assert_eq!(reading.now, BEGINNING + Duration::from_secs(now));
        assert_eq!((reading.seen.load, reading.seen.complete), (None, false));
    }
}

#[test]
fn what_is_no_observation_is_refused_and_changes_nothing() {
    let mut reader = Reader::new();
    reader.read(r#"{"at": 1, "in_flight": 1}"#).unwrap();
    for bad in [
        "",
        "7",
        "[]",
        "{\"at\": NaN}",
        "{\"at\": 1e999}",
        "{\"at\": \"1\"}",
        "{\"at\": 2, \"ready\": -1}",
        "{\"at\": 2, \"ready\": 1.5}",
        "{\"at\": 2, \"in_flight\": -0.5}",
        "{\"at\": 2, \"tidegate_queue_seconds_total\": -1}",
        "{\"at\": 1e300}",
        "{\"in_flight\": 3}",
    ] {
        assert!(reader.read(bad).is_err(), "{bad}");
        assert_eq!(reader.last_at, Some(1.0));
    }
    assert_eq!(reader.read("{\"in_flight\": 3}").unwrap_err(), LineError::NoTime);
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC*|\\{(\"(at|ready|stable|queued)\": ?[0-9.e+-]{1,9},?){0,4}\\}") {
        Reader::new().read(&text).ok();
    }
}
