//! Showing a document's own text in messages: on one line, without control bytes, not too long.

/// The most characters of a document's text that a message repeats.
const MAX_SHOWN: usize = 60;
/// The most characters of a parser's message that is passed on.
const MAX_WORDS: usize = 200;

/// The text in double quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", plain(text))
}

/// The text as it is, but for what would break a line or a terminal.
pub(crate) fn plain(text: &str) -> String {
    shortened(text, MAX_SHOWN)
}

/// A parser's own words, which may repeat a part of the document.
pub(crate) fn words(text: &str) -> String {
    shortened(text, MAX_WORDS)
}

fn shortened(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).flat_map(escaped).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

fn escaped(letter: char) -> Vec<char> {
    if letter == '"' || letter == '\'' { vec![letter] } else { letter.escape_debug().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_never_repeats_control_bytes_nor_long_text() {
        assert_eq!(plain("a\n\u{1b}[31m"), "a\\n\\u{1b}[31m");
        assert_eq!(quoted("naïve"), "\"naïve\"");
        assert_eq!(plain(&"x".repeat(1000)).chars().count(), MAX_SHOWN + 1);
    }
}
