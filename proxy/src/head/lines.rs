//! Cuts an HTTP/1 head into its lines, and says where the parts of each stand.
//!
//! Takes what RFC 9112 allows and nothing else: lines end with CR and LF, a name ends with its colon,
//! no line continues another. Its tests compare it with httparse, head for head.

use std::ops::Range;

/// Bytes of names and methods (RFC 9110 section 5.6.2).
const TOKEN: u8 = 1;
/// Bytes of targets: those that are seen, and what may be UTF-8.
const TARGET: u8 = 2;
/// Which of the two each byte is.
static KINDS: [u8; 256] = kinds();
/// The same byte eight times.
const ONES: u64 = u64::MAX / 255;

/// A head, line after line.
pub(crate) struct Lines<'a> {
    head: &'a [u8],
    at: usize,
}

/// A request's first line.
pub(crate) struct RequestLine<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) target: &'a [u8],
    /// Of HTTP/1.
    pub(crate) minor: u8,
}

/// An answer's first line.
pub(crate) struct StatusLine {
    pub(crate) code: u16,
    /// Of HTTP/1.
    pub(crate) minor: u8,
}

/// Where a field stands in its head.
pub(crate) struct FieldLine {
    pub(crate) name: Range<usize>,
    /// Without the spaces around it.
    pub(crate) value: Range<usize>,
    /// Written as `name: value`, with one space and none at the end.
    pub(crate) is_plain: bool,
}

/// A line that is none of a head.
#[derive(Debug)]
pub(crate) struct MalformedLine(());

// === impl Lines ===

impl<'a> Lines<'a> {
    /// The lines of this head, without the empty ones before it.
    pub(crate) fn new(head: &'a [u8]) -> Self {
        let mut lines = Self { head, at: 0 };
        while lines.takes(b"\r\n") {}
        lines
    }

    /// A request's first line.
    pub(crate) fn request_line(&mut self) -> Option<RequestLine<'a>> {
        let method = self.word(TOKEN)?;
        let target = self.word(TARGET)?;
        let minor = self.version()?;
        self.takes(b"\r\n").then_some(RequestLine { method, target, minor })
    }

    /// An answer's first line. The words after the code are not kept.
    pub(crate) fn status_line(&mut self) -> Option<StatusLine> {
        let minor = self.version()?;
        let (b' ', digits) = self.rest().get(..4)?.split_first()? else { return None };
        let code = digits.iter().try_fold(0, |code, digit| {
            digit.is_ascii_digit().then(|| code * 10 + u16::from(digit - b'0'))
        })?;
        self.at += 4;
        if self.takes(b" ") {
            self.at = self.end_of_text(self.at)?;
        }
        self.takes(b"\r\n").then_some(StatusLine { code, minor })
    }

    /// The next field; `None` at the head's end.
    pub(crate) fn field(&mut self) -> Result<Option<FieldLine>, MalformedLine> {
        const MALFORMED: MalformedLine = MalformedLine(());
        let rest = self.rest();
        let length = length_of(rest, TOKEN).ok_or(MALFORMED)?;
        if length == 0 {
            return if rest == b"\r\n" { Ok(None) } else { Err(MALFORMED) };
        }
        let name = self.at..self.at + length;
        self.at = name.end;
        if !self.takes(b":") {
            return Err(MALFORMED);
        }
        let is_blank = |at: usize| matches!(self.head.get(at), Some(b' ' | b'\t'));
        let mut start = self.at;
        while is_blank(start) {
            start += 1;
        }
        let end_of_line = self.end_of_text(start).ok_or(MALFORMED)?;
        let mut end = end_of_line;
        while end > start && is_blank(end - 1) {
            end -= 1;
        }
        let has_one_space = start == self.at + 1 && self.head.get(self.at) == Some(&b' ');
        self.at = end_of_line;
        if !self.takes(b"\r\n") {
            return Err(MALFORMED);
        }
        let is_plain = has_one_space && end == end_of_line;
        Ok(Some(FieldLine { name, value: start..end, is_plain }))
    }

    fn rest(&self) -> &'a [u8] {
        self.head.get(self.at..).unwrap_or_default()
    }

    /// Goes on behind these bytes, if they are next.
    fn takes(&mut self, bytes: &[u8]) -> bool {
        let is_next = self.rest().starts_with(bytes);
        if is_next {
            self.at += bytes.len();
        }
        is_next
    }

    /// One or more of these bytes, and the space after them.
    fn word(&mut self, kind: u8) -> Option<&'a [u8]> {
        let rest = self.rest();
        let length = length_of(rest, kind)?;
        let (word, after) = rest.split_at_checked(length)?;
        self.at += length + 1;
        (length > 0 && after.first() == Some(&b' ')).then_some(word)
    }

    /// The second number of `HTTP/1.1` or `HTTP/1.0`.
    fn version(&mut self) -> Option<u8> {
        let minor = match self.rest().get(..8)? {
            b"HTTP/1.1" => 1,
            b"HTTP/1.0" => 0,
            _ => return None,
        };
        self.at += 8;
        Some(minor)
    }

    /// Where the first byte stands that no text has, from here on: a control, but for the tab.
    fn end_of_text(&self, mut at: usize) -> Option<usize> {
        loop {
            match self.head.get(at..at + 8).and_then(|word| word.try_into().ok()) {
                Some(word) => match controls(u64::from_le_bytes(word)) {
                    0 => {
                        at += 8;
                        continue;
                    }
                    found => at += (found.trailing_zeros() / 8) as usize,
                },
                None => at += self.head.get(at..)?.iter().position(u8::is_ascii_control)?,
            }
            if self.head.get(at) != Some(&b'\t') {
                return Some(at);
            }
            at += 1;
        }
    }
}

/// Eight bytes at once: the high bit of the first one that is a control, and perhaps of later ones.
const fn controls(bytes: u64) -> u64 {
    let below_space = bytes.wrapping_sub(ONES * b' ' as u64) & !bytes;
    let but_delete = bytes ^ (ONES * 0x7f);
    let delete = but_delete.wrapping_sub(ONES) & !but_delete;
    (below_space | delete) & (ONES * 0x80)
}

/// How many bytes of this kind stand first, if another follows.
fn length_of(text: &[u8], kind: u8) -> Option<usize> {
    text.iter().position(|byte| KINDS[usize::from(*byte)] & kind == 0)
}

const fn kinds() -> [u8; 256] {
    let mut kinds = [0; 256];
    let mut byte = 0_u8;
    loop {
        let is_token = byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`')
            || matches!(byte, b'|' | b'~');
        let is_target = byte.is_ascii_graphic() || !byte.is_ascii();
        kinds[byte as usize] = is_token as u8 * TOKEN + is_target as u8 * TARGET;
        if byte == u8::MAX {
            return kinds;
        }
        byte += 1;
    }
}

#[cfg(test)]
mod tests;
