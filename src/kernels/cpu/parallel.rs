//! Work split over threads.
//!
//! A kernel shares its work with the rayon pool whose thread it runs on, and has one thread outside of a pool and without
//! the feature `threads`. What is split are results, never sums: an output element is the same chain of operations
//! whatever the number of threads, so results are equal bit for bit.

use core::cell::Cell;
use core::ops::Range;

use super::scratch::Scratch;

/// Multiply-adds that are worth a thread: about 20 µs, several times what it takes to wake one.
const PIECE: usize = 512 << 10;
/// Pieces a thread, so that one that was interrupted does not keep the others waiting long.
const PIECES_PER_THREAD: usize = 3;

/// Something that can be cut in two at a number of items.
pub(super) trait Cut: Sized + Send {
    /// The first `items`, and the rest.
    fn cut(self, items: usize) -> (Self, Self);
}

/// Items of so many floats each.
pub(super) struct Items<'a>(pub(super) &'a mut [f32], pub(super) usize);

impl Cut for Items<'_> {
    fn cut(self, items: usize) -> (Self, Self) {
        let at = (items * self.1).min(self.0.len());
        let (first, rest) = self.0.split_at_mut(at);
        (Self(first, self.1), Self(rest, self.1))
    }
}

/// Calls `body` with runs of `0..items` and the parts of `whole` that belong to them, on several threads where that is
/// worth its while. `cost`: multiply-adds an item.
pub(super) fn split<C: Cut>(items: usize, cost: usize, whole: C, body: impl Fn(Range<usize>, C) + Sync) {
    let threads = threads();
    let pieces =
        if threads == 1 { 1 } else { (items * cost / PIECE).min(threads * PIECES_PER_THREAD).min(items).max(1) };
    halve(0..items, pieces, whole, &body);
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// Lends working memory of the thread that runs a piece.
pub(super) fn with_scratch(body: impl FnOnce(&mut Scratch)) {
    let mut scratch = SCRATCH.take();
    body(&mut scratch);
    SCRATCH.set(scratch);
}

fn halve<C: Cut>(items: Range<usize>, pieces: usize, whole: C, body: &(impl Fn(Range<usize>, C) + Sync)) {
    if pieces == 1 {
        return body(items, whole);
    }
    let left = pieces / 2;
    let middle = items.start + items.len() * left / pieces;
    let (first, rest) = whole.cut(middle - items.start);
    join(|| halve(items.start..middle, left, first, body), || halve(middle..items.end, pieces - left, rest, body));
}

#[cfg(feature = "threads")]
fn threads() -> usize {
    // A thread of no pool would wait for rayon's global one, which wasm does not have.
    if rayon_core::current_thread_index().is_some() { rayon_core::current_num_threads() } else { 1 }
}

#[cfg(not(feature = "threads"))]
fn threads() -> usize {
    1
}

#[cfg(feature = "threads")]
fn join(a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
    rayon_core::join(a, b);
}

#[cfg(not(feature = "threads"))]
fn join(a: impl FnOnce(), b: impl FnOnce()) {
    a();
    b();
}
