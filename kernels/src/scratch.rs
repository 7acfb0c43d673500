//! Working memory that kernels borrow instead of allocating.

/// A pool of buffers; after the first run of a plan it allocates nothing more.
#[derive(Debug, Default)]
pub struct Scratch {
    free: Vec<Vec<f32>>,
}

impl Scratch {
    /// A buffer of `len` floats with unspecified contents.
    pub fn take(&mut self, len: usize) -> Vec<f32> {
        // Smallest sufficient buffer, else the largest one to grow: the pool settles on the sizes that recur.
        let best = (0..self.free.len()).min_by_key(|&i| {
            let capacity = self.free[i].capacity();
            if capacity >= len { (0, capacity) } else { (1, usize::MAX - capacity) }
        });
        let mut buffer = best.map_or_else(Vec::new, |i| self.free.swap_remove(i));
        if buffer.capacity() < len {
            buffer = Vec::with_capacity(len);
        }
        buffer.resize(len, 0.0);
        buffer
    }

    /// A buffer of `len` zeros.
    pub fn take_zeroed(&mut self, len: usize) -> Vec<f32> {
        let mut buffer = self.take(len);
        buffer.fill(0.0);
        buffer
    }

    /// Returns a buffer to the pool.
    pub fn give(&mut self, buffer: Vec<f32>) {
        self.free.push(buffer);
    }

    /// Bytes the pool holds at present.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.free.iter().map(|b| b.capacity() * size_of::<f32>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::Scratch;

    #[test]
    fn recurring_sizes_reuse_their_buffers() {
        let mut scratch = Scratch::default();
        for _ in 0..2 {
            let (a, b) = (scratch.take(100), scratch.take(7));
            scratch.give(a);
            scratch.give(b);
        }
        let settled = scratch.bytes();
        for _ in 0..5 {
            let (b, a) = (scratch.take(7), scratch.take_zeroed(100));
            assert!(a.len() == 100 && b.len() == 7 && a.iter().all(|&x| x == 0.0));
            scratch.give(a);
            scratch.give(b);
        }
        assert_eq!(scratch.bytes(), settled);
    }
}
