//! A clock that ticks to the microsecond: tokio's own timers round to the millisecond.

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// A timer of the kernel.
pub(crate) struct Ticker {
    timer: AsyncFd<OwnedFd>,
}

// === impl Ticker ===

impl Ticker {
    /// A timer that is not set.
    ///
    /// # Errors
    /// If the system has none left.
    #[expect(deprecated, reason = "unsound only for what does not own its descriptor")]
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { timer: AsyncFd::new(timer)? })
    }

    /// Waits until that moment of [`crate::clock::now`].
    ///
    /// # Errors
    /// If the system refuses the timer.
    pub(crate) async fn until(&self, nanos: u64) -> io::Result<()> {
        let at = Duration::from_nanos(nanos);
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec::try_from(at).map_err(io::Error::other)?,
        };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        loop {
            let mut guard = self.timer.readable().await?;
            let mut count = [0; 8];
            let read = guard.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut count)?));
            if let Ok(read) = read {
                return read.map(|_| ());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[tokio::test(flavor = "current_thread")]
    async fn no_tick_comes_early_and_the_past_is_at_once() {
        let ticker = Ticker::new().expect("a timer");
        let begin = clock::now();
        for tick in 1..=5 {
            ticker.until(begin + tick * 300_000).await.expect("a tick");
            assert!(clock::now() >= begin + tick * 300_000);
        }
        ticker.until(1).await.expect("a tick");
    }
}
