//! Finds the field `model` of a JSON object while its bytes come, and looks no further.
//!
//! Only the outermost object counts, and in it the first `model`: what follows is not looked at, so
//! that a second one can't be seen. What is not JSON up to there has no model. Memory is bounded by
//! the longest name that a model may have, whatever comes.

mod text;

use text::Text;

/// The longest name that a document can give to a model, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// The field.
const FIELD: &[u8] = b"model";
/// How many bytes are looked at at once where little of interest is expected.
const BLOCK_BYTES: usize = 32;

/// What a body says of its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Model {
    /// This name.
    Named(String),
    /// A name that no model can have: too long, or not UTF-8.
    Impossible,
    /// Nothing: there is no such field, it is no text, or the body is no JSON object.
    Absent,
}

/// The scan of one body.
#[derive(Debug)]
pub struct ModelField {
    state: State,
    text: Text,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Before the object.
    Start,
    /// Before the object's first key, or its end.
    FirstKey,
    /// After a comma.
    NextKey,
    /// In a key.
    Key,
    /// After a key, which is the field or another.
    Colon { is_field: bool },
    /// Before a value.
    Value { is_field: bool },
    /// In the field's value.
    Name,
    /// In a text that is of no interest.
    Other { of: Part, escaped: bool },
    /// In lists and objects that are of no interest, so many of them; perhaps in a text there.
    Nested { depth: u32, string: bool, escaped: bool },
    /// In a number or a word.
    Scalar,
    /// After a value.
    Comma,
    /// Nothing more is looked at.
    Done,
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Key,
    Value,
}

/// What a step came to: a state to go on in, or the end.
type Step = Result<State, Model>;

// === impl ModelField ===

impl ModelField {
    /// The scan of a body of which nothing has come.
    pub fn new() -> Self {
        Self { state: State::Start, text: Text::new(FIELD.len()) }
    }

    /// The next bytes came. What they say of the model, as soon as that is known.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<Model> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = rest.get(self.quiet(rest)..).unwrap_or_default();
            let Some((byte, after)) = rest.split_first() else { break };
            rest = after;
            match self.step(*byte) {
                Ok(state) => self.state = state,
                Err(model) => {
                    self.state = State::Done;
                    return Some(model);
                }
            }
        }
        None
    }

    /// How many of these bytes change nothing.
    fn quiet(&self, bytes: &[u8]) -> usize {
        match self.state {
            State::Other { escaped: false, .. }
            | State::Nested { string: true, escaped: false, .. } => {
                until(bytes, |byte| (byte == b'"') | (byte == b'\\'))
            }
            State::Nested { string: false, .. } => {
                until(bytes, |byte| (byte == b'"') | is_bracket(byte))
            }
            State::Done => bytes.len(),
            _ => 0,
        }
    }

    fn step(&mut self, byte: u8) -> Step {
        if byte.is_ascii_whitespace() && !self.is_in_text() {
            return Ok(match self.state {
                State::Scalar => State::Comma,
                state => state,
            });
        }
        match self.state {
            State::Start => match byte {
                b'{' => Ok(State::FirstKey),
                _ => Err(Model::Absent),
            },
            State::FirstKey | State::NextKey => match byte {
                b'"' => {
                    self.text = Text::new(FIELD.len());
                    Ok(State::Key)
                }
                _ => Err(Model::Absent),
            },
            State::Key => Ok(self.key(byte)),
            State::Colon { is_field } => match byte {
                b':' => Ok(State::Value { is_field }),
                _ => Err(Model::Absent),
            },
            State::Value { is_field } => self.value(byte, is_field),
            State::Name => self.name(byte),
            State::Other { of, escaped } => Ok(match (escaped, byte) {
                (false, b'\\') => State::Other { of, escaped: true },
                (false, b'"') if of == Part::Key => State::Colon { is_field: false },
                (false, b'"') => State::Comma,
                _ => State::Other { of, escaped: false },
            }),
            State::Nested { depth, string, escaped } => Ok(nested(depth, string, escaped, byte)),
            State::Scalar | State::Comma => match (self.state, byte) {
                (_, b',') => Ok(State::NextKey),
                (_, b'}') => Err(Model::Absent),
                (State::Scalar, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'+' | b'E') => {
                    Ok(State::Scalar)
                }
                _ => Err(Model::Absent),
            },
            State::Done => Ok(State::Done),
        }
    }

    const fn is_in_text(&self) -> bool {
        matches!(
            self.state,
            State::Key | State::Name | State::Other { .. } | State::Nested { string: true, .. }
        )
    }

    fn key(&mut self, byte: u8) -> State {
        if byte == b'"' && !self.text.is_escaped() {
            return State::Colon { is_field: self.text.bytes() == Some(FIELD) };
        }
        self.text.push(byte);
        match self.text.is_over() && !self.text.is_escaped() {
            true => State::Other { of: Part::Key, escaped: false },
            false => State::Key,
        }
    }

    fn value(&mut self, byte: u8, is_field: bool) -> Step {
        Ok(match byte {
            b'"' if is_field => {
                self.text = Text::new(MAX_NAME_BYTES);
                State::Name
            }
            _ if is_field => return Err(Model::Absent),
            b'"' => State::Other { of: Part::Value, escaped: false },
            b'{' | b'[' => State::Nested { depth: 1, string: false, escaped: false },
            b'a'..=b'z' | b'0'..=b'9' | b'-' => State::Scalar,
            _ => return Err(Model::Absent),
        })
    }

    fn name(&mut self, byte: u8) -> Step {
        if byte == b'"' && !self.text.is_escaped() {
            let name = self.text.bytes().map(<[u8]>::to_vec).map(String::from_utf8);
            return Err(match name {
                Some(Ok(name)) => Model::Named(name),
                _ => Model::Impossible,
            });
        }
        self.text.push(byte);
        if self.text.is_over() { Err(Model::Impossible) } else { Ok(State::Name) }
    }
}

impl Default for ModelField {
    fn default() -> Self {
        Self::new()
    }
}

fn nested(depth: u32, string: bool, escaped: bool, byte: u8) -> State {
    let within = |string, escaped| State::Nested { depth, string, escaped };
    match (string, byte) {
        (true, _) if escaped => within(true, false),
        (true, b'\\') => within(true, true),
        (true, b'"') => within(false, false),
        (true, _) => within(true, false),
        (false, b'"') => within(true, false),
        (false, b'{' | b'[') => State::Nested { depth: depth.saturating_add(1), string, escaped },
        (false, b'}' | b']') if depth == 1 => State::Comma,
        (false, b'}' | b']') => State::Nested { depth: depth - 1, string, escaped },
        (false, _) => within(false, false),
    }
}

const fn is_bracket(byte: u8) -> bool {
    // Without a branch for each.
    (byte == b'{') | (byte == b'}') | (byte == b'[') | (byte == b']')
}

/// How many bytes stand before the first that is of interest. Whole blocks are looked at without a
/// branch for each byte, which the compiler turns into a few wide instructions.
fn until(bytes: &[u8], is_of_interest: impl Fn(u8) -> bool) -> usize {
    let mut blocks = bytes.chunks_exact(BLOCK_BYTES);
    let quiet_blocks = blocks
        .by_ref()
        .take_while(|block| !block.iter().fold(false, |any, byte| any | is_of_interest(*byte)));
    let start = quiet_blocks.count() * BLOCK_BYTES;
    let rest = bytes.get(start..).unwrap_or_default();
    let found = rest.iter().position(|byte| is_of_interest(*byte));
    start + found.unwrap_or(rest.len())
}

#[cfg(test)]
mod tests;
