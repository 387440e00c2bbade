//! An SVG on a dark screen: each colour has its counterpart there. On paper all stays as it is drawn.

use super::{ARRIVALS, BEST, FAINT, INK, LATE, READY, WANTED};
use plotters::prelude::{RGBColor, WHITE};
use std::fmt::Write as _;

/// What stands for what on a dark ground: as far from it as the colour is from white.
const COUNTERPARTS: &[(RGBColor, RGBColor)] = &[
    (WHITE, RGBColor(22, 22, 22)),
    (INK, RGBColor(221, 221, 221)),
    (FAINT, RGBColor(58, 58, 58)),
    (ARRIVALS, RGBColor(77, 77, 77)),
    (WANTED, RGBColor(240, 144, 74)),
    (READY, RGBColor(86, 180, 233)),
    (BEST, RGBColor(47, 199, 155)),
    (LATE, RGBColor(204, 121, 167)),
];

/// The same picture with the style in it.
pub(super) fn adapt(svg: &str) -> String {
    // The first tag is the picture's own; a text without one is left alone.
    let Some((head, body)) = svg.split_once('>') else { return svg.to_owned() };
    let mut rules = String::new();
    for (light, dark) in COUNTERPARTS {
        for part in ["fill", "stroke"] {
            // Writing to a string can't fail.
            write!(rules, "[{part}=\"{}\"]{{{part}:{}}}", name(*light), name(*dark)).ok();
        }
    }
    let style = format!("<style>@media screen and (prefers-color-scheme:dark){{{rules}}}</style>");
    format!("{head}>\n{style}{body}")
}

/// As the SVG names it.
fn name(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}
