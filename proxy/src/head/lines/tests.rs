//! What is read of heads, beside what httparse reads of them.

use super::*;
use proptest::prelude::*;

/// Method or code, target, version, and the fields.
type Read = (String, Vec<u8>, u8, Vec<(Vec<u8>, Vec<u8>)>);

const MAX_FIELDS: usize = 100;

/// The fields that follow, if what follows is the rest of a head.
fn fields(head: &[u8], lines: &mut Lines<'_>) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut fields = Vec::new();
    while let Some(line) = lines.field().ok()? {
        let (name, value) = (head[line.name.clone()].to_vec(), head[line.value.clone()].to_vec());
        let whole = [&name[..], b": ", &value, b"\r\n"].concat();
        let is_plain = head[line.name.start..].starts_with(&whole);
        assert_eq!(line.is_plain, is_plain, "{:?}", whole.escape_ascii().to_string());
        fields.push((name, value));
    }
    Some(fields)
}

fn request(head: &[u8]) -> Option<Read> {
    let mut lines = Lines::new(head);
    let RequestLine { method, target, minor } = lines.request_line()?;
    std::str::from_utf8(target).ok()?;
    let method = String::from_utf8(method.to_vec()).unwrap();
    Some((method, target.to_vec(), minor, fields(head, &mut lines)?))
}

fn answer(head: &[u8]) -> Option<Read> {
    let mut lines = Lines::new(head);
    let StatusLine { code, minor } = lines.status_line()?;
    Some((format!("{code:03}"), Vec::new(), minor, fields(head, &mut lines)?))
}

fn owned(fields: &[httparse::Header<'_>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.iter().map(|field| (field.name.into(), field.value.into())).collect()
}

/// What httparse reads, of heads whose lines end as they must.
fn httparse_request(head: &[u8]) -> Option<Read> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut read = httparse::Request::new(&mut fields);
    match read.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        _ => return None,
    }
    let fields = owned(read.headers);
    Some((read.method?.to_owned(), read.path?.into(), read.version?, fields))
}

fn httparse_answer(head: &[u8]) -> Option<Read> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut read = httparse::Response::new(&mut fields);
    match read.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        _ => return None,
    }
    Some((format!("{:03}", read.code?), Vec::new(), read.version?, owned(read.headers)))
}

/// The same from both, whatever is changed in the head.
fn compare(head: &[u8]) {
    let shown = head.escape_ascii().to_string();
    // httparse takes a bare LF for a line's end, which here nothing does.
    let has_bare = memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r');
    if !has_bare {
        assert_eq!(request(head), httparse_request(head), "{shown}");
        assert_eq!(answer(head), httparse_answer(head), "{shown}");
    } else {
        assert_eq!((request(head), answer(head)), (None, None), "{shown}");
    }
}

const HEADS: [&str; 9] = [
    "GET /p?q=1 HTTP/1.1\r\nHost: a\r\nUser-Agent: some thing/1.0 (x; y)\r\nAccept: */*\r\n\r\n",
    "\r\n\r\nPOST * HTTP/1.0\r\nX:\r\nY: \t \r\nZ:a\t b \t\r\nlong-name-of-a-field: \t 1234567\r\n\r\n",
    "M-SEARCH http://a:80/\u{e9} HTTP/1.1\r\nX-Eight-8: 12345678\r\nX: 1234567\u{e9}89\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 88\r\nx: \r\n\r\n",
    "HTTP/1.0 404 Not  Found at all\t\u{e9}\r\nA: 1\r\n\r\n",
    "HTTP/1.1 204\r\n\r\n",
    "HTTP/1.1 204 \r\nA: 1\r\nB : 2\r\n\r\n",
    "HTTP/1.1 007 Bond\r\nA: 1\r\n b: folded\r\n\r\n",
];

#[test]
fn good_heads_are_read_as_httparse_reads_them() {
    for head in HEADS {
        compare(head.as_bytes());
    }
    assert!(request(HEADS[0].as_bytes()).is_some() && request(HEADS[1].as_bytes()).is_some());
    assert!(answer(HEADS[4].as_bytes()).is_some() && answer(HEADS[5].as_bytes()).is_some());
}

/// Every byte in every place, and every end.
#[test]
fn one_byte_another_is_the_same_for_both() {
    for head in HEADS {
        for at in 0..head.len() {
            compare(&head.as_bytes()[..at]);
            for byte in 0..=u8::MAX {
                let mut changed = head.as_bytes().to_vec();
                changed[at] = byte;
                compare(&changed);
                changed.insert(at, byte);
                compare(&changed);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_mixture_is_the_same_for_both(
        head in 0..HEADS.len(),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(&b"\r\n \t:/aZ_0\x00\x1f\x7f\x80\xff"[..]), 0..3),
            1..6,
        ),
    ) {
        let mut head = HEADS[head].as_bytes().to_vec();
        for (at, byte, what) in changes {
            let at = at.index(head.len());
            match what {
                0 => head[at] = byte,
                1 => head.insert(at, byte),
                _ => drop(head.remove(at)),
            }
            compare(&head);
        }
    }

    #[test]
    fn the_end_of_text_is_its_first_control(text in prop::collection::vec(any::<u8>(), 0..40)) {
        let lines = Lines::new(b"");
        let lines = Lines { head: &text, ..lines };
        for from in 0..text.len() {
            let is_end = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
            let expected = text[from..].iter().position(is_end).map(|at| from + at);
            prop_assert_eq!(lines.end_of_text(from), expected);
        }
    }
}
