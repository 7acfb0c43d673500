use super::ZooModel;
use super::values::{FilterOrder, Values};
use crate::data::Preprocessing;
use crate::error::Result;
use crate::graph::{Graph, Loss, VertexId};
use crate::ops::{
    BatchNorm, Clamp, Clip, Conv2d, Dense, DepthwiseConv2d, Dropout, Flatten, GlobalAvgPool, Layout, MaxPool, Role,
    Softmax, Window,
};
use crate::tensor::TensorType;
use crate::transfer::WeightInit;

/// Layout of all image batches.
const LAYOUT: Layout = Layout::Nchw;

/// PyTorch's default `momentum=0.1` is the share of the new value.
const MOMENTUM: f32 = 0.9;

/// Name of the layer that gives the probabilities.
const PREDICTIONS: &str = "predictions";

/// Builds a network vertex by vertex. Every method takes the vertex it continues from and returns the new one.
pub(super) struct Net {
    pub(super) g: Graph,
    pub(super) values: Values,
    /// Order of filters in the checkpoint.
    pub(super) order: FilterOrder,
    /// ε of all batch norms.
    pub(super) epsilon: f32,
    /// Share of the running statistics that an update keeps; [`MOMENTUM`] unless a network says otherwise.
    pub(super) momentum: f32,
}

/// How a window treats the border.
#[derive(Debug, Clone, Copy)]
pub(super) enum Padding {
    /// As many cells on each side.
    Each(usize),
    /// TensorFlow's `SAME` for the size at hand, see [`Window::same`].
    Same,
}

/// A square window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Square {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: Padding,
}

impl Square {
    /// One cell.
    pub(super) const POINT: Self = Self { kernel: 1, stride: 1, padding: Padding::Each(0) };

    fn window(self, size: [usize; 2]) -> Window {
        let stride = [self.stride; 2];
        let padding = match self.padding {
            Padding::Each(cells) => [cells; 4],
            Padding::Same => Window::same(size, [self.kernel; 2], stride, [1, 1]),
        };
        Window { stride, padding, ..Window::default() }
    }
}

impl Net {
    /// A network that starts with an image batch `input`.
    pub(super) fn new(values: Values, side: u32, epsilon: f32) -> Result<(Self, VertexId)> {
        let mut g = Graph::new();
        let side = side as usize;
        let x = g.input("input", TensorType::f32([1, 3, side, side]), true)?;
        Ok((Self { g, values, order: FilterOrder::Oihw, epsilon, momentum: MOMENTUM }, x))
    }

    /// The finished network, if nothing of the checkpoint is left over.
    pub(super) fn finish(mut self, y: VertexId, preprocessing: Preprocessing) -> Result<ZooModel> {
        self.values.finish()?;
        self.g.get_mut(y).loss = Some(Loss::NegativeLogLikelihood.into());
        self.g.set_outputs(vec![y]);
        Ok(ZooModel { graph: self.g, preprocessing })
    }

    /// Number of channels of an image batch.
    pub(super) fn channels(&self, x: VertexId) -> usize {
        self.g.get(x).ty.shape[LAYOUT.channel_axis()]
    }

    fn window(&self, x: VertexId, square: Square) -> Window {
        let shape = &self.g.get(x).ty.shape;
        square.window([shape[2], shape[3]])
    }

    /// Makes a vertex an inner part of the layer of that name.
    pub(super) fn set_part(&mut self, part: VertexId, layer: &str) {
        self.g.get_mut(part).layer = Some(layer.to_owned());
    }

    /// A convolution to `m` channels without bias: a batch norm follows. `tensor` is the checkpoint's name without `.weight`.
    pub(super) fn conv(&mut self, name: &str, tensor: &str, x: VertexId, m: usize, square: Square) -> Result<VertexId> {
        self.convolve(name, tensor, x, m, square, false)
    }

    /// A convolution to `m` channels with bias.
    pub(super) fn conv_bias(
        &mut self,
        name: &str,
        tensor: &str,
        x: VertexId,
        m: usize,
        square: Square,
    ) -> Result<VertexId> {
        self.convolve(name, tensor, x, m, square, true)
    }

    fn convolve(
        &mut self,
        name: &str,
        tensor: &str,
        x: VertexId,
        m: usize,
        square: Square,
        bias: bool,
    ) -> Result<VertexId> {
        let [weight_of, bias_of] = match self.order {
            FilterOrder::Oihw => ["weight", "bias"],
            FilterOrder::Hwio => ["0", "1"],
        };
        let shape = [square.kernel, square.kernel, self.channels(x), m];
        let weight = format!("{tensor}.{weight_of}");
        let w = self.values.filters(&weight, shape, self.order)?;
        let mut inputs = vec![x, self.g.parameter(weight, Role::Weight, w)?];
        if bias {
            inputs.push(self.bias(&format!("{tensor}.{bias_of}"), m)?);
        }
        let window = self.window(x, square);
        self.g.add(name, Conv2d { window, groups: 1, bias, residual: false, clamp: None, layout: LAYOUT }, &inputs)
    }

    fn bias(&mut self, tensor: &str, channels: usize) -> Result<VertexId> {
        let b = self.values.channels(tensor, channels, WeightInit::Zero)?;
        self.g.parameter(tensor, Role::Bias, b)
    }

    /// A convolution of each channel by itself, without bias.
    pub(super) fn depthwise(&mut self, name: &str, tensor: &str, x: VertexId, square: Square) -> Result<VertexId> {
        let weight = format!("{tensor}.weight");
        let w = self.values.depthwise_filters(&weight, [square.kernel, square.kernel, self.channels(x)])?;
        let w = self.g.parameter(weight, Role::Weight, w)?;
        let window = self.window(x, square);
        self.g.add(name, DepthwiseConv2d { window, bias: false, clamp: None, layout: LAYOUT }, &[x, w])
    }

    /// A batch norm with its running statistics.
    pub(super) fn batch_norm(&mut self, name: &str, tensor: &str, x: VertexId) -> Result<VertexId> {
        let channels = self.channels(x);
        let mut inputs = vec![x];
        for (part, role, init) in [
            ("weight", Role::Gamma, WeightInit::Ones),
            ("bias", Role::Beta, WeightInit::Zero),
            ("running_mean", Role::Mean, WeightInit::Zero),
            ("running_var", Role::Variance, WeightInit::Ones),
        ] {
            let tensor = format!("{tensor}.{part}");
            let value = self.values.channels(&tensor, channels, init)?;
            inputs.push(self.g.parameter(tensor, role, value)?);
        }
        self.g.add(
            name,
            BatchNorm { epsilon: self.epsilon, momentum: self.momentum, layout: LAYOUT, clamp: None },
            &inputs,
        )
    }

    /// `max(x, 0)`.
    pub(super) fn relu(&mut self, name: &str, x: VertexId) -> Result<VertexId> {
        self.g.add(name, Clip { clamp: Clamp::RELU }, &[x])
    }

    /// `min(max(x, 0), 6)`.
    pub(super) fn relu6(&mut self, name: &str, x: VertexId) -> Result<VertexId> {
        self.g.add(name, Clip { clamp: Clamp::RELU6 }, &[x])
    }

    /// Largest element under each window.
    pub(super) fn max_pool(&mut self, name: &str, x: VertexId, square: Square, ceil: bool) -> Result<VertexId> {
        let window = self.window(x, square);
        self.g.add(name, MaxPool { kernel: [square.kernel; 2], window, ceil, layout: LAYOUT }, &[x])
    }

    /// Dropout, the identity in inference.
    pub(super) fn dropout(&mut self, name: &str, x: VertexId, rate: f32) -> Result<VertexId> {
        self.g.add(name, Dropout { rate }, &[x])
    }

    /// Mean over height and width as rows: the vertices `pool` and `flatten`.
    pub(super) fn pooled(&mut self, pool: &str, x: VertexId) -> Result<VertexId> {
        let pooled = self.g.add(pool, GlobalAvgPool { layout: LAYOUT }, &[x])?;
        self.flatten(pooled)
    }

    /// Rows of features, channels outermost: the vertex `flatten`.
    pub(super) fn flatten(&mut self, x: VertexId) -> Result<VertexId> {
        self.g.add("flatten", Flatten { axis: 1 }, &[x])
    }

    /// `x·w + b` with `n` columns.
    pub(super) fn dense(&mut self, name: &str, tensor: &str, x: VertexId, n: usize) -> Result<VertexId> {
        let k = self.g.get(x).ty.shape[1];
        let weight = format!("{tensor}.weight");
        let w = self.values.matrix(&weight, [k, n])?;
        let w = self.g.parameter(weight, Role::Weight, w)?;
        let b = self.bias(&format!("{tensor}.bias"), n)?;
        self.g.add(name, Dense { bias: true, clamp: None }, &[x, w, b])
    }

    /// The layer `predictions`: a dense part of as many columns as there are classes, then the softmax.
    pub(super) fn predictions(&mut self, tensor: &str, x: VertexId) -> Result<VertexId> {
        let classes = self.values.classes(&format!("{tensor}.weight"), 0)?;
        let logits = self.dense("predictions/dense", tensor, x, classes)?;
        self.set_part(logits, PREDICTIONS);
        self.softmax(logits)
    }

    /// The vertex `predictions`.
    pub(super) fn softmax(&mut self, logits: VertexId) -> Result<VertexId> {
        self.g.add(PREDICTIONS, Softmax { axis: 1 }, &[logits])
    }
}
