//! Writes the endpoints file: whole, beside the old one, then put in its place by a rename.

use crate::replace::replace;
use std::io::Write;
use std::path::PathBuf;
use tidegate_api::endpoints::EndpointsFile;

/// The file and what it holds.
#[derive(Debug)]
pub(super) struct EndpointsWriter {
    path: PathBuf,
    written: Option<EndpointsFile>,
}

impl EndpointsWriter {
    /// A writer for the file at `path`, which is not touched yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, written: None }
    }

    /// Makes the file say `wanted`, if it does not already.
    pub(super) fn write(&mut self, wanted: EndpointsFile) -> std::io::Result<()> {
        if self.written.as_ref() == Some(&wanted) {
            return Ok(());
        }
        replace(&self.path, |file| {
            serde_json::to_writer_pretty(&mut *file, &wanted)?;
            file.write_all(b"\n")
        })?;
        self.written = Some(wanted);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_replaced_whole_and_only_on_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("endpoints.json");
        let mut writer = EndpointsWriter::new(path.clone());
        let mut wanted = EndpointsFile::default();
        writer.write(wanted.clone()).unwrap();
        let read = |path| serde_json::from_slice::<EndpointsFile>(&std::fs::read(path).unwrap());
        assert_eq!(read(&path).unwrap(), wanted);

        std::fs::remove_file(&path).unwrap();
        writer.write(wanted.clone()).unwrap();
        assert!(!path.exists(), "an unchanged file is not written again");

        wanted.apis.insert("digits".to_owned(), Vec::new());
        writer.write(wanted.clone()).unwrap();
        assert_eq!(read(&path).unwrap(), wanted);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }
}
