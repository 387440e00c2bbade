//! What each setting costs against how many it makes late, and which are worth having.

use super::{BEST, Drawn, FAINT, INK, Mark, READY, WANTED, font, short};
use crate::comparison::{Comparison, Row};
use plotters::coord::Shift;
use plotters::prelude::*;

/// What the marks mean.
pub(super) const LEGEND: &[(&str, RGBColor, Mark)] = &[
    ("not beaten in both", WANTED, Mark::Dot),
    ("beaten", READY, Mark::Ring),
    ("knowing the future", BEST, Mark::Dot),
    ("objective", INK, Mark::Dashes),
];

/// The most points that each have their label: of more only those that are not beaten.
const MOST_LABELS: usize = 12;

/// Draws all rows as points.
pub(super) fn draw<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    results: &Comparison,
    zoom: u32,
) -> Drawn
where
    B::ErrorType: 'static,
{
    let rows: Vec<&Row> = results.policies().map(|(row, _)| row).collect();
    let best = results.best_row();
    let all = || rows.iter().copied().chain(best);
    let most = |of: fn(&Row) -> f64| all().map(of).fold(0.0, f64::max);
    let (wide, high) = (1.15 * most(cost).max(1.0), 1.1 * most(late).max(0.1));
    let mut chart = ChartBuilder::on(area)
        .margin(14 * zoom)
        .set_label_area_size(LabelAreaPosition::Left, 60 * zoom)
        .set_label_area_size(LabelAreaPosition::Bottom, 44 * zoom)
        .build_cartesian_2d(0.0..wide, -0.02 * high..high)?;
    chart
        .configure_mesh()
        .x_desc("replica-seconds")
        .y_desc("late requests in %")
        .x_label_formatter(&|cost| short(*cost))
        .y_label_formatter(&|late| short(*late))
        .label_style(font(13, zoom))
        .axis_desc_style(font(14, zoom))
        .axis_style(INK)
        .bold_line_style(FAINT)
        .light_line_style(WHITE.mix(0.0))
        .draw()?;
    let allowed = results.objective.late * 100.0;
    let line = [(0.0, allowed), (wide, allowed)];
    chart.draw_series(DashedLineSeries::new(line, 5 * zoom, 4 * zoom, INK.stroke_width(zoom)))?;
    let frontier = frontier(&rows);
    let stairs = frontier.windows(2).flat_map(|pair| {
        [
            (cost(pair[0]), late(pair[0])),
            (cost(pair[1]), late(pair[0])),
            (cost(pair[1]), late(pair[1])),
        ]
    });
    chart.draw_series(LineSeries::new(stairs, WANTED.stroke_width(zoom)))?;
    let dot = |row: &Row, color: RGBColor| {
        Circle::new((cost(row), late(row)), 4 * zoom as i32, color.filled())
    };
    let is_beaten = |row: &&Row| !frontier.iter().any(|best| std::ptr::eq(*best, *row));
    let beaten: Vec<&Row> = rows.iter().copied().filter(is_beaten).collect();
    chart.draw_series(beaten.iter().map(|row| {
        Circle::new((cost(row), late(row)), 4 * zoom as i32, READY.stroke_width(2 * zoom))
    }))?;
    chart.draw_series(frontier.iter().map(|row| dot(row, WANTED)))?;
    chart.draw_series(best.iter().map(|row| dot(row, BEST)))?;
    let mut labelled = frontier;
    if rows.len() <= MOST_LABELS {
        labelled.extend(beaten);
    }
    let labels: Vec<String> = labelled.iter().map(|row| label(row)).collect();
    let points = labelled.iter().map(|row| (cost(row) / wide, late(row) / high));
    let sized: Vec<_> = points.zip(labels.iter().map(|label| label.chars().count())).collect();
    chart.draw_series(
        places(&sized, allowed / high)
            .into_iter()
            .zip(labels)
            .map(|((x, y), label)| Text::new(label, (x * wide, y * high), font(12, zoom))),
    )?;
    Ok(())
}

/// Where labels of so many characters begin, as shares of the picture like the points that they are
/// of: beside their point, left of it where there is no room to the right, and none over another or over
/// the line of the objective.
fn places(points: &[((f64, f64), usize)], objective: f64) -> Vec<(f64, f64)> {
    // A character's width, a line's height, and how far a label stays from its point.
    const CHARACTER: f64 = 0.0058;
    const LINE: f64 = 0.028;
    const APART: f64 = 0.007;
    let mut taken: Vec<(f64, f64, f64)> = Vec::new();
    for ((x, y), characters) in points {
        let width = *characters as f64 * CHARACTER;
        let has_room = x + APART + width <= 1.0;
        let from = if has_room { x + APART } else { (x - APART - width).max(0.0) };
        let is_over = |at: f64| {
            let near = |&(other, end, height): &(f64, f64, f64)| {
                (height - at).abs() < LINE * 0.95 && other < from + width && from < end
            };
            // A text hangs from where it is.
            let is_struck = (at - LINE..at).contains(&objective);
            is_struck || taken.iter().any(near)
        };
        let mut at = y + LINE;
        while is_over(at) {
            at += LINE;
        }
        taken.push((from, from + width, at));
    }
    taken.into_iter().map(|(from, _, at)| (from, at)).collect()
}

/// Those that no other beats in both, cheapest first.
fn frontier<'a>(rows: &[&'a Row]) -> Vec<&'a Row> {
    let mut sorted = rows.to_vec();
    sorted.sort_by(|one, other| {
        cost(one).total_cmp(&cost(other)).then(late(one).total_cmp(&late(other)))
    });
    let mut least = f64::INFINITY;
    sorted.retain(|row| {
        let better = late(row) < least;
        least = least.min(late(row));
        better
    });
    sorted
}

fn cost(row: &Row) -> f64 {
    row.replica_seconds
}

fn late(row: &Row) -> f64 {
    row.requests.late_share * 100.0
}

/// Short: of a key only its last part.
fn label(row: &Row) -> String {
    let words = row.settings.split(' ').map(|word| {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        format!("{}={value}", key.rsplit('.').next().unwrap_or(key))
    });
    format!("{} {}", row.policy, words.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_lie_inside_and_none_over_another() {
        let points = [((0.1, 0.5), 30), ((0.11, 0.5), 30), ((0.12, 0.49), 30), ((0.95, 0.2), 40)];
        let found = places(&points, 0.225);
        assert!(found[0].1 < found[1].1 && found[1].1 < found[2].1, "{found:?}");
        assert!((0.0..0.95).contains(&found[3].0), "left of its point: {found:?}");
        assert!(found[3].1 > 0.25, "above the objective's line: {found:?}");
    }
}
