//! What kernel tests share: fixed random inputs, comparison, naive f64 products.

use super::conv2d::ConvShape;

/// Splitmix64 (Steele, Lea, Flood 2014), fixed seeds.
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `lo..=hi`.
    pub(super) fn range(&mut self, lo: usize, hi: usize) -> usize {
        lo + (self.next() % (hi - lo + 1) as u64) as usize
    }

    /// `len` floats in -1..1.
    pub(super) fn fill(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
    }
}

/// Fails where `|y - expected| > tolerance · max(1, |expected|)`, naming the worst element.
#[track_caller]
pub(super) fn assert_close(y: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(y.len(), expected.len(), "{what}: length");
    for (i, (&y, &e)) in y.iter().zip(expected).enumerate() {
        let error = (f64::from(y) - e).abs() / e.abs().max(1.0);
        assert!(error <= tolerance, "{what}: [{i}] is {y}, expected {e}, error {error:e} above {tolerance:e}");
    }
}

/// `m×k · k×n` in f64.
pub(super) fn product(
    m: usize,
    k: usize,
    n: usize,
    a: impl Fn(usize, usize) -> f32,
    b: impl Fn(usize, usize) -> f32,
) -> Vec<f64> {
    let dot = |i, j| (0..k).map(|p| f64::from(a(i, p)) * f64::from(b(p, j))).sum();
    (0..m).flat_map(|i| (0..n).map(move |j| (i, j))).map(|(i, j)| dot(i, j)).collect()
}

/// A random convolution: all sizes small and odd at times, padding uneven, strides beyond the kernel included.
pub(super) fn conv_shape(rng: &mut Rng, depthwise: bool) -> ConvShape {
    let groups = if depthwise { rng.range(1, 37) } else { [1, 1, 2, 3][rng.range(0, 3)] };
    let (cg, mg) = if depthwise { (1, 1) } else { (rng.range(1, 19), rng.range(1, 21)) };
    let (kh, kw) = [(1, 1), (3, 3), (5, 5), (2, 4), (7, 1)][rng.range(0, 4)];
    let stride = [rng.range(1, 3), rng.range(1, 3)];
    let dilation = if rng.range(0, 2) == 0 { [rng.range(1, 3), rng.range(1, 3)] } else { [1, 1] };
    let mut padding = [0; 4];
    if rng.range(0, 3) > 0 {
        padding = padding.map(|_| rng.range(0, 3));
    }
    let least = |k: usize, d: usize, pad: usize| ((k - 1) * d + 1).saturating_sub(pad).max(1);
    let h = least(kh, dilation[0], padding[0] + padding[2]) + rng.range(0, 12);
    let w = least(kw, dilation[1], padding[1] + padding[3]) + rng.range(0, 23);
    let oh = (h + padding[0] + padding[2] - (kh - 1) * dilation[0] - 1) / stride[0] + 1;
    let ow = (w + padding[1] + padding[3] - (kw - 1) * dilation[1] - 1) / stride[1] + 1;
    let n = rng.range(1, 3);
    ConvShape { n, h, w, c: groups * cg, kh, kw, m: groups * mg, oh, ow, stride, padding, dilation, groups }
}

/// Calls `f` with the offsets into x, w (HWIO) and y of every product of a convolution.
pub(super) fn each_product(s: &ConvShape, mut f: impl FnMut(usize, usize, usize)) {
    let (cg, mg) = (s.c / s.groups, s.m / s.groups);
    for i in 0..s.n {
        for (oy, ox) in (0..s.oh).flat_map(|oy| (0..s.ow).map(move |ox| (oy, ox))) {
            for (ky, kx) in (0..s.kh).flat_map(|ky| (0..s.kw).map(move |kx| (ky, kx))) {
                let iy = (oy * s.stride[0] + ky * s.dilation[0]) as isize - s.padding[0] as isize;
                let ix = (ox * s.stride[1] + kx * s.dilation[1]) as isize - s.padding[1] as isize;
                if iy < 0 || ix < 0 || iy >= s.h as isize || ix >= s.w as isize {
                    continue;
                }
                for (j, p) in (0..s.m).flat_map(|j| (0..cg).map(move |p| (j, p))) {
                    let x = ((i * s.h + iy as usize) * s.w + ix as usize) * s.c + j / mg * cg + p;
                    let w = ((ky * s.kw + kx) * cg + p) * s.m + j;
                    f(x, w, ((i * s.oh + oy) * s.ow + ox) * s.m + j);
                }
            }
        }
    }
}

/// The convolution in f64.
pub(super) fn convolution(s: &ConvShape, x: &[f32], w: &[f32]) -> Vec<f64> {
    let mut y = vec![0.0; s.n * s.oh * s.ow * s.m];
    each_product(s, |xi, wi, yi| y[yi] += f64::from(x[xi]) * f64::from(w[wi]));
    y
}

/// Its gradients by x and by w in f64.
pub(super) fn convolution_gradients(s: &ConvShape, x: &[f32], w: &[f32], dy: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
    each_product(s, |xi, wi, yi| {
        dx[xi] += f64::from(w[wi]) * f64::from(dy[yi]);
        dw[wi] += f64::from(x[xi]) * f64::from(dy[yi]);
    });
    (dx, dw)
}
