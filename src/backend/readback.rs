//! Reading from a backend: what is asked for is settled once, the values come when the device is done.

use std::ops::Range;
use std::task::{Context, Poll, Waker};

use crate::error::{Error, Result};
use crate::plan::{Location, Plan, Read};

/// Values to be read after runs, found by name once.
#[derive(Debug, Clone)]
pub struct Request {
    reads: Vec<(Range<usize>, Read)>,
}

impl Request {
    /// Asks for outputs, inputs or trainable parameters of a plan.
    pub(super) fn new(plan: &Plan, names: &[&str]) -> Result<Self> {
        let mut reads = Vec::with_capacity(names.len());
        let mut end = 0;
        for name in names {
            let read = plan.named(name)?.clone();
            let start = end;
            end += read.shape.len();
            reads.push((start..end, read));
        }
        Ok(Self { reads })
    }

    /// Elements of all values.
    pub(super) fn len(&self) -> usize {
        self.reads.last().map_or(0, |(span, _)| span.end)
    }

    /// Each value with its place among the elements of all.
    #[cfg(feature = "webgpu")]
    pub(super) fn reads(&self) -> &[(Range<usize>, Read)] {
        &self.reads
    }
}

/// Values that were asked for, there or on their way.
#[derive(Debug)]
pub struct Readback {
    spans: Vec<Range<usize>>,
    state: State,
}

#[derive(Debug)]
enum State {
    There(Vec<f32>),
    #[cfg(feature = "webgpu")]
    Coming(super::gpu::Pending, Vec<(Range<usize>, std::sync::Arc<crate::tensor::Tensor>)>),
}

impl Readback {
    pub(super) fn there(request: &Request, values: Vec<f32>) -> Self {
        Self { spans: request.reads.iter().map(|(span, _)| span.clone()).collect(), state: State::There(values) }
    }

    /// Values of a plan's constants come from the host.
    #[cfg(feature = "webgpu")]
    pub(super) fn coming(request: &Request, plan: &Plan, pending: super::gpu::Pending) -> Self {
        let constant = |(span, read): &(Range<usize>, Read)| match read.at {
            Location::Constant(index) => plan.constants.get(index).map(|value| (span.clone(), value.clone())),
            Location::Slot(_) => None,
        };
        let constants = request.reads.iter().filter_map(constant).collect();
        let spans = request.reads.iter().map(|(span, _)| span.clone()).collect();
        Self { spans, state: State::Coming(pending, constants) }
    }

    /// Whether the values are there. Never waits.
    ///
    /// # Errors
    /// `device-lost`; `internal` where the device refused a command of the run.
    pub fn poll(&mut self) -> Result<bool> {
        match self.poll_with(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result.map(|()| true),
            Poll::Pending => Ok(false),
        }
    }

    /// Waits for the values. In a browser nothing can wait: there it fails unless they have come.
    ///
    /// # Errors
    /// As [`Readback::poll`].
    pub fn wait(&mut self) -> Result<()> {
        #[cfg(feature = "webgpu")]
        if let State::Coming(pending, _) = &self.state {
            pending.block();
        }
        if self.poll()? { Ok(()) } else { Err(Error::internal("values were read before they had come")) }
    }

    /// Resolves when the values are there.
    ///
    /// # Errors
    /// As [`Readback::poll`].
    pub async fn arrived(&mut self) -> Result<()> {
        #[cfg(all(feature = "webgpu", not(target_arch = "wasm32")))]
        if let State::Coming(pending, _) = &self.state {
            pending.block();
        }
        std::future::poll_fn(|cx| self.poll_with(cx)).await
    }

    #[cfg_attr(not(feature = "webgpu"), expect(unused_variables, reason = "the CPU has nothing to wait for"))]
    fn poll_with(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        #[cfg(feature = "webgpu")]
        if let State::Coming(pending, constants) = &mut self.state {
            let mut values = std::task::ready!(pending.poll(cx))?;
            for (span, constant) in constants {
                if let (Some(to), Some(from)) = (values.get_mut(span.clone()), constant.as_f32()) {
                    to.copy_from_slice(from);
                }
            }
            self.state = State::There(values);
        }
        Poll::Ready(Ok(()))
    }

    /// Elements of the value that was asked for at position `index`.
    ///
    /// # Errors
    /// `internal` where the values have not come, or there is no such position.
    pub fn get(&self, index: usize) -> Result<&[f32]> {
        let missing = || Error::internal(format!("value {index} was not asked for, or has not come"));
        match &self.state {
            State::There(values) => {
                let span = self.spans.get(index).ok_or_else(missing)?;
                values.get(span.clone()).ok_or_else(missing)
            }
            #[cfg(feature = "webgpu")]
            State::Coming(..) => Err(missing()),
        }
    }
}

/// The result of what waits for nothing: everything on the CPU, and natively.
///
/// # Errors
/// `internal` where a browser's GPU is awaited.
pub fn at_once<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    match std::pin::pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Error::internal("a browser's GPU is awaited")),
    }
}

/// Copies what is asked for out of a backend whose values lie in memory.
pub(super) fn copied<'a>(request: &Request, mut elements: impl FnMut(Location, usize) -> &'a [f32]) -> Vec<f32> {
    let mut values = Vec::with_capacity(request.len());
    for (_, read) in &request.reads {
        values.extend_from_slice(elements(read.at, read.shape.len()));
    }
    values
}
