//! Gradient of depthwise filters: an invocation sums one row of taps of a channel, or of four, over a run of lines, several places at a
//! time, so that what they share is read once.

use std::fmt::Write;

use super::depthwise::{Reads, reads};
use super::{Kernel, WindowSizes, Work};

/// Sizes; `window` is that of the forward op. Bindings: `x`, `dy`, `y` of `runs × kh·kw × c`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DepthwiseWeightGrad {
    pub(crate) n: usize,
    pub(crate) c: usize,
    pub(crate) window: WindowSizes,
    /// Invocations that keep the device busy.
    pub(crate) lanes: u64,
}

/// Most places of a line that are added up at a time.
const PLACES: usize = 8;
/// Most runs of lines.
const RUNS: usize = 64;

impl DepthwiseWeightGrad {
    fn width(&self) -> usize {
        if self.c.is_multiple_of(4) { 4 } else { 1 }
    }

    fn lines(&self) -> usize {
        self.n * self.window.oh
    }

    /// Invocations that share a run of lines.
    fn filters(&self) -> usize {
        self.c / self.width() * self.window.kernel[0]
    }

    fn run(&self) -> usize {
        // Half of what the device can do is not worth a second dispatch.
        let wanted = self.lanes as usize / 2 / self.filters();
        self.lines().div_ceil(wanted.min(self.lines()).clamp(1, RUNS))
    }

    /// Runs, each with a result of its own.
    pub(crate) fn runs(&self) -> usize {
        self.lines().div_ceil(self.run())
    }

    /// Invocations.
    pub(crate) fn count(&self) -> usize {
        self.filters() * self.runs()
    }

    /// Places of a line that are added up at a time, so that none is left.
    fn places(&self) -> usize {
        (1..=PLACES.min(self.window.ow)).rev().find(|places| self.window.ow.is_multiple_of(*places)).unwrap_or(1)
    }

    /// What of a line of `x` the places see.
    fn reads(&self) -> Reads {
        reads(self.places(), self.window.kernel[1], self.window.stride[1], self.window.dilation[1])
    }

    /// Each place of `dy` is loaded for each row of taps, with what the taps see.
    pub(crate) fn work(&self) -> Work {
        let [kh, kw] = self.window.kernel;
        let places = (self.lines() * self.window.ow * self.c * kh) as u64;
        Work { macs: places * kw as u64, loads: places + places / self.places() as u64 * self.reads().len() as u64 }
    }

    /// Words of `Params` after `count`.
    pub(crate) fn params(&self) -> Vec<u32> {
        let channels = self.c / self.width();
        [channels, self.lines(), self.run()].into_iter().map(|v| v as u32).chain(self.window.words()).collect()
    }

    /// The shader.
    pub(crate) fn kernel(&self) -> Kernel {
        let mut text = String::new();
        self.write(&mut text).unwrap_or_else(|_| unreachable!("writing to a string does not fail"));
        Kernel::new(text)
    }

    fn write(&self, t: &mut String) -> std::fmt::Result {
        let taps = self.window.kernel[1];
        writeln!(t, "alias T = {};", if self.width() == 4 { "vec4<f32>" } else { "f32" })?;
        writeln!(t, "struct Params {{ first: u32, width: u32, count: u32, channels: u32, lines: u32, run: u32,")?;
        writeln!(t, "{} }}", super::tile::WINDOW_FIELDS)?;
        writeln!(t, "@group(0) @binding(0) var<storage, read> x: array<T>;")?;
        writeln!(t, "@group(0) @binding(1) var<storage, read> dy: array<T>;")?;
        writeln!(t, "@group(0) @binding(2) var<storage, read_write> y: array<T>;")?;
        writeln!(t, "@group(0) @binding(3) var<uniform> p: Params;")?;
        writeln!(t, "override WG: u32;")?;
        writeln!(t, "@compute @workgroup_size(WG)")?;
        writeln!(t, "fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {{")?;
        writeln!(t, "let i = (p.first + wid.y * p.width + wid.x) * WG + lid;")?;
        writeln!(t, "if (i >= p.count) {{ return; }}")?;
        writeln!(t, "let c = i % p.channels;")?;
        writeln!(t, "let tap_row = i / p.channels;")?;
        writeln!(t, "let tap = tap_row % p.kh;")?;
        writeln!(t, "let first_line = tap_row / p.kh * p.run;")?;
        writeln!(t, "let end = min(first_line + p.run, p.lines);")?;
        for q in 0..taps {
            writeln!(t, "var s{q} = T();")?;
        }
        writeln!(t, "for (var line = first_line; line < end; line++) {{")?;
        // Positions left of or above the image wrap around to large numbers.
        writeln!(t, "let h = line % p.oh * p.stride_h + tap * p.dilation_h - p.top;")?;
        writeln!(t, "if (h >= p.h) {{ continue; }}")?;
        writeln!(t, "let x_row = (line / p.oh * p.h + h) * p.w;")?;
        let places = self.places();
        writeln!(t, "for (var column = 0u; column < p.ow; column += {places}u) {{")?;
        for place in 0..places {
            writeln!(t, "let d{place} = dy[(line * p.ow + column + {place}u) * p.channels + c];")?;
        }
        writeln!(t, "let left = column * p.stride_w - p.left;")?;
        for (offset, uses) in self.reads() {
            writeln!(t, "let w{offset} = left + {offset}u;")?;
            let value = format!("x[(x_row + min(w{offset}, p.w - 1u)) * p.channels + c]");
            writeln!(t, "let x{offset} = select(T(), {value}, w{offset} < p.w);")?;
            for (place, q) in uses {
                writeln!(t, "s{q} = fma(x{offset}, d{place}, s{q});")?;
            }
        }
        writeln!(t, "}}\n}}")?;
        for q in 0..taps {
            writeln!(t, "y[(tap_row * p.kw + {q}u) * p.channels + c] = s{q};")?;
        }
        writeln!(t, "}}")
    }
}
