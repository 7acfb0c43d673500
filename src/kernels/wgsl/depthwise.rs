//! Depthwise convolution: an invocation computes several neighbouring columns of one channel, or of four at once.
//!
//! The text is written out for the number of columns and the columns of the window, so that what neighbours share is read once.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Kernel, WORKGROUP, WindowSizes, Work};

/// Sizes and epilogue. Bindings: `x`, `w`, `b` if `bias`, `m` if `mask`, `y`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Depthwise {
    pub(crate) n: usize,
    pub(crate) c: usize,
    pub(crate) window: WindowSizes,
    /// The taps are read from the last to the first: a gradient.
    pub(crate) flipped: bool,
    pub(crate) bias: bool,
    pub(crate) clamp: Option<(f32, f32)>,
    /// The result is 0 but where `m` lies between these.
    pub(crate) mask: Option<(f32, f32)>,
}

/// The kernel, the words of its `Params` after `first` and `width`, its workgroups and what it costs.
pub(crate) fn depthwise(d: &Depthwise) -> (Kernel, Vec<u32>, u64, Work) {
    let s = &d.window;
    let channels = d.c / d.width();
    let column_tiles = s.ow.div_ceil(d.columns());
    let count = d.n as u64 * s.oh as u64 * column_tiles as u64 * channels as u64;
    let sizes = [count as usize, channels, s.h, s.w, s.oh, s.ow, column_tiles, s.kernel[0]];
    let words = sizes.into_iter().chain([s.stride[0], s.dilation[0]]).chain(s.padding).map(|v| v as u32).collect();
    let kernel = Kernel::new(d.text());
    let kernel = match d.clamp.or(d.mask) {
        Some(bounds) => kernel.with_bounds(bounds),
        None => kernel,
    };
    let macs = (d.n * s.oh * s.ow * d.c * s.kernel[0] * s.kernel[1]) as u64;
    let loads = count * (d.width() * s.kernel[0] * (s.kernel[1] + d.reads().len())) as u64;
    (kernel, words, count.div_ceil(u64::from(WORKGROUP)), Work { macs, loads })
}

impl Depthwise {
    /// Channels an invocation computes.
    fn width(&self) -> usize {
        if self.c.is_multiple_of(4) { 4 } else { 1 }
    }

    /// Output columns an invocation computes: with a stride, neighbours share less.
    fn columns(&self) -> usize {
        let wanted = if self.window.stride[1] == 1 { 4 } else { 2 };
        wanted.min(self.window.ow)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).unwrap_or_else(|_| unreachable!("writing to a string does not fail"));
        text
    }

    fn write(&self, t: &mut String) -> std::fmt::Result {
        let columns = self.columns();
        writeln!(t, "alias T = {};", if self.width() == 4 { "vec4<f32>" } else { "f32" })?;
        writeln!(
            t,
            "struct Params {{ first: u32, width: u32, count: u32, channels: u32, h: u32, w: u32, oh: u32, ow: u32,"
        )?;
        writeln!(t, "column_tiles: u32, kh: u32, stride_h: u32, dilation_h: u32, top: u32, left: u32 }}")?;
        writeln!(t, "@group(0) @binding(0) var<storage, read> x: array<T>;")?;
        writeln!(t, "@group(0) @binding(1) var<storage, read> w: array<T>;")?;
        let y = 2 + u32::from(self.bias) + u32::from(self.mask.is_some());
        if self.bias {
            writeln!(t, "@group(0) @binding(2) var<storage, read> b: array<T>;")?;
        }
        if self.mask.is_some() {
            writeln!(t, "@group(0) @binding({}) var<storage, read> m: array<T>;", y - 1)?;
        }
        writeln!(t, "@group(0) @binding({y}) var<storage, read_write> y: array<T>;")?;
        writeln!(t, "@group(0) @binding({}) var<uniform> p: Params;", y + 1)?;
        writeln!(t, "override WG: u32;")?;
        if self.clamp.or(self.mask).is_some() {
            writeln!(t, "override LOW: f32;\noverride HIGH: f32;")?;
        }
        writeln!(t, "@compute @workgroup_size(WG)")?;
        writeln!(t, "fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {{")?;
        writeln!(t, "let i = (p.first + wid.y * p.width + wid.x) * WG + lid;")?;
        writeln!(t, "if (i >= p.count) {{ return; }}")?;
        writeln!(t, "let c = i % p.channels;")?;
        writeln!(t, "let tile = i / p.channels;")?;
        writeln!(t, "let column = tile % p.column_tiles * {columns}u;")?;
        writeln!(t, "let row = tile / p.column_tiles;")?;
        writeln!(t, "let image = row / p.oh * p.h;")?;
        writeln!(t, "let top = row % p.oh * p.stride_h - p.top;")?;
        writeln!(t, "let left = column * {}u - p.left;", self.window.stride[1])?;
        for j in 0..columns {
            writeln!(t, "var s{j} = T();")?;
        }
        self.write_taps(t)?;
        self.write_results(t)?;
        writeln!(t, "}}")
    }

    /// For each column of the image that is read: which sums it goes into, with which tap.
    fn reads(&self) -> BTreeMap<usize, Vec<(usize, usize)>> {
        let (s, mut reads) = (&self.window, BTreeMap::<usize, Vec<(usize, usize)>>::new());
        for j in 0..self.columns() {
            for q in 0..s.kernel[1] {
                reads.entry(j * s.stride[1] + q * s.dilation[1]).or_default().push((j, q));
            }
        }
        reads
    }

    fn write_taps(&self, t: &mut String) -> std::fmt::Result {
        let kw = self.window.kernel[1];
        writeln!(t, "for (var tap = 0u; tap < p.kh; tap++) {{")?;
        // Positions left of or above the image wrap around to large numbers.
        writeln!(t, "let h = top + tap * p.dilation_h;")?;
        writeln!(t, "if (h < p.h) {{")?;
        writeln!(t, "let x_row = (image + h) * p.w;")?;
        for q in 0..kw {
            let tap = match self.flipped {
                true => format!("(p.kh - 1u - tap) * {kw}u + {}u", kw - 1 - q),
                false => format!("tap * {kw}u + {q}u"),
            };
            writeln!(t, "let w{q} = w[({tap}) * p.channels + c];")?;
        }
        for (offset, uses) in self.reads() {
            writeln!(t, "let at{offset} = left + {offset}u;")?;
            let value = format!("x[(x_row + min(at{offset}, p.w - 1u)) * p.channels + c]");
            writeln!(t, "let x{offset} = select(T(), {value}, at{offset} < p.w);")?;
            for (j, q) in uses {
                writeln!(t, "s{j} = fma(x{offset}, w{q}, s{j});")?;
            }
        }
        writeln!(t, "}}\n}}")
    }

    fn write_results(&self, t: &mut String) -> std::fmt::Result {
        for j in 0..self.columns() {
            writeln!(t, "if (column + {j}u < p.ow) {{")?;
            writeln!(t, "var v = s{j}{};", if self.bias { " + b[c]" } else { "" })?;
            if self.clamp.is_some() {
                // Unlike `clamp`, comparisons leave NaN as it is.
                writeln!(t, "v = select(v, T(LOW), v < T(LOW));")?;
                writeln!(t, "v = select(v, T(HIGH), v > T(HIGH));")?;
            }
            writeln!(t, "let at = (row * p.ow + column + {j}u) * p.channels + c;")?;
            if self.mask.is_some() {
                writeln!(t, "v = select(T(), v, (m[at] > T(LOW)) & (m[at] < T(HIGH)));")?;
            }
            writeln!(t, "y[at] = v;")?;
            writeln!(t, "}}")?;
        }
        Ok(())
    }
}
