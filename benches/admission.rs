//! Admission micro benchmark.
fn main() {}
