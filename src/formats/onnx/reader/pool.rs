//! Poolings.

use super::builder::{Builder, Step, Value, unsupported};
use super::conv::{image_size, window};
use super::node::Node;
use crate::ops::{AvgPool, Flatten, GlobalAvgPool, Layout, MaxPool, Window};

/// Attributes of both poolings.
struct Pool {
    x: Value,
    kernel: [usize; 2],
    window: Window,
    ceil: bool,
}

fn pool(b: &Builder, node: &Node<'_>) -> Step<Pool> {
    let ceil = node.flag("ceil_mode")?;
    let kernel = node.sizes("kernel_shape", 1)?.ok_or_else(|| node.fail("kernel_shape is missing"))?;
    let x = node.input(0)?;
    let size = image_size(b, node, &x)?;
    let window = window(node, kernel, size)?;
    Ok(Pool { x, kernel, window, ceil })
}

pub(super) fn max_pool(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    // The order of indices, which are not read.
    node.ignore(&["storage_order"]);
    let Pool { x, kernel, window, ceil } = pool(b, node)?;
    let x = b.computed(&x)?;
    Ok(b.vertex(node.name.to_owned(), MaxPool { kernel, window, ceil, layout: Layout::Nchw }, &[x])?.into())
}

pub(super) fn average_pool(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let count_include_pad = node.flag("count_include_pad")?;
    let Pool { x, kernel, window, ceil } = pool(b, node)?;
    let x = b.computed(&x)?;
    let op = AvgPool { kernel, window, ceil, count_include_pad, layout: Layout::Nchw };
    Ok(b.vertex(node.name.to_owned(), op, &[x])?.into())
}

pub(super) fn global_average_pool(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let x = node.input(0)?;
    image_size(b, node, &x)?;
    let x = b.computed(&x)?;
    Ok(b.vertex(node.name.to_owned(), GlobalAvgPool { layout: Layout::Nchw }, &[x])?.into())
}

/// A max pooling with a window of the whole image.
pub(super) fn global_max_pool(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let x = node.input(0)?;
    let kernel = image_size(b, node, &x)?;
    let x = b.computed(&x)?;
    let op = MaxPool { kernel, window: Window::default(), ceil: false, layout: Layout::Nchw };
    Ok(b.vertex(node.name.to_owned(), op, &[x])?.into())
}

/// The mean over height and width of NCHW or NHWC, which is a global pooling. `axes` became an input with operator set 18.
pub(super) fn reduce_mean(b: &mut Builder, node: &Node<'_>) -> Step<Value> {
    let keep = node.int("keepdims")?.unwrap_or(1) != 0;
    node.ignore(&["noop_with_empty_axes"]);
    let axes = node.ints_or_input(18, "axes", 1)?;
    let x = node.input(0)?;
    let rank = b.rank(&x)?;
    let axes = match axes {
        Some(axes) => node.axes(&axes, rank)?,
        None => return unsupported("the mean over all dimensions"),
    };
    let layout = match (rank, axes.as_slice()) {
        (4, [2, 3]) => Layout::Nchw,
        (4, [1, 2]) => Layout::Nhwc,
        _ => return unsupported(format!("the mean over the dimensions {axes:?} of {rank}")),
    };
    let x = b.computed(&x)?;
    if keep {
        return Ok(b.vertex(node.name.to_owned(), GlobalAvgPool { layout }, &[x])?.into());
    }
    let mean = b.part(node.name, "mean", GlobalAvgPool { layout }, &[x])?;
    Ok(b.vertex(node.name.to_owned(), Flatten { axis: 1 }, &[mean])?.into())
}
