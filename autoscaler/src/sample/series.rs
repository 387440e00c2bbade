//! One line of Prometheus' text format: `name{label="value",…} value [timestamp]`.

use super::SampleError;
use std::borrow::Cow;

/// A series and its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Series<'a> {
    pub(super) name: &'a str,
    /// What stands between the braces, which is well-formed; empty where there are none.
    labels: &'a str,
    value: &'a str,
}

impl<'a> Series<'a> {
    /// The series in a line, if it has one of these names: of most lines no more than that is read.
    pub(super) fn among(line: &'a str, names: &[&str]) -> Option<Self> {
        let (name, rest) = name(line)?;
        if names.contains(&name) { Self::of(name, rest) } else { None }
    }

    /// The series in a line; nothing in comments and in lines of another form.
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        let (name, rest) = name(line)?;
        Self::of(name, rest)
    }

    fn of(name: &'a str, rest: &'a str) -> Option<Self> {
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(labels) => labels.split_at_checked(closing(labels)?)?,
            None => ("", rest),
        };
        let value = rest.strip_prefix('}').unwrap_or(rest).split_whitespace().next()?;
        Some(Self { name, labels, value })
    }

    /// A label's value, unescaped.
    pub(super) fn label(&self, wanted: &str) -> Option<Cow<'a, str>> {
        let mut rest = self.labels;
        while let Some((name, value, after)) = first(rest) {
            if name == wanted {
                return Some(unescaped(value));
            }
            rest = after;
        }
        None
    }

    /// The value, if it can be a measurement.
    pub(super) fn number(&self) -> Result<f64, SampleError> {
        match self.value.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
            _ => Err(SampleError::Value {
                name: self.name.to_owned(),
                value: self.value.chars().take(40).collect(),
            }),
        }
    }
}

/// The name in a line that is no comment, and what follows it.
fn name(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_ascii();
    if line.starts_with('#') {
        return None;
    }
    let end = line.bytes().position(|byte| matches!(byte, b'{' | b' ' | b'\t'))?;
    line.split_at_checked(end)
}

/// Where the brace is that closes well-formed labels.
fn closing(labels: &str) -> Option<usize> {
    let mut rest = labels;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.starts_with('}') {
            return Some(labels.len() - rest.len());
        }
        (_, _, rest) = first(rest)?;
    }
}

/// The first label's name, its value as it is written, and what follows the closing quote.
fn first(labels: &str) -> Option<(&str, &str, &str)> {
    let (name, quoted) = labels.trim_start_matches([',', ' ', '\t']).split_once('=')?;
    let text = quoted.trim_start().strip_prefix('"')?;
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let (value, after) = text.split_at_checked(at)?;
                return Some((name.trim(), value, after.strip_prefix('"')?));
            }
            _ => {}
        }
    }
    None
}

fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut plain = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => plain.push('\n'),
                other => plain.extend(other),
            },
            letter => plain.push(letter),
        }
    }
    Cow::Owned(plain)
}
