//! Reads the InferenceApi documents that a command line names.

use crate::exit::{BadDocument, BadUsage};
use anyhow::Result;
use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use tidegate_api::document::{Clash, InferenceApi, Route, RouteKey};
use tidegate_api::{Mistake, Written};

/// A document is a few kilobytes; what is larger than this is something else.
const BYTES_MAX: u64 = 1024 * 1024;

/// Every API of every file.
///
/// # Errors
/// `BadUsage` for a file that can't be read; `BadDocument` with the mistakes of all files.
pub(crate) fn read(files: &[PathBuf]) -> Result<Vec<InferenceApi>> {
    let all = read_with_files(files, text)?;
    // Of a file with mistakes it isn't known what it has.
    let documents: Vec<_> = all.iter().map(|(file, one)| (file.as_str(), &one.api)).collect();
    refuse(&tidegate_api::dangling(&documents))?;
    Ok(all.into_iter().map(|(_, written)| written.api).collect())
}

/// Every API of every file with that file's name, beside what it says. What they name may be elsewhere
/// ([`check_names`]), and `-` is standard input.
///
/// # Errors
/// Those of [`read`].
pub(crate) fn read_written(files: &[PathBuf]) -> Result<Vec<(String, Written)>> {
    read_with_files(files, text_or_input)
}

/// Whether the APIs that documents name are among them or these others.
///
/// # Errors
/// `BadDocument` with each that is not.
pub(crate) fn check_names(documents: &[(String, Written)], others: &[&str]) -> Result<()> {
    let apis: Vec<_> = documents.iter().map(|(file, one)| (file.as_str(), &one.api)).collect();
    refuse(&tidegate_api::dangling_beside(&apis, others))
}

fn refuse(dangling: &[(&str, Mistake)]) -> Result<()> {
    if dangling.is_empty() {
        return Ok(());
    }
    let lines = dangling.iter().map(|(file, mistake)| format!("{file}:{mistake}"));
    Err(BadDocument(lines.collect::<Vec<_>>().join("\n")).into())
}

/// Every API of every file with that file's name, beside what it says.
///
/// # Errors
/// Those of [`read`].
pub(crate) fn read_files(files: &[PathBuf]) -> Result<Vec<(String, Written)>> {
    read_with_files(files, text)
}

/// A text, or a mistake of the document that it should be.
type Text = Result<Result<String, String>>;

/// Each API with its file.
fn read_with_files(
    files: &[PathBuf],
    text: impl Fn(&Path) -> Text,
) -> Result<Vec<(String, Written)>> {
    let mut apis = Vec::new();
    let mut reports = Vec::new();
    for path in files {
        let source = path.display().to_string();
        let text = match text(path)? {
            Ok(text) => text,
            Err(mistake) => {
                reports.push(mistake);
                continue;
            }
        };
        let absolute = std::path::absolute(path)?;
        let folder = absolute.parent().unwrap_or_else(|| Path::new("/"));
        match tidegate_api::parse_written(&text, &source, folder) {
            Ok(more) => apis.extend(more.into_iter().map(|api| (source.clone(), api))),
            Err(report) => reports.push(report.to_string()),
        }
    }
    reports.extend(conflicts(&apis));
    if reports.is_empty() {
        return Ok(apis);
    }
    Err(BadDocument(reports.join("\n")).into())
}

fn text_or_input(path: &Path) -> Text {
    if path == Path::new("-") { standard_input() } else { text(path) }
}

/// A file's text.
fn text(path: &Path) -> Text {
    let hint = "name a file with an InferenceApi document";
    let length = match std::fs::metadata(path) {
        Ok(file) if file.is_dir() => {
            return Err(BadUsage(format!("{} is a folder; {hint}", path.display())).into());
        }
        Ok(file) => file.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(BadUsage(format!("{} does not exist; {hint}", path.display())).into());
        }
        Err(error) => {
            return Err(BadUsage(format!("can't read {}: {error}; {hint}", path.display())).into());
        }
    };
    if length > BYTES_MAX {
        return Ok(Err(format!("{}: is {length} bytes; must be 1 MiB at most", path.display())));
    }
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            format!("{}: byte {at} is not UTF-8; must be a text in UTF-8", path.display())
        })),
        Err(error) => {
            Err(BadUsage(format!("can't read {}: {error}; {hint}", path.display())).into())
        }
    }
}

/// What is on standard input, which `-` stands for.
fn standard_input() -> Text {
    let mut text = String::new();
    let read = std::io::stdin().take(BYTES_MAX + 1).read_to_string(&mut text);
    match read {
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Ok(Err("-: must be a text in UTF-8".to_owned()))
        }
        Err(error) => Err(BadUsage(format!("can't read standard input: {error}")).into()),
        Ok(_) if text.len() as u64 > BYTES_MAX => Ok(Err("-: must be 1 MiB at most".to_owned())),
        Ok(_) => Ok(Ok(text)),
    }
}

/// Names and routes that two files both claim; within a file the parser has found them.
fn conflicts(apis: &[(String, Written)]) -> Vec<String> {
    let mut names: HashMap<&str, &String> = HashMap::new();
    let mut routes: HashMap<RouteKey<'_>, Vec<(&String, &InferenceApi, &Route)>> = HashMap::new();
    let mut mistakes = Vec::new();
    for (file, written) in apis {
        let api = &written.api;
        let first = *names.entry(api.name.as_str()).or_insert(file);
        if first != file {
            let what = format!("the name {} of an API is also that of one in {first}", api.name);
            mistakes.push(format!("{file}: {what}; must be different"));
        }
        for route in &api.routes {
            let claims = routes.entry(route.key()).or_default();
            let clash = claims.iter().filter(|(other, ..)| *other != file).find_map(
                |(other, its, form)| Some((Clash::between((api, route), (its, form))?, other, its)),
            );
            if let Some((clash, other, its)) = clash {
                let what = match clash {
                    Clash::Route => String::new(),
                    Clash::Model(model) => format!(" for the model {model}"),
                    Clash::Unnamed => " for what names no model".to_owned(),
                    Clash::Prefix => ", with another `stripPrefix`,".to_owned(),
                };
                mistakes.push(format!(
                    "{file}: spec.routes: {route} of api {}{what} is also that of api {} in \
                     {other}; must be different",
                    api.name, its.name
                ));
            }
            claims.push((file, api, route));
        }
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(name: &str, path: &str) -> String {
        format!(
            "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {{name: {name}}}\n\
             spec:\n  container: {{command: [serve, \"{{port}}\"]}}\n  routes: [{{path: {path}}}]\n"
        )
    }

    fn read_all(texts: &[String]) -> Result<Vec<InferenceApi>> {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> =
            (0..texts.len()).map(|n| folder.path().join(format!("{n}.yaml"))).collect();
        for (file, text) in files.iter().zip(texts) {
            std::fs::write(file, text).unwrap();
        }
        read(&files)
    }

    #[test]
    fn several_files_make_one_list() {
        let apis = read_all(&[document("a", "/a"), document("b", "/b")]).unwrap();
        assert_eq!(apis.iter().map(|api| api.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn files_that_claim_the_same_are_refused() {
        let error = read_all(&[document("a", "/"), document("b", "/")]).unwrap_err();
        assert!(error.is::<BadDocument>());
        let what = "spec.routes: the route / of every host of api b is also that of api a in ";
        assert!(error.to_string().contains(what), "{error}");
        let error = read_all(&[document("a", "/a"), document("a", "/b")]).unwrap_err();
        assert!(error.to_string().contains("name a"), "{error}");
    }

    #[test]
    fn versions_may_be_in_other_files_but_must_be_there() {
        let split = "apiVersion: tidegate.dev/v1alpha1\nkind: InferenceApi\nmetadata: {name: s}\n\
                     spec:\n  traffic:\n    versions: [{api: a, weight: 100}]\n";
        let a = document("a", "/a");
        assert_eq!(read_all(&[split.to_owned(), a]).unwrap().len(), 2);
        let error = read_all(&[document("b", "/b"), split.to_owned()]).unwrap_err();
        assert!(error.is::<BadDocument>());
        let what = "1.yaml:6:22: spec.traffic.versions[0].api: is \"a\", and no document has that";
        assert!(error.to_string().contains(what), "{error}");
    }

    #[test]
    fn mistakes_of_all_files_are_reported() {
        let bad = |name: &str| document(name, "/").replace("routes", "rotues");
        let error = read_all(&[bad("a"), bad("b")]).unwrap_err().to_string();
        assert!(error.contains("0.yaml:") && error.contains("1.yaml:"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_there_is_bad_usage() {
        for path in ["/nonexistent/a.yaml", "/"] {
            let error = read(&[path.into()]).unwrap_err();
            assert!(error.is::<BadUsage>() && error.to_string().contains(path), "{error}");
        }
    }
}
