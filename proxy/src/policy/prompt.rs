//! Where the prompt of an OpenAI-style request begins in its body.

use super::member;

/// The names of what a model is asked: completions, chat, responses.
const NAMES: [&[u8]; 3] = [b"prompt", b"messages", b"input"];

/// What is here of the prompt: from the first character of the value of the first member of the
/// outermost object with such a name. In a body that is no JSON, or that is cut off before it,
/// nothing is found.
pub fn find(body: &[u8]) -> Option<&[u8]> {
    member::find(body, &NAMES).map(|value| value.strip_prefix(b"\"").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_the_prompt_of_the_outermost_object_only() {
        for (body, expected) in [
            (r#"{"prompt": "Hello"}"#, Some(r#"Hello"}"#)),
            (r#"{"model":"m\"","messages":[{"role":1}]}"#, Some(r#"[{"role":1}]}"#)),
            (r#"{"a":{"prompt":"x"},"input":"y"}"#, Some(r#"y"}"#)),
            (r#"{"a":"prompt","b":[{"prompt":1}]}"#, None),
            (r#"{"prom"#, None),
            (r#"{"prompt\"#, None),
            ("no JSON", None),
            ("", None),
        ] {
            assert_eq!(find(body.as_bytes()), expected.map(str::as_bytes), "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(body in prop::collection::vec(any::<u8>(), 0..200)) {
            find(&body);
        }
    }
}
