//! Prometheus' HTTP API: the address of a query, and the one number in its answer. Pure.

#[cfg(feature = "kubernetes")]
pub(crate) mod pods;

use crate::policy::observation::{Gap, is_load};
use serde::Deserialize;

/// What is asked: <https://prometheus.io/docs/prometheus/latest/querying/api/>.
const PATH: &str = "/api/v1/query";

/// The address of an instant query of a Prometheus at `base`.
pub(crate) fn query_url(base: &str, query: &str) -> String {
    let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
    format!("{}{PATH}?query={query}", base.trim_end_matches('/'))
}

/// The number in an answer, which may have come with any status.
///
/// A vector of one series, or a scalar. None and several are errors, not zero and not a sum.
pub(crate) fn value(answer: &[u8]) -> Result<f64, Gap> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| Gap::Unreachable)?;
    if answer.status != "success" {
        return Err(Gap::Refused);
    }
    let data = answer.data.ok_or(Gap::Unreachable)?;
    let sample = match (data.kind.as_str(), data.result.as_array().map(Vec::as_slice)) {
        ("scalar", _) => &data.result,
        ("vector", Some([])) => return Err(Gap::Empty),
        ("vector", Some([one])) => &one["value"],
        ("vector", Some(_)) => return Err(Gap::Several),
        _ => return Err(Gap::NotANumber),
    };
    // A sample is a pair: when, in seconds, and the number as text.
    let number = sample[1].as_str().and_then(|text| text.parse::<f64>().ok());
    number.filter(|number| is_load(*number)).ok_or(Gap::NotANumber)
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_is_the_value_and_all_else_says_why_not() {
        let success = |kind, data| {
            format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{data}}}}}"#)
        };
        let one = |value| format!(r#"[{{"metric":{{"a":"b"}},"value":[1700000000.5,"{value}"]}}]"#);
        let two = r#"[{"metric":{},"value":[1,"1"]},{"metric":{},"value":[1,"2"]}]"#;
        for (answer, want) in [
            (success("vector", &*one("12.5")), Ok(12.5)),
            (success("vector", &*one("1e+06")), Ok(1e6)),
            (success("scalar", r#"[1700000000,"3"]"#), Ok(3.0)),
            (success("vector", "[]"), Err(Gap::Empty)),
            (success("vector", two), Err(Gap::Several)),
            (success("vector", &*one("NaN")), Err(Gap::NotANumber)),
            (success("vector", &*one("+Inf")), Err(Gap::NotANumber)),
            (success("vector", &*one("-1")), Err(Gap::NotANumber)),
            (success("string", r#"[1,"x"]"#), Err(Gap::NotANumber)),
            (
                r#"{"status":"error","errorType":"bad_data","error":"x"}"#.to_owned(),
                Err(Gap::Refused),
            ),
            ("<html>".to_owned(), Err(Gap::Unreachable)),
            (String::new(), Err(Gap::Unreachable)),
        ] {
            assert_eq!(value(answer.as_bytes()), want, "{answer}");
        }
    }

    #[test]
    fn a_query_is_one_word_of_the_address() {
        let url = query_url("http://a:9/prom/", "sum(rate(x{a=\"b\"}[1m])) + 1 & 2");
        let want = "http://a:9/prom/api/v1/query?query=sum%28rate%28x%7Ba%3D%22b%22%7D%5B1m%5D%29%29+%2B+1+%26+2";
        assert_eq!(url, want);
    }
}
