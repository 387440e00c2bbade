//! Durations and sizes as a document writes them: `1m30s`, `64Mi`.

use crate::document::Replicas;
use bytesize::ByteSize;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use std::time::Duration;

/// The longest duration: with more, adding it to a clock's reading could overflow.
pub(crate) const MAX_DURATION: Duration = Duration::from_secs(30 * 24 * 3600);
/// The largest size, in bytes: what JSON numbers hold exactly.
const MAX_SIZE: u64 = 1 << 53;

/// The schema's word for the text of a duration, under `format`.
pub(crate) const DURATION_FORMAT: &str = "tidegate-duration";
/// The schema's word for the text of a size, under `format`.
pub(crate) const SIZE_FORMAT: &str = "tidegate-size";

/// The schema's word for a number of replicas or a share of them, under `format`.
pub(crate) const REPLICAS_FORMAT: &str = "tidegate-replicas";

/// What a duration must look like, for messages.
pub(crate) const DURATION_MUST: &str =
    "a duration such as \"30s\", \"1m30s\" or \"250ms\", at most \"30d\"";
/// What a size must look like, for messages.
pub(crate) const SIZE_MUST: &str =
    "a size such as \"64Mi\", \"1GiB\" or \"512k\", or a number of bytes, at most 2^53";
/// What a number of replicas or a share of them must look like, for messages.
pub(crate) const REPLICAS_MUST: &str =
    "a number of replicas, at most 100000, or a share of them from \"0%\" to \"100%\"";
/// The most replicas that a number may name.
const MOST_REPLICAS: u64 = 100_000;

/// A duration, written as text with units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DurationText(pub(crate) Duration);

/// A number of bytes, written as text with a unit or as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// A number of replicas, or a share of them written as `25%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplicasText(pub(crate) Replicas);

/// Reads a duration; `None` where it isn't one or is too long.
pub(crate) fn duration(value: &Value) -> Option<Duration> {
    let duration = humantime::parse_duration(value.as_str()?).ok()?;
    (duration <= MAX_DURATION).then_some(duration)
}

/// Reads a size in bytes; `None` where it isn't one or is too large.
pub(crate) fn size(value: &Value) -> Option<u64> {
    let bytes = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.parse::<ByteSize>().ok()?.as_u64(),
        _ => return None,
    };
    (bytes <= MAX_SIZE).then_some(bytes)
}

/// Reads a number of replicas or a share; `None` where it is neither.
pub(crate) fn replicas(value: &Value) -> Option<Replicas> {
    match value {
        Value::Number(number) => {
            let count = number.as_u64().filter(|count| *count <= MOST_REPLICAS)?;
            u32::try_from(count).ok().map(Replicas::Count)
        }
        Value::String(text) => {
            let digits = text.strip_suffix('%')?;
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            let percent = digits.parse().ok().filter(|percent| is_plain && *percent <= 100)?;
            Some(Replicas::Percent(percent))
        }
        _ => None,
    }
}

/// A duration in the form that documents use.
pub fn shown(duration: Duration) -> String {
    let text = humantime::format_duration(duration).to_string();
    text.replace(' ', "").replace("days", "d").replace("day", "d")
}

// === impl DurationText ===

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        duration(&value).map(Self).ok_or_else(|| D::Error::custom(DURATION_MUST))
    }
}

impl Serialize for DurationText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&shown(self.0))
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": DURATION_FORMAT })
    }
}

// === impl Size ===

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        size(&value).map(Self).ok_or_else(|| D::Error::custom(SIZE_MUST))
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const MEBIBYTE: u64 = 1024 * 1024;
        if self.0 > 0 && self.0.is_multiple_of(MEBIBYTE) {
            return serializer.serialize_str(&format!("{}Mi", self.0 / MEBIBYTE));
        }
        serializer.serialize_u64(self.0)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "format": SIZE_FORMAT })
    }
}

// === impl ReplicasText ===

impl<'de> Deserialize<'de> for ReplicasText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        replicas(&value).map(Self).ok_or_else(|| D::Error::custom(REPLICAS_MUST))
    }
}

impl Serialize for ReplicasText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Replicas::Count(count) => serializer.serialize_u32(count),
            Replicas::Percent(percent) => serializer.serialize_str(&format!("{percent}%")),
        }
    }
}

impl JsonSchema for ReplicasText {
    fn schema_name() -> Cow<'static, str> {
        "Replicas".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "format": REPLICAS_FORMAT })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn replicas_are_a_number_or_a_share() {
        let cases = [
            (json!(0), Some(Replicas::Count(0))),
            (json!(100_000), Some(Replicas::Count(100_000))),
            (json!("25%"), Some(Replicas::Percent(25))),
            (json!("100%"), Some(Replicas::Percent(100))),
            (json!(100_001), None),
            (json!(-1), None),
            (json!(0.5), None),
            (json!("101%"), None),
            (json!("+5%"), None),
            (json!("1"), None),
            (json!("%"), None),
            (json!("a%"), None),
        ];
        for (value, want) in cases {
            assert_eq!(replicas(&value), want, "{value}");
        }
    }

    #[test]
    fn durations_have_units_and_an_upper_bound() {
        let cases = [
            (json!("30s"), Some(30_000)),
            (json!("1m30s"), Some(90_000)),
            (json!("1m 30s"), Some(90_000)),
            (json!("250ms"), Some(250)),
            (json!("0s"), Some(0)),
            (json!("30d"), Some(2_592_000_000)),
            (json!("31d"), None),
            (json!("30"), None),
            (json!("-1s"), None),
            (json!(""), None),
            (json!("99999999999999999999s"), None),
            (json!(30), None),
        ];
        for (value, millis) in cases {
            assert_eq!(duration(&value), millis.map(Duration::from_millis), "{value}");
        }
    }

    #[test]
    fn sizes_are_binary_or_decimal_or_plain_numbers() {
        let cases = [
            (json!("64Mi"), Some(64 << 20)),
            (json!("1GiB"), Some(1 << 30)),
            (json!("512k"), Some(512_000)),
            (json!("1.5Ki"), Some(1536)),
            (json!("10"), Some(10)),
            (json!(4096), Some(4096)),
            (json!(0), Some(0)),
            (json!(-1), None),
            (json!(1.5), None),
            (json!("-1Mi"), None),
            (json!("64 apples"), None),
            (json!(""), None),
            (json!("9EiB"), None),
            (json!("1e99Mi"), None),
        ];
        for (value, bytes) in cases {
            assert_eq!(size(&value), bytes, "{value}");
        }
    }
}
