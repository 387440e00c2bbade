//! Checks files: prints every mistake, or each API as it is understood.

use std::io::Write;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout();
    for file in std::env::args().skip(1) {
        let folder = Path::new(&file).parent().unwrap_or_else(|| Path::new(""));
        match tidegate_api::parse(&std::fs::read_to_string(&file)?, &file, folder) {
            Ok(apis) => writeln!(out, "{apis:#?}")?,
            Err(report) => writeln!(out, "{report}")?,
        }
    }
    Ok(())
}
