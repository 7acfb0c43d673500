//! Dimensions in another order.

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

/// `y` has the dimensions of `x`, of sizes `shape`, in the order of `perm`: dimension `i` of `y` is `perm[i]` of `x`.
///
/// # Panics
/// Where `perm` is no permutation of the dimensions or the slices are shorter than `shape`.
pub fn permute(shape: &[usize], perm: &[usize], x: &[f32], y: &mut [f32]) {
    debug_assert!(shape.len() == perm.len() && x.len() == y.len());
    let (shape, perm) = merged(shape, perm);
    let Some((&last, outer)) = perm.split_last() else { return y.copy_from_slice(x) };
    if x.is_empty() {
        return;
    }
    let kept = perm.iter().enumerate().take_while(|(i, p)| i == *p).count();
    if let [.., a, b] = perm[..]
        && perm.len() == kept + 2
        && a == b + 1
    {
        let (rows, cols) = (shape[b], shape[a]);
        let matrices = x.chunks_exact(rows * cols).zip(y.chunks_exact_mut(rows * cols));
        return matrices.for_each(|(x, y)| transpose(rows, cols, x, y));
    }
    let stride = |d: usize| shape[d + 1..].iter().product::<usize>();
    let (run, step) = (shape[last], stride(last));
    for (row, y) in y.chunks_exact_mut(run).enumerate() {
        let (mut rest, mut start) = (row, 0);
        for &d in outer.iter().rev() {
            start += rest % shape[d] * stride(d);
            rest /= shape[d];
        }
        if step == 1 {
            y.copy_from_slice(&x[start..][..run]);
        } else {
            y.iter_mut().zip(x[start..].iter().step_by(step)).for_each(|(y, x)| *y = *x);
        }
    }
}

/// The same permutation with fewer dimensions: none of size 1, and those that stay side by side as one.
fn merged(shape: &[usize], perm: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut groups: Vec<(usize, usize, usize)> = Vec::new();
    let kept = |d: &usize| shape[*d] != 1;
    // Places among the dimensions that are kept.
    let place = |d: usize| (0..d).filter(kept).count();
    for &d in perm.iter().filter(|d| kept(d)) {
        match groups.last_mut() {
            Some((_, end, size)) if *end == place(d) => (*end, *size) = (*end + 1, *size * shape[d]),
            _ => groups.push((place(d), place(d) + 1, shape[d])),
        }
    }
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_unstable_by_key(|&i| groups[i].0);
    let sizes = order.iter().map(|&i| groups[i].2).collect();
    let mut perm = vec![0; groups.len()];
    order.iter().enumerate().for_each(|(d, &i)| perm[i] = d);
    (sizes, perm)
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

    #[test]
    fn dimensions_are_in_the_order_asked_for() {
        let shapes: [&[usize]; 5] = [&[2, 3, 5, 7], &[4, 1, 3, 3], &[6, 5, 1, 1], &[1, 1, 1, 1], &[2, 0, 3, 4]];
        for shape in shapes {
            let len = shape.iter().product();
            let x: Vec<f32> = (0..len).map(|i| i as f32).collect();
            for perm in permutations(4) {
                let mut y = vec![f32::NAN; len];
                permute(shape, &perm, &x, &mut y);
                let sizes: Vec<usize> = perm.iter().map(|&d| shape[d]).collect();
                for (i, y) in y.iter().enumerate() {
                    let (mut rest, mut at) = (i, [0; 4]);
                    for (d, size) in sizes.iter().enumerate().rev() {
                        at[perm[d]] = rest % size;
                        rest /= size;
                    }
                    let from = at.iter().zip(shape).fold(0, |from, (i, size)| from * size + i);
                    assert_eq!(*y, x[from], "{shape:?} {perm:?} at {i}");
                }
            }
        }
        let mut y = [0.0];
        permute(&[], &[], &[3.0], &mut y);
        assert_eq!(y, [3.0]);
    }

    fn permutations(n: usize) -> Vec<Vec<usize>> {
        let Some(last) = n.checked_sub(1) else { return vec![vec![]] };
        let insert = |shorter: Vec<usize>| (0..n).map(move |at| [&shorter[..at], &[last], &shorter[at..]].concat());
        permutations(last).into_iter().flat_map(insert).collect()
    }
}
