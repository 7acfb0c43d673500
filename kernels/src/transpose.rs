//! Transposes of matrices.

/// Columns that are transposed at a time: their lines of y stay in the first-level cache until all rows are written.
const BLOCK: usize = 128;

/// `y[cols×rows]` is the transpose of `x[rows×cols]`, both row-major.
pub fn transpose(rows: usize, cols: usize, x: &[f32], y: &mut [f32]) {
    debug_assert!(x.len() == rows * cols && y.len() == rows * cols);
    for first in (0..cols).step_by(BLOCK) {
        let columns = first..cols.min(first + BLOCK);
        let row = |r: usize| &x[r * cols..][columns.clone()];
        let y = &mut y[columns.start * rows..columns.end * rows];
        let mut r = 0;
        while r < rows {
            match rows - r {
                1 => strip([row(r)], r, rows, y),
                2 => strip([row(r), row(r + 1)], r, rows, y),
                3 => strip([row(r), row(r + 1), row(r + 2)], r, rows, y),
                _ => strip([row(r), row(r + 1), row(r + 2), row(r + 3)], r, rows, y),
            }
            r += 4;
        }
    }
}

/// Rows of x as columns of y from column `r` on.
#[inline(always)]
fn strip<const R: usize>(x: [&[f32]; R], r: usize, rows: usize, y: &mut [f32]) {
    for (c, y) in y.chunks_exact_mut(rows).enumerate() {
        for (y, x) in y[r..r + R].iter_mut().zip(x) {
            *y = x[c];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        for (rows, cols) in [(0, 3), (1, 1), (3, 300), (300, 3), (4, 128), (7, 129), (33, 17), (2, 5)] {
            let x: Vec<f32> = (0..rows * cols).map(|i| i as f32).collect();
            let mut y = vec![f32::NAN; rows * cols];
            transpose(rows, cols, &x, &mut y);
            let expected: Vec<f32> = (0..cols).flat_map(|c| (0..rows).map(move |r| (r * cols + c) as f32)).collect();
            assert_eq!(y, expected, "{rows}×{cols}");
        }
    }
}
