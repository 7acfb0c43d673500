//! Convolution, NHWC: the tiled product over patches that are gathered a few rows at a time, or Winograd's.

use core::ops::Range;

use super::gemm::{Epilogue, PackedB, multiply_rows};
use super::lhs::{Patches, Walk};
use super::parallel::{Items, split, with_scratch};
use super::scratch::Scratch;
use super::tile::{Block, K_BLOCK, MAX_MR, Out, multiply};
use super::winograd::{self, Filters};

/// Sizes of a convolution of `n×h×w×c` to `n×oh×ow×m`.
///
/// Output (oy, ox) reads input row `oy·stride[0] + ky·dilation[0] − padding[0]`, likewise the columns;
/// places outside the input are zero. The furthest tap lies inside the padded input.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvShape {
    /// Images.
    pub n: usize,
    /// Lines of an input image.
    pub h: usize,
    /// Columns of an input image.
    pub w: usize,
    /// Input channels.
    pub c: usize,
    /// Lines of a window.
    pub kh: usize,
    /// Columns of a window.
    pub kw: usize,
    /// Output channels.
    pub m: usize,
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
    /// Groups of channels that are convolved apart.
    pub groups: usize,
}

impl ConvShape {
    /// Floats of one input image.
    pub(super) fn x_len(&self) -> usize {
        self.h * self.w * self.c
    }

    /// Floats of one output image.
    pub(super) fn y_len(&self) -> usize {
        self.oh * self.ow * self.m
    }

    /// Whether every pixel is a product of its own: 1×1, stride 1, unpadded.
    pub(super) fn is_pointwise(&self) -> bool {
        [self.kh, self.kw] == [1, 1] && self.stride == [1, 1] && self.padding == [0; 4]
    }

    /// Floats between lines of the padded image.
    pub(super) fn padded_line(&self) -> usize {
        (self.w + self.padding[1] + self.padding[3]) * self.c
    }

    /// Floats of one padded image.
    pub(super) fn padded_len(&self) -> usize {
        (self.h + self.padding[0] + self.padding[2]) * self.padded_line()
    }

    /// Input row under tap `ky` of output row `oy`, if it is not padding.
    pub(super) fn input_row(&self, oy: usize, ky: usize) -> Option<usize> {
        (oy * self.stride[0] + ky * self.dilation[0]).checked_sub(self.padding[0]).filter(|&y| y < self.h)
    }

    /// Input column under tap `kx` of output column `ox`, if it is not padding.
    pub(super) fn input_column(&self, ox: usize, kx: usize) -> Option<usize> {
        (ox * self.stride[1] + kx * self.dilation[1]).checked_sub(self.padding[1]).filter(|&x| x < self.w)
    }

    /// Runs of neighbouring floats that the taps of one row are: one, where they lie side by side.
    pub(super) fn runs(&self) -> usize {
        if self.groups == 1 && (self.dilation[1] == 1 || self.kw == 1) { 1 } else { self.kw }
    }

    /// The runs of one group under an output pixel: a kernel row is one run where its taps are neighbours.
    pub(super) fn taps(&self) -> (Walk, usize) {
        let outer_step = self.dilation[0] * self.padded_line();
        if self.groups == 1 && (self.dilation[1] == 1 || self.kw == 1) {
            return (Walk { outer: self.kh, outer_step, inner: 1, inner_step: 0 }, self.kw * self.c);
        }
        let inner_step = self.dilation[1] * self.c;
        (Walk { outer: self.kh, outer_step, inner: self.kw, inner_step }, self.c / self.groups)
    }
}

/// A buffer for [`padded`] copies of some images, or an empty one where nothing is padded.
pub(super) fn padded_buffer(s: &ConvShape, images: usize, scratch: &mut Scratch) -> Vec<f32> {
    scratch.take(if s.padding == [0; 4] { 0 } else { images * s.padded_len() })
}

/// `images` with the zero border of `s`: a copy in `buffer` where there is one.
pub(super) fn padded<'a>(s: &ConvShape, images: &'a [f32], buffer: &'a mut [f32]) -> &'a [f32] {
    if s.padding == [0; 4] || images.is_empty() {
        return images;
    }
    let [top, left, ..] = s.padding;
    for (image, copy) in images.chunks_exact(s.x_len()).zip(buffer.chunks_exact_mut(s.padded_len())) {
        copy.fill(0.0);
        let lines = copy.chunks_exact_mut(s.padded_line()).skip(top);
        for (line, x) in lines.zip(image.chunks_exact(s.w * s.c)) {
            line[left * s.c..][..x.len()].copy_from_slice(x);
        }
    }
    buffer
}

/// Weights of a convolution as its kernel reads them.
#[derive(Clone, Debug)]
pub struct PackedConv(Form);

#[derive(Clone, Debug)]
enum Form {
    /// Panels, one matrix a group.
    Direct(Vec<PackedB>),
    Winograd(Filters),
}

impl PackedConv {
    /// Packs `[kh, kw, c/groups, m]` row-major (HWIO) for many runs: in the form that runs fastest.
    pub fn prepare(s: &ConvShape, w: &[f32]) -> Self {
        if winograd::suits(s) { Self(Form::Winograd(Filters::new(s.c, s.m, w))) } else { Self::pack(s, w) }
    }

    /// Floats that [`PackedConv::prepare`] takes.
    pub fn len(s: &ConvShape) -> usize {
        if winograd::suits(s) {
            Filters::len(s)
        } else {
            s.groups * PackedB::len(s.kh * s.kw * (s.c / s.groups), s.m / s.groups)
        }
    }

    /// Packs weights that change from run to run: in the form that is made fastest.
    pub fn pack(s: &ConvShape, w: &[f32]) -> Self {
        let mut groups = vec![PackedB::default(); s.groups];
        pack_groups(s, w, &mut groups);
        Self(Form::Direct(groups))
    }

    /// [`PackedConv::pack`] into the memory already held where it is of that form.
    pub fn repack(&mut self, s: &ConvShape, w: &[f32]) {
        match &mut self.0 {
            Form::Direct(groups) if groups.len() == s.groups => pack_groups(s, w, groups),
            _ => *self = Self::pack(s, w),
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Form::Direct(groups) => groups.iter().map(PackedB::bytes).sum(),
            Form::Winograd(filters) => filters.bytes(),
        }
    }
}

fn pack_groups(s: &ConvShape, w: &[f32], groups: &mut [PackedB]) {
    let k = s.kh * s.kw * (s.c / s.groups);
    debug_assert_eq!(w.len(), k * s.m);
    for (g, packed) in groups.iter_mut().enumerate() {
        packed.repack_strided(
            k,
            s.m / s.groups,
            &w[g * (s.m / s.groups)..],
            s.m,
            parts_of_line(s).map_or(1, |parts| s.kh * parts),
        );
    }
}

/// Blocks of k that each row of taps is packed in, unless all of them are one.
fn parts_of_line(s: &ConvShape) -> Option<usize> {
    let line = s.kw * (s.c / s.groups);
    // Only a line that is one run is ever split.
    let parts = if s.runs() == 1 { line.div_ceil(K_BLOCK).max(1) } else { 1 };
    (s.kh * line > K_BLOCK).then_some(parts)
}

/// `y = clamp(conv(x, w) + bias + residual)`.
pub fn conv2d(s: &ConvShape, x: &[f32], w: &PackedConv, y: &mut [f32], e: Epilogue<'_>) {
    debug_assert!(x.len() == s.n * s.x_len() && y.len() == s.n * s.y_len());
    let groups = match &w.0 {
        Form::Direct(groups) => groups.as_slice(),
        Form::Winograd(filters) => return winograd::winograd(s, x, filters, y, e),
    };
    if s.is_pointwise() {
        let (cg, mg) = (s.c / s.groups, s.m / s.groups);
        for (g, b) in groups.iter().enumerate() {
            let x = &x[(g * cg).min(x.len())..];
            let out = &mut Out { y: &mut *y, ld: s.m, col: g * mg };
            multiply_rows(s.n * s.h * s.w, x, s.c, b, e, out);
        }
        return;
    }
    let line = s.kw * (s.c / s.groups);
    let cost = s.y_len() / s.oh.max(1) * s.kh * s.kw * s.c / s.groups;
    split(s.n * s.oh, cost, Items(y, s.ow * s.m), |outputs, Items(y, _)| {
        with_scratch(|scratch| {
            let mut buffer = scratch.take(MAX_MR * line.max(K_BLOCK));
            direct(s, x, groups, outputs.clone(), y, e.behind(outputs.start * s.ow * s.m), &mut buffer);
            scratch.give(buffer);
        });
    });
}

/// Output lines `outputs`, counted through all images, in blocks of k.
fn direct(
    s: &ConvShape,
    x: &[f32],
    groups: &[PackedB],
    outputs: Range<usize>,
    y: &mut [f32],
    e: Epilogue<'_>,
    buffer: &mut [f32],
) {
    for (group, b) in groups.iter().enumerate() {
        for (index, ks) in b.ranges().enumerate() {
            let (lines, run) = match parts_of_line(s) {
                None => (0..s.kh, 0..b.k / (s.kh * s.runs()).max(1)),
                Some(parts) => {
                    let (ky, line) = (index / parts, b.k / s.kh);
                    (ky..ky + 1, (ks.start - ky * line) / s.runs()..(ks.end - ky * line) / s.runs())
                }
            };
            let (first, len) = (group * (s.c / s.groups) + run.start, run.len());
            let row = outputs.start * s.ow;
            let mut a = Patches { s, x, row, lines, runs: s.runs(), first, len, buffer: &mut *buffer };
            let (resume, e) = (ks.start > 0, e.at_block(ks.end == b.k));
            let (block, col) = (Block { b: b.block(ks), resume, e }, group * (s.m / s.groups));
            multiply(outputs.len() * s.ow, &mut a, block, &mut Out { y, ld: s.m, col });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Rng, assert_close, conv_shape, convolution};
    use super::*;

    /// Rounding per product of values around 1.
    const TOLERANCE: f64 = 2e-6;

    fn check(rng: &mut Rng, s: &ConvShape) {
        let (x, w) = (rng.fill(s.n * s.x_len()), rng.fill(s.kh * s.kw * s.c / s.groups * s.m));
        let (bias, residual) = (rng.fill(s.m), rng.fill(s.n * s.y_len()));
        let mut expected = convolution(s, &x, &w);
        let tolerance = TOLERANCE * (s.kh * s.kw * s.c) as f64;
        let packed = PackedConv::pack(s, &w);
        let mut y = vec![f32::NAN; s.n * s.y_len()];
        conv2d(s, &x, &packed, &mut y, Epilogue::default());
        assert_close(&y, &expected, tolerance, &format!("{s:?}"));
        let e = Epilogue { bias: Some(&bias), residual: Some(&residual), clamp: Some((-1.0, 1.5)) };
        conv2d(s, &x, &packed, &mut y, e);
        for (i, v) in expected.iter_mut().enumerate() {
            *v = (*v + f64::from(bias[i % s.m]) + f64::from(residual[i])).clamp(-1.0, 1.5);
        }
        assert_close(&y, &expected, tolerance, &format!("{s:?} with epilogue"));
        let alone = ConvShape { n: 1, ..s.clone() };
        for i in 0..s.n {
            let mut image = vec![f32::NAN; s.y_len()];
            let residual = Some(&residual[i * s.y_len()..][..s.y_len()]);
            let x = &x[i * s.x_len()..][..s.x_len()];
            conv2d(&alone, x, &packed, &mut image, Epilogue { residual, ..e });
            assert_eq!(image, y[i * s.y_len()..][..s.y_len()], "image {i} alone, {s:?}");
        }
    }

    #[test]
    fn random_convolutions_agree_with_f64_and_images_alone() {
        let mut rng = Rng::new(21);
        for _ in 0..150 {
            let s = conv_shape(&mut rng, false);
            check(&mut rng, &s);
        }
    }

    #[test]
    fn deep_convolutions_are_summed_in_blocks() {
        let mut rng = Rng::new(22);
        for (c, k, dilation) in [(300, 3, 1), (1700, 1, 1), (900, 2, 1), (900, 2, 2)] {
            let o = 5 - (k - 1) * dilation;
            let s = ConvShape {
                n: 2,
                h: 5,
                w: 5,
                c,
                kh: k,
                kw: k,
                m: 9,
                oh: o,
                ow: o,
                stride: [1, 1],
                padding: [0; 4],
                dilation: [dilation; 2],
                groups: 1,
            };
            check(&mut rng, &s);
        }
    }
}
