//! The file of settings that can change while requests run: YAML, or JSON, which is YAML too; or a
//! pod's annotations, as Kubernetes' downward API writes them.

use super::value::{duration, limit, size};
use crate::bounded_file;
use crate::gate::LiveSettings;
use saphyr_parser::{Event, Parser};
use std::io::ErrorKind;
use std::num::NonZeroU64;
use std::path::Path;
use tidegate_api::names::annotation;

/// A pod may have 256 KiB of annotations, of which none but ours need be small; quoted, a byte takes up
/// to four, and one without a value takes five.
const MAX_BYTES: u64 = 2 << 20;
/// All that can change, for messages.
const KEYS: &str = "concurrency, cost-budget, queue-capacity, queue-bytes, queue-timeout";

/// Reads the file. `Ok(None)` if it is not there. What it does not say is as in `flags`.
///
/// # Errors
/// With what is wrong in it, where, and what it must be.
pub fn read(file: &Path, flags: &LiveSettings) -> Result<Option<LiveSettings>, String> {
    match bounded_file::text(file, MAX_BYTES) {
        Ok(text) => parse(&text, flags).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => Err(error.to_string()),
        Err(error) => Err(format!("can't read it: {error}")),
    }
}

/// The settings of a file's text.
fn parse(text: &str, flags: &LiveSettings) -> Result<LiveSettings, String> {
    let mut live = *flags;
    let mut seen: Vec<String> = Vec::new();
    for (line, key, value) in annotations(text).unwrap_or_else(|| pairs(text))? {
        if seen.contains(&key) {
            return Err(format!("line {line}: {key} is there twice: keep one of them"));
        }
        let set = set(&mut live, &key, &value);
        set.map_err(|must| format!("line {line}: {key} {must}; it is {value:?}"))?;
        seen.push(key);
    }
    Ok(live)
}

fn set(live: &mut LiveSettings, key: &str, value: &str) -> Result<(), String> {
    match key {
        "concurrency" => live.limit = limit(value)?,
        "queue-capacity" => {
            let capacity = value.parse();
            live.queue.capacity = capacity.map_err(|_| "must be a number from 0 on".to_owned())?;
        }
        "queue-bytes" => live.queue.bytes = size(value)?,
        "queue-timeout" => live.queue_timeout = duration(value)?,
        "cost-budget" if live.budget.is_none() => {
            return Err("counts only with --cost: take it out, or start with that".to_owned());
        }
        "cost-budget" => {
            let budget = value.parse().map(NonZeroU64::get);
            live.budget = Some(budget.map_err(|_| "must be a number from 1 on".to_owned())?);
        }
        _ => return Err(format!("can't be set here; what can be is {KEYS}")),
    }
    Ok(())
}

/// Keys and values, each with its line.
type Lines = Vec<(usize, String, String)>;

/// Annotations that are settings, and which.
const ANNOTATIONS: [(&str, &str); 4] = [
    (annotation::CONCURRENCY_LIMIT, "concurrency"),
    (annotation::QUEUE_CAPACITY, "queue-capacity"),
    (annotation::QUEUE_BYTES, "queue-bytes"),
    (annotation::QUEUE_TIMEOUT, "queue-timeout"),
];

/// The settings among a pod's annotations: lines of `name="value"`, quoted as Go does it. Nothing
/// where the file is not of that form. All other annotations are none of ours.
fn annotations(text: &str) -> Option<Result<Lines, String>> {
    let first = text.lines().find(|line| !line.trim().is_empty())?;
    let (name, value) = first.split_once('=')?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    if !is_name || !value.starts_with('"') {
        return None;
    }
    let mut found = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let Some((name, quoted)) = text.split_once('=') else { continue };
        let Some((_, key)) = ANNOTATIONS.iter().find(|(known, _)| *known == name) else { continue };
        // Of what Go escapes, JSON understands all that a setting can have.
        match serde_json::from_str::<String>(quoted) {
            Ok(value) => found.push((index + 1, (*key).to_owned(), value.trim().to_owned())),
            Err(_) => {
                return Some(Err(format!("line {}: {name} can't be read: {quoted}", index + 1)));
            }
        }
    }
    Some(Ok(found))
}

/// The keys and values of one flat mapping, each with its line. Values are taken as they are
/// written, as those of flags are.
fn pairs(text: &str) -> Result<Lines, String> {
    let mut pairs = Vec::new();
    let mut key: Option<(usize, String)> = None;
    let mut mappings = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| format!("it is not YAML: {error}"))?;
        let line = span.start.line();
        match event {
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::MappingEnd
            | Event::Nothing => {}
            Event::MappingStart(..) if mappings == 0 => mappings = 1,
            // An empty document is one empty scalar.
            Event::Scalar(value, ..) if mappings == 0 && (value.is_empty() || value == "~") => {}
            Event::Scalar(value, ..) if mappings == 1 => match key.take() {
                Some((line, key)) => pairs.push((line, key, value.into_owned())),
                None => key = Some((line, value.into_owned())),
            },
            _ => return Err(format!("line {line}: must be lines of `key: value`, one of each")),
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::limit::Limit;
    use crate::policy::queue::QueueLimits;
    use std::num::NonZeroU32;
    use std::time::Duration;

    const FLAGS: LiveSettings = LiveSettings {
        limit: Limit::Fixed(NonZeroU32::MIN),
        queue: QueueLimits { capacity: 100, bytes: 1000 },
        queue_timeout: Duration::from_secs(30),
        budget: Some(7),
    };

    #[test]
    fn what_is_there_counts_and_the_rest_is_as_the_flags_say() {
        let queue = QueueLimits { capacity: 5, bytes: 2048 };
        let limit = Limit::Fixed(NonZeroU32::new(4).unwrap());
        let timeout = Duration::from_millis(250);
        for (text, expected) in [
            ("", FLAGS),
            ("# nothing\n", FLAGS),
            ("{}", FLAGS),
            ("concurrency: 4\n", LiveSettings { limit, ..FLAGS }),
            ("queue-capacity: 5\nqueue-bytes: 2KiB\n", LiveSettings { queue, ..FLAGS }),
            (
                r#"{"queue-timeout": "250ms", "cost-budget": 9}"#,
                LiveSettings { queue_timeout: timeout, budget: Some(9), ..FLAGS },
            ),
        ] {
            assert_eq!(parse(text, &FLAGS), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_pods_annotations_are_settings_too() {
        let text = "cni.example/ips=\"[\\\"10.0.0.1\\\"]\"\nkubernetes.io/config.source=\"api\"\n\
                    tidegate.dev/concurrency-limit=\"4\"\ntidegate.dev/inject=\"true\"\n\
                    tidegate.dev/queue-timeout=\"250ms\"";
        let limit = Limit::Fixed(NonZeroU32::new(4).unwrap());
        let queue_timeout = Duration::from_millis(250);
        assert_eq!(parse(text, &FLAGS), Ok(LiveSettings { limit, queue_timeout, ..FLAGS }));
        let bad = text.replace("\"4\"", "\"many\"");
        let error = parse(&bad, &FLAGS).unwrap_err();
        assert!(error.contains("line 3: concurrency must be"), "{error}");
        assert_eq!(parse("tidegate.dev/inject=\"true\"\n", &FLAGS), Ok(FLAGS));
        let odd = "tidegate.dev/queue-bytes=\"\\x41\"";
        assert!(parse(odd, &FLAGS).unwrap_err().contains("can't be read"));
    }

    #[test]
    fn the_largest_annotations_that_a_pod_may_have_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("annotations");
        let large = "\\x01".repeat(256 << 10);
        let text = format!("example.com/a=\"{large}\"\ntidegate.dev/queue-capacity=\"5\"\n");
        std::fs::write(&file, text).unwrap();
        let live = read(&file, &FLAGS).unwrap().unwrap();
        assert_eq!(live.queue.capacity, 5);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, expected) in [
            ("concurrency: 0", "line 1: concurrency must be a number from 1 on"),
            ("\nconcurrency: many", "line 2: concurrency must be"),
            ("queue-capacity: -1", "line 1: queue-capacity must be a number from 0 on"),
            ("queue-timeout: 30", "line 1: queue-timeout must be a time with its unit"),
            ("queue-bytes: much", "line 1: queue-bytes must be a size"),
            ("cost-budget: 0", "line 1: cost-budget must be a number from 1 on"),
            ("listen: 0.0.0.0:1", "line 1: listen can't be set here; what can be is concurrency,"),
            ("concurrency: 1\nconcurrency: 2", "line 2: concurrency is there twice"),
            ("- concurrency", "line 1: must be lines of"),
            ("concurrency: [1]", "line 1: must be lines of"),
            ("concurrency: {a: 1}", "line 1: must be lines of"),
            ("concurrency", "line 1: must be lines of"),
            ("a: 1\n--- \nb: 2", "must be lines of"),
            ("{", "it is not YAML"),
        ] {
            let found = parse(text, &FLAGS).unwrap_err();
            assert!(found.contains(expected), "{text}: {found}");
        }
        let free = LiveSettings { budget: None, ..FLAGS };
        assert!(parse("cost-budget: 5", &free).unwrap_err().contains("only with --cost"));
    }
}
