//! What products of matrices have in common: tiles of sums, windows over images, and text that reads and writes four columns.

use std::fmt::Write;

/// Tiles of sums that a product is computed in where there are enough of them: a matter of registers and caches, to be timed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tiles {
    /// Each invocation has 4×8 sums and reads what they need.
    #[default]
    FourByEight,
    /// Each invocation has 8×8.
    EightByEight,
    /// Each invocation has 8×16: fewest reads, most registers.
    EightBySixteen,
    /// A workgroup has 64×64, 8×8 each, and reads what they need once, into memory that it shares.
    Workgroup,
}

impl Tiles {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::FourByEight, Self::EightByEight, Self::EightBySixteen, Self::Workgroup];

    /// As in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::FourByEight => "4×8",
            Self::EightByEight => "8×8",
            Self::EightBySixteen => "8×16",
            Self::Workgroup => "64×64 a workgroup",
        }
    }
}

/// What the choice of a tile depends on beside the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tiling {
    /// Invocations that keep the device busy.
    pub(crate) lanes: u64,
    /// Fastest tiles of shallow products, and of deep ones.
    pub(crate) tiles: [Tiles; 2],
}

impl Tiling {
    /// The fastest tiles of a product of so many terms a sum.
    pub(crate) fn fastest(&self, depth: u64) -> Tiles {
        self.tiles[usize::from(depth >= DEEP)]
    }
}

/// Terms of a sum from which on a product is deep: reading operands takes longer than beginning and ending.
pub(crate) const DEEP: u64 = 256;

/// Sums of one invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tile {
    /// Rows of the result.
    pub(crate) rows: u32,
    /// Groups of four columns.
    pub(crate) columns: u32,
    /// Whether a workgroup reads for all of its invocations.
    pub(crate) shared: bool,
}

/// Whether tiles of 16 columns leave little of the last one empty.
pub(super) fn takes_sixteen(columns: u64) -> bool {
    columns.next_multiple_of(16) - columns <= columns / 8
}

/// A window that slides over the rows of the left matrix, which is an image batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WindowSizes {
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) oh: usize,
    pub(crate) ow: usize,
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) dilation: [usize; 2],
    /// Top and left.
    pub(crate) padding: [usize; 2],
}

impl WindowSizes {
    /// Their words in `Params`; the fields are [`WINDOW_FIELDS`].
    pub(crate) fn words(&self) -> impl Iterator<Item = u32> {
        let sizes = [self.h, self.w, self.oh, self.ow].into_iter().chain(self.kernel).chain(self.stride);
        sizes.chain(self.dilation).chain(self.padding).map(|v| v as u32)
    }
}

/// The fields of [`WindowSizes`] in WGSL.
pub(super) const WINDOW_FIELDS: &str =
    "h: u32, w: u32, oh: u32, ow: u32, kh: u32, kw: u32, stride_h: u32, stride_w: u32,
dilation_h: u32, dilation_w: u32, top: u32, left: u32,";

/// `load_x(row, column)` of matrix `x`: four of its columns; a row of a group begins at `row`, and `columns` is the field with how many it has.
pub(super) fn write_loader(t: &mut String, name: &str, columns: &str, wide: bool) -> std::fmt::Result {
    writeln!(t, "fn load_{name}(row: u32, column: u32) -> vec4<f32> {{")?;
    if wide {
        writeln!(t, "return {name}[row + column];")?;
    } else {
        writeln!(t, "let at = row + column * 4u;")?;
        writeln!(t, "let left = p.{columns} - 1u - column * 4u;")?;
        writeln!(t, "return vec4<f32>({name}[at], {name}[at + min(1u, left)],")?;
        writeln!(t, "{name}[at + min(2u, left)], {name}[at + min(3u, left)]);")?;
    }
    writeln!(t, "}}")
}

/// [`write_loader`] for 16-bit floats, whose columns come in fours.
pub(super) fn write_half_loader(t: &mut String, name: &str) -> std::fmt::Result {
    writeln!(t, "fn load_{name}(row: u32, column: u32) -> vec4<f32> {{")?;
    writeln!(t, "let pairs = {name}[row + column];")?;
    writeln!(t, "return vec4<f32>(unpack2x16float(pairs.x), unpack2x16float(pairs.y));")?;
    writeln!(t, "}}")
}

/// Where a row of a group begins in a matrix of as many columns a group as the field `columns` has.
pub(super) fn row_start(row: &str, columns: &str, wide: bool) -> String {
    let unit = if wide { " / 4u" } else { "" };
    format!("({row} * p.groups + group) * (p.{columns}{unit})")
}

/// Stores `v`, four columns of `y`, in the row that begins at `row`.
pub(super) fn write_store(t: &mut String, row: &str, column: &str, wide: bool) -> std::fmt::Result {
    if wide {
        return writeln!(t, "y[{row} + {column}] = v;");
    }
    writeln!(t, "let at = {row} + {column} * 4u;")?;
    writeln!(t, "let left = p.n - 1u - {column} * 4u;")?;
    writeln!(t, "y[at] = v.x;")?;
    for (lane, part) in [(1, "y"), (2, "z"), (3, "w")] {
        writeln!(t, "if (left >= {lane}u) {{ y[at + {lane}u] = v.{part}; }}")?;
    }
    Ok(())
}
