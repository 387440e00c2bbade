//! Pictures are drawn, whole, with text, and alike each time.

use super::*;
use crate::args::SimulateArgs;
use clap::Parser as _;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: SimulateArgs,
}

fn draw(name: &str, more: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let plot = path.to_str().unwrap();
    let line = ["simulate", "--duration", "60s", "--plot", plot];
    let line = line.iter().chain(more);
    crate::run_to(&Line::parse_from(line).args, &mut Vec::new()).unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn an_svg_has_a_panel_for_each_policy() {
    let text = String::from_utf8(draw("a.svg", &["--policies", "concurrency,fixed:3"])).unwrap();
    assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
    for word in ["Poisson 10/s", "fixed:3: 180 replica-s", "concurrency: ", "arrivals/s"] {
        assert!(text.contains(word), "{word}");
    }
    assert_eq!(text.as_bytes(), draw("b.svg", &["--policies", "concurrency,fixed:3"]));
    // What is drawn has its counterpart on a dark screen, whatever it is drawn in.
    let (style, picture) = text.split_once("</style>").unwrap();
    let colors = picture.split([' ', '/', '>']).filter(|word| word.contains("=\"#"));
    let missing: Vec<_> = colors.filter(|color| !style.contains(&format!("[{color}]"))).collect();
    assert!(missing.is_empty() && style.contains("prefers-color-scheme:dark"), "{missing:?}");
}

#[test]
fn a_png_has_ink_and_its_size() {
    let bytes = draw("a.png", &["--policies", "fixed:3"]);
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (2400, 2 * (HEADER + PANEL)));
    // The title is text, and text is what a missing font leaves out.
    let title = &pixels[..3 * 2400 * 60];
    let dark = title.chunks(3).filter(|pixel| pixel[0] < 100).count();
    assert!(dark > 500, "{dark} dark pixels");
}

#[test]
fn a_sweep_shows_what_is_worth_having() {
    let sweep = ["--policies", "concurrency", "--sweep", "autoscaling.concurrency.target=0.5,1"];
    let text = String::from_utf8(draw("a.svg", &sweep)).unwrap();
    assert!(text.contains("late requests in %") && text.contains("concurrency target=0.5"));
}

#[test]
fn another_ending_is_refused_before_anything_is_played() {
    let args = Line::parse_from(["simulate", "--duration", "9s", "--plot", "/tmp/a.gif"]).args;
    let mut out = Vec::new();
    let error = crate::run_to(&args, &mut out).unwrap_err().to_string();
    assert!(error.contains(".svg nor in .png") && out.is_empty(), "{error}");
}
