//! Where the prompt of an OpenAI-style request begins in its body.

/// The names of what a model is asked: completions, chat, responses.
const NAMES: [&[u8]; 3] = [b"prompt", b"messages", b"input"];

/// What is here of the prompt: from the first character of the value of the first member of the
/// outermost object with such a name. In a body that is no JSON, or that is cut off before it,
/// nothing is found.
pub fn find(body: &[u8]) -> Option<&[u8]> {
    let mut rest = body;
    let mut depth = 0u32;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let (text, after) = string(rest)?;
                rest = after;
                let value = after.trim_ascii_start().strip_prefix(b":");
                if let Some(value) = value.filter(|_| depth == 1 && NAMES.contains(&text)) {
                    let value = value.trim_ascii_start();
                    return Some(value.strip_prefix(b"\"").unwrap_or(value));
                }
            }
            _ => {}
        }
    }
    None
}

/// A string up to its closing quote, and what follows.
fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut end = 0;
    loop {
        match text.get(end)? {
            b'"' => break,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    Some((text.get(..end)?, text.get(end + 1..)?))
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
