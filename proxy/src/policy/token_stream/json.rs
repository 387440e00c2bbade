//! JSON that is read byte by byte for two things: whether there is text, and what `usage` says.
//! What is no JSON does no harm: then nothing is found, or what looked like it.

/// No name of interest is longer.
const MAX_NAME_BYTES: usize = 24;

/// What `usage` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    pub(super) prompt: Option<u64>,
    pub(super) output: Option<u64>,
}

/// The scan of a document, or of one after the other.
#[derive(Debug, Default)]
pub(super) struct Json {
    place: Place,
    /// The last string, as far as it may be a name.
    name: [u8; MAX_NAME_BYTES],
    /// Its length; longer than the longest name if it is none.
    name_len: usize,
    /// What the value that comes next belongs to.
    key: Key,
    depth: u32,
    /// How deep the members of `usage` stand, within it.
    usage_depth: Option<u32>,
    number: Option<u64>,
    has_text: bool,
    usage: Usage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    Between,
    String,
    /// After a backslash.
    Escape,
}

/// Names of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Key {
    #[default]
    Other,
    Text,
    Usage,
    Prompt,
    Output,
}

// === impl Json ===

impl Json {
    /// The next bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((byte, rest)) = bytes.split_first() {
            match self.place {
                Place::Between => self.between(*byte),
                Place::Escape => {
                    self.letters(&[*byte]);
                    self.place = Place::String;
                }
                Place::String => {
                    // Texts are long: to their end in one step.
                    let end = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'));
                    let (text, after) = bytes.split_at(end.unwrap_or(bytes.len()));
                    self.letters(text);
                    let Some((end, after)) = after.split_first() else { return };
                    self.place = match end {
                        b'"' => Place::Between,
                        _ => {
                            // No name of interest has an escape in it.
                            self.name_len = MAX_NAME_BYTES + 1;
                            Place::Escape
                        }
                    };
                    bytes = after;
                    continue;
                }
            }
            bytes = rest;
        }
    }

    /// Another document begins. What `usage` said stays.
    pub(super) fn next_document(&mut self) {
        *self = Self { usage: self.usage, ..Self::default() };
    }

    /// Whether this document has text of an answer in it.
    pub(super) fn has_text(&self) -> bool {
        self.has_text
    }

    /// What the last `usage` said.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// A byte outside of strings.
    fn between(&mut self, byte: u8) {
        match byte {
            b'0'..=b'9' => {
                if matches!(self.key, Key::Prompt | Key::Output) {
                    let number = self.number.unwrap_or(0).saturating_mul(10);
                    self.number = Some(number.saturating_add(u64::from(byte - b'0')));
                }
            }
            b'"' => {
                self.place = Place::String;
                self.name_len = 0;
            }
            b':' => self.key = self.named(),
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                if byte == b'{' && self.key == Key::Usage {
                    self.usage_depth = Some(self.depth);
                }
                self.key = Key::Other;
            }
            b'}' | b']' => {
                self.end_value();
                if self.usage_depth == Some(self.depth) {
                    self.usage_depth = None;
                }
                self.depth = self.depth.saturating_sub(1);
            }
            b',' => self.end_value(),
            b' ' | b'\t' | b'\n' | b'\r' => {}
            // A fraction, an exponent, a sign, a literal: no count.
            _ => (self.number, self.key) = (None, Key::Other),
        }
    }

    /// Bytes of a string.
    fn letters(&mut self, text: &[u8]) {
        if self.key == Key::Text && !text.is_empty() {
            self.has_text = true;
        }
        let end = self.name_len + text.len();
        if let Some(place) = self.name.get_mut(self.name_len..end) {
            place.copy_from_slice(text);
        }
        self.name_len = end.min(MAX_NAME_BYTES + 1);
    }

    /// What the last string names.
    fn named(&self) -> Key {
        let counts = self.usage_depth == Some(self.depth);
        match self.name.get(..self.name_len).unwrap_or_default() {
            b"prompt_tokens" | b"input_tokens" if counts => Key::Prompt,
            b"completion_tokens" | b"output_tokens" if counts => Key::Output,
            b"usage" => Key::Usage,
            b"content" | b"text" | b"delta" | b"reasoning_content" | b"reasoning"
            | b"arguments" => Key::Text,
            _ => Key::Other,
        }
    }

    fn end_value(&mut self) {
        match (self.key, self.number.take()) {
            (Key::Prompt, Some(count)) => self.usage.prompt = Some(count),
            (Key::Output, Some(count)) => self.usage.output = Some(count),
            _ => {}
        }
        self.key = Key::Other;
    }
}
