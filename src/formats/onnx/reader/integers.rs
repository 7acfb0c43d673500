//! Integers known while reading: shapes, and what exporters compute from them. They may depend on the batch.

use std::collections::BTreeSet;
use std::fmt;

/// `fixed + per_image · n` for a batch of `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Int {
    pub fixed: i64,
    pub per_image: i64,
}

impl fmt::Display for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { fixed, per_image: 0 } => write!(f, "{fixed}"),
            Self { fixed: 0, per_image: 1 } => f.write_str("n"),
            Self { fixed, per_image } => write!(f, "{per_image}·n{fixed:+}"),
        }
    }
}

impl Int {
    pub(super) const fn fixed(value: i64) -> Self {
        Self { fixed: value, per_image: 0 }
    }

    /// The integer that is `one` for a batch of one and `many` for a batch of `batch`; `None` where it is not linear.
    pub(super) fn through(one: usize, many: usize, batch: usize) -> Option<Self> {
        let (one, many, steps) = (i64::try_from(one).ok()?, i64::try_from(many).ok()?, i64::try_from(batch).ok()? - 1);
        let rise = many - one;
        (rise % steps == 0).then(|| Self { fixed: one - rise / steps, per_image: rise / steps })
    }

    /// The value, where it does not depend on the batch.
    pub(super) fn constant(self) -> Option<i64> {
        (self.per_image == 0).then_some(self.fixed)
    }

    /// The value for a batch.
    pub(super) fn at(self, batch: usize) -> Option<i64> {
        self.per_image.checked_mul(i64::try_from(batch).ok()?)?.checked_add(self.fixed)
    }

    pub(super) fn add(self, other: Self) -> Option<Self> {
        let fixed = self.fixed.checked_add(other.fixed)?;
        Some(Self { fixed, per_image: self.per_image.checked_add(other.per_image)? })
    }

    pub(super) fn sub(self, other: Self) -> Option<Self> {
        self.add(other.mul(Self::fixed(-1))?)
    }

    /// `None` where both depend on the batch.
    pub(super) fn mul(self, other: Self) -> Option<Self> {
        let (variable, factor) = match (self.constant(), other.constant()) {
            (_, Some(factor)) => (self, factor),
            (Some(factor), None) => (other, factor),
            (None, None) => return None,
        };
        Some(Self { fixed: variable.fixed.checked_mul(factor)?, per_image: variable.per_image.checked_mul(factor)? })
    }

    /// Rounds towards zero, as ONNX's Div on integers does; with a batch in it, it has to come out even.
    pub(super) fn div(self, other: Self) -> Option<Self> {
        let divisor = other.constant().filter(|&d| d != 0)?;
        if self.per_image != 0 && (self.fixed.checked_rem(divisor)? != 0 || self.per_image.checked_rem(divisor)? != 0) {
            return None;
        }
        let per_image = self.per_image.checked_div(divisor)?;
        Some(Self { fixed: self.fixed.checked_div(divisor)?, per_image })
    }
}

/// A tensor of integers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ints {
    pub shape: Vec<usize>,
    pub values: Vec<Int>,
}

impl Ints {
    pub(super) fn new(shape: Vec<usize>, values: &[i64]) -> Self {
        Self { shape, values: values.iter().copied().map(Int::fixed).collect() }
    }

    pub(super) fn vector(values: Vec<Int>) -> Self {
        Self { shape: vec![values.len()], values }
    }

    /// All values, where none depends on the batch.
    pub(super) fn constants(&self) -> Option<Vec<i64>> {
        self.values.iter().map(|v| v.constant()).collect()
    }

    /// Element by element; one of the two may be a single element. `None` for other shapes and where `f` fails.
    pub(super) fn zip(&self, other: &Self, f: fn(Int, Int) -> Option<Int>) -> Option<Self> {
        let shape = match (self.values.len(), other.values.len()) {
            _ if self.shape == other.shape => &self.shape,
            (_, 1) if other.shape.len() <= self.shape.len() => &self.shape,
            (1, _) if self.shape.len() <= other.shape.len() => &other.shape,
            _ => return None,
        };
        let at = |of: &Self, i: usize| {
            if of.values.len() == 1 { of.values.first().copied() } else { of.values.get(i).copied() }
        };
        let len = shape.iter().product();
        let values = (0..len).map(|i| f(at(self, i)?, at(other, i)?)).collect::<Option<_>>()?;
        Some(Self { shape: shape.clone(), values })
    }
}

/// A dimension counted from the end where it is negative; `None` outside of `0..rank`.
pub(super) fn axis(axis: i64, rank: usize) -> Option<usize> {
    let rank_i = i64::try_from(rank).ok()?;
    let from_start = if axis < 0 { axis.checked_add(rank_i)? } else { axis };
    usize::try_from(from_start).ok().filter(|&a| a < rank)
}

/// Several dimensions, each once, sorted.
pub(super) fn axes(given: &[i64], rank: usize) -> Option<Vec<usize>> {
    let all: BTreeSet<usize> = given.iter().map(|&a| axis(a, rank)).collect::<Option<_>>()?;
    (all.len() == given.len()).then(|| all.into_iter().collect())
}
