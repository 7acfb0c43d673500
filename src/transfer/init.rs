//! First values of new weights.

use serde::{Deserialize, Serialize};

use crate::data::{Rng, Stream};
use crate::tensor::{Shape, Tensor};

/// How weights are drawn, by Deeplearning4j's names. `fan_in` and `fan_out` are the sizes of the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
}

impl WeightInit {
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
        };
        let mut tensor = Tensor::zeros(shape);
        if let Some(data) = tensor.as_f32_mut() {
            data.copy_from_slice(&values);
        }
        tensor
    }
}

fn uniform(rng: &mut Rng, len: usize, bound: f64) -> Vec<f32> {
    (0..len).map(|_| ((2.0 * rng.uniform() - 1.0) * bound) as f32).collect()
}

/// FNV-1a, 64 bit (Fowler, Noll, Vo): spreads names over seeds.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
