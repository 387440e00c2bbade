//! Text that nobody would write: reading it ends, with documents or with a report.

use crate::{FULL, MINIMAL};
use proptest::prelude::*;
use std::path::Path;
use tidegate_api::parse;

/// What a mutation puts into a document: YAML's own characters, and values that are nearly right.
const PIECES: &[&str] = &[
    "",
    " ",
    "\n",
    "\t",
    ":",
    "- ",
    "---\n",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "!!int ",
    "|\n",
    ">\n",
    "'",
    "\"",
    "#",
    "~",
    "<<: ",
    "0",
    "-1",
    "1e999",
    ".nan",
    "99999999999999999999",
    "true",
    "0s",
    "1h1h",
    "64Mi",
    "\u{0}",
    "\u{feff}",
    "ä",
    "\r",
    "spec:\n",
    "? ",
];

/// Reads, and checks what any report promises.
fn read(text: &str) -> Result<(), TestCaseError> {
    let Err(report) = parse(text, "app.yaml", Path::new("/apps")) else { return Ok(()) };
    prop_assert!(!report.mistakes.is_empty() && report.mistakes.len() <= 100);
    let lines = text.split(['\n', '\r']).count() + 1;
    for mistake in &report.mistakes {
        prop_assert!(mistake.line >= 1 && mistake.column >= 1, "{mistake}");
        prop_assert!(mistake.line <= lines, "{mistake} in a text of {lines} lines");
        prop_assert!(!mistake.what.is_empty() && !mistake.must.is_empty(), "{mistake}");
        // The comparison with the schema lets nothing through that serde then refuses.
        prop_assert!(!mistake.what.starts_with("is not readable"), "{mistake}");
    }
    let shown = report.to_string();
    prop_assert!(
        !shown.contains(|letter: char| letter.is_control() && letter != '\n'),
        "{shown:?}"
    );
    prop_assert_eq!(shown.lines().count(), report.mistakes.len() + 1);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        read(&text)?;
    }

    #[test]
    fn yaml_like_text_is_read_or_refused(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)
    ) {
        read(&pieces.concat())?;
    }

    #[test]
    fn a_changed_document_is_read_or_refused(
        full in any::<bool>(),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0_usize..6, prop::sample::select(PIECES)),
            1..4,
        )
    ) {
        let mut letters: Vec<char> = if full { FULL } else { MINIMAL }.chars().collect();
        for (at, removed, piece) in changes {
            let at = at.index(letters.len() + 1);
            let end = (at + removed).min(letters.len());
            letters.splice(at..end, piece.chars());
        }
        read(&letters.into_iter().collect::<String>())?;
    }
}
