//! The loop of a workgroup that reads for all of its invocations: a run of 16 columns of 64 rows of the left matrix, and of 16 rows of 64
//! columns of the right one, lie in shared memory (8 KiB) while its invocations multiply them.

use std::fmt::Write;

use super::{BLOCK, Gemm};
use crate::kernels::wgsl::WORKGROUP;
use crate::kernels::wgsl::tile::{Tile, row_start};

/// Groups of four columns of the left matrix that are read at a time.
const QUADS: u32 = 4;
/// Groups of four columns of the tile.
const COLUMNS: u32 = BLOCK / 4;

impl Gemm {
    /// What invocations share: four columns of a row each, those of the left matrix by column, so that neighbours lie together.
    pub(super) fn write_shared_memory(&self, t: &mut String) -> std::fmt::Result {
        writeln!(t, "var<workgroup> left_part: array<vec4<f32>, {}>;", QUADS * BLOCK)?;
        writeln!(t, "var<workgroup> right_part: array<vec4<f32>, {}>;", 4 * QUADS * COLUMNS)
    }

    /// The loop over the columns of `x`; an invocation reads those of the row from `xs` on.
    pub(super) fn write_shared_loop(&self, t: &mut String) -> std::fmt::Result {
        let Tile { rows, columns, .. } = self.tile();
        let inside = if self.window.is_some() { " && insides" } else { "" };
        writeln!(t, "for (var k = 0u; k < p.k; k += {QUADS}u) {{")?;
        for q in 0..QUADS {
            // What lies beyond the last column is read from it and is 0.
            writeln!(t, "let a{q} = x[xs + min(k + {q}u, p.k - 1u)];")?;
            writeln!(t, "left_part[{}u + lid] = select(vec4<f32>(), a{q}, k + {q}u < p.k{inside});", q * BLOCK)?;
        }
        for i in 0..4 * QUADS * COLUMNS / WORKGROUP {
            writeln!(t, "let at{i} = lid + {}u;", i * WORKGROUP)?;
            writeln!(t, "let k{i} = k * 4u + at{i} / {COLUMNS}u;")?;
            writeln!(t, "let column{i} = min(column_tile * {COLUMNS}u + at{i} % {COLUMNS}u, last_column);")?;
            let row = row_start(&format!("(w_row + min(k{i}, p.k * 4u - 1u))"), "n", true);
            writeln!(t, "let b{i} = load_w({row}, column{i});")?;
            writeln!(t, "right_part[at{i}] = select(vec4<f32>(), b{i}, k{i} < p.k * 4u);")?;
        }
        writeln!(t, "workgroupBarrier();")?;
        writeln!(t, "for (var q = 0u; q < {QUADS}u; q++) {{")?;
        for r in 0..rows {
            writeln!(t, "let left{r} = left_part[q * {BLOCK}u + {}u + lid / 8u];", 8 * r)?;
        }
        for (lane, part) in ["x", "y", "z", "w"].iter().enumerate() {
            for c in 0..columns {
                let at = format!("(q * 4u + {lane}u) * {COLUMNS}u + {}u + lid % 8u", 8 * c);
                writeln!(t, "let right{lane}_{c} = right_part[{at}];")?;
            }
            for r in 0..rows {
                for c in 0..columns {
                    writeln!(t, "s{r}_{c} = fma(vec4<f32>(left{r}.{part}), right{lane}_{c}, s{r}_{c});")?;
                }
            }
        }
        writeln!(t, "}}")?;
        writeln!(t, "workgroupBarrier();")?;
        writeln!(t, "}}")
    }
}
