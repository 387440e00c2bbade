//! Counts the tokens of an OpenAI-style answer as its bytes go by, without keeping them.
//!
//! What the answer's own `usage` says counts. A stream that says nothing is counted by its chunks
//! with text in them. Where the bytes are cut makes no difference.

mod json;

use json::Json;
use std::time::Instant;

/// How a line of an event begins that holds a part of the answer.
const DATA: &[u8; 5] = b"data:";
/// No answer is longer: what a model says beyond it is nonsense.
const MAX_TOKENS: u64 = 10_000_000;

/// In which form an answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Server-sent events, each with a chunk.
    Events,
    /// One JSON document.
    Document,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tokens {
    /// Tokens of the question, if the answer says so.
    pub prompt: Option<u64>,
    /// Tokens of the answer, if there were any or it says so.
    pub output: Option<u64>,
    /// When the first and the last chunk with text came.
    pub between: Option<(Instant, Instant)>,
}

/// The scan of one answer.
#[derive(Debug)]
pub struct TokenStream {
    form: Form,
    line: Line,
    /// The last line ended with CR: an LF after it belongs to it.
    after_cr: bool,
    payload: Payload,
    json: Json,
    chunks: u64,
    between: Option<(Instant, Instant)>,
}

/// Where in a line of events the scan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// So many bytes of `data:` have come.
    Name(usize),
    /// After it.
    Data,
    /// In a line of no interest.
    Other,
}

/// What an event's data is, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Payload {
    /// None yet.
    Empty,
    /// A chunk in JSON; whether it was seen to have text.
    Json { counted: bool },
    /// Bare text, counted already, or a mark such as `[DONE]`.
    Other,
}

// === impl TokenStream ===

impl TokenStream {
    /// The scan of an answer of which nothing has come.
    pub fn new(form: Form) -> Self {
        Self {
            form,
            line: Line::Name(0),
            after_cr: false,
            payload: Payload::Empty,
            json: Json::default(),
            chunks: 0,
            between: None,
        }
    }

    /// The next bytes came at `now`.
    pub fn feed(&mut self, mut bytes: &[u8], now: Instant) {
        if self.form == Form::Document {
            self.json.feed(bytes);
            return;
        }
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                bytes = bytes.get(1..).unwrap_or_default();
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            self.part(part, now);
            bytes = match rest.split_first() {
                Some((end, rest)) => {
                    self.after_cr = *end == b'\r';
                    self.end_line();
                    rest
                }
                None => &[],
            };
        }
    }

    /// What was counted so far.
    pub fn tokens(&self) -> Tokens {
        let usage = self.json.usage();
        let said = |count: Option<u64>| count.filter(|count| *count <= MAX_TOKENS);
        let chunks = Some(self.chunks).filter(|chunks| *chunks > 0);
        Tokens {
            prompt: said(usage.prompt),
            output: said(usage.output).or(chunks),
            between: self.between,
        }
    }

    /// A part of one line.
    fn part(&mut self, mut part: &[u8], now: Instant) {
        while let (Line::Name(known), Some((byte, rest))) = (self.line, part.split_first()) {
            self.line = match DATA.get(known) {
                Some(expected) if expected == byte && known + 1 == DATA.len() => Line::Data,
                Some(expected) if expected == byte => Line::Name(known + 1),
                _ => Line::Other,
            };
            part = rest;
        }
        if self.line == Line::Data {
            self.data(part, now);
        }
    }

    /// A part of an event's data.
    fn data(&mut self, part: &[u8], now: Instant) {
        if self.payload == Payload::Empty {
            self.payload = match part.iter().find(|byte| **byte != b' ') {
                None => return,
                Some(b'{') => Payload::Json { counted: false },
                Some(b'[') => Payload::Other,
                Some(_) => {
                    self.count(now);
                    Payload::Other
                }
            };
        }
        if let Payload::Json { counted } = self.payload {
            self.json.feed(part);
            if self.json.has_text() && !counted {
                self.payload = Payload::Json { counted: true };
                self.count(now);
            }
        }
    }

    fn end_line(&mut self) {
        // An empty line ends the event.
        if self.line == Line::Name(0) {
            self.payload = Payload::Empty;
            self.json.next_document();
        }
        self.line = Line::Name(0);
    }

    fn count(&mut self, now: Instant) {
        self.chunks += 1;
        let (first, _) = self.between.unwrap_or((now, now));
        self.between = Some((first, now));
    }
}

impl Tokens {
    /// Seconds between two tokens of the answer, on average.
    pub fn seconds_per_output_token(&self) -> Option<f64> {
        let (first, last) = self.between?;
        let gaps = self.output?.checked_sub(1).filter(|gaps| *gaps > 0)?;
        Some(last.saturating_duration_since(first).as_secs_f64() / gaps as f64)
    }
}

#[cfg(test)]
mod tests;
