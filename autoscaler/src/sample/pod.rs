//! The one series that the `metric` rule asks a model for.

use super::SampleError;
use super::series::Series;
use std::collections::BTreeMap;

/// The value of the series of this name that has all these labels.
///
/// Several are an error, not a sum: what they add up to may mean nothing.
pub(crate) fn pod(
    text: &str,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> Result<f64, SampleError> {
    let fits = |series: &Series<'_>| {
        let has = |(label, value): (&String, &String)| {
            series.label(label).is_some_and(|given| given == value.as_str())
        };
        series.name == name && labels.iter().all(has)
    };
    let mut found = text.lines().filter_map(Series::parse).filter(fits);
    let series = found.next().ok_or(SampleError::NoSeries)?;
    if found.next().is_some() {
        return Err(SampleError::Several);
    }
    series.number()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# TYPE waiting gauge
waiting{model="a",zone="x}"} 3
waiting{model="b \"c\"",zone="y"} 4.5 1700000000000
waiting_total 9
alone 1e2
bad NaN
"#;

    #[test]
    fn one_series_is_found_by_its_name_and_labels() {
        let bad = || SampleError::Value { name: "bad".to_owned(), value: "NaN".to_owned() };
        for (name, labels, want) in [
            ("waiting", vec![("model", "a")], Ok(3.0)),
            ("waiting", vec![("zone", "x}")], Ok(3.0)),
            ("waiting", vec![("zone", "y"), ("model", "b \"c\"")], Ok(4.5)),
            ("waiting", vec![], Err(SampleError::Several)),
            ("waiting", vec![("model", "a"), ("zone", "y")], Err(SampleError::NoSeries)),
            ("waiting", vec![("model", "")], Err(SampleError::NoSeries)),
            ("wait", vec![], Err(SampleError::NoSeries)),
            ("alone", vec![], Ok(100.0)),
            ("bad", vec![], Err(bad())),
        ] {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let wanted: BTreeMap<String, String> = labels.iter().map(owned).collect();
            assert_eq!(pod(TEXT, name, &wanted), want, "{name} {labels:?}");
        }
    }
}
