//! One policy over time: arrivals, replicas wanted and ready, the optimum's, and waits.

use super::{ARRIVALS, BEST, Drawn, FAINT, INK, LATE, Mark, Picture, READY, WANTED, font, short};
use crate::comparison::Row;
use crate::ledger::State;
use crate::outcome::Outcome;
use crate::span::{Nanos, seconds};
use crate::workload::Workload;
use plotters::coord::Shift;
use plotters::prelude::*;

/// What the lines mean.
pub(super) const LEGEND: &[(&str, RGBColor, Mark)] = &[
    ("arrivals a second (right)", ARRIVALS, Mark::Line),
    ("replicas wanted", WANTED, Mark::Thin),
    ("ready", READY, Mark::Line),
    ("ready, knowing the future", BEST, Mark::Dashes),
    ("longest wait (below)", LATE, Mark::Line),
    ("objective", INK, Mark::Dashes),
];

/// Stretches of time that are told apart.
const BUCKETS: usize = 300;
/// The shortest wait that is shown, in seconds.
const LEAST_WAIT: f64 = 0.001;

/// Draws one policy.
pub(super) fn draw<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    picture: &Picture<'_>,
    row: &Row,
    outcome: &Outcome,
    zoom: u32,
) -> Drawn
where
    B::ErrorType: 'static,
{
    let (upper, lower) = area.split_vertically(165 * zoom);
    replicas(&upper, picture, row, outcome, zoom)?;
    waits(&lower, picture, outcome, zoom)
}

fn replicas<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    picture: &Picture<'_>,
    row: &Row,
    outcome: &Outcome,
    zoom: u32,
) -> Drawn
where
    B::ErrorType: 'static,
{
    let end = seconds(picture.workload.end);
    let record = &outcome.record;
    let best = picture.results.best().map(|best| &best.record.ready);
    let lists = [Some(&record.wanted), Some(&record.ready), best];
    let most = lists.iter().flatten().flat_map(|list| list.iter().map(|(_, count)| *count)).max();
    let most = 1.1 * f64::from(most.unwrap_or(0).max(1));
    let rates = rates(picture.workload);
    let most_rate = 1.1 * rates.iter().map(|(_, rate)| *rate).fold(1e-9, f64::max);

    let mut chart = ChartBuilder::on(area)
        .margin_left(12 * zoom)
        .margin_right(12 * zoom)
        .margin_top(4 * zoom)
        .caption(caption(row), font(14, zoom))
        .set_label_area_size(LabelAreaPosition::Left, 52 * zoom)
        .set_label_area_size(LabelAreaPosition::Right, 52 * zoom)
        .build_cartesian_2d(0.0..end, 0.0..most)?
        .set_secondary_coord(0.0..end, 0.0..most_rate);
    chart.draw_secondary_series(AreaSeries::new(rates, 0.0, ARRIVALS.filled()))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_labels(5)
        .y_desc("replicas")
        .y_label_formatter(&|count| short(*count))
        .label_style(font(12, zoom))
        .axis_desc_style(font(12, zoom))
        .axis_style(INK)
        .bold_line_style(FAINT)
        .light_line_style(WHITE.mix(0.0))
        .draw()?;
    chart
        .configure_secondary_axes()
        .y_labels(4)
        .y_desc("arrivals/s")
        .y_label_formatter(&|rate| short(*rate))
        .label_style(font(12, zoom))
        .axis_desc_style(font(12, zoom))
        .axis_style(INK)
        .draw()?;
    if let Some(best) = best {
        let dash = (6 * zoom, 4 * zoom);
        let line = stairs(best, end);
        chart.draw_series(DashedLineSeries::new(
            line,
            dash.0,
            dash.1,
            BEST.stroke_width(2 * zoom),
        ))?;
    }
    chart.draw_series(LineSeries::new(stairs(&record.ready, end), READY.stroke_width(3 * zoom)))?;
    chart.draw_series(LineSeries::new(stairs(&record.wanted, end), WANTED.stroke_width(zoom)))?;
    Ok(())
}

fn waits<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    picture: &Picture<'_>,
    outcome: &Outcome,
    zoom: u32,
) -> Drawn
where
    B::ErrorType: 'static,
{
    let end = seconds(picture.workload.end);
    let objective = seconds(picture.results.objective.wait);
    let waits = longest_waits(picture.workload, outcome);
    let most = waits.iter().map(|(_, wait)| *wait).fold(objective.max(0.01), f64::max) * 2.0;
    // In its own unit, so that the marks on the axis are round.
    let (unit, name) = unit(end);
    let mut chart = ChartBuilder::on(area)
        .margin_left(12 * zoom)
        .margin_right(64 * zoom)
        .margin_bottom(4 * zoom)
        .margin_top(6 * zoom)
        .set_label_area_size(LabelAreaPosition::Left, 52 * zoom)
        .set_label_area_size(LabelAreaPosition::Bottom, 22 * zoom)
        .build_cartesian_2d(0.0..end / unit, (LEAST_WAIT..most).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(12)
        .y_labels(3)
        .y_desc("wait")
        .x_label_formatter(&|at| format!("{} {name}", short(*at)))
        .y_label_formatter(&|wait| length(*wait))
        .label_style(font(12, zoom))
        .axis_desc_style(font(12, zoom))
        .axis_style(INK)
        .bold_line_style(FAINT)
        .light_line_style(WHITE.mix(0.0))
        .draw()?;
    let width = end / BUCKETS as f64;
    chart.draw_series(waits.iter().filter(|(_, wait)| *wait > LEAST_WAIT).map(|(at, wait)| {
        Rectangle::new([(at / unit, LEAST_WAIT), ((at + width) / unit, *wait)], LATE.filled())
    }))?;
    let line = [(0.0, objective.max(LEAST_WAIT)), (end / unit, objective.max(LEAST_WAIT))];
    chart.draw_series(DashedLineSeries::new(line, 4 * zoom, 4 * zoom, INK.stroke_width(zoom)))?;
    Ok(())
}

fn caption(row: &Row) -> String {
    let ratio = row.of_clairvoyant.map(|ratio| format!(" ({ratio:.2} × best)"));
    format!(
        "{}: {} replica-s{}, {:.2} % late",
        row.policy,
        short(row.replica_seconds),
        ratio.unwrap_or_default(),
        row.requests.late_share * 100.0
    )
}

/// A list of changes as the corners of stairs, up to `end`.
fn stairs(list: &[(Nanos, u32)], end: f64) -> Vec<(f64, f64)> {
    let mut corners = vec![(0.0, 0.0)];
    for (at, count) in list {
        let at = seconds(*at).min(end);
        let before = corners.last().map_or(0.0, |last| last.1);
        corners.push((at, before));
        corners.push((at, f64::from(*count)));
    }
    corners.push((end, corners.last().map_or(0.0, |last| last.1)));
    corners
}

/// Arrivals a second in each stretch, as stairs.
fn rates(workload: &Workload) -> Vec<(f64, f64)> {
    let mut counts = vec![0.0; BUCKETS];
    workload.requests.iter().for_each(|request| counts[bucket(request.at, workload)] += 1.0);
    let width = seconds(workload.end) / BUCKETS as f64;
    let stair = |(index, count): (usize, f64)| {
        let (from, rate) = (index as f64 * width, count / width);
        [(from, rate), (from + width, rate)]
    };
    counts.into_iter().enumerate().flat_map(stair).collect()
}

/// The longest wait of those that came in each stretch.
fn longest_waits(workload: &Workload, outcome: &Outcome) -> Vec<(f64, f64)> {
    let mut longest = vec![0.0_f64; BUCKETS];
    for (request, asked) in workload.requests.iter().enumerate() {
        if outcome.ledger.state(request) != State::Coming {
            let place = &mut longest[bucket(asked.at, workload)];
            *place = place.max(seconds(outcome.ledger.wait(request)));
        }
    }
    let width = seconds(workload.end) / BUCKETS as f64;
    longest.into_iter().enumerate().map(|(index, wait)| (index as f64 * width, wait)).collect()
}

fn bucket(at: Nanos, workload: &Workload) -> usize {
    let index = u128::from(at) * BUCKETS as u128 / u128::from(workload.end.max(1));
    (index as usize).min(BUCKETS - 1)
}

/// What the time of a run that is so long is counted in: seconds, and its name.
fn unit(end: f64) -> (f64, &'static str) {
    if end >= 2.0 * 3600.0 {
        (3600.0, "h")
    } else if end >= 300.0 {
        (60.0, "min")
    } else {
        (1.0, "s")
    }
}

fn length(wait: f64) -> String {
    if wait < 1.0 { format!("{:.0} ms", wait * 1000.0) } else { format!("{} s", short(wait)) }
}
