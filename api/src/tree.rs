//! YAML text → trees in which every key and value knows its line.
//!
//! Built from the parser's events by hand, without recursion, because a document comes from
//! outside: depth and size are bounded here, aliases included, and duplicate keys are found.

use crate::key_path::{KeyPath, Step};
use crate::quote;
use crate::report::{Mark, Mistakes};
use saphyr::Scalar;
use saphyr_parser::{Event, Marker, Parser, StrInput};
use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;

/// The deepest nesting. The document's own is 5; the rest is room for growth, not for attacks.
const MAX_DEPTH: usize = 32;
/// The most values in a file, those that aliases repeat included: a few hundred APIs.
const MAX_NODES: usize = 100_000;
/// The longest key. Paths repeat keys, so long ones would multiply memory.
const MAX_KEY_BYTES: usize = 256;

/// A value and where it begins; a list or mapping begins at its key.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) mark: Mark,
    pub(crate) data: Data,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    String(String),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A key and its value, in the order of the file. A key given twice is here twice, and a mistake.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_mark: Mark,
    pub(crate) value: Node,
}

/// Reads all documents of a file. Those before a syntax error are still returned.
pub(crate) fn read(text: &str, mistakes: &mut Mistakes) -> Vec<Node> {
    let mut builder = Builder::new(mistakes);
    if let Err(fault) = builder.read_all(text) {
        let path = builder.path();
        builder.mistakes.add(fault.mark, &path, fault.what, fault.must);
    }
    builder.documents
}

// === impl Node ===

impl Node {
    /// The place to name for a path: the value's, or for a missing one that of the nearest key
    /// around it.
    pub(crate) fn locate(&self, path: &KeyPath) -> Mark {
        let mut node = self;
        let mut around = self.mark;
        for step in path.steps() {
            let next = match (step, &node.data) {
                (Step::Key(key), Data::Mapping(entries)) => {
                    let entry = entries.iter().find(|entry| entry.key == *key);
                    entry.map(|entry| (entry.key_mark, &entry.value))
                }
                (Step::Index(index), Data::Sequence(items)) => {
                    items.get(*index).map(|item| (item.mark, item))
                }
                _ => None,
            };
            let Some((mark, value)) = next else { return around };
            (around, node) = (mark, value);
        }
        node.mark
    }

    /// The number of values in the tree and its depth. Recursion is bounded by `MAX_DEPTH`.
    fn measure(&self) -> (usize, usize) {
        let add = |(count, depth): (usize, usize), child: &Self| {
            let (more, below) = child.measure();
            (count + more, depth.max(below + 1))
        };
        match &self.data {
            Data::Sequence(items) => items.iter().fold((1, 1), add),
            Data::Mapping(entries) => entries.iter().map(|entry| &entry.value).fold((1, 1), add),
            _ => (1, 1),
        }
    }
}

// === impl Builder ===

/// Why reading stopped.
struct Fault {
    mark: Mark,
    what: String,
    must: String,
}

/// A list or mapping that is still open.
struct Frame {
    mark: Mark,
    anchor: usize,
    shape: Shape,
}

enum Shape {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, lines: HashMap<String, usize>, key: Option<(String, Mark)> },
}

struct Builder<'a> {
    documents: Vec<Node>,
    open: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    mistakes: &'a mut Mistakes,
}

impl<'a> Builder<'a> {
    fn new(mistakes: &'a mut Mistakes) -> Self {
        let (documents, open, anchors) = (Vec::new(), Vec::new(), HashMap::new());
        Self { documents, open, anchors, nodes: 0, mistakes }
    }

    fn read_all(&mut self, text: &str) -> Result<(), Fault> {
        let mut parser = Parser::<StrInput<'_>>::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| Fault {
                mark: mark(error.marker()),
                what: format!("is not valid YAML: {}", quote::words(error.info())),
                must: "valid YAML: look at the quotes, colons and indentation here and in the \
                       lines before"
                    .to_owned(),
            })?;
            self.on_event(event, mark(&span.start))?;
        }
        Ok(())
    }

    fn on_event(&mut self, event: Event<'_>, mark: Mark) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if self.awaits_key() {
                    return self.on_key(text.into_owned(), mark);
                }
                let shown = quote::quoted(&text);
                let tag_name = tag.as_ref().map(ToString::to_string);
                let scalar = Scalar::parse_from_cow_and_metadata(text, style, tag.as_ref());
                let scalar = scalar.ok_or_else(|| Fault {
                    mark,
                    what: format!("is {shown} with the tag {}", tag_name.unwrap_or_default()),
                    must: "a value without a tag, or one that its tag fits".to_owned(),
                })?;
                self.close(Node { mark, data: Data::from(scalar) }, anchor)
            }
            Event::Alias(anchor) => self.on_alias(anchor, mark),
            Event::SequenceStart(anchor, _) => self.open(mark, anchor, Shape::Sequence(Vec::new())),
            Event::MappingStart(anchor, _) => {
                let (entries, lines) = (Vec::new(), HashMap::new());
                self.open(mark, anchor, Shape::Mapping { entries, lines, key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(frame) = self.open.pop() else { return Ok(()) };
                let data = match frame.shape {
                    Shape::Sequence(items) => Data::Sequence(items),
                    Shape::Mapping { entries, .. } => Data::Mapping(entries),
                };
                self.close(Node { mark: frame.mark, data }, frame.anchor)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Frame { shape: Shape::Mapping { key: None, .. }, .. }))
    }

    fn on_key(&mut self, text: String, mark: Mark) -> Result<(), Fault> {
        if text == "<<" {
            return Err(Fault {
                mark,
                what: "has a merge key `<<`, which YAML 1.2 does not know".to_owned(),
                must: "written out key by key".to_owned(),
            });
        }
        if text.len() > MAX_KEY_BYTES {
            return Err(Fault {
                mark,
                what: format!(
                    "has the key {}, which is {} bytes long",
                    quote::quoted(&text),
                    text.len()
                ),
                must: format!("a key of at most {MAX_KEY_BYTES} bytes"),
            });
        }
        let path = self.path().key(&text);
        if let Some(Frame { shape: Shape::Mapping { key, lines, .. }, .. }) = self.open.last_mut() {
            match lines.entry(text.clone()) {
                MapEntry::Vacant(entry) => _ = entry.insert(mark.line),
                MapEntry::Occupied(entry) => {
                    let what = format!("is given again, first in line {}", entry.get());
                    self.mistakes.add(mark, &path, what, "given once");
                }
            }
            *key = Some((text, mark));
        }
        Ok(())
    }

    fn on_alias(&mut self, anchor: usize, mark: Mark) -> Result<(), Fault> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(Fault {
                mark,
                what: "is an alias of something that it is part of".to_owned(),
                must: "an alias of a value that ends before it".to_owned(),
            });
        };
        let (nodes, depth) = node.measure();
        self.reserve(nodes - 1, self.open.len() + depth, mark)?;
        if self.awaits_key() {
            return Err(complex_key(mark));
        }
        self.close(node, 0)
    }

    fn open(&mut self, mark: Mark, anchor: usize, shape: Shape) -> Result<(), Fault> {
        if self.awaits_key() {
            return Err(complex_key(mark));
        }
        self.reserve(0, self.open.len() + 1, mark)?;
        self.open.push(Frame { mark, anchor, shape });
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn close(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        self.reserve(1, self.open.len(), node.mark)?;
        if anchor > 0 {
            // The anchor's copy counts too, or anchors around anchors would multiply memory.
            self.reserve(node.measure().0, self.open.len(), node.mark)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|frame| &mut frame.shape) {
            None => self.documents.push(node),
            Some(Shape::Sequence(items)) => items.push(node),
            Some(Shape::Mapping { entries, key, .. }) => {
                if let Some((key, key_mark)) = key.take() {
                    let is_scalar = !matches!(node.data, Data::Sequence(_) | Data::Mapping(_));
                    let mark = if is_scalar { node.mark } else { key_mark };
                    entries.push(Entry { key, key_mark, value: Node { mark, ..node } });
                }
            }
        }
        Ok(())
    }

    fn reserve(&mut self, nodes: usize, depth: usize, mark: Mark) -> Result<(), Fault> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(Fault {
                mark,
                what: format!(
                    "has more than {MAX_NODES} values, those that aliases repeat included"
                ),
                must: "split into several files".to_owned(),
            });
        }
        if depth > MAX_DEPTH {
            return Err(Fault {
                mark,
                what: format!("is nested more than {MAX_DEPTH} deep"),
                must: "nested less deeply".to_owned(),
            });
        }
        Ok(())
    }

    /// The path of the value that is being read.
    fn path(&self) -> KeyPath {
        let step = |frame: &Frame| match &frame.shape {
            Shape::Sequence(items) => Some(Step::Index(items.len())),
            Shape::Mapping { key, .. } => key.as_ref().map(|(key, _)| Step::Key(key.clone())),
        };
        self.open.iter().filter_map(step).collect()
    }
}

fn complex_key(mark: Mark) -> Fault {
    Fault {
        mark,
        what: "has a list, a mapping or an alias as a key".to_owned(),
        must: "a mapping with plain text as keys".to_owned(),
    }
}

fn mark(marker: &Marker) -> Mark {
    Mark { line: marker.line(), column: marker.col() + 1 }
}

impl From<Scalar<'_>> for Data {
    fn from(scalar: Scalar<'_>) -> Self {
        match scalar {
            Scalar::Null => Self::Null,
            Scalar::Boolean(value) => Self::Boolean(value),
            Scalar::Integer(value) => Self::Integer(value),
            Scalar::FloatingPoint(value) => Self::Number(value.into_inner()),
            Scalar::String(text) => Self::String(text.into_owned()),
        }
    }
}
