#[cfg(any(test, feature = "conformance"))]
use ndarray::ArrayD;
use regraft_kernels::activation as kernel;
use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "conformance"))]
use super::Case;
use super::attributes::expect_f32;
use super::{CpuContext, GpuContext, GpuView, Operator, View};
use crate::error::{OpError, Result, ensure_op};
use crate::graph::{Graph, VertexId};
use crate::kernels::wgsl;
use crate::tensor::TensorType;

/// A smooth or piecewise function of one number. `relu`, `relu6` and `hardtanh` are a [`super::Clip`], `sigmoid` and `softmax` have their own ops.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "function", rename_all = "snake_case")]
pub enum Function {
    /// `x` above 0, `alpha · x` elsewhere (Maas et al. 2013). 0.01 in Deeplearning4j and ONNX.
    LeakyRelu {
        /// Slope below 0.
        alpha: f32,
    },
    /// `x` above 0, `alpha · (e^x − 1)` elsewhere (Clevert et al. 2016). 1 in Deeplearning4j, Keras and ONNX.
    Elu {
        /// Minus the limit below.
        alpha: f32,
    },
    /// `λ · elu(x, α)` with λ = 1.0507… and α = 1.6732… (Klambauer et al. 2017, equation 14).
    Selu,
    /// `x · Φ(x)` with the distribution function of the normal distribution (Hendrycks & Gimpel 2016); the default of Keras and PyTorch.
    Gelu,
    /// `½ · x · (1 + tanh(√(2/π) · (x + 0.044715 · x³)))`, its approximation of the same paper.
    GeluTanh,
    /// The hyperbolic tangent.
    Tanh,
    /// `ln(1 + e^x)`.
    Softplus,
    /// `x / (1 + |x|)`.
    Softsign,
    /// `min(max(alpha · x + beta, 0), 1)`. 0.2 and 0.5 in Deeplearning4j, Keras 2 and ONNX; 1/6 and 0.5 in Keras 3 and PyTorch.
    HardSigmoid {
        /// Slope of the middle part.
        alpha: f32,
        /// Value at 0.
        beta: f32,
    },
    /// `x · min(max(x + 3, 0), 6) / 6` (Howard et al. 2019).
    HardSwish,
    /// `x / (1 + e^−x)` (Ramachandran et al. 2017), also called SiLU.
    Swish,
    /// `x · tanh(ln(1 + e^x))` (Misra 2019).
    Mish,
    /// The error function, `2/√π · ∫₀ˣ e^−t² dt`.
    Erf,
    /// `1 / x`.
    Reciprocal,
}

impl Function {
    /// Name shown to users.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeakyRelu { .. } => "leaky_relu",
            Self::Elu { .. } => "elu",
            Self::Selu => "selu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_tanh",
            Self::Tanh => "tanh",
            Self::Softplus => "softplus",
            Self::Softsign => "softsign",
            Self::HardSigmoid { .. } => "hard_sigmoid",
            Self::HardSwish => "hard_swish",
            Self::Swish => "swish",
            Self::Mish => "mish",
            Self::Erf => "erf",
            Self::Reciprocal => "reciprocal",
        }
    }

    fn check(self) -> Result<(), OpError> {
        ensure_op!(self.numbers().iter().all(|a| a.is_finite()), "an attribute of {self:?} is not finite");
        Ok(())
    }

    /// Its attributes as shaders take them.
    fn numbers(self) -> [f32; 3] {
        match self {
            Self::LeakyRelu { alpha } | Self::Elu { alpha } => [alpha, 0.0, 0.0],
            Self::HardSigmoid { alpha, beta } => [alpha, beta, 0.0],
            _ => [0.0; 3],
        }
    }

    /// `y = f(x)` of every element.
    fn apply(self, x: &[f32], y: &mut [f32]) {
        match self {
            Self::LeakyRelu { alpha } => kernel::leaky_relu(x, alpha, y),
            Self::Elu { alpha } => kernel::elu(x, alpha, y),
            Self::Selu => kernel::selu(x, y),
            Self::Gelu => kernel::gelu(x, y),
            Self::GeluTanh => kernel::gelu_tanh(x, y),
            Self::Tanh => kernel::tanh(x, y),
            Self::Softplus => kernel::softplus(x, y),
            Self::Softsign => kernel::softsign(x, y),
            Self::HardSigmoid { alpha, beta } => kernel::hard_sigmoid(x, alpha, beta, y),
            Self::HardSwish => kernel::hard_swish(x, y),
            Self::Swish => kernel::swish(x, y),
            Self::Mish => kernel::mish(x, y),
            Self::Erf => kernel::erf(x, y),
            Self::Reciprocal => kernel::reciprocal(x, y),
        }
    }

    /// `dx = f'(x) · dy`.
    fn apply_slope(self, x: &[f32], dy: &[f32], dx: &mut [f32]) {
        match self {
            Self::LeakyRelu { alpha } => kernel::leaky_relu_dx(x, dy, alpha, dx),
            Self::Elu { alpha } => kernel::elu_dx(x, dy, alpha, dx),
            Self::Selu => kernel::selu_dx(x, dy, dx),
            Self::Gelu => kernel::gelu_dx(x, dy, dx),
            Self::GeluTanh => kernel::gelu_tanh_dx(x, dy, dx),
            Self::Tanh => kernel::tanh_dx(x, dy, dx),
            Self::Softplus => kernel::softplus_dx(x, dy, dx),
            Self::Softsign => kernel::softsign_dx(x, dy, dx),
            Self::HardSigmoid { alpha, beta } => kernel::hard_sigmoid_dx(x, dy, alpha, beta, dx),
            Self::HardSwish => kernel::hard_swish_dx(x, dy, dx),
            Self::Swish => kernel::swish_dx(x, dy, dx),
            Self::Mish => kernel::mish_dx(x, dy, dx),
            Self::Erf => kernel::erf_dx(x, dy, dx),
            Self::Reciprocal => kernel::reciprocal_dx(x, dy, dx),
        }
    }
}

/// A [`Function`] of every element.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Activate {
    /// The function.
    #[serde(flatten)]
    pub function: Function,
}

impl Operator for Activate {
    const NAME: &'static str = "activate";

    fn label(&self) -> &'static str {
        self.function.name()
    }

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 1)?;
        self.function.check()?;
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], y: &mut [f32]) {
        self.function.apply(x[0].data, y);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let f = format!("fn f(x: vec4<f32>) -> vec4<f32> {{ return {}_value(x); }}", self.function.name());
        let kernel = wgsl::unary(&[include_str!("activate.wgsl"), f.as_str()].concat());
        cx.map(&kernel, &[x[0].region], &[y.region], self.function.numbers())
    }

    fn backward(&self, g: &mut Graph, v: VertexId, dy: VertexId) -> Result<Vec<Option<VertexId>>> {
        let x = g.get(v).inputs[0];
        Ok(vec![Some(g.add_for(v, "dx", ActivateGrad { function: self.function }, &[x, dy])?)])
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        function_cases(|function, shape| Case::new(Self { function }, [shape]))
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        x[0].mapv(|x| reference::value(self.function, x))
    }
}

/// Gradient of [`Activate`]: `f'(x) · dy`. Inputs: `x`, `dy`. At a kink it is the slope below (PyTorch's and TensorFlow's `leaky_relu`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActivateGrad {
    /// The function.
    #[serde(flatten)]
    pub function: Function,
}

impl Operator for ActivateGrad {
    const NAME: &'static str = "activate_grad";

    fn infer(&self, x: &[&TensorType]) -> Result<TensorType, OpError> {
        expect_f32(x, 2)?;
        self.function.check()?;
        ensure_op!(x[0].shape == x[1].shape, "value and gradient differ in shape");
        Ok(x[0].clone())
    }

    fn eval_cpu(&self, _: &mut CpuContext<'_>, x: &[View<'_>], dx: &mut [f32]) {
        self.function.apply_slope(x[0].data, x[1].data, dx);
    }

    fn encode_gpu(&self, cx: &mut GpuContext, x: &[GpuView<'_>], y: GpuView<'_>) -> Result<()> {
        let name = self.function.name();
        let f = format!("fn f(x: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {{ return {name}_slope(x) * dy; }}");
        let kernel = wgsl::binary(&[include_str!("activate.wgsl"), f.as_str()].concat());
        cx.map(&kernel, &[x[0].region, x[1].region], &[y.region], self.function.numbers())
    }

    #[cfg(any(test, feature = "conformance"))]
    fn cases() -> Vec<Case> {
        function_cases(|function, shape| Case::new(Self { function }, [shape, shape]))
    }

    #[cfg(any(test, feature = "conformance"))]
    fn reference(&self, x: &[ArrayD<f64>]) -> ArrayD<f64> {
        x[0].mapv(|x| reference::slope(self.function, x)) * &x[1]
    }
}

/// Every function around 0 and far out, where the pieces and the limits lie.
#[cfg(any(test, feature = "conformance"))]
fn function_cases(case: impl Fn(Function, &[usize]) -> Case) -> Vec<Case> {
    use Function::*;
    let everywhere = [
        LeakyRelu { alpha: 0.01 },
        LeakyRelu { alpha: 0.3 },
        Elu { alpha: 1.0 },
        Elu { alpha: 0.5 },
        Selu,
        Gelu,
        GeluTanh,
        Tanh,
        Softplus,
        Softsign,
        HardSigmoid { alpha: 0.2, beta: 0.5 },
        HardSigmoid { alpha: 1.0 / 6.0, beta: 0.4 },
        HardSwish,
        Swish,
        Mish,
        Erf,
    ];
    let near = everywhere.iter().map(|f| case(*f, &[3, 5, 7]).range(0, -6.0, 6.0));
    let far = everywhere.iter().map(|f| case(*f, &[41]).range(0, -110.0, 110.0).constant(0));
    let positive = [case(Reciprocal, &[1]).range(0, 0.25, 4.0), case(Reciprocal, &[3, 13]).range(0, -4.0, -0.25)];
    near.chain(far).chain(positive).chain([case(Tanh, &[1])]).collect()
}

/// The definitions, word for word.
#[cfg(any(test, feature = "conformance"))]
mod reference {
    use super::Function;

    const LAMBDA: f64 = 1.050_700_987_355_480_5;
    const ALPHA: f64 = 1.673_263_242_354_377_2;

    fn logistic(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    fn gelu_argument(x: f64) -> f64 {
        (2.0 / std::f64::consts::PI).sqrt() * (x + f64::from(0.044_715_f32) * x.powi(3))
    }

    fn distribution(x: f64) -> f64 {
        0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
    }

    pub(super) fn value(function: Function, x: f64) -> f64 {
        let wide = f64::from;
        match function {
            Function::LeakyRelu { alpha } => x.max(0.0) + wide(alpha) * x.min(0.0),
            Function::Elu { alpha } => x.max(0.0) + wide(alpha) * x.min(0.0).exp_m1(),
            Function::Selu => LAMBDA * (x.max(0.0) + ALPHA * x.min(0.0).exp_m1()),
            Function::Gelu => x * distribution(x),
            Function::GeluTanh => 0.5 * x * (1.0 + gelu_argument(x).tanh()),
            Function::Tanh => x.tanh(),
            Function::Softplus => x.exp().ln_1p(),
            Function::Softsign => x / (1.0 + x.abs()),
            Function::HardSigmoid { alpha, beta } => (wide(alpha) * x + wide(beta)).clamp(0.0, 1.0),
            Function::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Function::Swish => x * logistic(x),
            Function::Mish => x * x.exp().ln_1p().tanh(),
            Function::Erf => libm::erf(x),
            Function::Reciprocal => 1.0 / x,
        }
    }

    /// Derivatives; `tests/portable/gradients.rs` judges them against differences of [`value`].
    pub(super) fn slope(function: Function, x: f64) -> f64 {
        let (wide, pi) = (f64::from, std::f64::consts::PI);
        let above = |y: f64| if x > 0.0 { 1.0 } else { y };
        match function {
            Function::LeakyRelu { alpha } => above(wide(alpha)),
            Function::Elu { alpha } => above(wide(alpha) * x.exp()),
            Function::Selu => LAMBDA * above(ALPHA * x.exp()),
            Function::Gelu => distribution(x) + x * (-0.5 * x * x).exp() / (2.0 * pi).sqrt(),
            Function::GeluTanh => {
                let t = gelu_argument(x).tanh();
                let inner = (2.0 / pi).sqrt() * (1.0 + 3.0 * f64::from(0.044_715_f32) * x * x);
                0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner
            }
            Function::Tanh => x.cosh().powi(-2),
            Function::Softplus => logistic(x),
            Function::Softsign => (1.0 + x.abs()).powi(-2),
            Function::HardSigmoid { alpha, beta } => {
                let y = wide(alpha) * x + wide(beta);
                wide(alpha) * f64::from(u8::from(y > 0.0 && y < 1.0))
            }
            Function::HardSwish if x <= -3.0 => 0.0,
            Function::HardSwish if x >= 3.0 => 1.0,
            Function::HardSwish => (2.0 * x + 3.0) / 6.0,
            Function::Swish => logistic(x) * (1.0 + x * logistic(-x)),
            Function::Mish => {
                let t = x.exp().ln_1p().tanh();
                t + x * (1.0 - t * t) * logistic(x)
            }
            Function::Erf => 2.0 / pi.sqrt() * (-x * x).exp(),
            Function::Reciprocal => -x.powi(-2),
        }
    }
}
