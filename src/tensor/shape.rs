use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// Extent of each dimension of a tensor, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Number of elements; 1 without dimensions. Overflow cannot happen for shapes that passed [`Shape::checked_len`].
    #[expect(clippy::len_without_is_empty, reason = "a shape is no collection of elements")]
    pub fn len(&self) -> usize {
        self.0.iter().product()
    }

    /// Number of elements, or `None` where it does not fit `usize`.
    pub fn checked_len(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |len, &d| len.checked_mul(d))
    }

    /// Product of all dimensions but the last, and the last: the matrix a row-wise op sees.
    pub fn rows_cols(&self) -> (usize, usize) {
        match self.0.split_last() {
            Some((&cols, rows)) => (rows.iter().product(), cols),
            None => (1, 1),
        }
    }
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Self {
        Self(dims)
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Self(dims.to_vec())
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Self(dims.to_vec())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "[{}]", dims.join("×"))
    }
}
