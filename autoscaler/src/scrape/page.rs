//! One page over a connection of its own, for what is asked thousands of times a second: no pool, no task
//! beside it, no map of fields, and a buffer that is used again.
//!
//! It reads the form in which proxies answer. All others are a whole client's.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::ops::Range;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The largest head: a proxy's has three fields.
const MOST_HEAD: usize = 16 << 10;

/// Between two looks for room in the buffer.
const LEAST_ROOM: usize = 4 << 10;

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) status: u16,
    /// Where the body stands in the buffer.
    pub(super) body: Range<usize>,
}

/// A head, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Where the body begins.
    begin: usize,
    length: usize,
}

/// Asks for `path`. Nothing where the answer is of another form than proxies give.
pub(super) async fn page(
    from: SocketAddr,
    path: &str,
    buffer: &mut Vec<u8>,
    most: usize,
) -> std::io::Result<Option<Page>> {
    let mut stream = TcpStream::connect(from).await?;
    buffer.clear();
    buffer.extend_from_slice(b"GET ");
    buffer.extend_from_slice(path.as_bytes());
    let fields = format!(" HTTP/1.1\r\nhost: {from}\r\nconnection: close\r\n\r\n");
    buffer.extend_from_slice(fields.as_bytes());
    stream.write_all(buffer).await?;
    buffer.clear();
    let mut looked = 0;
    let head = loop {
        if let Some(end) = end_of_head(buffer, looked) {
            match head(buffer, end) {
                Some(head) => break head,
                None => return Ok(None),
            }
        }
        if buffer.len() > MOST_HEAD {
            return Ok(None);
        }
        looked = buffer.len();
        more(&mut stream, buffer).await?;
    };
    if head.length > most {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it has {} bytes", head.length)));
    }
    let end = head.begin + head.length;
    while buffer.len() < end {
        more(&mut stream, buffer).await?;
    }
    Ok(Some(Page { status: head.status, body: head.begin..end }))
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    buffer.reserve(LEAST_ROOM);
    match stream.read_buf(buffer).await? {
        0 => Err(Error::new(ErrorKind::UnexpectedEof, "the connection ended before the answer")),
        _ => Ok(()),
    }
}

/// Where the head ends, with its empty line; up to `looked` it was looked for.
fn end_of_head(bytes: &[u8], looked: usize) -> Option<usize> {
    let from = looked.saturating_sub(3);
    let end = bytes.get(from..)?.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(from + end + 4)
}

/// Reads the head that ends at `begin`: a final status, and the body's length.
fn head(bytes: &[u8], begin: usize) -> Option<Head> {
    let text = std::str::from_utf8(bytes.get(..begin)?).ok()?;
    let mut lines = text.split("\r\n");
    let (version, rest) = lines.next()?.split_once(' ')?;
    let status: u16 = rest.get(..3)?.parse().ok()?;
    if version != "HTTP/1.1" || status < 200 {
        return None;
    }
    let mut length = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return None;
        }
        if name.eq_ignore_ascii_case("content-length") && length.replace(value).is_some() {
            return None;
        }
    }
    Some(Head { status, begin, length: length?.trim().parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn a_head_of_the_usual_form_is_read_and_no_other() {
        let of = |text: &str| {
            let end = end_of_head(text.as_bytes(), 0)?;
            head(text.as_bytes(), end).map(|head| (head.status, head.length))
        };
        for (text, want) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 7\r\ndate: x\r\n\r\nbody", Some((200, 7))),
            ("HTTP/1.1 503 No\r\nContent-Length:0\r\n\r\n", Some((503, 0))),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: 7\r\nTransfer-Encoding: chunked\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\n\r\n", None),
            ("HTTP/1.1 100 Continue\r\ncontent-length: 1\r\n\r\n", None),
            ("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n", None),
            ("HTTP/1.1 2\r\ncontent-length: 1\r\n\r\n", None),
            ("\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n", None),
        ] {
            assert_eq!(of(text), want, "{text:?}");
        }
    }

    #[test]
    fn the_end_of_a_head_is_found_wherever_it_is_cut() {
        let text = b"HTTP/1.1 200 OK\r\na: b\r\n\r\nbody";
        for cut in 0..24 {
            assert_eq!(end_of_head(&text[..cut], 0), None);
            assert_eq!(end_of_head(text, cut), Some(25), "{cut}");
        }
    }

    /// Answers once with these parts, and what was asked.
    async fn ask(
        parts: Vec<&'static str>,
        most: usize,
    ) -> (std::io::Result<Option<String>>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            let count = stream.read(&mut asked).await.unwrap();
            for part in parts {
                stream.write_all(part.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
            String::from_utf8_lossy(&asked[..count]).into_owned()
        };
        let mut buffer = Vec::new();
        let (page, asked) = tokio::join!(page(address, "/metrics?a", &mut buffer, most), serve);
        let body = page
            .map(|page| page.map(|page| String::from_utf8_lossy(&buffer[page.body]).into_owned()));
        (body, asked)
    }

    #[tokio::test]
    async fn a_page_is_read_in_whatever_parts_it_comes() {
        let parts = vec!["HTTP/1.1 200 OK\r\ncontent-le", "ngth: 4\r\n\r", "\nab", "cd"];
        let (body, asked) = ask(parts, 4).await;
        assert_eq!(body.unwrap().as_deref(), Some("abcd"));
        assert!(asked.starts_with("GET /metrics?a HTTP/1.1\r\nhost: 127.0.0.1:"), "{asked}");
        let (chunked, _) =
            ask(vec!["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"], 4).await;
        assert_eq!(chunked.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_cut_or_too_large_is_an_error() {
        let (cut, _) = ask(vec!["HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc"], 4).await;
        assert_eq!(cut.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        let (large, _) = ask(vec!["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde"], 4).await;
        assert_eq!(large.unwrap_err().kind(), ErrorKind::FileTooLarge);
        static LONG: std::sync::LazyLock<String> =
            std::sync::LazyLock::new(|| "a".repeat(MOST_HEAD + 1));
        assert_eq!(ask(vec![&LONG], 4).await.0.unwrap(), None);
    }
}
