//! Window averages beside Knative's and KEDA's published numbers.
//!
//! Their reports of one second add up; ours are added up before they are recorded. So a case is
//! first turned into one total for each second.

use super::at;
use serde_json::Value;
use std::collections::BTreeMap;
use tidegate_autoscaler::policy::window::Window;

const KNATIVE: &str = include_str!("../data/buckets_linear.json");
const KEDA: &str = include_str!("../data/keda_buckets_linear.json");

/// The recorded totals by second, and the averages `(now, want)` asked for, of one case.
fn replay(file: &str, name: &str, mut check: impl FnMut(&Window, f64, f64, bool)) {
    let file: Value = serde_json::from_str(file).unwrap();
    let cases = file["cases"].as_array().unwrap();
    let case = cases.iter().find(|case| case["name"] == name).unwrap();
    let length = case["window_s"].as_f64().unwrap();
    let mut totals: BTreeMap<u64, f64> = BTreeMap::new();
    for op in case["ops"].as_array().unwrap() {
        let (when, value) = (op[1].as_f64().unwrap(), op[2].as_f64().unwrap_or(0.0));
        match op[0].as_str().unwrap() {
            "rec" => *totals.entry(when as u64).or_default() += value,
            kind @ ("avg" | "sum") => {
                let mut window = Window::new(at(length));
                for (second, total) in &totals {
                    let start = *second as f64;
                    window.record(at(start), at(start + 1.0), *total);
                }
                // They name a second by its beginning, we ask at its end.
                check(&window, when.floor() + 1.0, value, kind == "sum");
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn full_windows_average_as_knatives_do() {
    let mut checked = 0;
    for (name, length) in
        [("collector_stable_6s", 6.0), ("collector_panic_2s", 2.0), ("many_reps_same_bucket", 60.0)]
    {
        replay(KNATIVE, name, |window, now, want, is_sum| {
            let average = window.over(at(length), at(now)).unwrap();
            let known = average.filled * length;
            let got = if is_sum { average.value * known } else { average.value };
            assert!((got - want).abs() < 1e-6, "{name} at {now}: {got} is not {want}");
            checked += 1;
        });
    }
    assert_eq!(checked, 3);
}

#[test]
fn silence_at_the_end_is_knatives_number_and_says_how_much_is_known() {
    let mut window = Window::new(at(5.0));
    for second in 0..5_u32 {
        let start = f64::from(second);
        window.record(at(start), at(start + 1.0), start + 1.0);
    }
    // Knative says 4.0 here and KEDA 2.4.
    let average = window.over(at(5.0), at(7.0)).unwrap();
    assert_eq!(average.value, 4.0);
    assert!((average.filled - 0.6).abs() < 1e-9);
    replay(KEDA, "short_hole_differs_from_knative", |window, now, want, _| {
        let average = window.over(at(5.0), at(now)).unwrap();
        assert!((average.value * average.filled - want).abs() < 1e-9, "zeros would give theirs");
    });
}

#[test]
fn silence_inside_is_left_out_too() {
    let mut window = Window::new(at(5.0));
    for (second, total) in [(2.0, 3.0), (3.0, 4.0), (4.0, 5.0), (6.0, 91.0)] {
        window.record(at(second), at(second + 1.0), total);
    }
    // Knative and KEDA count second 5 as zero: 20.6.
    let average = window.over(at(5.0), at(7.0)).unwrap();
    assert_eq!(average.value, 25.75);
    assert!((average.value * average.filled - 20.6).abs() < 1e-9);
}
