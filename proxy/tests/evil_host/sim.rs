//! Simulated time, and numbers that a seed decides.
//!
//! The clock stands still while anything can be done, and jumps to the next timer when nothing can.
//! Everything but the app's sockets is in memory. tokio's clock does not wait for what a socket is
//! about to say, so the thread looks at the sockets a few times before it lets the clock go on.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;

/// Looks at the sockets, all in vain, before the clock goes on: between two that the app notices
/// there are at most three (connected, answered, closed).
const LOOKS: u32 = 6;

/// In real time.
const MOMENT: Duration = Duration::from_millis(2);

thread_local! {
    static LOOKS_LEFT: Cell<u32> = const { Cell::new(LOOKS) };
    static LOOKING: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// Runs `main` on this thread, in a time of its own.
pub fn run<T>(main: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .on_thread_park(before_park)
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::spawn(poll_fn(|cx| {
            LOOKING.set(Some(cx.waker().clone()));
            Poll::<()>::Pending
        }));
        main.await
    })
}

/// A task that is woken here makes tokio look at the sockets without letting time pass.
fn before_park() {
    let left = LOOKS_LEFT.get();
    LOOKS_LEFT.set(left.checked_sub(1).unwrap_or(LOOKS));
    if left > 0 {
        LOOKING.with_borrow(|looking| looking.iter().for_each(Waker::wake_by_ref));
    }
}

/// To be called when a socket did something.
pub fn stir() {
    LOOKS_LEFT.set(LOOKS);
}

/// Time stands still as long as this lives, and a moment longer: another thread is at work, and does
/// something with what it has got.
pub struct Frozen(
    #[allow(dead_code, reason = "what counts is when it is dropped")] mpsc::Sender<()>,
);

pub fn freeze() -> Frozen {
    let (sender, receiver) = mpsc::channel::<()>();
    spawn_blocking(move || {
        let _ = receiver.recv();
        thread::sleep(MOMENT);
    });
    Frozen(sender)
}

/// Random numbers (SplitMix64), the same for the same seed in every version of every library.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Independent of `self`'s own numbers.
    pub fn fork(&self, what: &str, number: usize) -> Self {
        let mixed = what.bytes().fold(self.0, |sum, byte| sum.wrapping_mul(257) ^ u64::from(byte));
        let mut dice = Self(mixed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.next();
        dice
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}
