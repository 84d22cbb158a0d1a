//! The times at which the bytes of a coalesced response leave (SPEC.md, Section 9.7).

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use steve_protocol::shaping::Interval;
use tokio::time::{Instant, Sleep, sleep_until};

/// Ticks at fixed distances from the beginning of the stream, whenever bytes come.
pub(super) struct Ticks {
    interval: Interval,
    begun: Instant,
    timer: Pin<Box<Sleep>>,
    waiting: bool,
}

impl Ticks {
    pub(super) fn new(interval: Interval) -> Self {
        let begun = Instant::now();
        Self { interval, begun, timer: Box::pin(sleep_until(begun)), waiting: false }
    }

    /// To be called when there are bytes: ready at the next tick.
    pub(super) fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waiting {
            let tick = self.begun + self.interval.tick_after(self.begun.elapsed());
            self.timer.as_mut().reset(tick);
            self.waiting = true;
        }
        ready!(self.timer.as_mut().poll(cx));
        self.waiting = false;
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;
    use std::time::Duration;

    #[tokio::test]
    async fn row_25_bytes_leave_at_a_tick_whenever_they_come() {
        let second = Duration::from_secs(1);
        let mut ticks = Ticks::new(Interval::from_millis(1000).unwrap());
        for passed in [1, 3, 7] {
            // The bytes come half-way between two ticks, and long after the last ones.
            ticks.begun = Instant::now() - passed * second - second / 2;
            ticks.waiting = false;
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..2 {
                assert!(ticks.poll_tick(&mut cx).is_pending());
                assert_eq!(ticks.timer.deadline(), ticks.begun + (passed + 1) * second);
            }
        }
        std::future::poll_fn(|cx| ticks.poll_tick(cx)).await;
        assert!(Instant::now() >= ticks.begun + 8 * second);
    }
}
