//! Constants as 16-bit floats, where that loses nothing: weights that a file holds so, and weights that a batch norm was folded into, whose
//! factors are then applied to the sums.

use std::collections::BTreeMap;

use crate::kernels::wgsl::Region;
use crate::ops::Op;
use crate::plan::{Location, Plan};

/// Digits of an f32's fraction that a 16-bit float does not have.
const DROPPED: u32 = 13;
/// Largest exponent of a 16-bit float, and the smallest that is not subnormal.
const EXPONENTS: [i32; 2] = [15, -14];

/// How a constant is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Half {
    /// Values are stored times two to this power, which makes all of them normal numbers: devices may take others for 0.
    power: i32,
    /// Whether it is not the constant that is stored, but what it is a product of.
    scaled: bool,
}

/// The constants that can be stored so and are read by ops alone that take them so, by position.
pub(super) fn find(plan: &Plan) -> BTreeMap<usize, Half> {
    let mut taken: BTreeMap<usize, bool> = BTreeMap::new();
    for step in &plan.steps {
        for (index, read) in step.reads.iter().enumerate().filter(|(index, _)| step.reads_elements(*index)) {
            if let Location::Constant(constant) = read.at {
                *taken.entry(constant).or_insert(true) &= index == 1 && matches!(step.op, Op::Conv2d(_) | Op::Dense(_));
            }
        }
    }
    taken.into_iter().filter(|(_, taken)| *taken).filter_map(|(index, _)| Some((index, form(plan, index)?))).collect()
}

fn form(plan: &Plan, index: usize) -> Option<Half> {
    [false, true].into_iter().find_map(|scaled| {
        let half = Half { power: 0, scaled };
        Some(Half { power: power(half.source(plan, index)?)?, ..half })
    })
}

/// The power of two that brings all values into the range of normal 16-bit floats. `None`: they have digits that would be lost, or span
/// too wide a range.
fn power(values: &[f32]) -> Option<i32> {
    let [mut largest, mut smallest] = [i32::MIN, i32::MAX];
    for value in values {
        if value.to_bits() & ((1 << DROPPED) - 1) != 0 || !(value.is_normal() || *value == 0.0) {
            return None;
        }
        if *value != 0.0 {
            (largest, smallest) = (largest.max(exponent(*value)), smallest.min(exponent(*value)));
        }
    }
    match largest {
        i32::MIN => Some(0),
        largest => (largest - smallest <= EXPONENTS[0] - EXPONENTS[1]).then_some(EXPONENTS[0] - largest),
    }
}

fn exponent(value: f32) -> i32 {
    (value.to_bits() >> 23 & 0xff) as i32 - 127
}

/// Bits of a value that [`power`] found to fit.
fn bits(value: f32, power: i32) -> u16 {
    let sign = (value.to_bits() >> 16 & 0x8000) as u16;
    if value == 0.0 {
        return sign;
    }
    let exponent = (exponent(value) + power + EXPONENTS[0]) as u16;
    let fraction = (value.to_bits() >> DROPPED & 0x3ff) as u16;
    sign | exponent << 10 | fraction
}

impl Half {
    fn source(self, plan: &Plan, index: usize) -> Option<&[f32]> {
        match self.scaled {
            false => plan.constants.get(index)?.as_f32(),
            true => plan.scaled.get(index)?.as_ref()?.tensor.as_f32(),
        }
    }

    /// Elements of a region as 16-bit floats.
    pub(super) fn elements(self, plan: &Plan, index: usize, region: Region) -> Option<Vec<u16>> {
        let values = self.source(plan, index)?.get(region.first..region.first + region.len)?;
        Some(values.iter().map(|value| bits(*value, self.power)).collect())
    }

    /// What sums with the columns of the constant are to be multiplied by.
    pub(super) fn columns(self, plan: &Plan, index: usize, region: Region) -> Option<Vec<f32>> {
        let unit = 2.0_f32.powi(-self.power);
        match self.scaled {
            false => Some(vec![unit; region.len]),
            true => {
                let columns = &plan.scaled.get(index)?.as_ref()?.columns;
                Some(columns.get(region.first..region.first + region.len)?.iter().map(|factor| factor * unit).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::{bits, power};

    /// All 16-bit floats but infinities and NaN; one power of two does not bring all of them into the range of normal ones.
    #[test]
    fn every_half_is_stored_exactly() {
        let all: Vec<f32> =
            (0..=u16::MAX).map(|bits| f16::from_bits(bits).to_f32()).filter(|v| v.is_finite()).collect();
        assert_eq!(power(&all), None);
        let [small, large]: [fn(f32) -> bool; 2] = [|v| v.abs() < 32.0, |v| v == 0.0 || v.abs() > 1e-4];
        for part in [small, large] {
            let values: Vec<f32> = all.iter().copied().filter(|v| part(*v)).collect();
            let power = power(&values).unwrap_or(i32::MAX);
            for value in values {
                let half = f16::from_bits(bits(value, power));
                assert!(half.is_normal() || value == 0.0, "{value} times 2^{power} is {half}");
                let back = half.to_f32() * 2.0_f32.powi(-power);
                assert_eq!(back.to_bits(), value.to_bits(), "{value} is {back}");
            }
        }
    }

    #[test]
    fn what_would_lose_digits_is_not_stored_so() {
        for value in [0.1, f32::INFINITY, f32::NAN, f32::MIN_POSITIVE / 2.0, 1.0 + f32::EPSILON] {
            assert_eq!(power(&[1.0, value]), None, "{value}");
        }
        assert_eq!(power(&[0.0, -0.0]), Some(0));
        // Powers of two far outside of the range of 16-bit floats, but not far apart.
        assert_eq!(power(&[2.0_f32.powi(-60), 2.0_f32.powi(-80)]), Some(75));
    }
}
