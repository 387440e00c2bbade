//! A JSON text as it comes, its escapes resolved, up to a length.

/// One text.
#[derive(Debug)]
pub(super) struct Text {
    bytes: Vec<u8>,
    most: usize,
    escape: Escape,
    /// The first half of a character that is escaped in two.
    high: Option<u16>,
    /// Whether it is longer than may be, or no text.
    is_over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    /// After a backslash.
    Begun,
    /// After `\u` and so many digits, which make this number.
    Digits(u8, u16),
}

// === impl Text ===

impl Text {
    /// An empty one, of `most` bytes at the most.
    pub(super) const fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), most, escape: Escape::None, high: None, is_over: false }
    }

    /// Whether the next byte is a part of an escape, and no end.
    pub(super) fn is_escaped(&self) -> bool {
        self.escape != Escape::None
    }

    /// Whether it is longer than may be, or can't be a text any more.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// The whole of it, unless it is over, or ends within a character.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        (!self.is_over && self.high.is_none()).then_some(&self.bytes)
    }

    /// The next byte as it stands in the document.
    pub(super) fn push(&mut self, byte: u8) {
        match self.escape {
            Escape::None if byte == b'\\' => self.escape = Escape::Begun,
            Escape::None => self.add(&[byte]),
            Escape::Begun => self.begun(byte),
            Escape::Digits(count, number) => self.digit(count, number, byte),
        }
    }

    fn begun(&mut self, byte: u8) {
        self.escape = Escape::None;
        let plain = match byte {
            b'u' => {
                self.escape = Escape::Digits(0, 0);
                return;
            }
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            _ => {
                self.is_over = true;
                return;
            }
        };
        self.add(&[plain]);
    }

    fn digit(&mut self, count: u8, number: u16, byte: u8) {
        let digit = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok());
        let Some(digit) = digit else {
            self.escape = Escape::None;
            self.is_over = true;
            return;
        };
        let number = number << 4 | digit;
        if count < 3 {
            self.escape = Escape::Digits(count + 1, number);
            return;
        }
        self.escape = Escape::None;
        self.unit(number);
    }

    /// A unit of UTF-16.
    fn unit(&mut self, unit: u16) {
        let units = [self.high.take(), Some(unit)];
        if units[0].is_none() && (0xd800..0xdc00).contains(&unit) {
            self.high = Some(unit);
            return;
        }
        match char::decode_utf16(units.into_iter().flatten()).next() {
            Some(Ok(letter)) if units[0].is_none() || u32::from(letter) > 0xffff => {
                self.add(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => self.is_over = true,
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        // A half of a character must be followed by its other.
        if self.high.is_some() || self.bytes.len() + bytes.len() > self.most {
            self.is_over = true;
            return;
        }
        self.bytes.extend_from_slice(bytes);
    }
}
