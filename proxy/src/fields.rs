//! The fields of a head as they came: in their order, in their names' case, and mostly unread.
//!
//! A head's fields are a list of places in the head's own bytes. Looking a name up goes over the
//! list, which for the dozen fields of an ordinary head is cheaper than building a map; writing the
//! next head copies runs of lines that nobody has touched.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::ops::Range;

/// An ordinary head has not more, those that a hop adds among them: room is made once.
const ORDINARY_LINES: usize = 16;

/// Room for the lines that a hop adds, so that it is made once.
const OWN_BYTES: usize = 128;

/// Fields in order. Names are compared without regard to case.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    /// What was received.
    head: Bytes,
    /// Lines that were added here, written out.
    own: Vec<u8>,
    lines: Vec<Line>,
    /// A bit for each name that may be there, which is where most lookups end.
    hints: u64,
}

/// Where a field stands.
#[derive(Debug, Clone, Copy)]
struct Line {
    name: Place,
    value: Place,
    /// In `own`, else in `head`.
    is_own: bool,
    /// Written as `name: value\r\n` and so fit to be copied as a whole.
    is_plain: bool,
    /// Never to be kept in a table of fields (RFC 7541 section 6.2.3).
    is_sensitive: bool,
}

/// A part of a text. Heads are far smaller than 4 GiB.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: u32,
    end: u32,
}

// === impl Fields ===

impl Fields {
    /// None yet, of this head.
    pub fn of_head(head: Bytes) -> Self {
        Self { head, own: Vec::new(), lines: Vec::with_capacity(ORDINARY_LINES), hints: 0 }
    }

    /// The next field of the head, which stands there; `is_plain` if as `name: value\r\n`.
    pub fn push_read(&mut self, name: Range<usize>, value: Range<usize>, is_plain: bool) {
        let (name, value) = (Place::of(name), Place::of(value));
        self.hints |= hint(part(&self.head, name));
        self.lines.push(Line { name, value, is_own: false, is_plain, is_sensitive: false });
    }

    /// The first value of this name.
    pub fn get(&self, name: impl AsRef<str>) -> Option<&[u8]> {
        self.find(name.as_ref()).map(|line| self.text(line, line.value))
    }

    /// All values of this name, in order.
    pub fn get_all(&self, name: impl AsRef<str>) -> impl Iterator<Item = &[u8]> {
        let lines = if self.may_have(name.as_ref()) { self.lines.as_slice() } else { &[] };
        let is_named = move |line: &&Line| self.is_named(line, name.as_ref());
        lines.iter().filter(is_named).map(|line| self.text(line, line.value))
    }

    /// Whether there is a field of this name.
    pub fn contains(&self, name: impl AsRef<str>) -> bool {
        self.find(name.as_ref()).is_some()
    }

    /// Names, as they were written, and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|line| (self.text(line, line.name), self.text(line, line.value)))
    }

    /// Removes all fields of this name. Says whether there was one.
    pub fn remove(&mut self, name: impl AsRef<str>) -> bool {
        let is_there = self.contains(name.as_ref());
        if is_there {
            self.retain(|known| !known.eq_ignore_ascii_case(name.as_ref().as_bytes()));
        }
        is_there
    }

    /// Keeps the fields whose names are to be kept.
    pub fn retain(&mut self, mut keeps: impl FnMut(&[u8]) -> bool) {
        let (head, own) = (&self.head, &self.own);
        self.lines.retain(|line| keeps(text(head, own, line, line.name)));
    }

    /// One field of this name: where the first of them stands, else at the end.
    pub fn insert(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) {
        let name = name.as_ref();
        if !self.may_have(name) {
            return self.append(name, value);
        }
        let mut new = Some(self.write(name, value.as_ref()));
        let (head, own) = (&self.head, &self.own);
        self.lines.retain_mut(|line| {
            let is_named = text(head, own, line, line.name).eq_ignore_ascii_case(name.as_bytes());
            !is_named || new.take().map(|new| *line = new).is_some()
        });
        self.lines.extend(new);
    }

    /// One more field, at the end.
    pub fn append(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) {
        let line = self.write(name.as_ref(), value.as_ref());
        self.lines.push(line);
    }

    /// The field, unless there is one of its name.
    pub fn insert_if_absent(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) {
        if !self.contains(name.as_ref()) {
            self.append(name, value);
        }
    }

    /// Writes all fields.
    pub fn encode(&self, out: &mut BytesMut) {
        out.reserve(self.head.len() + self.own.len());
        // Lines that follow one another and are whole go in one copy.
        let (mut run, mut of_own) = (0..0, false);
        for line in &self.lines {
            let (start, end) = (line.name.start as usize, line.value.end as usize + 2);
            if line.is_plain && line.is_own == of_own && run.end == start {
                run.end = end;
                continue;
            }
            self.copy(&mut run, of_own, out);
            if line.is_plain {
                (run, of_own) = (start..end, line.is_own);
            } else {
                encode_field(self.text(line, line.name), self.text(line, line.value), out);
            }
        }
        self.copy(&mut run, of_own, out);
    }

    /// As HTTP/2 has them.
    pub fn to_map(&self) -> HeaderMap {
        self.to_map_without(&[])
    }

    /// As HTTP/2 has them, but for the fields of these names. (A map from which a field is taken
    /// afterwards puts its last one in that place.)
    pub fn to_map_without(&self, left_out: &[HeaderName]) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.lines.len());
        for line in &self.lines {
            let name = HeaderName::from_bytes(self.text(line, line.name));
            if name.as_ref().is_ok_and(|name| left_out.contains(name)) {
                continue;
            }
            let value = self.text(line, line.value);
            let value = match line.is_own {
                true => HeaderValue::from_bytes(value),
                false => HeaderValue::from_maybe_shared(self.head.slice_ref(value)),
            };
            // What was judged when it came is a name and a value.
            if let (Ok(name), Ok(mut value)) = (name, value) {
                value.set_sensitive(line.is_sensitive);
                map.append(name, value);
            }
        }
        map
    }

    fn copy(&self, run: &mut Range<usize>, of_own: bool, out: &mut BytesMut) {
        let source: &[u8] = if of_own { &self.own } else { &self.head };
        out.extend_from_slice(source.get(std::mem::take(run)).unwrap_or_default());
    }

    fn may_have(&self, name: &str) -> bool {
        self.hints & hint(name.as_bytes()) != 0
    }

    #[inline]
    fn find(&self, name: &str) -> Option<&Line> {
        if !self.may_have(name) {
            return None;
        }
        self.lines.iter().find(|line| self.is_named(line, name))
    }

    fn is_named(&self, line: &Line, name: &str) -> bool {
        // Most names are told apart by their length.
        (line.name.end - line.name.start) as usize == name.len()
            && self.text(line, line.name).eq_ignore_ascii_case(name.as_bytes())
    }

    fn text(&self, line: &Line, place: Place) -> &[u8] {
        text(&self.head, &self.own, line, place)
    }

    /// A line of our own, written where such lines are kept.
    fn write(&mut self, name: &str, value: &[u8]) -> Line {
        self.hints |= hint(name.as_bytes());
        let (start, length) = (self.own.len(), name.len() + value.len() + 4);
        if self.own.capacity() - start < length {
            self.own.reserve(length.max(OWN_BYTES));
        }
        encode_field(name.as_bytes(), value, &mut self.own);
        let name = start..start + name.len();
        let value = Place::of(name.end + 2..name.end + 2 + value.len());
        let name = Place::of(name);
        Line { name, value, is_own: true, is_plain: true, is_sensitive: false }
    }
}

/// One of 64 bits, by a name's length and first letter.
fn hint(name: &[u8]) -> u64 {
    let first = name.first().map_or(0, u8::to_ascii_lowercase);
    1 << ((name.len() * 5 + usize::from(first)) % 64)
}

/// Writes one field.
pub fn encode_field(name: &[u8], value: &[u8], out: &mut impl BufMut) {
    for part in [name, b": ", value, b"\r\n"] {
        out.put_slice(part);
    }
}

fn text<'a>(head: &'a [u8], own: &'a [u8], line: &Line, place: Place) -> &'a [u8] {
    part(if line.is_own { own } else { head }, place)
}

fn part(source: &[u8], place: Place) -> &[u8] {
    source.get(place.start as usize..place.end as usize).unwrap_or_default()
}

impl Place {
    fn of(range: Range<usize>) -> Self {
        let at = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        Self { start: at(range.start), end: at(range.end) }
    }
}

impl From<&HeaderMap> for Fields {
    fn from(map: &HeaderMap) -> Self {
        let mut fields = Self::of_head(Bytes::new());
        for (name, value) in map {
            let mut line = fields.write(name.as_str(), value.as_bytes());
            line.is_sensitive = value.is_sensitive();
            fields.lines.push(line);
        }
        fields
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(given: I) -> Self {
        let mut fields = Self::default();
        given.into_iter().for_each(|(name, value)| fields.append(name, value));
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "X-A: 1\r\nSet-Cookie: a\r\nx-a:2\r\nX-B: \t3 \r\nset-cookie: b\r\n";

    fn read(head: &str) -> Fields {
        let mut fields = Fields::of_head(Bytes::copy_from_slice(head.as_bytes()));
        let mut start = 0;
        for line in head.split_inclusive('\n') {
            let (name, value) = line.split_once(':').unwrap();
            let (name, before) =
                (start..start + name.len(), value.len() - value.trim_start().len());
            let value_start = name.end + 1 + before;
            let is_plain = value.trim_end().len() + 2 == value.len() && value.starts_with(" ");
            let value = value_start..value_start + value.trim().len();
            fields.push_read(name, value, is_plain && before == 1);
            start += line.len();
        }
        fields
    }

    fn written(fields: &Fields) -> String {
        let mut out = BytesMut::new();
        fields.encode(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn order_case_and_repeats_are_kept() {
        let fields = read(HEAD);
        assert_eq!(
            written(&fields),
            "X-A: 1\r\nSet-Cookie: a\r\nx-a: 2\r\nX-B: 3\r\nset-cookie: b\r\n"
        );
        assert_eq!(fields.get("X-a"), Some(&b"1"[..]));
        assert_eq!(fields.get_all("x-a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert!(!fields.contains("x"));
    }

    #[test]
    fn changes_touch_nothing_else() {
        let mut fields = read(HEAD);
        fields.insert("x-a", "9");
        fields.append("x-c", "4");
        assert!(fields.remove("SET-COOKIE") && !fields.remove("set-cookie"));
        fields.insert_if_absent("x-b", "no");
        fields.insert_if_absent("x-d", "5");
        assert_eq!(written(&fields), "x-a: 9\r\nX-B: 3\r\nx-c: 4\r\nx-d: 5\r\n");
    }

    #[test]
    fn a_map_and_back() {
        let map = read(HEAD).to_map();
        assert_eq!(map.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        let mut secret = HeaderMap::new();
        let mut value = HeaderValue::from_static("s");
        value.set_sensitive(true);
        secret.insert("x-s", value);
        assert!(Fields::from(&secret).to_map()["x-s"].is_sensitive());
    }

    proptest! {
        /// Against the plainest of lists.
        #[test]
        fn as_a_list_of_pairs_would_be(
            start in proptest::collection::vec((0..4_u8, 0..9_u8), 0..6),
            steps in proptest::collection::vec((0..4_u8, 0..4_u8, 0..9_u8), 0..12),
        ) {
            let name = |name: u8| format!("n{name}");
            let head: String =
                start.iter().map(|(n, v)| format!("{}: {v}\r\n", name(*n))).collect();
            let mut fields = read(&head);
            let mut list: Vec<(String, String)> =
                start.iter().map(|(n, v)| (name(*n), v.to_string())).collect();
            for (step, n, v) in steps {
                let (n, v) = (name(n), v.to_string());
                let first = list.iter().position(|(known, _)| *known == n);
                match step {
                    0 => {
                        fields.append(&n, &v);
                        list.push((n, v));
                    }
                    1 => {
                        prop_assert_eq!(fields.remove(&n), first.is_some());
                        list.retain(|(known, _)| *known != n);
                    }
                    2 => {
                        fields.insert(&n, &v);
                        list.retain({
                            let (n, mut index) = (n.clone(), 0);
                            move |(known, _)| {
                                index += 1;
                                *known != n || first == Some(index - 1)
                            }
                        });
                        match first {
                            Some(first) => list[first].1 = v,
                            None => list.push((n, v)),
                        }
                    }
                    _ => {
                        let found = first.map(|first| list[first].1.as_bytes());
                        prop_assert_eq!(fields.get(&n), found);
                    }
                }
            }
            let expected: String = list.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
            prop_assert_eq!(written(&fields), expected);
        }
    }
}
