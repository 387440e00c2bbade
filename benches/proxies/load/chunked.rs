//! What a chunked answer says, however it was cut into chunks on its way.

use super::connection::invalid;
use httparse::Status;
use std::io;

/// An answer as it comes.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    /// Its text that was not yet taken.
    pub(super) text: Vec<u8>,
    place: Place,
}

/// What comes next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Head,
    Size,
    /// So many bytes of a chunk.
    Chunk(usize),
    /// The line's end behind a chunk.
    Break,
    /// The line's end behind the last.
    LastBreak,
    Done,
}

// === impl Chunked ===

impl Chunked {
    /// Takes what was read, as far as it goes. Returns how many bytes that was.
    ///
    /// # Errors
    /// If these are no chunks.
    pub(super) fn feed(&mut self, read: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            let rest = read.get(taken..).unwrap_or_default();
            let (bytes, next) = match self.place {
                Place::Head => match memchr::memmem::find(rest, b"\r\n\r\n") {
                    Some(head) => (head + 4, Place::Size),
                    None => return Ok(taken),
                },
                Place::Size => match httparse::parse_chunk_size(rest) {
                    Ok(Status::Complete((line, 0))) => (line, Place::LastBreak),
                    Ok(Status::Complete((line, size))) => {
                        let size = usize::try_from(size).map_err(io::Error::other)?;
                        (line, Place::Chunk(size))
                    }
                    Ok(Status::Partial) => return Ok(taken),
                    Err(_) => return Err(invalid("the answer has no chunks")),
                },
                Place::Chunk(_) if rest.is_empty() => return Ok(taken),
                Place::Chunk(left) => {
                    let here = left.min(rest.len());
                    self.text.extend_from_slice(rest.get(..here).unwrap_or_default());
                    (here, if here == left { Place::Break } else { Place::Chunk(left - here) })
                }
                Place::Break | Place::LastBreak if rest.len() < 2 => return Ok(taken),
                Place::Break => (2, Place::Size),
                Place::LastBreak => (2, Place::Done),
                Place::Done => return Ok(taken),
            };
            (taken, self.place) = (taken + bytes, next);
        }
    }

    /// Whether the answer is at its end.
    pub(super) fn is_done(&self) -> bool {
        self.place == Place::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_same_however_it_is_cut() {
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            3\r\none\r\n1\r\n\n\r\nA\r\n\ntwo\n\nthre\r\n1\r\ne\r\n0\r\n\r\n";
        for cut in 0..answer.len() {
            let (first, second) = answer.split_at(cut);
            let mut chunked = Chunked::default();
            let taken = chunked.feed(first).expect("chunks");
            assert!(!chunked.is_done(), "{cut}");
            let rest = [first.get(taken..).expect("a part"), second].concat();
            assert_eq!(chunked.feed(&rest).expect("chunks"), rest.len(), "{cut}");
            assert!(chunked.is_done(), "{cut}");
            assert_eq!(chunked.text, b"one\n\ntwo\n\nthree", "{cut}");
        }
    }

    #[test]
    fn what_is_not_chunked_is_an_error() {
        assert!(Chunked::default().feed(b"HTTP/1.1 200 OK\r\n\r\nhello").is_err());
    }
}
