//! Products of matrices in register tiles: dense layers, and convolutions as implicit GEMM.
//!
//! Each invocation keeps a tile of `rows × 4·columns` sums in registers. The text is written out for the tile, since loops over
//! private arrays are up to three times slower and arrays sized by overrides are rejected. Where there are few tiles, invocations of
//! a workgroup share the columns of the left matrix, and add up what they have in the end.

use std::fmt::Write;

use super::tile::{Tile, WINDOW_FIELDS, WindowSizes, write_half_loader, write_loader, write_store};
use super::{Kernel, WORKGROUP, Work};

/// Most invocations that share a tile.
const SLICES: u64 = 16;
/// Steps along `k` that are worth an invocation of their own.
const STEPS: u64 = 4;

/// Which way a window leads from rows of `y` to rows of `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// `x` is the image: a convolution.
    Forward,
    /// `y` is the image, `x` the gradient of what the convolution made of it.
    Backward,
}

/// `y = clamp(x·w + b + r)`: `x` of `rows × groups·k`, `w` of `taps·k × groups·n`, `y` of `rows × groups·n`; without a window there
/// is one tap. Bindings: `x`, `w`, factors of the columns of `w` if `halves`, `b` if `bias`, `r` if `residual`, `y`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gemm {
    pub(crate) rows: usize,
    /// Columns of `x` that a group sees.
    pub(crate) k: usize,
    /// Columns of `y` in a group.
    pub(crate) n: usize,
    pub(crate) groups: usize,
    /// Columns of `x` in memory, and the first that is read.
    pub(crate) x_stride: usize,
    pub(crate) x_first: usize,
    /// Taps that each row of `y` is summed up from; `h` and `w` are those of `x`, `oh` and `ow` those of `y`.
    pub(crate) window: Option<(WindowSizes, Direction)>,
    /// `w` is stored as `taps·n × groups·k`.
    pub(crate) transposed: bool,
    /// `w` is stored as 16-bit floats.
    pub(crate) halves: bool,
    pub(crate) bias: bool,
    pub(crate) residual: bool,
    /// Adds to what `y` holds.
    pub(crate) accumulate: bool,
    pub(crate) clamp: Option<(f32, f32)>,
    pub(crate) tile: Tile,
    /// Invocations that keep the device busy.
    pub(crate) lanes: u64,
}

impl Gemm {
    /// A plain product for a device of some lanes that may be faster with wide tiles; fields that differ are set by the caller.
    pub(crate) fn dense((lanes, wide): (u64, bool), rows: usize, k: usize, n: usize) -> Self {
        let tile = Tile::choose(rows as u64, n as u64, (lanes, wide));
        let (groups, x_stride, x_first, window, transposed, halves) = (1, k, 0, None, false, false);
        let (bias, residual, accumulate, clamp) = (false, false, false, None);
        Self {
            rows,
            k,
            n,
            groups,
            x_stride,
            x_first,
            window,
            transposed,
            halves,
            bias,
            residual,
            accumulate,
            clamp,
            tile,
            lanes,
        }
    }

    /// Whether `x` can be read four columns at a time.
    fn wide_x(&self) -> bool {
        self.k.is_multiple_of(4) && self.x_stride.is_multiple_of(4) && self.x_first.is_multiple_of(4)
    }

    /// Whether columns of `w`, `b`, `r` and `y` can be read four at a time.
    fn wide_y(&self) -> bool {
        self.n.is_multiple_of(4)
    }

    /// Whether `w` may be 16-bit floats: they are read four at a time.
    pub(crate) fn takes_halves(&self) -> bool {
        self.wide_y() && !self.transposed
    }

    /// Invocations that share a tile: as many as fill the GPU and still have some columns each.
    fn slices(&self) -> u32 {
        let steps = if self.wide_x() { self.k / 4 } else { self.k };
        let most = (self.lanes / self.tiles().max(1)).min(steps as u64 / STEPS).clamp(1, SLICES);
        1 << most.ilog2()
    }

    /// Tiles of a workgroup.
    fn tiles_at_once(&self) -> u32 {
        WORKGROUP / self.slices()
    }

    /// Workgroups of [`WORKGROUP`] invocations.
    pub(crate) fn workgroups(&self) -> u64 {
        self.tiles().div_ceil(u64::from(self.tiles_at_once()))
    }

    fn column_tiles(&self) -> u64 {
        (self.n as u64).div_ceil(4 * u64::from(self.tile.columns))
    }

    fn tiles(&self) -> u64 {
        (self.rows as u64).div_ceil(u64::from(self.tile.rows)) * self.column_tiles() * self.groups as u64
    }

    /// Each step along `k` loads a column of the tile's rows and a row of its columns.
    pub(crate) fn work(&self) -> Work {
        let taps = self.window.as_ref().map_or(1, |(s, _)| s.kernel[0] * s.kernel[1]);
        let steps = (self.k * taps) as u64;
        let loads = steps * self.tiles() * u64::from(self.tile.rows + 4 * self.tile.columns);
        Work { macs: steps * (self.rows * self.n * self.groups) as u64, loads }
    }

    /// Words of `Params` after `first` and `width`.
    pub(crate) fn params(&self) -> Vec<u32> {
        let unit = if self.wide_x() { 4 } else { 1 };
        let mut words = vec![
            self.tiles() as u32,
            self.column_tiles() as u32,
            self.rows as u32,
            (self.k / unit) as u32,
            self.n as u32,
            self.groups as u32,
            (self.x_stride / unit) as u32,
            (self.x_first / unit) as u32,
        ];
        if let Some((s, _)) = &self.window {
            words.extend(s.words());
        }
        words
    }

    /// The shader.
    pub(crate) fn kernel(&self) -> Kernel {
        let kernel = Kernel::new(self.text());
        match self.clamp {
            Some(bounds) => kernel.with_bounds(bounds),
            None => kernel,
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).unwrap_or_else(|_| unreachable!("writing to a string does not fail"));
        text
    }

    fn write(&self, t: &mut String) -> std::fmt::Result {
        self.write_bindings(t)?;
        let Tile { rows, columns } = self.tile;
        writeln!(t, "@compute @workgroup_size(WG)")?;
        writeln!(t, "fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {{")?;
        let (slices, at_once) = (self.slices(), self.tiles_at_once());
        writeln!(t, "let index = (p.first + wid.y * p.width + wid.x) * {at_once}u + lid % {at_once}u;")?;
        if slices == 1 {
            writeln!(t, "if (index >= p.tiles) {{ return; }}")?;
            writeln!(t, "let k_first = 0u;\nlet k_end = p.k;")?;
        } else {
            writeln!(t, "let slice = lid / {at_once}u;")?;
            writeln!(t, "let k_run = (p.k + {}u) / {slices}u;", slices - 1)?;
            writeln!(t, "let k_first = slice * k_run;\nlet k_end = min(k_first + k_run, p.k);")?;
        }
        // Tiles beyond the last are computed from the last and not written, so that all invocations meet at the barrier.
        writeln!(t, "let i = min(index, p.tiles - 1u);")?;
        writeln!(t, "let column_tile = i % p.column_tiles;")?;
        writeln!(t, "let group = (i / p.column_tiles) % p.groups;")?;
        writeln!(t, "let row = i / (p.column_tiles * p.groups) * {rows}u;")?;
        writeln!(t, "let last_column = (p.n - 1u) / 4u;")?;
        for c in 0..columns {
            writeln!(t, "let c{c} = column_tile * {columns}u + {c}u;")?;
            // Columns beyond the last are computed from the last and not written.
            writeln!(t, "let l{c} = min(c{c}, last_column);")?;
        }
        for r in 0..rows {
            writeln!(t, "let r{r} = min(row + {r}u, p.rows - 1u);")?;
            for c in 0..columns {
                writeln!(t, "var s{r}_{c} = vec4<f32>();")?;
            }
        }
        match self.window {
            Some((_, direction)) => self.write_taps(t, direction)?,
            None => self.write_rows(t)?,
        }
        self.write_results(t)?;
        writeln!(t, "}}")
    }

    fn write_bindings(&self, t: &mut String) -> std::fmt::Result {
        let kind = |wide: bool| if wide { "vec4<f32>" } else { "f32" };
        let (x, y) = (kind(self.wide_x()), kind(self.wide_y()));
        let w = if self.transposed { x } else { y };
        writeln!(
            t,
            "struct Params {{ first: u32, width: u32, tiles: u32, column_tiles: u32, rows: u32, k: u32, n: u32,"
        )?;
        writeln!(t, "groups: u32, x_stride: u32, x_first: u32,")?;
        if self.window.is_some() {
            writeln!(t, "{WINDOW_FIELDS}")?;
        }
        writeln!(t, "}}")?;
        let mut binding = 0..;
        let mut declare = |t: &mut String, access: &str, name: &str, kind: &str| {
            let index = binding.next().unwrap_or(0);
            writeln!(t, "@group(0) @binding({index}) var<storage, {access}> {name}: array<{kind}>;")
        };
        declare(t, "read", "x", x)?;
        declare(t, "read", "w", if self.halves { "vec2<u32>" } else { w })?;
        if self.halves {
            declare(t, "read", "f", y)?;
        }
        if self.bias {
            declare(t, "read", "b", y)?;
        }
        if self.residual {
            declare(t, "read", "r", y)?;
        }
        declare(t, "read_write", "y", y)?;
        let index = 3 + u32::from(self.halves) + u32::from(self.bias) + u32::from(self.residual);
        writeln!(t, "@group(0) @binding({index}) var<uniform> p: Params;")?;
        writeln!(t, "override WG: u32;")?;
        if self.slices() > 1 {
            let parts = WORKGROUP * self.tile.rows * self.tile.columns;
            writeln!(t, "var<workgroup> parts: array<vec4<f32>, {parts}>;")?;
        }
        if self.clamp.is_some() {
            writeln!(t, "override LOW: f32;\noverride HIGH: f32;")?;
        }
        if self.halves {
            write_half_loader(t, "w", "n")?;
        }
        let matrices = [
            ("w", !self.transposed && !self.halves),
            ("f", self.halves),
            ("b", self.bias),
            ("r", self.residual),
            ("y", self.accumulate),
        ];
        for (name, _) in matrices.into_iter().filter(|(_, is_read)| *is_read) {
            write_loader(t, name, "n", self.wide_y())?;
        }
        Ok(())
    }

    fn write_rows(&self, t: &mut String) -> std::fmt::Result {
        for r in 0..self.tile.rows {
            writeln!(t, "let x{r} = r{r} * p.x_stride + p.x_first + group * p.k;")?;
        }
        writeln!(t, "let w_row = 0u;")?;
        self.write_loop(t)
    }

    fn write_taps(&self, t: &mut String, direction: Direction) -> std::fmt::Result {
        for r in 0..self.tile.rows {
            match direction {
                Direction::Forward => {
                    writeln!(t, "let j{r} = (r{r} % p.ow) * p.stride_w - p.left;")?;
                    writeln!(t, "let i{r} = (r{r} / p.ow % p.oh) * p.stride_h - p.top;")?;
                }
                Direction::Backward => {
                    writeln!(t, "let j{r} = r{r} % p.ow + p.left;")?;
                    writeln!(t, "let i{r} = r{r} / p.ow % p.oh + p.top;")?;
                }
            }
            writeln!(t, "let n{r} = r{r} / (p.ow * p.oh) * p.h;")?;
        }
        writeln!(t, "for (var tap_h = 0u; tap_h < p.kh; tap_h++) {{")?;
        writeln!(t, "for (var tap_w = 0u; tap_w < p.kw; tap_w++) {{")?;
        for r in 0..self.tile.rows {
            // Positions left of or above the image wrap around to large numbers.
            match direction {
                Direction::Forward => {
                    writeln!(t, "let h{r} = i{r} + tap_h * p.dilation_h;")?;
                    writeln!(t, "let w{r} = j{r} + tap_w * p.dilation_w;")?;
                    writeln!(t, "let inside{r} = h{r} < p.h && w{r} < p.w;")?;
                }
                Direction::Backward => {
                    writeln!(t, "let from_h{r} = i{r} - tap_h * p.dilation_h;")?;
                    writeln!(t, "let from_w{r} = j{r} - tap_w * p.dilation_w;")?;
                    writeln!(t, "let h{r} = from_h{r} / p.stride_h;")?;
                    writeln!(t, "let w{r} = from_w{r} / p.stride_w;")?;
                    writeln!(t, "let inside{r} = from_h{r} < p.h * p.stride_h && from_w{r} < p.w * p.stride_w")?;
                    writeln!(t, "&& h{r} * p.stride_h == from_h{r} && w{r} * p.stride_w == from_w{r};")?;
                }
            }
            writeln!(t, "let x{r} = select(0u, (n{r} + h{r}) * p.w + w{r}, inside{r}) * p.x_stride + group * p.k;")?;
        }
        let tap_rows = match (self.transposed, self.wide_x()) {
            (true, _) => "p.n",
            (false, true) => "p.k * 4u",
            (false, false) => "p.k",
        };
        writeln!(t, "let w_row = (tap_h * p.kw + tap_w) * {tap_rows};")?;
        self.write_loop(t)?;
        writeln!(t, "}}\n}}")
    }

    /// The loop over the columns of `x`, from `x0`, `x1`… on.
    fn write_loop(&self, t: &mut String) -> std::fmt::Result {
        let Tile { rows, columns } = self.tile;
        let (zero, lanes): (&str, &[&str]) =
            if self.wide_x() { ("vec4<f32>()", &[".x", ".y", ".z", ".w"]) } else { ("0.0", &[""]) };
        for c in (0..columns).filter(|_| self.transposed) {
            for j in 0..4 {
                let row = format!("w_row + min(l{c} * 4u + {j}u, p.n - 1u)");
                writeln!(t, "let v{c}_{j} = (({row}) * p.groups + group) * p.k;")?;
            }
        }
        writeln!(t, "for (var k = k_first; k < k_end; k++) {{")?;
        for c in (0..columns).filter(|_| self.transposed) {
            for j in 0..4 {
                writeln!(t, "let q{c}_{j} = w[v{c}_{j} + k];")?;
            }
        }
        for r in 0..rows {
            let value = format!("x[x{r} + k]");
            let value = if self.window.is_some() { format!("select({zero}, {value}, inside{r})") } else { value };
            writeln!(t, "let a{r} = {value};")?;
        }
        for (lane, part) in lanes.iter().enumerate() {
            for c in 0..columns {
                if self.transposed {
                    let [q0, q1, q2, q3] = [0, 1, 2, 3].map(|j| format!("q{c}_{j}{part}"));
                    writeln!(t, "let b{lane}_{c} = vec4<f32>({q0}, {q1}, {q2}, {q3});")?;
                } else {
                    writeln!(t, "let b{lane}_{c} = load_w(w_row + k * {}u + {lane}u, group, l{c});", lanes.len())?;
                }
            }
            for r in 0..rows {
                for c in 0..columns {
                    writeln!(t, "s{r}_{c} = fma(vec4<f32>(a{r}{part}), b{lane}_{c}, s{r}_{c});")?;
                }
            }
        }
        writeln!(t, "}}")
    }

    fn write_results(&self, t: &mut String) -> std::fmt::Result {
        let Tile { rows, columns } = self.tile;
        for c in (0..columns).filter(|_| self.halves) {
            writeln!(t, "let factor{c} = load_f(0u, group, l{c});")?;
        }
        for c in (0..columns).filter(|_| self.bias) {
            writeln!(t, "let bias{c} = load_b(0u, group, l{c});")?;
        }
        let (slices, at_once) = (self.slices(), self.tiles_at_once());
        let part = |r: u32, c: u32| (r * columns + c) * WORKGROUP;
        if slices > 1 {
            for (r, c) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
                writeln!(t, "parts[{}u + lid] = s{r}_{c};", part(r, c))?;
            }
            writeln!(t, "workgroupBarrier();")?;
        }
        for r in 0..rows {
            match slices {
                1 => writeln!(t, "if (row + {r}u < p.rows) {{")?,
                _ => writeln!(t, "if (slice == {}u && index < p.tiles && row + {r}u < p.rows) {{", r % slices)?,
            }
            for c in 0..columns {
                writeln!(t, "if (c{c} <= last_column) {{")?;
                match slices {
                    1 => writeln!(t, "var v = s{r}_{c};")?,
                    _ => writeln!(t, "var v = parts[{}u + lid % {at_once}u];", part(r, c))?,
                }
                for slice in 1..slices {
                    writeln!(t, "v += parts[{}u + lid % {at_once}u];", part(r, c) + slice * at_once)?;
                }
                if self.halves {
                    writeln!(t, "v *= factor{c};")?;
                }
                if self.accumulate {
                    writeln!(t, "v += load_y(r{r}, group, c{c});")?;
                }
                if self.bias {
                    writeln!(t, "v += bias{c};")?;
                }
                if self.residual {
                    writeln!(t, "v += load_r(r{r}, group, c{c});")?;
                }
                if self.clamp.is_some() {
                    // Unlike `clamp`, comparisons leave NaN as it is.
                    writeln!(t, "v = select(v, vec4<f32>(LOW), v < vec4<f32>(LOW));")?;
                    writeln!(t, "v = select(v, vec4<f32>(HIGH), v > vec4<f32>(HIGH));")?;
                }
                write_store(t, &format!("r{r}"), &format!("c{c}"), self.wide_y())?;
                writeln!(t, "}}")?;
            }
            writeln!(t, "}}")?;
        }
        Ok(())
    }
}
