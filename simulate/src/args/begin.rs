//! What would only be found when all is done, or not at all.

use super::SimulateArgs;
use crate::error::SimulateError;
use crate::plot;

/// Whether a simulation can begin.
///
/// # Errors
/// Times that can't be had together; a picture that can't be written.
pub(super) fn check(args: &SimulateArgs) -> Result<(), SimulateError> {
    let (delay, tick) = (args.scrape_delay, args.tick);
    if delay > tick {
        let what = format!("--scrape-delay {delay:?} is longer than --tick {tick:?}");
        let usage = format!("{what}: give a shorter delay or a longer tick");
        return Err(SimulateError::Usage(usage));
    }
    args.plot.as_deref().map_or(Ok(()), plot::can_write)
}
