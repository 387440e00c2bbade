//! What an OpenAI-style request will cost a language model, in tokens, without a tokenizer.
//!
//! The estimate is a quarter of the bytes of its texts plus the answer's length that it allows.
//! Measured against a real tokenizer: see ARCHITECTURE.md, "Cost in tokens".

/// What a request that sets no limit to its answer is taken to want.
pub const DEFAULT_MAX_TOKENS: u32 = 256;
/// Bytes of text in a token.
pub const BYTES_PER_TOKEN: u64 = 4;
/// The names under which a request asks for several answers.
const COUNT_KEYS: [&[u8]; 2] = [b"n", b"best_of"];
/// The names under which a request bounds its answer: completions, chat, responses.
const MAX_TOKENS_KEYS: [&[u8]; 3] = [b"max_tokens", b"max_completion_tokens", b"max_output_tokens"];
/// How an image or sound within the text begins. Its bytes say nothing about tokens.
const EMBEDDED: &[u8] = b"data:";

/// The tokens of a JSON body of `length` bytes, of which at least the first part is here. What is
/// not here is taken to be text.
pub fn estimate(part: &[u8], length: u64) -> u32 {
    let mut scan = Scan { rest: part, depth: 0, text_bytes: 0, max_tokens: None, answers: 1 };
    while scan.step() {}
    let unseen = length.saturating_sub(part.len() as u64);
    let prompt = scan.text_bytes.saturating_add(unseen).div_ceil(BYTES_PER_TOKEN);
    let answer = scan.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS).saturating_mul(scan.answers);
    u32::try_from(prompt).unwrap_or(u32::MAX).saturating_add(answer)
}

/// One pass over JSON that may be cut off or broken: then what was seen so far counts.
struct Scan<'a> {
    rest: &'a [u8],
    depth: u32,
    text_bytes: u64,
    max_tokens: Option<u32>,
    /// At least 1.
    answers: u32,
}

// === impl Scan ===

impl Scan<'_> {
    /// Goes on to the next thing of interest. `false` at the end.
    fn step(&mut self) -> bool {
        let Some((first, rest)) = self.rest.split_first() else { return false };
        self.rest = rest;
        match first {
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b'"' => self.string(),
            _ => {}
        }
        true
    }

    /// A string, of which the quote is read already: a key or a text.
    fn string(&mut self) {
        let (mut end, mut escapes) = (0, 0);
        while let Some(byte) = self.rest.get(end).filter(|byte| **byte != b'"') {
            let escaped = *byte == b'\\';
            escapes += u64::from(escaped);
            end += 1 + usize::from(escaped);
        }
        let (text, after) = self.rest.split_at(end.min(self.rest.len()));
        let after = after.get(1..).unwrap_or_default().trim_ascii_start();
        if let Some((b':', value)) = after.split_first() {
            if self.depth == 1 && MAX_TOKENS_KEYS.contains(&text) {
                self.max_tokens = number(value.trim_ascii_start()).or(self.max_tokens);
            }
            if self.depth == 1 && COUNT_KEYS.contains(&text) {
                let asked = number(value.trim_ascii_start()).unwrap_or(1);
                self.answers = self.answers.max(asked);
            }
        } else if !text.starts_with(EMBEDDED) {
            self.text_bytes += (text.len() as u64).saturating_sub(escapes);
        }
        self.rest = after;
    }
}

/// A whole number at the start; what is too large saturates.
fn number(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |number: Option<u32>, digit| {
        let number = number.unwrap_or(0).saturating_mul(10);
        Some(number.saturating_add(u32::from(digit - b'0')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(body: &str) -> u32 {
        estimate(body.as_bytes(), body.len() as u64)
    }

    #[test]
    fn counts_texts_and_the_allowed_answer() {
        for (body, expected) in [
            (r#"{"prompt": "eight by", "max_tokens": 10}"#, 12),
            (r#"{"max_tokens" : 7 ,"prompt":"abcd"}"#, 8),
            (r#"{"messages":[{"role":"user","content":"12345678"}],"max_completion_tokens":1}"#, 4),
            (r#"{"input":["abcd","efgh"],"max_output_tokens":100}"#, 102),
            (r#"{"prompt":"abcd"}"#, 257),
            (r#"{"prompt":"say \"max_tokens\": 9","max_tokens":1}"#, 6),
            (r#"{"tools":{"max_tokens":9},"max_tokens":1}"#, 1),
            (r#"{"prompt":"abcd","n":3,"max_tokens":10,"best_of":2}"#, 31),
            (r#"{"n":0,"best_of":null,"tools":{"n":9},"max_tokens":10}"#, 10),
            (r#"{"n":4000000000,"max_tokens":10}"#, u32::MAX),
            (r#"{"max_tokens":null}"#, 256),
            (r#"{"max_tokens":99999999999999}"#, u32::MAX),
            (r#"{"url":"data:image/png;base64,AAAAAAAAAAAAAAAA","max_tokens":1}"#, 1),
            ("", 256),
            ("not json", 256),
            (r#"{"prompt":"cut of"#, 258),
            (r#"{"prompt":"a\"#, 257),
        ] {
            assert_eq!(whole(body), expected, "{body}");
        }
    }

    #[test]
    fn what_is_not_here_counts_as_text() {
        assert_eq!(estimate(br#"{"max_tokens":10,"prompt":"abcd"#, 431), 111);
        assert_eq!(estimate(b"", u64::MAX), u32::MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_estimate(part in prop::collection::vec(any::<u8>(), 0..200)) {
            // At the least the answer's, unless a limit is said.
            let tokens = estimate(&part, part.len() as u64);
            let says = part.windows(3).any(|word| word == b"max");
            prop_assert!(says || tokens >= DEFAULT_MAX_TOKENS);
        }
    }
}
