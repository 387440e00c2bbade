//! The images that the demo sends: those that the model has never seen, asked of the example itself.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Reading them takes about a second; most of it is the start of scikit-learn.
const AT_MOST: Duration = Duration::from_secs(60);

/// An image, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// The request's body.
    pub(crate) body: Bytes,
    /// The true digit.
    pub(crate) label: u8,
}

/// A line that `images.py` prints.
#[derive(Deserialize)]
struct Line {
    pixels: Vec<f64>,
    label: u8,
}

#[derive(Serialize)]
struct Body {
    pixels: Vec<f64>,
}

/// Runs `images.py` in the example's folder with the Python in `bin`.
pub(crate) async fn load(folder: &Path, bin: &Path) -> Result<Vec<Image>> {
    let script = folder.join("images.py");
    ensure!(
        script.is_file(),
        "{} is missing: the demo asks it for images to send; pass the digits example with --file",
        script.display()
    );
    let output = Command::new(bin.join("python3"))
        .arg(&script)
        .current_dir(folder)
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(AT_MOST, output)
        .await
        .with_context(|| format!("{} took longer than {AT_MOST:?}", script.display()))?
        .with_context(|| format!("cannot run {}", bin.join("python3").display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}: {}", script.display(), output.status, said.trim());
    }
    let images = parse(&String::from_utf8_lossy(&output.stdout))
        .with_context(|| format!("cannot read what {} printed", script.display()))?;
    ensure!(!images.is_empty(), "{} printed no image", script.display());
    Ok(images)
}

fn parse(text: &str) -> Result<Vec<Image>> {
    let image = |line: &str| {
        let Line { pixels, label } = serde_json::from_str(line)?;
        Ok(Image { body: serde_json::to_vec(&Body { pixels })?.into(), label })
    };
    text.lines().map(image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_is_kept_back() {
        let images = parse("{\"pixels\": [0.0, 16.0], \"label\": 7}\n").unwrap();
        assert_eq!(images[0].label, 7);
        assert_eq!(&images[0].body[..], br#"{"pixels":[0.0,16.0]}"#);
        assert!(parse("{\"pixels\": [], \"label\": 7}\nno image").is_err());
    }
}
