//! Gradients of weights: products of the columns of two matrices, `y = xᵀ·dy`, summed over many rows.
//!
//! Where the result is small, few invocations would sum many rows: then each sums a run of them, and a second dispatch sums the
//! runs. The text is written out for the tile as that of [`super::Gemm`].

use std::fmt::Write;

use super::tile::{Tiles, Tiling, WINDOW_FIELDS, WindowSizes, row_start, takes_sixteen, write_loader, write_store};
use super::{Kernel, WORKGROUP, Work};

/// `y[tap][k, n] = Σ x[row at tap, k]·dy[row, n]` for each group: `x` of `… × groups·k`, `dy` of `rows × groups·n`, `y` of
/// `runs × taps·k × groups·n`; without a window there is one tap. Bindings: `x`, `dy`, `y`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WeightGrad {
    pub(crate) rows: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) groups: usize,
    pub(crate) window: Option<WindowSizes>,
    pub(crate) tiling: Tiling,
}

/// Rows that are worth an invocation of their own.
const RUN: u64 = 32;
/// Rows a turn of the loop, which costs as much as one of them.
const AT_ONCE: u32 = 4;
/// Most runs of rows.
const RUNS: u64 = 64;

impl WeightGrad {
    fn taps(&self) -> u64 {
        self.window.as_ref().map_or(1, |s| (s.kernel[0] * s.kernel[1]) as u64)
    }

    /// Groups of four rows of `y` that an invocation computes.
    fn quads(&self) -> u64 {
        if self.k > 4 { 2 } else { 1 }
    }

    fn row_tiles(&self) -> u64 {
        (self.k as u64).div_ceil(4 * self.quads())
    }

    /// Groups of four columns of `y` that an invocation computes.
    fn columns(&self) -> u64 {
        let fills = |columns| self.n > 4 && self.k > 4 && self.tiles_of(columns) >= self.tiling.lanes;
        match self.tiling.fastest(self.rows as u64) {
            Tiles::FourByEight => 1,
            Tiles::EightBySixteen if takes_sixteen(self.n as u64) && fills(4) => 4,
            // A workgroup has no tile of its own here.
            _ if fills(2) => 2,
            _ => 1,
        }
    }

    fn column_tiles(&self) -> u64 {
        (self.n as u64).div_ceil(4 * self.columns())
    }

    /// Whether no tile has rows or columns beyond the last.
    fn is_whole(&self) -> bool {
        (self.k as u64).is_multiple_of(4 * self.quads()) && (self.n as u64).is_multiple_of(4 * self.columns())
    }

    fn tiles_of(&self, columns: u64) -> u64 {
        self.row_tiles() * (self.n as u64).div_ceil(4 * columns) * self.groups as u64 * self.taps()
    }

    fn tiles(&self) -> u64 {
        self.tiles_of(self.columns())
    }

    /// Rows of a run.
    fn run(&self) -> u64 {
        let rows = self.rows as u64;
        rows.div_ceil((self.tiling.lanes / self.tiles()).min(rows / RUN).clamp(1, RUNS))
    }

    /// Runs, each with a result of its own.
    pub(crate) fn runs(&self) -> usize {
        (self.rows as u64).div_ceil(self.run()) as usize
    }

    /// Workgroups of [`WORKGROUP`] invocations.
    pub(crate) fn workgroups(&self) -> u64 {
        (self.tiles() * self.runs() as u64).div_ceil(u64::from(WORKGROUP))
    }

    /// Each row loads the rows of a tile's result from `x` and its columns from `dy`.
    pub(crate) fn work(&self) -> Work {
        let rows = self.rows as u64;
        let macs = rows * self.taps() * (self.k * self.n * self.groups) as u64;
        Work { macs, loads: rows * self.tiles() * 4 * (self.quads() + self.columns()) }
    }

    /// Words of `Params` after `first` and `width`.
    pub(crate) fn params(&self) -> Vec<u32> {
        let tiles = [self.tiles() * self.runs() as u64, self.column_tiles(), self.row_tiles(), self.taps(), self.run()];
        let sizes = [self.rows, self.k, self.n, self.groups].map(|v| v as u32);
        let window = self.window.iter().flat_map(WindowSizes::words);
        tiles.into_iter().map(|v| v as u32).chain(sizes).chain(window).collect()
    }

    /// The shader.
    pub(crate) fn kernel(&self) -> Kernel {
        let mut text = String::new();
        self.write(&mut text).unwrap_or_else(|_| unreachable!("writing to a string does not fail"));
        Kernel::new(text)
    }

    fn write(&self, t: &mut String) -> std::fmt::Result {
        let (wide_x, wide_y) = (self.k.is_multiple_of(4), self.n.is_multiple_of(4));
        let kind = |wide: bool| if wide { "vec4<f32>" } else { "f32" };
        writeln!(
            t,
            "struct Params {{ first: u32, width: u32, tiles: u32, column_tiles: u32, row_tiles: u32, taps: u32,"
        )?;
        writeln!(t, "run: u32, rows: u32, k: u32, n: u32, groups: u32,")?;
        writeln!(t, "{} }}", if self.window.is_some() { WINDOW_FIELDS } else { "" })?;
        writeln!(t, "@group(0) @binding(0) var<storage, read> x: array<{}>;", kind(wide_x))?;
        writeln!(t, "@group(0) @binding(1) var<storage, read> dy: array<{}>;", kind(wide_y))?;
        writeln!(t, "@group(0) @binding(2) var<storage, read_write> y: array<{}>;", kind(wide_y))?;
        writeln!(t, "@group(0) @binding(3) var<uniform> p: Params;")?;
        writeln!(t, "override WG: u32;")?;
        write_loader(t, "x", "k", wide_x)?;
        write_loader(t, "dy", "n", wide_y)?;
        writeln!(t, "@compute @workgroup_size(WG)")?;
        writeln!(t, "fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {{")?;
        writeln!(t, "let tile = (p.first + wid.y * p.width + wid.x) * WG + lid;")?;
        writeln!(t, "if (tile >= p.tiles) {{ return; }}")?;
        for c in 0..self.columns() {
            // Columns beyond the last are computed from the last and not written.
            writeln!(t, "let c{c} = tile % p.column_tiles * {}u + {c}u;", self.columns())?;
            match self.is_whole() {
                true => writeln!(t, "let l{c} = c{c};")?,
                false => writeln!(t, "let l{c} = min(c{c}, (p.n - 1u) / 4u);")?,
            }
        }
        writeln!(t, "var rest = tile / p.column_tiles;")?;
        for u in 0..self.quads() {
            writeln!(t, "let quad{u} = rest % p.row_tiles * {}u + {u}u;", self.quads())?;
            // So are rows.
            match self.is_whole() {
                true => writeln!(t, "let u{u} = quad{u};")?,
                false => writeln!(t, "let u{u} = min(quad{u}, (p.k - 1u) / 4u);")?,
            }
        }
        writeln!(t, "rest /= p.row_tiles;")?;
        writeln!(t, "let group = rest % p.groups;")?;
        writeln!(t, "rest /= p.groups;")?;
        writeln!(t, "let tap = rest % p.taps;")?;
        writeln!(t, "let first_row = rest / p.taps * p.run;")?;
        writeln!(t, "let end = min(first_row + p.run, p.rows);")?;
        for (r, c) in self.sums() {
            writeln!(t, "var s{r}_{c} = vec4<f32>();")?;
        }
        self.write_loop(t)?;
        for (r, c) in self.sums() {
            let (u, lane) = (r / 4, r % 4);
            match self.is_whole() {
                true => writeln!(t, "{{")?,
                false => writeln!(t, "if (quad{u} * 4u + {lane}u < p.k && c{c} == l{c}) {{")?,
            }
            writeln!(t, "let v = s{r}_{c};")?;
            // `rest` is run and tap.
            let row = row_start(&format!("(rest * p.k + quad{u} * 4u + {lane}u)"), "n", wide_y);
            write_store(t, &format!("({row})"), &format!("c{c}"), wide_y)?;
            writeln!(t, "}}")?;
        }
        writeln!(t, "}}")
    }

    /// Row, and group of four columns, of each sum of an invocation.
    fn sums(&self) -> impl Iterator<Item = (u64, u64)> {
        let columns = self.columns();
        (0..self.quads() * 4).flat_map(move |r| (0..columns).map(move |c| (r, c)))
    }

    fn write_loop(&self, t: &mut String) -> std::fmt::Result {
        if self.window.is_some() {
            // Positions left of or above the image wrap around to large numbers.
            writeln!(t, "let tap_h = tap / p.kw * p.dilation_h - p.top;")?;
            writeln!(t, "let tap_w = tap % p.kw * p.dilation_w - p.left;")?;
            // Where the row lies is counted along: divisions would cost as much as the products.
            writeln!(t, "var j = first_row % p.ow;")?;
            writeln!(t, "var i = first_row / p.ow % p.oh;")?;
            writeln!(t, "var image = first_row / (p.ow * p.oh) * p.h;")?;
        }
        writeln!(t, "var row = first_row;")?;
        // What is left of a run goes row by row, as rows that a window may skip do.
        for rows in [AT_ONCE, 1].into_iter().filter(|rows| self.window.is_none() || *rows == 1) {
            writeln!(t, "for (; row + {rows}u <= end; row += {rows}u) {{")?;
            for row in 0..rows {
                writeln!(t, "{{")?;
                self.write_row(t, row)?;
                writeln!(t, "}}")?;
            }
            writeln!(t, "}}")?;
        }
        Ok(())
    }

    /// The products of row `row + offset`.
    fn write_row(&self, t: &mut String, offset: u32) -> std::fmt::Result {
        if self.window.is_some() {
            writeln!(t, "let h = i * p.stride_h + tap_h;")?;
            writeln!(t, "let w = j * p.stride_w + tap_w;")?;
            writeln!(t, "let x_row = (image + h) * p.w + w;")?;
            writeln!(t, "j++;")?;
            writeln!(t, "if (j == p.ow) {{ j = 0u; i++; }}")?;
            writeln!(t, "if (i == p.oh) {{ i = 0u; image += p.h; }}")?;
            writeln!(t, "if (h >= p.h || w >= p.w) {{ continue; }}")?;
        } else {
            writeln!(t, "let x_row = row + {offset}u;")?;
        }
        writeln!(t, "let x_start = {};", row_start("x_row", "k", self.k.is_multiple_of(4)))?;
        writeln!(t, "let dy_start = {};", row_start(&format!("(row + {offset}u)"), "n", self.n.is_multiple_of(4)))?;
        for c in 0..self.columns() {
            writeln!(t, "let d{c} = load_dy(dy_start, l{c});")?;
        }
        for u in 0..self.quads() {
            writeln!(t, "let a{u} = load_x(x_start, u{u});")?;
            for (lane, part) in ["x", "y", "z", "w"].iter().enumerate() {
                let r = u as usize * 4 + lane;
                for c in 0..self.columns() {
                    writeln!(t, "s{r}_{c} = fma(vec4<f32>(a{u}.{part}), d{c}, s{r}_{c});")?;
                }
            }
        }
        Ok(())
    }
}
