//! Convolutions, and the window attributes that poolings share with them.

use super::builder::{Builder, Form, Step, Value, unsupported};
use super::node::Node;
use crate::ops::{Conv2d, DepthwiseConv2d, Layout, Role, Window};

/// Stride, padding and dilation of a node over an image batch (ONNX operator spec, Conv: `auto_pad`, `dilations`, `pads`, `strides`).
pub(super) fn window(node: &Node<'_>, kernel: [usize; 2], size: [usize; 2]) -> Step<Window> {
    let stride = node.sizes("strides", 1)?.unwrap_or([1, 1]);
    let dilation = node.sizes("dilations", 1)?.unwrap_or([1, 1]);
    let pads = node.sizes::<4>("pads", 0)?;
    let padding = match node.text("auto_pad")?.unwrap_or("NOTSET") {
        "NOTSET" | "" => pads.unwrap_or_default(),
        "VALID" => [0; 4],
        "SAME_UPPER" => Window::same(size, kernel, stride, dilation),
        "SAME_LOWER" => {
            let [top, left, bottom, right] = Window::same(size, kernel, stride, dilation);
            [bottom, right, top, left]
        }
        other => return unsupported(format!("auto_pad '{other}'")),
    };
    Ok(Window { stride, padding, dilation })
}

/// Height and width of an NCHW batch.
pub(super) fn image_size(b: &Builder, node: &Node<'_>, x: &Value) -> Step<[usize; 2]> {
    let [shape, _] = b.extents(x)?;
    match shape[..] {
        [_, _, h, w] => Ok([h, w]),
        _ if shape.len() < 3 => Err(node.mismatch(b, "image", format!("{shape:?} is no image batch"))),
        _ => unsupported(format!("{} spatial dimensions", shape.len() - 2)),
    }
}

pub(super) fn conv(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let groups = node.int("group")?.unwrap_or(1);
    let groups = usize::try_from(groups).map_err(|_| node.fail(format!("{groups} groups")))?;
    let given_kernel = node.sizes::<2>("kernel_shape", 1)?;
    let x = node.input(0)?;
    let weights = node.weights(1)?;
    let [m, per_group, kh, kw] = weights.tensor.shape()[..] else {
        return unsupported(format!(
            "filters {} of a convolution over other than two dimensions",
            weights.tensor.shape()
        ));
    };
    if given_kernel.is_some_and(|given| given != [kh, kw]) {
        return Err(node.mismatch(
            b,
            "conv2d",
            format!("kernel_shape {given_kernel:?} does not fit filters {}", weights.tensor.shape()),
        ));
    }
    let size = image_size(b, node, &x)?;
    let window = window(node, [kh, kw], size)?;
    let bias = node.optional_weights(2)?;

    let mut inputs = vec![b.computed(&x)?];
    let depthwise = groups > 1 && groups == m && per_group == 1;
    let form = if depthwise { Form::ChannelFilters } else { Form::Filters };
    inputs.push(b.parameter(weights, Role::Weight, form)?);
    let has_bias = bias.is_some();
    if let Some(bias) = bias {
        inputs.push(b.parameter(bias, Role::Bias, Form::Plain)?);
    }
    let (bias, clamp, layout) = (has_bias, None, Layout::Nchw);
    let name = node.name.to_owned();
    let id = if depthwise {
        b.vertex(name, DepthwiseConv2d { window, bias, clamp, layout }, &inputs)?
    } else {
        b.vertex(name, Conv2d { window, groups, bias, residual: false, clamp, layout }, &inputs)?
    };
    Ok(id.into())
}
