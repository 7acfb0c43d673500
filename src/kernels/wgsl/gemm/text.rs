//! The shader of a product as text.

use std::fmt::Write;

use super::{BLOCK, Direction, Gemm};
use crate::kernels::wgsl::WORKGROUP;
use crate::kernels::wgsl::tile::{Tile, WINDOW_FIELDS, row_start, write_half_loader, write_loader, write_store};

impl Gemm {
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).unwrap_or_else(|_| unreachable!("writing to a string does not fail"));
        text
    }

    fn write(&self, t: &mut String) -> std::fmt::Result {
        self.write_bindings(t)?;
        writeln!(t, "@compute @workgroup_size(WG)")?;
        writeln!(t, "fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {{")?;
        self.write_index(t)?;
        self.write_tile(t)?;
        let Tile { rows, shared, .. } = self.tile();
        if shared {
            // Each reads for one row.
            writeln!(t, "let rs = min(row + lid, p.rows - 1u);")?;
        }
        let read = if shared { vec!["s".to_owned()] } else { (0..rows).map(|r| r.to_string()).collect() };
        match self.window {
            Some((_, direction)) => self.write_taps(t, &read, direction)?,
            None => self.write_rows(t, &read)?,
        }
        self.write_results(t)?;
        writeln!(t, "}}")
    }

    /// Which tile it is, and which columns of `x` the invocation sums over, where it does not read for others.
    fn write_index(&self, t: &mut String) -> std::fmt::Result {
        writeln!(t, "let workgroup = p.first + wid.y * p.width + wid.x;")?;
        let (slices, at_once) = (self.slices(), self.tiles_at_once());
        if self.tile().shared {
            return writeln!(t, "let index = workgroup;");
        }
        writeln!(t, "let index = workgroup * {at_once}u + lid % {at_once}u;")?;
        if slices == 1 {
            writeln!(t, "if (index >= p.tiles) {{ return; }}")?;
            return writeln!(t, "let k_first = 0u;\nlet k_end = p.k;");
        }
        writeln!(t, "let slice = lid / {at_once}u;")?;
        writeln!(t, "let k_run = (p.k + {}u) / {slices}u;", slices - 1)?;
        writeln!(t, "let k_first = slice * k_run;\nlet k_end = min(k_first + k_run, p.k);")
    }

    /// Rows and columns of the invocation's sums. Those of a tile that is shared lie apart, so that neighbours read what lies together.
    fn write_tile(&self, t: &mut String) -> std::fmt::Result {
        let Tile { rows, columns, shared } = self.tile();
        // Tiles beyond the last are computed from the last and not written, so that all invocations meet at the barrier.
        writeln!(t, "let i = min(index, p.tiles - 1u);")?;
        // Products are cheaper than remainders.
        writeln!(t, "let band = i / p.column_tiles;")?;
        writeln!(t, "let column_tile = i - band * p.column_tiles;")?;
        writeln!(t, "let row_tile = band / p.groups;")?;
        writeln!(t, "let group = band - row_tile * p.groups;")?;
        writeln!(t, "let row = row_tile * {}u;", self.extent()[0])?;
        writeln!(t, "let last_column = (p.n - 1u) / 4u;")?;
        for c in 0..columns {
            match shared {
                true => writeln!(t, "let c{c} = column_tile * {}u + {}u + lid % 8u;", BLOCK / 4, 8 * c)?,
                false => writeln!(t, "let c{c} = column_tile * {columns}u + {c}u;")?,
            }
            // Columns beyond the last are computed from the last and not written.
            match self.is_whole() {
                true => writeln!(t, "let l{c} = c{c};")?,
                false => writeln!(t, "let l{c} = min(c{c}, last_column);")?,
            }
        }
        for r in 0..rows {
            match shared {
                true => writeln!(t, "let row{r} = row + {}u + lid / 8u;", 8 * r)?,
                false => writeln!(t, "let row{r} = row + {r}u;")?,
            }
            writeln!(t, "let r{r} = min(row{r}, p.rows - 1u);")?;
            for c in 0..columns {
                writeln!(t, "var s{r}_{c} = vec4<f32>();")?;
            }
        }
        Ok(())
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
        if self.mask.is_some() {
            declare(t, "read", "m", y)?;
        }
        declare(t, "read_write", "y", y)?;
        let optional = [self.halves, self.bias, self.residual, self.mask.is_some()];
        let index = 3 + optional.into_iter().filter(|bound| *bound).count();
        writeln!(t, "@group(0) @binding({index}) var<uniform> p: Params;")?;
        writeln!(t, "override WG: u32;")?;
        if self.slices() > 1 {
            let Tile { rows, columns, .. } = self.tile();
            let parts = WORKGROUP * rows * columns;
            writeln!(t, "var<workgroup> parts: array<vec4<f32>, {parts}>;")?;
        }
        if self.tile().shared {
            self.write_shared_memory(t)?;
        }
        if self.clamp.or(self.mask).is_some() {
            writeln!(t, "override LOW: f32;\noverride HIGH: f32;")?;
        }
        if self.halves {
            write_half_loader(t, "w")?;
        }
        let matrices = [
            ("w", !self.transposed && !self.halves),
            ("f", self.halves),
            ("b", self.bias),
            ("r", self.residual),
            ("m", self.mask.is_some()),
            ("y", self.accumulate),
        ];
        for (name, _) in matrices.into_iter().filter(|(_, is_read)| *is_read) {
            write_loader(t, name, "n", self.wide_y())?;
        }
        Ok(())
    }

    /// Where the rows `r…` of `x` begin.
    fn write_rows(&self, t: &mut String, read: &[String]) -> std::fmt::Result {
        for r in read {
            writeln!(t, "let x{r} = r{r} * p.x_stride + p.x_first + group * p.k;")?;
        }
        writeln!(t, "let w_row = 0u;")?;
        self.write_loop(t)
    }

    /// The same for each tap.
    fn write_taps(&self, t: &mut String, read: &[String], direction: Direction) -> std::fmt::Result {
        for r in read {
            writeln!(t, "let line{r} = r{r} / p.ow;")?;
            writeln!(t, "let image{r} = line{r} / p.oh;")?;
            let (column, line) = (format!("(r{r} - line{r} * p.ow)"), format!("(line{r} - image{r} * p.oh)"));
            match direction {
                Direction::Forward => {
                    writeln!(t, "let j{r} = {column} * p.stride_w - p.left;")?;
                    writeln!(t, "let i{r} = {line} * p.stride_h - p.top;")?;
                }
                Direction::Backward => {
                    writeln!(t, "let j{r} = {column} + p.left;")?;
                    writeln!(t, "let i{r} = {line} + p.top;")?;
                }
            }
            writeln!(t, "let n{r} = image{r} * p.h;")?;
        }
        if let (Some((s, _)), true) = (&self.window, self.writes_out(self.k * self.taps())) {
            let [kh, kw] = s.kernel;
            for (tap_h, tap_w) in (0..kh).flat_map(|tap_h| (0..kw).map(move |tap_w| (tap_h, tap_w))) {
                writeln!(t, "{{\nlet tap_h = {tap_h}u;\nlet tap_w = {tap_w}u;")?;
                self.write_tap(t, read, direction)?;
                writeln!(t, "}}")?;
            }
            return Ok(());
        }
        writeln!(t, "for (var tap_h = 0u; tap_h < p.kh; tap_h++) {{")?;
        writeln!(t, "for (var tap_w = 0u; tap_w < p.kw; tap_w++) {{")?;
        self.write_tap(t, read, direction)?;
        writeln!(t, "}}\n}}")
    }

    fn write_tap(&self, t: &mut String, read: &[String], direction: Direction) -> std::fmt::Result {
        for r in read {
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
        self.write_loop(t)
    }

    /// The sum over the columns of `x`, from `x0`, `x1`… on.
    fn write_loop(&self, t: &mut String) -> std::fmt::Result {
        let Tile { columns, shared, .. } = self.tile();
        if shared {
            return self.write_shared_loop(t);
        }
        for c in (0..columns).filter(|_| self.transposed) {
            for j in 0..4 {
                let row = format!("w_row + min(l{c} * 4u + {j}u, p.n - 1u)");
                writeln!(t, "let v{c}_{j} = (({row}) * p.groups + group) * p.k;")?;
            }
        }
        if !self.transposed {
            writeln!(t, "let w_step = p.groups * (p.n{});", if self.wide_y() { " / 4u" } else { "" })?;
        }
        if self.writes_out(self.k) {
            for k in 0..self.steps() {
                writeln!(t, "{{\nlet k = {k}u;")?;
                self.write_step(t)?;
                writeln!(t, "}}")?;
            }
            return Ok(());
        }
        writeln!(t, "for (var k = k_first; k < k_end; k++) {{")?;
        self.write_step(t)?;
        writeln!(t, "}}")
    }

    /// The products of column `k` of `x`, or of four of them.
    fn write_step(&self, t: &mut String) -> std::fmt::Result {
        let Tile { rows, columns, .. } = self.tile();
        let (zero, lanes): (&str, &[&str]) =
            if self.wide_x() { ("vec4<f32>()", &[".x", ".y", ".z", ".w"]) } else { ("0.0", &[""]) };
        for r in 0..rows {
            let value = format!("x[x{r} + k]");
            let value = if self.window.is_some() { format!("select({zero}, {value}, inside{r})") } else { value };
            writeln!(t, "let a{r} = {value};")?;
        }
        if !self.transposed {
            let row = format!("(w_row + k * {}u)", lanes.len());
            writeln!(t, "let w_first = {};", row_start(&row, "n", self.wide_y()))?;
        }
        for c in 0..columns {
            for j in (0..4).filter(|_| self.transposed) {
                writeln!(t, "let q{c}_{j} = w[v{c}_{j} + k];")?;
            }
            for (lane, part) in lanes.iter().enumerate() {
                if self.transposed {
                    let [q0, q1, q2, q3] = [0, 1, 2, 3].map(|j| format!("q{c}_{j}{part}"));
                    writeln!(t, "let b{lane}_{c} = vec4<f32>({q0}, {q1}, {q2}, {q3});")?;
                } else {
                    writeln!(t, "let b{lane}_{c} = load_w(w_first + {lane}u * w_step, l{c});")?;
                }
            }
            for (r, (lane, part)) in (0..rows).flat_map(|r| lanes.iter().enumerate().map(move |lane| (r, lane))) {
                writeln!(t, "s{r}_{c} = fma(vec4<f32>(a{r}{part}), b{lane}_{c}, s{r}_{c});")?;
            }
        }
        Ok(())
    }

    fn write_results(&self, t: &mut String) -> std::fmt::Result {
        let Tile { rows, columns, shared } = self.tile();
        // Of what has one row.
        let only = row_start("0u", "n", self.wide_y());
        for c in (0..columns).filter(|_| self.halves) {
            writeln!(t, "let factor{c} = load_f({only}, l{c});")?;
        }
        for c in (0..columns).filter(|_| self.bias) {
            writeln!(t, "let bias{c} = load_b({only}, l{c});")?;
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
                1 if shared => writeln!(t, "if (index < p.tiles && row{r} < p.rows) {{")?,
                1 => writeln!(t, "if (row{r} < p.rows) {{")?,
                _ => writeln!(t, "if (slice == {}u && index < p.tiles && row{r} < p.rows) {{", r % slices)?,
            }
            writeln!(t, "let y{r} = {};", row_start(&format!("row{r}"), "n", self.wide_y()))?;
            for c in 0..columns {
                match self.is_whole() {
                    true => writeln!(t, "{{")?,
                    false => writeln!(t, "if (c{c} <= last_column) {{")?,
                }
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
                    writeln!(t, "v += load_y(y{r}, c{c});")?;
                }
                if self.bias {
                    writeln!(t, "v += bias{c};")?;
                }
                if self.residual {
                    writeln!(t, "v += load_r(y{r}, c{c});")?;
                }
                if self.mask.is_some() {
                    writeln!(t, "let m{r}_{c} = load_m(y{r}, c{c});")?;
                    let inside = format!("(m{r}_{c} > vec4<f32>(LOW)) & (m{r}_{c} < vec4<f32>(HIGH))");
                    writeln!(t, "v = select(vec4<f32>(), v, {inside});")?;
                }
                if self.clamp.is_some() {
                    // Unlike `clamp`, comparisons leave NaN as it is.
                    writeln!(t, "v = select(v, vec4<f32>(LOW), v < vec4<f32>(LOW));")?;
                    writeln!(t, "v = select(v, vec4<f32>(HIGH), v > vec4<f32>(HIGH));")?;
                }
                write_store(t, &format!("y{r}"), &format!("c{c}"), self.wide_y())?;
                writeln!(t, "}}")?;
            }
            writeln!(t, "}}")?;
        }
        Ok(())
    }
}
