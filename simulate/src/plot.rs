//! Results as a picture: one panel for each policy, or a trade-off where settings were swept.
//!
//! On white, in the colours of Okabe and Ito that everybody can tell apart, with lines that differ
//! in print, too; an SVG is dark on a dark screen. SVG and PNG are drawn by the same code, with a font
//! that is compiled in.

mod dark;
mod panel;
mod pareto;

use crate::comparison::{Comparison, Optimum};
use crate::error::SimulateError;
use crate::workload::Workload;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;
use std::path::Path;

/// Roboto, cut down to Latin letters; see `fonts/README.md`.
const FONT: &[u8] = include_bytes!("../fonts/Roboto-Latin.ttf");

/// Everything's width, in points; a pixmap has twice as many pixels.
const WIDTH: u32 = 1200;
const HEADER: u32 = 64;
const PANEL: u32 = 250;
const PARETO: u32 = 700;
/// The most panels: those after it are in the table only.
const MOST_PANELS: usize = 12;

pub(crate) const INK: RGBColor = RGBColor(34, 34, 34);
pub(crate) const FAINT: RGBColor = RGBColor(225, 225, 225);
pub(crate) const ARRIVALS: RGBColor = RGBColor(205, 205, 205);
pub(crate) const WANTED: RGBColor = RGBColor(213, 94, 0);
pub(crate) const READY: RGBColor = RGBColor(0, 114, 178);
pub(crate) const BEST: RGBColor = RGBColor(0, 158, 115);
pub(crate) const LATE: RGBColor = RGBColor(150, 60, 120);

/// What is drawn.
pub(crate) struct Picture<'a> {
    pub(crate) results: &'a Comparison,
    pub(crate) workload: &'a Workload,
    pub(crate) optimum: Optimum,
    /// Whether settings were swept.
    pub(crate) swept: bool,
}

/// What stands for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Line,
    Thin,
    Dashes,
    Dot,
    Ring,
}

/// How something failed to be drawn: each backend has an error type of its own.
pub(crate) type Drawn = Result<(), Box<dyn std::error::Error>>;

/// What a picture is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Svg,
    Png,
}

impl Kind {
    /// By a file's name. Asked before a long run, so that it does not end with a mistake.
    pub(crate) fn of(path: &Path) -> Result<Self, SimulateError> {
        match path.extension().and_then(|end| end.to_str()) {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => Err(failed(path, "its name ends neither in .svg nor in .png")),
        }
    }
}

/// Whether a picture can be drawn into a file of this name, as far as can be said before there is one.
pub(crate) fn can_write(path: &Path) -> Result<(), SimulateError> {
    Kind::of(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return Err(failed(path, "there is no such folder"));
    }
    Ok(())
}

fn failed(path: &Path, why: impl ToString) -> SimulateError {
    SimulateError::Plot { path: path.to_owned(), why: why.to_string() }
}

/// Draws into a file, as SVG or PNG by its name.
pub(crate) fn write(path: &Path, picture: &Picture<'_>) -> Result<(), SimulateError> {
    let kind = Kind::of(path)?;
    if register_font("sans-serif", FontStyle::Normal, FONT).is_err() {
        return Err(failed(path, "its font can't be read"));
    }
    let bytes = match kind {
        Kind::Svg => svg(picture),
        Kind::Png => png(picture),
    };
    let bytes = bytes.map_err(|error| failed(path, error))?;
    std::fs::write(path, bytes).map_err(|error| failed(path, error))
}

fn svg(picture: &Picture<'_>) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut text = String::new();
    {
        let size = (WIDTH, picture.height());
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        picture.draw(&area, 1)?;
    }
    Ok(dark::adapt(&text).into_bytes())
}

fn png(picture: &Picture<'_>) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let zoom = 2;
    let (width, height) = (WIDTH * zoom, picture.height() * zoom);
    let mut pixels = vec![255; 3 * width as usize * height as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        picture.draw(&area, zoom)?;
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(bytes)
}

impl Picture<'_> {
    fn height(&self) -> u32 {
        if self.swept {
            return HEADER + PARETO;
        }
        HEADER + PANEL * self.results.policies().count().clamp(1, MOST_PANELS) as u32
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, zoom: u32) -> Drawn
    where
        B::ErrorType: 'static,
    {
        area.fill(&WHITE)?;
        let (header, body) = area.split_vertically(HEADER * zoom);
        let legend: &[_] = if self.swept { pareto::LEGEND } else { panel::LEGEND };
        self.header(&header, legend, zoom)?;
        if self.swept {
            pareto::draw(&body, self.results, zoom)?;
        } else {
            let count = self.results.policies().count().clamp(1, MOST_PANELS);
            let areas = body.split_evenly((count, 1));
            for (area, (row, outcome)) in areas.iter().zip(self.results.policies()) {
                panel::draw(area, self, row, outcome, zoom)?;
            }
        }
        area.present()?;
        Ok(())
    }

    /// The title, and what the colours mean.
    fn header<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        legend: &[(&str, RGBColor, Mark)],
        zoom: u32,
    ) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let at = |x: u32, y: u32| ((x * zoom) as i32, (y * zoom) as i32);
        let facts = &self.results.workload;
        let title = format!(
            "{}: {} requests, {:.2} running on average",
            facts.name, facts.requests, facts.load
        );
        area.draw(&Text::new(title, at(16, 10), font(18, zoom)))?;
        let mut x = 16;
        for (label, color, mark) in legend {
            if *color == BEST && self.optimum != Optimum::Plan {
                continue;
            }
            let pieces: &[(u32, u32)] = match mark {
                Mark::Line | Mark::Thin => &[(0, 24)],
                Mark::Dashes => &[(0, 9), (15, 24)],
                Mark::Dot | Mark::Ring => &[],
            };
            for (from, to) in pieces {
                let corners =
                    [at(x + from, 44), at(x + to, if *mark == Mark::Thin { 45 } else { 47 })];
                area.draw(&Rectangle::new(corners, color.filled()))?;
            }
            match mark {
                Mark::Dot => area.draw(&Circle::new(at(x + 16, 45), 4 * zoom, color.filled()))?,
                Mark::Ring => {
                    let line = color.stroke_width(2 * zoom);
                    area.draw(&Circle::new(at(x + 16, 45), 4 * zoom, line))?;
                }
                Mark::Line | Mark::Thin | Mark::Dashes => {}
            }
            area.draw(&Text::new((*label).to_owned(), at(x + 30, 38), font(13, zoom)))?;
            x += 54 + 6 * label.len() as u32;
        }
        Ok(())
    }
}

/// Text of a size in points.
pub(crate) fn font(size: u32, zoom: u32) -> TextStyle<'static> {
    ("sans-serif", f64::from(size * zoom)).into_font().color(&INK)
}

/// A number for an axis: 12k rather than 12000.
pub(crate) fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 1e6 => format!("{:.1}M", number / 1e6),
        size if size >= 1e4 => format!("{:.0}k", number / 1e3),
        size if size >= 10.0 || number.fract() == 0.0 => format!("{number:.0}"),
        _ => format!("{number:.1}"),
    }
}

#[cfg(test)]
mod tests;
