//! Text → checked documents, or a report of every mistake in the file.

use crate::check::{self, Checked};
use crate::conform::conform;
use crate::document::InferenceApi;
use crate::key_path::KeyPath;
use crate::raw::RawInferenceApi;
use crate::references::dangling;
use crate::report::{Mark, Mistakes, Report};
use crate::schema::json_schema;
use crate::tree::{self, Data, Node};
use serde_json::Value;
use std::path::Path;

/// The largest file, in bytes: a thousand APIs fit, and what reading costs stays bounded.
const MAX_BYTES: usize = 1024 * 1024;

/// Reads the `InferenceApi` documents of a YAML file; several are separated by `---`.
///
/// `source` is the file's name, for messages. `base_dir` is the folder that relative paths in the
/// document are seen from; empty stands for the current folder.
///
/// # Errors
///
/// A [`Report`] of every mistake in the file, with lines: broken YAML, unknown, missing or
/// repeated keys, values of the wrong type or out of range, values that contradict each other,
/// two APIs with one name or one route.
pub fn parse(text: &str, source: &str, base_dir: &Path) -> Result<Vec<InferenceApi>, Report> {
    let all = parse_written(text, source, base_dir)?;
    Ok(all.into_iter().map(|written| written.api).collect())
}

/// A checked document beside what its file says of it.
#[derive(Debug, Clone)]
pub struct Written {
    /// The document, with defaults.
    pub api: InferenceApi,
    /// What the file says, and no default: what a cluster is told.
    pub object: Value,
}

/// As [`parse`], with each document as it is written.
///
/// # Errors
///
/// Those of [`parse`].
pub fn parse_written(text: &str, source: &str, base_dir: &Path) -> Result<Vec<Written>, Report> {
    let mut mistakes = Mistakes::default();
    let apis = read(text, base_dir, &mut mistakes);
    match mistakes.into_report(source) {
        None => Ok(apis),
        Some(report) => Err(report),
    }
}

/// The same for a file with which no other is read: what its documents name must be in it.
///
/// # Errors
///
/// As [`parse`]; and versions of an API that are not there, or that split their own requests.
pub fn parse_all(text: &str, source: &str, base_dir: &Path) -> Result<Vec<InferenceApi>, Report> {
    let apis = parse(text, source, base_dir)?;
    let documents: Vec<_> = apis.iter().map(|api| (source, api)).collect();
    let mistakes: Vec<_> = dangling(&documents).into_iter().map(|(_, mistake)| mistake).collect();
    if mistakes.is_empty() {
        return Ok(apis);
    }
    Err(Report { file: source.to_owned(), mistakes, more: 0 })
}

fn read(text: &str, base_dir: &Path, mistakes: &mut Mistakes) -> Vec<Written> {
    let start = Mark { line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        let what = format!("is {} bytes long", text.len());
        let must = format!("at most {MAX_BYTES} bytes: split it into several files");
        mistakes.add(start, &KeyPath::ROOT, what, must);
        return Vec::new();
    }
    let schema = json_schema();
    let documents = tree::read(text, mistakes);
    let mut filled = documents.iter().filter(|node| !matches!(node.data, Data::Null)).peekable();
    if filled.peek().is_none() && mistakes.is_empty() {
        mistakes.add(start, &KeyPath::ROOT, "has no document in it", "an InferenceApi document");
    }
    let (checked, objects): (Vec<Checked>, Vec<Value>) =
        filled.filter_map(|node| read_one(node, &schema, base_dir, mistakes)).unzip();
    check::conflicts(&checked, mistakes);
    let written = |(checked, object): (Checked, Value)| Written { api: checked.api, object };
    checked.into_iter().zip(objects).map(written).collect()
}

/// One document of the file. Its mistakes are its own: two documents have the same paths.
fn read_one(
    node: &Node,
    schema: &Value,
    base_dir: &Path,
    all_mistakes: &mut Mistakes,
) -> Option<(Checked, Value)> {
    let mut mistakes = Mistakes::default();
    let checked = conform(node, schema, &KeyPath::ROOT, &mut mistakes)
        .filter(|_| !mistakes.is_full())
        .and_then(|sound| match serde_json::from_value::<RawInferenceApi>(sound.clone()) {
            Ok(raw) => Some((check::check(raw, node, base_dir, &mut mistakes), sound)),
            Err(error) => {
                let what = format!("is not readable ({error})");
                mistakes.add(node.mark, &KeyPath::ROOT, what, "an InferenceApi document");
                None
            }
        });
    all_mistakes.append(mistakes);
    checked
}
