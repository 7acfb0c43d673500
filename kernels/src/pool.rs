//! Pooling and its gradients, NHWC.

/// Sizes of a pooling of `n×h×w×c` to `n×oh×ow×c`.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolShape {
    /// Images.
    pub n: usize,
    /// Lines of an input image.
    pub h: usize,
    /// Columns of an input image.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Lines of a window.
    pub kh: usize,
    /// Columns of a window.
    pub kw: usize,
    /// Lines of an output image.
    pub oh: usize,
    /// Columns of an output image.
    pub ow: usize,
    /// Between outputs: lines, columns.
    pub stride: [usize; 2],
    /// Top, left, bottom, right.
    pub padding: [usize; 4],
    /// Between taps: lines, columns.
    pub dilation: [usize; 2],
    /// Whether an average divides by the taps in the padded input rather than by those in the input. Taps beyond
    /// the padding, which rounding the output size up can cause, never count.
    pub count_include_pad: bool,
}

/// The taps of an output row or column that lie inside the input.
#[derive(Clone, Copy)]
struct Taps {
    first: usize,
    step: usize,
    count: usize,
    /// Taps inside the padded input.
    padded: usize,
}

impl Taps {
    fn new(first: usize, step: usize, k: usize, size: usize, before: usize, after: usize) -> Self {
        let within = |end: usize| end.saturating_sub(first).div_ceil(step).min(k);
        let skipped = before.saturating_sub(first).div_ceil(step).min(k);
        Self {
            first: (first + skipped * step).saturating_sub(before),
            step,
            count: within(before + size).saturating_sub(skipped),
            padded: within(before + size + after),
        }
    }

    fn places(self) -> impl Iterator<Item = usize> + Clone {
        (0..self.count).map(move |i| self.first + i * self.step)
    }
}

/// One output pixel: the offset of its channels and the taps it reads.
struct Window<'a> {
    s: &'a PoolShape,
    y: usize,
    image: usize,
    rows: Taps,
    columns: Taps,
}

impl Window<'_> {
    /// Offsets of the input pixels in row-major window order.
    fn taps(&self) -> impl Iterator<Item = usize> {
        let s = self.s;
        let rows = self.rows.places().map(move |y| (self.image * s.h + y) * s.w);
        rows.flat_map(move |line| self.columns.places().map(move |x| (line + x) * s.c))
    }

    /// One over the number an average divides by.
    fn scale(&self) -> f32 {
        let count = if self.s.count_include_pad {
            self.rows.padded * self.columns.padded
        } else {
            self.rows.count * self.columns.count
        };
        1.0 / count.max(1) as f32
    }
}

impl PoolShape {
    fn windows(&self) -> impl Iterator<Item = Window<'_>> {
        let [top, left, bottom, right] = self.padding;
        let lines = (0..self.n).flat_map(move |image| (0..self.oh).map(move |oy| (image, oy)));
        lines.flat_map(move |(image, oy)| {
            let rows = Taps::new(oy * self.stride[0], self.dilation[0], self.kh, self.h, top, bottom);
            (0..self.ow).map(move |ox| {
                let columns = Taps::new(ox * self.stride[1], self.dilation[1], self.kw, self.w, left, right);
                Window { s: self, y: ((image * self.oh + oy) * self.ow + ox) * self.c, image, rows, columns }
            })
        })
    }
}

/// Largest value of each window; padding never wins. A window without taps gives -∞, NaN stays NaN.
pub fn max_pool(s: &PoolShape, x: &[f32], y: &mut [f32]) {
    for window in s.windows() {
        let y = &mut y[window.y..][..s.c];
        y.fill(f32::NEG_INFINITY);
        for tap in window.taps() {
            for (y, &x) in y.iter_mut().zip(&x[tap..][..s.c]) {
                *y = if x <= *y { *y } else { x };
            }
        }
    }
}

/// Gradient of [`max_pool`] with output `y`: it goes to the first maximum of a window in row-major order, as in
/// PyTorch and TensorFlow.
pub fn max_pool_dx(s: &PoolShape, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32]) {
    /// Channels at a time, so that what is still to be given away stays on the stack.
    const CHANNELS: usize = 64;
    dx.fill(0.0);
    for window in s.windows() {
        let (y, dy) = (&y[window.y..][..s.c], &dy[window.y..][..s.c]);
        for (first, (y, dy)) in (0..).step_by(CHANNELS).zip(y.chunks(CHANNELS).zip(dy.chunks(CHANNELS))) {
            let mut left = [0.0; CHANNELS];
            left[..dy.len()].copy_from_slice(dy);
            for tap in window.taps() {
                let (x, dx) = (&x[tap + first..][..y.len()], &mut dx[tap + first..][..y.len()]);
                for (((dx, x), y), left) in dx.iter_mut().zip(x).zip(y).zip(&mut left) {
                    let given = if x == y { *left } else { 0.0 };
                    *dx += given;
                    *left -= given;
                }
            }
        }
    }
}

/// Mean of each window.
pub fn avg_pool(s: &PoolShape, x: &[f32], y: &mut [f32]) {
    for window in s.windows() {
        let y = &mut y[window.y..][..s.c];
        y.fill(0.0);
        for tap in window.taps() {
            y.iter_mut().zip(&x[tap..][..s.c]).for_each(|(y, x)| *y += x);
        }
        let scale = window.scale();
        y.iter_mut().for_each(|y| *y *= scale);
    }
}

/// Gradient of [`avg_pool`].
pub fn avg_pool_dx(s: &PoolShape, dy: &[f32], dx: &mut [f32]) {
    dx.fill(0.0);
    for window in s.windows() {
        let scale = window.scale();
        for tap in window.taps() {
            let dx = dx[tap..][..s.c].iter_mut();
            dx.zip(&dy[window.y..][..s.c]).for_each(|(dx, dy)| *dx += dy * scale);
        }
    }
}

/// Mean over the `hw` pixels of each of `n` images: `n×hw×c` to `n×c`.
pub fn global_avg_pool(n: usize, hw: usize, c: usize, x: &[f32], y: &mut [f32]) {
    debug_assert!(x.len() == n * hw * c && y.len() == n * c);
    let scale = 1.0 / hw.max(1) as f32;
    for (x, y) in x.chunks_exact((hw * c).max(1)).zip(y.chunks_exact_mut(c.max(1))) {
        y.fill(0.0);
        for x in x.chunks_exact(c) {
            y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
        }
        y.iter_mut().for_each(|y| *y *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Rng, assert_close};
    use super::*;

    /// Rounding of the few dozen values of a window.
    const TOLERANCE: f64 = 2e-6;

    /// Taps of window (oy, ox) in row-major order: the offset in the image, or `None` in the padding.
    fn window(s: &PoolShape, oy: usize, ox: usize) -> Vec<Option<usize>> {
        let mut taps = Vec::new();
        for (ky, kx) in (0..s.kh).flat_map(|ky| (0..s.kw).map(move |kx| (ky, kx))) {
            let y = (oy * s.stride[0] + ky * s.dilation[0]) as isize - s.padding[0] as isize;
            let x = (ox * s.stride[1] + kx * s.dilation[1]) as isize - s.padding[1] as isize;
            let beyond = y >= (s.h + s.padding[2]) as isize || x >= (s.w + s.padding[3]) as isize;
            let inside = y >= 0 && x >= 0 && y < s.h as isize && x < s.w as isize;
            if !beyond {
                taps.push(inside.then(|| (y as usize * s.w + x as usize) * s.c));
            }
        }
        taps
    }

    fn shape(rng: &mut Rng) -> PoolShape {
        let (kh, kw) = (rng.range(1, 4), rng.range(1, 4));
        let dilation = [rng.range(1, 2), rng.range(1, 2)];
        let padding = [0; 4].map(|_: usize| rng.range(0, kh.min(kw) / 2));
        let stride = [rng.range(1, 4), rng.range(1, 4)];
        let (h, w) = ((kh - 1) * dilation[0] + rng.range(1, 9), (kw - 1) * dilation[1] + rng.range(1, 9));
        // Half of the shapes round the output size up, so that windows reach beyond the padding.
        let up = rng.range(0, 1);
        let out = |size: usize, k: usize, a: usize| {
            let room = size + padding[a] + padding[a + 2] - (k - 1) * dilation[a] - 1;
            let o = (room + up * (stride[a] - 1)) / stride[a];
            if o * stride[a] >= size + padding[a] { o } else { o + 1 }
        };
        let (oh, ow) = (out(h, kh, 0), out(w, kw, 1));
        let (n, c, count_include_pad) = (rng.range(1, 2), rng.range(1, 70), rng.range(0, 1) == 1);
        PoolShape { n, h, w, c, kh, kw, oh, ow, stride, padding, dilation, count_include_pad }
    }

    #[test]
    fn random_pools_agree_with_f64() {
        let mut rng = Rng::new(51);
        for _ in 0..200 {
            let s = shape(&mut rng);
            // Few distinct values, so that maxima tie.
            let x: Vec<f32> = rng.fill(s.n * s.h * s.w * s.c).iter().map(|x| (x * 4.0).round()).collect();
            let dy = rng.fill(s.n * s.oh * s.ow * s.c);
            let (mut max, mut mean) = (vec![0.0; dy.len()], vec![0.0; dy.len()]);
            let (mut max_dx, mut mean_dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            for at in 0..dy.len() {
                let (pixel, ch) = (at / s.c, at % s.c);
                let image = pixel / (s.oh * s.ow) * s.h * s.w * s.c;
                let taps = window(&s, pixel / s.ow % s.oh, pixel % s.ow);
                let inside: Vec<usize> = taps.iter().flatten().map(|t| image + t + ch).collect();
                let count = if s.count_include_pad { taps.len() } else { inside.len() } as f64;
                let largest = inside.iter().map(|&i| x[i]).fold(f32::NEG_INFINITY, f32::max);
                max[at] = f64::from(largest);
                if let Some(&first) = inside.iter().find(|&&i| x[i] == largest) {
                    max_dx[first] += f64::from(dy[at]);
                }
                for &i in &inside {
                    mean[at] += f64::from(x[i]) / count;
                    mean_dx[i] += f64::from(dy[at]) / count;
                }
            }
            let (mut y, mut dx) = (vec![f32::NAN; dy.len()], vec![f32::NAN; x.len()]);
            avg_pool(&s, &x, &mut y);
            assert_close(&y, &mean, TOLERANCE, &format!("avg_pool {s:?}"));
            avg_pool_dx(&s, &dy, &mut dx);
            assert_close(&dx, &mean_dx, TOLERANCE, &format!("avg_pool_dx {s:?}"));
            max_pool(&s, &x, &mut y);
            assert!(y.iter().zip(&max).all(|(&y, &e)| f64::from(y) == e), "max_pool {s:?}");
            max_pool_dx(&s, &x, &y, &dy, &mut dx);
            assert_close(&dx, &max_dx, TOLERANCE, &format!("max_pool_dx {s:?}"));
        }
    }

    #[test]
    fn global_average_agrees_with_f64() {
        let mut rng = Rng::new(52);
        for (n, hw, c) in [(1, 1, 1), (3, 49, 33), (2, 7, 8)] {
            let x = rng.fill(n * hw * c);
            let mut y = vec![f32::NAN; n * c];
            global_avg_pool(n, hw, c, &x, &mut y);
            let mean = |i: usize| {
                let pixels = (0..hw).map(|p| f64::from(x[(i / c * hw + p) * c + i % c]));
                pixels.sum::<f64>() / hw as f64
            };
            let expected: Vec<f64> = (0..n * c).map(mean).collect();
            assert_close(&y, &expected, TOLERANCE, &format!("{n}×{hw}×{c}"));
        }
    }
}
