//! The times at which the bytes of a coalesced request leave (SPEC.md, Section 9.7).

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use steve_protocol::shaping::Interval;
use tokio::time::{Instant, Sleep, sleep_until};

/// Ticks at fixed distances from the beginning of the stream, whenever bytes come.
pub(super) struct Ticks {
    interval: Interval,
    begun: Instant,
    timer: Pin<Box<Sleep>>,
    /// True at the beginning: what there is then leaves at once.
    waiting: bool,
}

impl Ticks {
    pub(super) fn new(interval: Interval) -> Self {
        let begun = Instant::now();
        Self { interval, begun, timer: Box::pin(sleep_until(begun)), waiting: true }
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
