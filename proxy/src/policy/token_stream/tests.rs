//! What is counted in streams as servers send them, and in any bytes cut anywhere.

#![expect(clippy::disallowed_methods, reason = "simulated time needs a start")]

use super::*;
use proptest::prelude::*;
use std::time::Duration;

/// A chat stream as OpenAI and vLLM send it, with `usage` at its end.
const CHAT: &str = concat!(
    ": a comment\n\n",
    "data: {\"id\":\"1\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"usage\":null}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"lo\\\\\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12,",
    "\"total_tokens\":21,\"completion_tokens_details\":{\"reasoning_tokens\":5}}}\n\n",
    "data: [DONE]\n\n",
);

fn counted(form: Form, parts: &[&[u8]]) -> Tokens {
    let now = Instant::now();
    let mut stream = TokenStream::new(form);
    for part in parts {
        stream.feed(part, now);
    }
    stream.tokens()
}

fn events(text: &str) -> (Option<u64>, Option<u64>) {
    let tokens = counted(Form::Events, &[text.as_bytes()]);
    (tokens.prompt, tokens.output)
}

fn document(text: &str) -> (Option<u64>, Option<u64>) {
    let tokens = counted(Form::Document, &[text.as_bytes()]);
    (tokens.prompt, tokens.output)
}

#[test]
fn usage_counts_where_it_is_said_and_chunks_with_text_where_not() {
    assert_eq!(events(CHAT), (Some(9), Some(12)));
    let unsaid = CHAT.replace("usage", "usable");
    assert_eq!(events(&unsaid), (None, Some(2)));
    assert_eq!(events(&unsaid.replace('\n', "\r\n")), (None, Some(2)));
    assert_eq!(events(&unsaid.replace('\n', "\r")), (None, Some(2)));
    for (stream, expected) in [
        ("", (None, None)),
        ("data: [DONE]\n\n", (None, None)),
        // Bare text, one event of two lines, an event that is cut off.
        ("data: one\n\ndata:two\ndata: more\n\nevent: x\ndata: th", (None, Some(3))),
        ("data\n\ndatax: {\"text\":\"a\"}\n\nxdata: a\n\ndata:\n\ndata:  \n\n", (None, None)),
        // As TGI has it, and the responses form.
        (
            "data:{\"token\":{\"id\":1,\"text\":\" a\"},\"generated_text\":null}\n\n",
            (None, Some(1)),
        ),
        ("event: d\ndata: {\"type\":\"d\",\"delta\":\"a\"}\n\n", (None, Some(1))),
        (
            "data: {\"response\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}}\n\n",
            (Some(3), Some(4)),
        ),
        // Usage that grows with each chunk: the last counts.
        (
            "data: {\"usage\":{\"completion_tokens\":1}}\n\ndata: {\"usage\":{\"completion_tokens\":2}}\n\n",
            (None, Some(2)),
        ),
        // JSON over two lines of one event.
        ("data: {\"choices\":[{\"text\":\ndata: \"a\"}]}\n\n", (None, Some(1))),
    ] {
        assert_eq!(events(stream), expected, "{stream}");
    }
}

#[test]
fn documents_say_their_usage_or_nothing() {
    for (text, expected) in [
        (r#"{"usage":{"prompt_tokens":7,"completion_tokens":8}}"#, (Some(7), Some(8))),
        (r#"{ "usage" : { "completion_tokens" : 8 , "a":"b" } }"#, (None, Some(8))),
        (r#"{"usage":{"prompt_tokens":7,"completion_tokens":8"#, (Some(7), None)),
        (r#"{"prompt_tokens":7,"completion_tokens":8}"#, (None, None)),
        (r#"{"usage":{"a":{"prompt_tokens":7}}}"#, (None, None)),
        (r#"{"usage":[{"prompt_tokens":7}]}"#, (None, None)),
        (r#"{"usage":null,"prompt_tokens":7}"#, (None, None)),
        (r#"{"usage":{"prompt_tokens":-7,"completion_tokens":1.5}}"#, (None, None)),
        (r#"{"usage":{"prompt_tokens":1e3,"completion_tokens":"8"}}"#, (None, None)),
        (r#"{"usage":{"prompt_tokens":99999999999999999999999}}"#, (None, None)),
        (
            r#"{"usage":{"prompt_tokens":10000000,"completion_tokens":10000001}}"#,
            (Some(10_000_000), None),
        ),
        (r#"{"text":"\"usage\":{\"prompt_tokens\":7}","a":1}"#, (None, None)),
        (r#"{"text":"say","choices":[]}"#, (None, None)),
        (r#"{"us\u0061ge":{"prompt_tokens":7}}"#, (None, None)),
        ("not json", (None, None)),
        ("}}]]{\"usage\":{\"prompt_tokens\":7}", (Some(7), None)),
    ] {
        assert_eq!(document(text), expected, "{text}");
    }
}

#[test]
fn times_are_those_of_chunks_with_text() {
    let (start, ms) = (Instant::now(), Duration::from_millis);
    let mut stream = TokenStream::new(Form::Events);
    for (index, event) in CHAT.split_inclusive("\n\n").enumerate() {
        stream.feed(event.as_bytes(), start + ms(index as u64 * 100));
    }
    let tokens = stream.tokens();
    // Events 2 and 3 have text; twelve tokens have eleven gaps between them.
    assert_eq!(tokens.between, Some((start + ms(200), start + ms(300))));
    assert!((tokens.seconds_per_output_token().unwrap() - 0.1 / 11.0).abs() < 1e-9);
    let single = Tokens { output: Some(1), ..tokens };
    assert_eq!(single.seconds_per_output_token(), None);
    assert_eq!(Tokens { between: None, ..tokens }.seconds_per_output_token(), None);
}

/// Pieces that streams are made of, whole and broken.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "data: ",
        "data:",
        "dat",
        "a: ",
        "\n",
        "\r",
        "\r\n",
        "\n\n",
        "[DONE]",
        ": c",
        "{",
        "}",
        "[",
        "]",
        "\"usage\":{",
        "\"prompt_tokens\":12",
        "\"completion_tokens\": 3",
        "\"content\":\"a b\"",
        "\"text\":\"\"",
        "\"a\\\"b\"",
        "\\",
        "\"",
        ",",
        ":",
        "1",
        "-",
        "null",
        " ",
    ]);
    prop_oneof![
        9 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #[test]
    fn where_bytes_are_cut_makes_no_difference(
        pieces in prop::collection::vec(piece(), 0..60),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        whole_chat in any::<bool>(),
    ) {
        let mut bytes = pieces.concat();
        if whole_chat {
            bytes.extend_from_slice(b"\n\n");
            bytes.extend_from_slice(CHAT.as_bytes());
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let mut parts = Vec::new();
        let mut from = 0;
        for cut in cuts {
            parts.push(&bytes[from..cut]);
            from = cut;
        }
        for form in [Form::Events, Form::Document] {
            let at_once = counted(form, &[&bytes]);
            let in_parts = counted(form, &parts);
            let one_by_one: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!((at_once.prompt, at_once.output), (in_parts.prompt, in_parts.output));
            let singly = counted(form, &one_by_one);
            prop_assert_eq!((at_once.prompt, at_once.output), (singly.prompt, singly.output));
            prop_assert_eq!(at_once.between.is_some(), singly.between.is_some());
            if whole_chat && form == Form::Events {
                prop_assert_eq!((at_once.prompt, at_once.output), (Some(9), Some(12)));
            }
        }
    }
}
