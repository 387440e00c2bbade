//! Rows of cells as lines whose columns stand under each other, as kubectl's do. Pure.

use console::measure_text_width;

/// Between two columns.
const GAP: &str = "   ";

/// The widths that the columns need, if they had these before.
pub(crate) fn widths(before: &[usize], rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).chain([before.len()]).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| measure_text_width(cell)).max().unwrap_or(0);
        widest.max(before.get(column).copied().unwrap_or(0))
    };
    (0..columns).map(width).collect()
}

/// One row.
pub(crate) fn line(row: &[String], widths: &[usize]) -> String {
    let padded = row.iter().zip(widths).map(|(cell, width)| {
        let missing = width.saturating_sub(measure_text_width(cell));
        format!("{cell}{}", " ".repeat(missing))
    });
    padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
}

/// Rows that belong together.
pub(crate) fn align(rows: &[Vec<String>]) -> Vec<String> {
    let widths = widths(&[], rows);
    rows.iter().map(|row| line(row, &widths)).collect()
}
