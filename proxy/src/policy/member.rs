//! Finds a member of a JSON body's outermost object, without parsing what it does not need.

/// What is here from the value on, of the first member of the outermost object that has one of these
/// names. In a body that is no JSON, or that is cut off before it, nothing is found.
pub fn find<'a>(body: &'a [u8], names: &[&[u8]]) -> Option<&'a [u8]> {
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
                if let Some(value) = value.filter(|_| depth == 1 && names.contains(&text)) {
                    return Some(value.trim_ascii_start());
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether a request says that it wants its answer as a stream, as OpenAI's API has it.
pub fn asks_for_stream(body: &[u8]) -> bool {
    find(body, &[b"stream"]).is_some_and(|value| value.starts_with(b"true"))
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

    #[test]
    fn a_stream_is_asked_for_by_the_outermost_object_only() {
        for (body, asks) in [
            (r#"{"model":"m","stream": true}"#, true),
            (
                r#"{"messages":[{"stream":true,"content":"a \"stream\": true"}],"stream":false}"#,
                false,
            ),
            (r#"{"a":{"stream":true},"stream" : true,"b":1}"#, true),
            (r#"{"stream":"true"}"#, false),
            (r#"{"stream_options":{},"a":"stream"}"#, false),
            (r#"{"stream":tr"#, false),
            ("stream: true", false),
            ("", false),
        ] {
            assert_eq!(asks_for_stream(body.as_bytes()), asks, "{body}");
        }
    }
}
