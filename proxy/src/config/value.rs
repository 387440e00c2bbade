//! Texts of flags and of the settings file → values, each with the words for a wrong one.

use crate::access_log::Selection;
use crate::classify::Cost;
use crate::identity::Sampling;
use crate::policy::limit::{Limit, LimitRange};
use http::HeaderName;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;
use tracing::level_filters::LevelFilter;

/// What `auto` alone stands for.
const AUTO_MIN: NonZeroU32 = NonZeroU32::MIN;
const AUTO_MAX: NonZeroU32 = NonZeroU32::MIN.saturating_add(199);
/// A larger share than this is a typing error.
const MAX_WEIGHT: u32 = 1000;
/// More threads than any machine has cores are a typing error.
const MAX_WORKERS: usize = 4096;

pub(super) fn unless_zero(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

/// Longer times than this are typing errors, and would overflow a clock.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 3600);
/// hyper reads a head into one buffer of at least this size.
const MIN_HEAD_BYTES: u64 = 8 << 10;
const MAX_HEAD_BYTES: u64 = 16 << 20;

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= MAX_DURATION => Ok(duration),
        Ok(_) => Err("must be a year at the most".to_owned()),
        Err(_) => Err("must be a time with its unit, such as 30s, 1m30s or 250ms".to_owned()),
    }
}

pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    duration(text)
        .and_then(|duration| unless_zero(duration).ok_or_else(|| "must be more than 0".to_owned()))
}

/// A host or an address, and a port.
pub(super) fn host_and_port(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let port = port.and_then(|(_, port)| port.parse::<u16>().ok());
    if port.is_some_and(|port| port > 0) {
        return Ok(text.to_owned());
    }
    Err("must be HOST:PORT, such as tidegate-autoscaler:8082 or 127.0.0.1:8082".to_owned())
}

pub(super) fn size(text: &str) -> Result<u64, String> {
    let parsed = text.parse::<bytesize::ByteSize>();
    parsed
        .map(|size| size.0)
        .map_err(|_| "must be a size such as 64MiB, 512KiB or 1048576".to_owned())
}

pub(super) fn head_size(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if (MIN_HEAD_BYTES..=MAX_HEAD_BYTES).contains(&bytes) {
        return Ok(bytes);
    }
    Err("must be from 8KiB to 16MiB".to_owned())
}

pub(super) fn limit(text: &str) -> Result<Limit, String> {
    let wrong = || "must be a number from 1 on, auto, or auto:MIN-MAX such as auto:2-64".to_owned();
    if let Ok(limit) = text.parse() {
        return Ok(Limit::Fixed(limit));
    }
    if text == "auto" {
        return Ok(Limit::Auto(LimitRange { min: AUTO_MIN, max: AUTO_MAX }));
    }
    let (min, max) =
        text.strip_prefix("auto:").and_then(|range| range.split_once('-')).ok_or_else(wrong)?;
    match (min.parse(), max.parse()) {
        (Ok(min), Ok(max)) if min <= max => Ok(Limit::Auto(LimitRange { min, max })),
        _ => Err(wrong()),
    }
}

pub(super) fn cost(text: &str) -> Result<Cost, String> {
    if text == "openai-tokens" {
        return Ok(Cost::OpenAiTokens);
    }
    let name = text.strip_prefix("header:").and_then(|name| name.parse::<HeaderName>().ok());
    name.map(Cost::Header)
        .ok_or_else(|| "must be openai-tokens, or header:NAME such as header:x-cost".to_owned())
}

pub(super) fn weight(text: &str) -> Result<(String, u32), String> {
    // The last one, as tokens may contain one.
    let parsed = text.rsplit_once('=').and_then(|(name, weight)| {
        let weight = weight.parse().ok().filter(|weight| (1..=MAX_WEIGHT).contains(weight))?;
        (!name.is_empty()).then(|| (name.to_owned(), weight))
    });
    parsed.ok_or_else(|| format!("must be TENANT=N with N from 1 to {MAX_WEIGHT}, such as gold=4"))
}

/// Where to listen.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "must be IP:PORT, such as 127.0.0.1:8012 or [::]:8012".to_owned())
}

pub(super) fn port(text: &str) -> Result<NonZeroU16, String> {
    text.parse().map_err(|_| "must be a port, from 1 to 65535".to_owned())
}

pub(super) fn from_zero(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("must be a whole number from 0 to {}", u32::MAX))
}

pub(super) fn from_one<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "must be a whole number from 1 on".to_owned())
}

pub(super) fn workers(text: &str) -> Result<NonZeroUsize, String> {
    let workers = text.parse().ok().filter(|workers: &NonZeroUsize| workers.get() <= MAX_WORKERS);
    workers.ok_or_else(|| format!("must be a whole number from 1 to {MAX_WORKERS}"))
}

pub(super) fn header_name(text: &str) -> Result<HeaderName, String> {
    text.parse().map_err(|_| "must be a header's name, such as x-tenant".to_owned())
}

pub(super) fn log_level(text: &str) -> Result<LevelFilter, String> {
    text.parse().map_err(|_| "must be off, error, warn, info, debug or trace".to_owned())
}

/// A share from 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "must be a share from 0 to 1, such as 0.1".to_owned())
}

pub(super) fn selection(text: &str) -> Result<Selection, String> {
    match (text, text.strip_prefix("sampled:")) {
        ("off", _) => Ok(Selection::Off),
        ("errors", _) => Ok(Selection::Errors),
        ("all", _) => Ok(Selection::All),
        (_, Some(text)) => share(text).map(|share| Selection::Sampled(Sampling::share(share))),
        _ => Err("must be off, errors, all, or sampled:SHARE such as sampled:0.01".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let fixed = |n| Some(Limit::Fixed(NonZeroU32::new(n).unwrap()));
        let auto = |min, max| {
            let bound = |n| NonZeroU32::new(n).unwrap();
            Some(Limit::Auto(LimitRange { min: bound(min), max: bound(max) }))
        };
        for (text, expected) in [
            ("1", fixed(1)),
            ("64", fixed(64)),
            ("auto", auto(1, 200)),
            ("auto:2-64", auto(2, 64)),
            ("auto:3-3", auto(3, 3)),
            ("0", None),
            ("-1", None),
            ("auto:0-3", None),
            ("auto:4-3", None),
            ("auto:4", None),
            ("auto:", None),
            ("automatic", None),
            ("", None),
            ("4294967296", None),
        ] {
            assert_eq!(limit(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn selections() {
        assert_eq!(selection("off"), Ok(Selection::Off));
        assert_eq!(selection("errors"), Ok(Selection::Errors));
        assert_eq!(selection("all"), Ok(Selection::All));
        assert_eq!(selection("sampled:1"), Ok(Selection::Sampled(Sampling::ALL)));
        for wrong in ["", "on", "sampled", "sampled:", "sampled:2", "sampled:x"] {
            assert!(selection(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts_have_ports() {
        for right in ["localhost:1", "127.0.0.1:8082", "[::1]:8082", "a.b.svc:65535"] {
            assert_eq!(host_and_port(right).as_deref(), Ok(right));
        }
        for wrong in ["", "localhost", "localhost:", ":80", "localhost:0", "a:70000"] {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares() {
        for (text, expected) in [("0", Some(0.0)), ("0.25", Some(0.25)), ("1", Some(1.0))] {
            assert_eq!(share(text).ok(), expected);
        }
        for wrong in ["", "-0.1", "1.1", "nan", "10%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn costs_and_weights() {
        let header = Cost::Header(HeaderName::from_static("x-cost"));
        assert_eq!(cost("header:X-Cost"), Ok(header));
        assert_eq!(cost("openai-tokens"), Ok(Cost::OpenAiTokens));
        for wrong in ["", "header:", "header:a b", "tokens"] {
            assert!(cost(wrong).is_err(), "{wrong}");
        }
        assert_eq!(weight("gold=4"), Ok(("gold".to_owned(), 4)));
        assert_eq!(weight("Bearer a==7"), Ok(("Bearer a=".to_owned(), 7)));
        for wrong in ["", "gold", "=4", "gold=0", "gold=1001", "gold=x"] {
            assert!(weight(wrong).is_err(), "{wrong}");
        }
    }
}
