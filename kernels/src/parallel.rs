//! Work split over threads.
//!
//! A kernel shares its work with the rayon pool whose thread it runs on, and has one thread outside of a pool and without
//! the feature `threads`. What is split are results, never sums: an output element is the same chain of operations
//! whatever the number of threads, so results are equal bit for bit.

use core::cell::Cell;
use core::ops::Range;

use super::scratch::Scratch;

/// Multiply-adds that are worth a thread: 16 µs of a core that does 33 G a second. An estimate of what pays for waking it.
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

/// Threads that share the work of a kernel that is called here.
#[cfg(feature = "threads")]
pub fn threads() -> usize {
    // A thread of no pool would wait for rayon's global one, which wasm does not have.
    if rayon_core::current_thread_index().is_some() { rayon_core::current_num_threads() } else { 1 }
}

/// Threads that share the work of a kernel that is called here.
#[cfg(not(feature = "threads"))]
pub fn threads() -> usize {
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

#[cfg(all(test, feature = "threads"))]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    const UNIT: usize = 3;

    /// The pieces that items are split into, in order.
    fn pieces(threads: usize, items: usize, cost: usize) -> Vec<Range<usize>> {
        let pool = rayon_core::ThreadPoolBuilder::new().num_threads(threads).build().unwrap_or_else(|e| panic!("{e}"));
        let all = Mutex::new(Vec::new());
        let mut y = vec![f32::NAN; items * UNIT];
        pool.install(|| {
            split(items, cost, Items(&mut y, UNIT), |range, Items(y, unit)| {
                assert_eq!(y.len(), range.len() * unit);
                range.clone().zip(y.chunks_exact_mut(unit)).for_each(|(i, y)| y.fill(i as f32));
                all.lock().unwrap_or_else(PoisonError::into_inner).push(range);
            });
        });
        assert!(y.iter().enumerate().all(|(i, y)| *y == (i / UNIT) as f32), "{items} items: {y:?}");
        let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        all.sort_by_key(|range| range.start);
        all
    }

    #[test]
    fn every_item_is_in_one_piece() {
        for threads in [1, 2, 4] {
            for items in [1, 2, 5, 7, 100] {
                let mut end = 0;
                for piece in pieces(threads, items, PIECE) {
                    assert!(piece.start == end && piece.end > end, "{piece:?} behind {end}");
                    end = piece.end;
                }
                assert_eq!(end, items);
            }
        }
    }

    #[test]
    fn threads_are_used_where_there_are_several_and_it_is_worth_it() {
        assert_eq!(pieces(1, 100, PIECE).len(), 1);
        assert_eq!(pieces(2, 100, PIECE / 200).len(), 1);
        assert_eq!(pieces(2, 100, PIECE / 50 + 1).len(), 2);
        assert_eq!(pieces(2, 100, PIECE).len(), 2 * PIECES_PER_THREAD);
    }

    #[test]
    fn outside_of_a_pool_there_is_one_thread() {
        split(100, PIECE, Items(&mut [0.0; 100], 1), |range, _| assert_eq!(range, 0..100));
    }
}
