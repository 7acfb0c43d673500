//! First values of new weights.

use serde::{Deserialize, Serialize};

use crate::data::{Rng, Stream};
use crate::error::{Error, Result};
use crate::tensor::{Shape, Tensor};

/// How weights are drawn, by Deeplearning4j's names. `fan_in` and `fan_out` are the sizes of the layer.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightInit {
    /// All 0.
    Zero,
    /// All 1.
    Ones,
    /// Normal, σ = 1/√fan_in.
    Normal,
    /// Uniform in ±1/√fan_in.
    Uniform,
    /// Normal, σ = √(2 / (fan_in + fan_out)) (Glorot & Bengio 2010).
    #[default]
    Xavier,
    /// Uniform in ±√(6 / (fan_in + fan_out)) (Glorot & Bengio 2010).
    XavierUniform,
    /// Normal, σ = √(2 / fan_in) (He et al. 2015).
    Relu,
    /// Uniform in ±√(6 / fan_in) (He et al. 2015).
    ReluUniform,
    /// Normal, σ = √(1 / fan_in) (LeCun et al. 1998).
    LecunNormal,
    /// Uniform in ±√(3 / fan_in) (LeCun et al. 1998).
    LecunUniform,
    /// Each result is the input of its number: ones on the diagonal, of a convolution in the middle of its filters.
    Identity,
    /// A distribution that does not depend on the layer.
    #[serde(untagged)]
    Distribution(Distribution),
}

/// A distribution of weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "distribution", rename_all = "snake_case", deny_unknown_fields)]
pub enum Distribution {
    /// Normal.
    Normal {
        /// Mean.
        mean: f32,
        /// Standard deviation, 0 or more.
        std: f32,
    },
    /// Normal, drawn again where it lies more than two standard deviations from the mean.
    TruncatedNormal {
        /// Mean before truncation.
        mean: f32,
        /// Standard deviation before truncation, 0 or more.
        std: f32,
    },
    /// Uniform in `lower..upper`.
    Uniform {
        /// Smallest.
        lower: f32,
        /// Largest.
        upper: f32,
    },
    /// Orthonormal rows or columns, whichever are fewer, of the matrix with the results as columns (Saxe et al. 2014).
    Orthogonal {
        /// Factor.
        gain: f32,
    },
}

impl WeightInit {
    /// Checks the numbers of a distribution.
    ///
    /// # Errors
    /// `bad-option`.
    pub fn validate(&self) -> Result<()> {
        let Self::Distribution(distribution) = self else { return Ok(()) };
        let fits = match *distribution {
            Distribution::Normal { mean, std } | Distribution::TruncatedNormal { mean, std } => {
                mean.is_finite() && std.is_finite() && std >= 0.0
            }
            Distribution::Uniform { lower, upper } => lower.is_finite() && upper.is_finite() && lower <= upper,
            Distribution::Orthogonal { gain } => gain.is_finite(),
        };
        if fits { Ok(()) } else { Err(Error::option("weightInit", format!("{distribution:?} is no distribution"))) }
    }

    /// Draws a tensor. The values depend on `seed`, `name` and the shape alone, so that the order of edits does not matter.
    pub fn draw(self, shape: impl Into<Shape>, [fan_in, fan_out]: [usize; 2], seed: u64, name: &str) -> Tensor {
        let shape = shape.into();
        let mut rng = Rng::new(seed ^ fnv1a(name), Stream::Init);
        let (fan_in, fan_out) = (fan_in.max(1) as f64, fan_out.max(1) as f64);
        let len = shape.len();
        let mut normal = |sigma: f64| (0..len).map(|_| (rng.normal() * sigma) as f32).collect::<Vec<f32>>();
        let values = match self {
            Self::Zero => vec![0.0; len],
            Self::Ones => vec![1.0; len],
            Self::Normal | Self::LecunNormal => normal((1.0 / fan_in).sqrt()),
            Self::Xavier => normal((2.0 / (fan_in + fan_out)).sqrt()),
            Self::Relu => normal((2.0 / fan_in).sqrt()),
            Self::Uniform => uniform(&mut rng, len, (1.0 / fan_in).sqrt()),
            Self::XavierUniform => uniform(&mut rng, len, (6.0 / (fan_in + fan_out)).sqrt()),
            Self::ReluUniform => uniform(&mut rng, len, (6.0 / fan_in).sqrt()),
            Self::LecunUniform => uniform(&mut rng, len, (3.0 / fan_in).sqrt()),
            Self::Identity => identity(&shape),
            Self::Distribution(distribution) => distribution.draw(&shape, &mut rng),
        };
        let mut tensor = Tensor::zeros(shape);
        if let Some(data) = tensor.as_f32_mut() {
            data.copy_from_slice(&values);
        }
        tensor
    }
}

impl Distribution {
    fn draw(self, shape: &Shape, rng: &mut Rng) -> Vec<f32> {
        let len = shape.len();
        match self {
            Self::Normal { mean, std } => (0..len).map(|_| (rng.normal() * f64::from(std)) as f32 + mean).collect(),
            Self::TruncatedNormal { mean, std } => {
                let mut within = || loop {
                    let x = rng.normal();
                    if x.abs() <= 2.0 {
                        return x;
                    }
                };
                (0..len).map(|_| (within() * f64::from(std)) as f32 + mean).collect()
            }
            Self::Uniform { lower, upper } => {
                (0..len).map(|_| lower + (rng.uniform() * f64::from(upper - lower)) as f32).collect()
            }
            Self::Orthogonal { gain } => orthogonal(shape, f64::from(gain), rng),
        }
    }
}

/// Ones where input and result have the same number; in the middle of height and width. A depthwise filter has 1 in its middle.
fn identity(shape: &Shape) -> Vec<f32> {
    let (kh, kw, inputs, outputs) = match **shape {
        [k, n] => (1, 1, k, n),
        [kh, kw, c] => (kh, kw, 1, c),
        [kh, kw, c, m] => (kh, kw, c, m),
        _ => (1, 1, 1, shape.len()),
    };
    let mut values = vec![0.0; shape.len()];
    let middle = (kh / 2 * kw + kw / 2) * inputs * outputs;
    if inputs == 1 && shape.rank() == 3 {
        values[middle..middle + outputs].fill(1.0);
    } else {
        (0..inputs.min(outputs)).for_each(|i| values[middle + i * outputs + i] = 1.0);
    }
    values
}

/// Gram and Schmidt on normal vectors, twice, which is enough for orthogonality to rounding (Giraud et al. 2005).
fn orthogonal(shape: &Shape, gain: f64, rng: &mut Rng) -> Vec<f32> {
    let (rows, cols) = shape.rows_cols();
    let (count, len) = (rows.min(cols), rows.max(cols));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
    while basis.len() < count {
        let mut v: Vec<f64> = (0..len).map(|_| rng.normal()).collect();
        for _ in 0..2 {
            for b in &basis {
                let along: f64 = b.iter().zip(&v).map(|(b, v)| b * v).sum();
                v.iter_mut().zip(b).for_each(|(v, b)| *v -= along * b);
            }
        }
        let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        // Vectors that happen to lie in the span of the others are drawn again.
        if norm > 1e-6 {
            v.iter_mut().for_each(|v| *v /= norm);
            basis.push(v);
        }
    }
    let at = |row: usize, col: usize| if rows <= cols { basis[row][col] } else { basis[col][row] };
    (0..rows * cols).map(|i| (gain * at(i / cols, i % cols)) as f32).collect()
}

fn uniform(rng: &mut Rng, len: usize, bound: f64) -> Vec<f32> {
    (0..len).map(|_| ((2.0 * rng.uniform() - 1.0) * bound) as f32).collect()
}

/// FNV-1a, 64 bit (Fowler, Noll, Vo): spreads names over seeds.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 7;
    /// Rounding of products of f32.
    const TOLERANCE: f64 = 1e-6;

    fn drawn(json: serde_json::Value, shape: &[usize]) -> Vec<f64> {
        let init: WeightInit = serde_json::from_value(json).unwrap_or_else(|e| panic!("{e}"));
        init.validate().unwrap_or_else(|e| panic!("{e}"));
        let fans = [shape[0], shape[shape.len() - 1]];
        let values = init.draw(shape, fans, SEED, "w");
        values.as_f32().unwrap_or_default().iter().map(|x| f64::from(*x)).collect()
    }

    fn moments(x: &[f64]) -> (f64, f64) {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        (mean, (x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / x.len() as f64).sqrt())
    }

    /// Mean and standard deviation of 40,000 values lie within five of their standard errors.
    #[test]
    fn distributions_have_their_moments() {
        let (k, n) = (100, 400);
        let cases = [
            (serde_json::json!("normal"), 0.0, 0.1),
            (serde_json::json!("uniform"), 0.0, 0.1 / 3f64.sqrt()),
            (serde_json::json!("xavier"), 0.0, (2.0 / 500f64).sqrt()),
            (serde_json::json!("xavier_uniform"), 0.0, (2.0 / 500f64).sqrt()),
            (serde_json::json!("relu"), 0.0, (2.0 / 100f64).sqrt()),
            (serde_json::json!("relu_uniform"), 0.0, (2.0 / 100f64).sqrt()),
            (serde_json::json!("lecun_normal"), 0.0, 0.1),
            (serde_json::json!("lecun_uniform"), 0.0, 0.1),
            (serde_json::json!({ "distribution": "normal", "mean": 2.0, "std": 0.5 }), 2.0, 0.5),
            // The standard deviation of a standard normal within ±2.
            (serde_json::json!({ "distribution": "truncated_normal", "mean": 1.0, "std": 0.5 }), 1.0, 0.5 * 0.879_626),
            (serde_json::json!({ "distribution": "uniform", "lower": -1.0, "upper": 3.0 }), 1.0, 4.0 / 12f64.sqrt()),
        ];
        for (json, mean, std) in cases {
            let x = drawn(json.clone(), &[k, n]);
            let error = 5.0 * std / (x.len() as f64).sqrt();
            let found = moments(&x);
            assert!((found.0 - mean).abs() < error && (found.1 - std).abs() < error, "{json}: {found:?}");
        }
        let x = drawn(serde_json::json!({ "distribution": "truncated_normal", "mean": 0.0, "std": 1.0 }), &[k, n]);
        assert!(x.iter().all(|x| x.abs() <= 2.0));
    }

    #[test]
    fn orthogonal_vectors_are_orthonormal() {
        for shape in [[7, 7], [3, 9], [11, 4]] {
            let [rows, cols] = shape;
            let x = drawn(serde_json::json!({ "distribution": "orthogonal", "gain": 2.0 }), &shape);
            let count = rows.min(cols);
            let at = |v: usize, i: usize| if rows <= cols { x[v * cols + i] } else { x[i * cols + v] };
            for (a, b) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))) {
                let dot: f64 = (0..rows.max(cols)).map(|i| at(a, i) * at(b, i)).sum();
                let expected = if a == b { 4.0 } else { 0.0 };
                assert!((dot - expected).abs() < 10.0 * TOLERANCE, "{shape:?}: {a}·{b} = {dot}");
            }
        }
    }

    #[test]
    fn identity_passes_inputs_on() {
        assert_eq!(drawn(serde_json::json!("identity"), &[2, 3]), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let conv = drawn(serde_json::json!("identity"), &[3, 3, 2, 2]);
        let ones: Vec<usize> = (0..conv.len()).filter(|i| conv[*i] != 0.0).collect();
        assert_eq!(ones, [16, 19]);
        let depthwise = drawn(serde_json::json!("identity"), &[3, 3, 2]);
        assert_eq!((0..18).filter(|i| depthwise[*i] != 0.0).collect::<Vec<_>>(), [8, 9]);
    }

    #[test]
    fn impossible_distributions_are_refused() {
        for json in [
            serde_json::json!({ "distribution": "normal", "mean": 0.0, "std": -1.0 }),
            serde_json::json!({ "distribution": "uniform", "lower": 1.0, "upper": 0.0 }),
        ] {
            let init: WeightInit = serde_json::from_value(json).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(init.validate().map_err(|e| e.code()), Err("bad-option"));
        }
    }
}
