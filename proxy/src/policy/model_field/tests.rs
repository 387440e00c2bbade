//! The scan beside a whole JSON parser, cut anywhere.

use super::*;
use proptest::prelude::*;
use serde_json::{Map, Value};

fn scan(body: &[u8]) -> Option<Model> {
    ModelField::new().feed(body)
}

/// The same, a byte at a time.
fn drip(body: &[u8]) -> Option<Model> {
    let mut field = ModelField::new();
    body.iter().find_map(|byte| field.feed(&[*byte]))
}

fn named(name: &str) -> Option<Model> {
    Some(Model::Named(name.to_owned()))
}

#[test]
fn the_field_is_found_wherever_it_stands_and_nowhere_else() {
    for (body, expected) in [
        (r#"{"model":"m"}"#, named("m")),
        (r#"{"model":"m""#, named("m")),
        ("\r\n\t {  \"model\" :\n \"m\" ", named("m")),
        (r#"{"messages":[{"model":"no","x":"}]"}],"model":"m""#, named("m")),
        (r#"{"a":{"model":"no"},"model":"m""#, named("m")),
        (r#"{"a":"\"model\":\"no\"","model":"m""#, named("m")),
        (r#"{"a":-1.5e+3,"b":true , "c":null,"model":"m""#, named("m")),
        (r#"{"mod\u0065l":"m\u00e4\ud83d\ude00\n\/""#, named("mä😀\n/")),
        (r#"{"modelx":"no","mode":"no","":"no","model":"m""#, named("m")),
        (r#"{"model":"""#, named("")),
        (r#"{"model":"first","model":"second"}"#, named("first")),
        (r#"{"\ud83d":1,"\x":2,"model":"m""#, named("m")),
        (r#"{"a":"b"}"#, Some(Model::Absent)),
        (r#"{"model":null,"model":"m"}"#, Some(Model::Absent)),
        (r#"{"model":["m"]}"#, Some(Model::Absent)),
        (r#"["model","m"]"#, Some(Model::Absent)),
        (r#""model""#, Some(Model::Absent)),
        ("{}", Some(Model::Absent)),
        ("{model:\"m\"}", Some(Model::Absent)),
        (r#"{"a" "b","model":"m"}"#, Some(Model::Absent)),
        (r#"{"a":b c,"model":"m"}"#, Some(Model::Absent)),
        (r#"{"a":1;"model":"m"}"#, Some(Model::Absent)),
        ("\u{feff}{\"model\":\"m\"}", Some(Model::Absent)),
        ("--boundary\r\ncontent-disposition: form-data", Some(Model::Absent)),
        (r#"{"model":"\x"}"#, Some(Model::Impossible)),
        (r#"{"model":"\ud83d"}"#, Some(Model::Impossible)),
        (r#"{"model":"\ud83dx"}"#, Some(Model::Impossible)),
        (r#"{"model":"\ude00"}"#, Some(Model::Impossible)),
        ("", None),
        ("   ", None),
        (r#"{"a":"b"#, None),
        (r#"{"model":"m"#, None),
        (r#"{"model":"m\"#, None),
    ] {
        assert_eq!(scan(body.as_bytes()), expected, "{body}");
        assert_eq!(drip(body.as_bytes()), expected, "{body}, a byte at a time");
    }
}

#[test]
fn a_name_that_is_too_long_ends_the_scan_without_being_kept() {
    let longest = "a".repeat(MAX_NAME_BYTES);
    assert_eq!(scan(format!("{{\"model\":\"{longest}\"").as_bytes()), named(&longest));
    let mut field = ModelField::new();
    assert_eq!(field.feed(b"{\"model\":\""), None);
    let ten_mebibytes = vec![b'a'; 10 << 20];
    assert_eq!(field.feed(&ten_mebibytes), Some(Model::Impossible));
    assert!(field.text.bytes().is_none());
}

#[test]
fn what_never_ends_costs_no_memory_and_has_no_model() {
    for (start, more) in [
        ("{\"", "a"),
        ("{\"a\":\"", "a"),
        ("{\"a\":\"", "\\\\"),
        ("{\"a\":", "["),
        ("{\"a\":", "{\"a\":"),
        ("{\"a\":", "1"),
        ("", " "),
        ("{\"a\":[\"", "model\\\":\\\""),
    ] {
        let mut field = ModelField::new();
        assert_eq!(field.feed(start.as_bytes()), None);
        for _ in 0..20 {
            assert_eq!(field.feed(more.repeat(5000).as_bytes()), None, "{start}{more}");
        }
        assert!(field.text.bytes().is_none_or(|text| text.len() <= FIELD.len()));
    }
}

#[test]
fn names_that_are_no_text_are_impossible() {
    assert_eq!(scan(b"{\"model\":\"\xff\""), Some(Model::Impossible));
    assert_eq!(scan(b"{\"\xff\":\"\xff\",\"model\":\"m\""), named("m"));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..4)
                .prop_map(|entries| Value::from(Map::from_iter(entries))),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![Just("model".to_owned()), ".*", "mod?e?l?"]
}

/// A text with some of its letters escaped.
fn written(text: &str, escaped: u64) -> String {
    let mut out = String::from("\"");
    for (at, letter) in text.chars().enumerate() {
        if escaped >> (at % 64) & 1 == 1 || letter == '"' || letter == '\\' || letter < ' ' {
            let units = letter.encode_utf16(&mut [0; 2]).to_vec();
            units.iter().for_each(|unit| out += &format!("\\u{unit:04x}"));
        } else {
            out.push(letter);
        }
    }
    out + "\""
}

proptest! {
    #[test]
    fn the_scan_finds_what_a_parser_finds_however_it_is_cut(
        entries in prop::collection::vec((key(), value(), any::<u64>()), 0..6),
        pretty in any::<bool>(),
        cuts in prop::collection::vec(1..40_usize, 1..20),
    ) {
        let mut seen = std::collections::HashSet::new();
        let entries: Vec<_> = entries.into_iter().filter(|(key, ..)| seen.insert(key.clone())).collect();
        let space = if pretty { " \n" } else { "" };
        let parts: Vec<String> = entries
            .iter()
            .map(|(key, value, escaped)| {
                let value = match value {
                    Value::String(text) => written(text, *escaped),
                    other => other.to_string(),
                };
                format!("{space}{}{space}:{space}{value}{space}", written(key, *escaped))
            })
            .collect();
        let body = format!("{space}{{{}}}", parts.join(","));
        let parsed: Value = serde_json::from_str(&body).unwrap();
        let expected = match &parsed["model"] {
            Value::String(name) if name.len() <= MAX_NAME_BYTES => Model::Named(name.clone()),
            Value::String(_) => Model::Impossible,
            _ => Model::Absent,
        };
        let (mut field, mut rest, mut found) = (ModelField::new(), body.as_bytes(), None);
        for cut in cuts.iter().cycle() {
            let (part, after) = rest.split_at((*cut).min(rest.len()));
            rest = after;
            found = field.feed(part);
            if found.is_some() || rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(found, Some(expected), "{}", body);
    }

    #[test]
    fn any_bytes_are_read_alike_however_they_are_cut(
        body in prop::collection::vec(
            prop_oneof![
                any::<u8>().prop_map(|byte| vec![byte]),
                prop::sample::select(vec![
                    "{", "}", "[", "]", "\"", "\\", ":", ",", " ", "\"model\":\"", "{\"model\"", "\\u",
                ]).prop_map(|text| text.as_bytes().to_vec()),
            ],
            0..60,
        ),
    ) {
        let body = body.concat();
        prop_assert_eq!(scan(&body), drip(&body));
    }
}
