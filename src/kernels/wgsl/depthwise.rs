//! Depthwise convolution: an invocation computes several neighbouring columns of one or two rows, of one channel or of four at once.
//!
//! The text is written out for these and for the taps of the window, so that what neighbours share is read once.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Kernel, WORKGROUP, WindowSizes, Work};

/// Most taps that the text is written out for; with more of them, for a row of taps at a time.
const TAPS: usize = 49;

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
    /// Invocations that keep the device busy.
    pub(crate) lanes: u64,
}

/// The kernel, the words of its `Params` after `first` and `width`, its workgroups and what it costs.
pub(crate) fn depthwise(d: &Depthwise) -> (Kernel, Vec<u32>, u64, Work) {
    let (s, [rows, columns]) = (&d.window, d.tile());
    let channels = d.c / d.width();
    let (count, tiles) = (d.count([rows, columns]), [s.ow.div_ceil(columns), s.oh.div_ceil(rows)]);
    let sizes = [count as usize, channels, s.h, s.w, s.oh, s.ow].into_iter();
    let words = sizes.chain(tiles).chain(s.padding).map(|v| v as u32).collect();
    let kernel = Kernel::new(d.text());
    let kernel = match d.clamp.or(d.mask) {
        Some(bounds) => kernel.with_bounds(bounds),
        None => kernel,
    };
    let taps = s.kernel[0] * s.kernel[1];
    let macs = (d.n * s.oh * s.ow * d.c * taps) as u64;
    let rows_read = d.rows_read().len() * s.kernel[0].div_ceil(d.tap_rows());
    let loads = count * (d.width() * (rows_read * d.columns_read().len() + taps)) as u64;
    (kernel, words, count.div_ceil(u64::from(WORKGROUP)), Work { macs, loads })
}

/// For each place that is read: which results it goes into, with which tap.
pub(super) type Reads = BTreeMap<usize, Vec<(usize, usize)>>;

/// Places along one dimension that as many `results` read through as many `taps`.
pub(super) fn reads(results: usize, taps: usize, stride: usize, dilation: usize) -> Reads {
    let mut reads = Reads::new();
    for (result, tap) in (0..results).flat_map(|result| (0..taps).map(move |tap| (result, tap))) {
        reads.entry(result * stride + tap * dilation).or_default().push((result, tap));
    }
    reads
}

impl Depthwise {
    /// Channels an invocation computes.
    fn width(&self) -> usize {
        if self.c.is_multiple_of(4) { 4 } else { 1 }
    }

    /// Rows and columns an invocation computes: two rows where that leaves no lane of the device without an invocation.
    fn tile(&self) -> [usize; 2] {
        let s = &self.window;
        let large = [2, 4.min(s.ow)];
        if s.oh > 1 && self.count(large) >= self.lanes {
            return large;
        }
        // With a stride, neighbours share less.
        let columns = if s.stride[1] == 1 { 4 } else { 2 };
        [1, columns.min(s.ow)]
    }

    /// Invocations with so many rows and columns each.
    fn count(&self, [rows, columns]: [usize; 2]) -> u64 {
        let s = &self.window;
        (self.n * s.oh.div_ceil(rows) * s.ow.div_ceil(columns) * (self.c / self.width())) as u64
    }

    /// Rows of taps that the text is written out for.
    fn tap_rows(&self) -> usize {
        let [kh, kw] = self.window.kernel;
        if kh * kw <= TAPS { kh } else { 1 }
    }

    fn rows_read(&self) -> Reads {
        reads(self.tile()[0], self.tap_rows(), self.window.stride[0], self.window.dilation[0])
    }

    fn columns_read(&self) -> Reads {
        reads(self.tile()[1], self.window.kernel[1], self.window.stride[1], self.window.dilation[1])
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).unwrap_or_else(|_| unreachable!("writing to a string does not fail"));
        text
    }

    fn write(&self, t: &mut String) -> std::fmt::Result {
        self.write_bindings(t)?;
        let ([rows, columns], stride) = (self.tile(), self.window.stride);
        writeln!(t, "@compute @workgroup_size(WG)")?;
        writeln!(t, "fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {{")?;
        writeln!(t, "let i = (p.first + wid.y * p.width + wid.x) * WG + lid;")?;
        writeln!(t, "if (i >= p.count) {{ return; }}")?;
        // Products are cheaper than remainders.
        writeln!(t, "let tile = i / p.channels;")?;
        writeln!(t, "let c = i - tile * p.channels;")?;
        writeln!(t, "let tile_row = tile / p.column_tiles;")?;
        writeln!(t, "let column = (tile - tile_row * p.column_tiles) * {columns}u;")?;
        writeln!(t, "let n = tile_row / p.row_tiles;")?;
        writeln!(t, "let row = (tile_row - n * p.row_tiles) * {rows}u;")?;
        // Positions left of or above the image wrap around to large numbers.
        writeln!(t, "let top = row * {}u - p.top;", stride[0])?;
        writeln!(t, "let left = column * {}u - p.left;", stride[1])?;
        for offset in self.columns_read().into_keys() {
            writeln!(t, "let w{offset} = left + {offset}u;")?;
            writeln!(t, "let is_column{offset} = w{offset} < p.w;")?;
            writeln!(t, "let column{offset} = select(0u, w{offset}, is_column{offset}) * p.channels + c;")?;
        }
        for (r, j) in self.sums() {
            writeln!(t, "var s{r}_{j} = T();")?;
        }
        if self.tap_rows() == self.window.kernel[0] {
            self.write_taps(t, "0u")?;
        } else {
            writeln!(t, "for (var tap_row = 0u; tap_row < {}u; tap_row++) {{", self.window.kernel[0])?;
            self.write_taps(t, "tap_row")?;
            writeln!(t, "}}")?;
        }
        self.write_results(t)?;
        writeln!(t, "}}")
    }

    fn write_bindings(&self, t: &mut String) -> std::fmt::Result {
        writeln!(t, "alias T = {};", if self.width() == 4 { "vec4<f32>" } else { "f32" })?;
        writeln!(
            t,
            "struct Params {{ first: u32, width: u32, count: u32, channels: u32, h: u32, w: u32, oh: u32, ow: u32,"
        )?;
        writeln!(t, "column_tiles: u32, row_tiles: u32, top: u32, left: u32 }}")?;
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
        Ok(())
    }

    /// Row and column of each result in the tile.
    fn sums(&self) -> impl Iterator<Item = (usize, usize)> {
        let [rows, columns] = self.tile();
        (0..rows).flat_map(move |r| (0..columns).map(move |j| (r, j)))
    }

    /// Adds up the taps of the rows from `first` on.
    fn write_taps(&self, t: &mut String, first: &str) -> std::fmt::Result {
        let [kh, kw] = self.window.kernel;
        for (row, q) in (0..self.tap_rows()).flat_map(|row| (0..kw).map(move |q| (row, q))) {
            let tap = match self.flipped {
                true => format!("({}u - {first}) * {kw}u + {}u", kh - 1 - row, kw - 1 - q),
                false => format!("({first} + {row}u) * {kw}u + {q}u"),
            };
            writeln!(t, "let tap{row}_{q} = w[({tap}) * p.channels + c];")?;
        }
        for (i, rows) in self.rows_read() {
            writeln!(t, "let h{i} = top + {first} * {}u + {i}u;", self.window.dilation[0])?;
            writeln!(t, "let is_row{i} = h{i} < p.h;")?;
            writeln!(t, "let row{i} = (n * p.h + select(0u, h{i}, is_row{i})) * p.w * p.channels;")?;
            for (j, columns) in self.columns_read() {
                let inside = format!("is_row{i} && is_column{j}");
                writeln!(t, "let x{i}_{j} = select(T(), x[row{i} + column{j}], {inside});")?;
                for ((r, tap_row), (s, q)) in
                    rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)))
                {
                    writeln!(t, "s{r}_{s} = fma(x{i}_{j}, tap{tap_row}_{q}, s{r}_{s});")?;
                }
            }
        }
        Ok(())
    }

    fn write_results(&self, t: &mut String) -> std::fmt::Result {
        if self.bias {
            writeln!(t, "let bias = b[c];")?;
        }
        let [rows, columns] = self.tile();
        let is_whole = self.window.oh.is_multiple_of(rows) && self.window.ow.is_multiple_of(columns);
        for (r, j) in self.sums() {
            match is_whole {
                true => writeln!(t, "{{")?,
                false => writeln!(t, "if (row + {r}u < p.oh && column + {j}u < p.ow) {{")?,
            }
            writeln!(t, "var v = s{r}_{j}{};", if self.bias { " + bias" } else { "" })?;
            if self.clamp.is_some() {
                // Unlike `clamp`, comparisons leave NaN as it is.
                writeln!(t, "v = select(v, T(LOW), v < T(LOW));")?;
                writeln!(t, "v = select(v, T(HIGH), v > T(HIGH));")?;
            }
            writeln!(t, "let at = ((n * p.oh + row + {r}u) * p.ow + column + {j}u) * p.channels + c;")?;
            if self.mask.is_some() {
                writeln!(t, "v = select(T(), v, (m[at] > T(LOW)) & (m[at] < T(HIGH)));")?;
            }
            writeln!(t, "y[at] = v;")?;
            writeln!(t, "}}")?;
        }
        Ok(())
    }
}
