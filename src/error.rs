//! The one error type of the crate. Every variant has a stable code, the `ErrorCode` of the JavaScript API.

use crate::tensor::Shape;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, and at which vertex.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not a well-formed file of the format.
    #[error("not a readable {format} file: {reason}")]
    Format {
        /// Name of the format, e.g. `onnx`.
        format: &'static str,
        /// What the reader expected and what it met.
        reason: String,
    },
    /// The file uses operators the engine does not have; all of them are listed at once.
    #[error("unsupported operators: {}", list_ops(.0))]
    UnsupportedOp(Vec<UnsupportedOp>),
    /// Types of a vertex's inputs do not fit its op.
    #[error("vertex '{vertex}' ({op}): {reason}; inputs {}", list_shapes(.inputs))]
    Shape {
        /// Name of the vertex.
        vertex: String,
        /// Name of the op.
        op: &'static str,
        /// What does not fit.
        reason: String,
        /// Shapes of all inputs, in order.
        inputs: Vec<Shape>,
    },
    /// No vertex has this name.
    #[error("no vertex is called '{name}'{}", did_you_mean(.nearest))]
    UnknownVertex {
        /// The name asked for.
        name: String,
        /// Existing names that are close to it, best first.
        nearest: Vec<String>,
    },
    /// Two edits contradict each other, or an edit leaves the graph without meaning.
    #[error("vertex '{vertex}': {reason}")]
    Conflict {
        /// Name of the vertex.
        vertex: String,
        /// Why the edits cannot both hold.
        reason: String,
    },
    /// The work would need more memory than the budget allows.
    #[error("needs {needed} bytes, the budget is {budget}")]
    OverBudget {
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        budget: u64,
    },
    /// An op has no kernel for the GPU; the graph runs on the CPU.
    #[error("vertex '{vertex}' ({op}): there is no kernel for the GPU")]
    NoKernel {
        /// Name of the vertex.
        vertex: String,
        /// Name of the op.
        op: &'static str,
    },
    /// There is no WebGPU, or no adapter or device of it.
    #[error("no GPU: {reason}")]
    NoGpu {
        /// What was asked for and not given.
        reason: String,
    },
    /// The GPU has no memory left for what was to be made on it.
    #[error("the GPU has no memory left")]
    GpuMemory,
    /// The GPU went away; what was on it is gone.
    #[error("the GPU was lost: {reason}")]
    DeviceLost {
        /// What the driver or browser says.
        reason: String,
    },
    /// Another call is at work on the same object.
    #[error("another call is under way: await it first")]
    Busy,
    /// Cached features were made by another trunk or preprocessing.
    #[error("features were made by trunk {found}, this model's trunk is {expected}")]
    StaleFeatures {
        /// Key of this model's trunk.
        expected: String,
        /// Key stored with the features.
        found: String,
    },
    /// A file was changed since it was written.
    #[error("the file was changed since it was written: its SHA-256 is {found}, it says {expected}")]
    Integrity {
        /// The digest in the file.
        expected: String,
        /// The digest of its bytes.
        found: String,
    },
    /// Pixels that do not form an image.
    #[error("not a usable image: {reason}")]
    BadImage {
        /// What is wrong with it.
        reason: String,
    },
    /// An option has a value outside its range, or two options do not go together.
    #[error("option '{option}': {reason}")]
    BadOption {
        /// Name of the option as the API spells it.
        option: &'static str,
        /// What is allowed, and what was given.
        reason: String,
    },
    /// A defect of this crate.
    #[error("internal error{}: {reason}", at_vertex(.vertex))]
    Internal {
        /// Vertex at work, if any.
        vertex: Option<String>,
        /// The broken assumption.
        reason: String,
    },
}

/// An operator of a file that the engine does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsupportedOp {
    /// Operator type as the file spells it.
    pub op: String,
    /// Name of the node.
    pub vertex: String,
}

impl Error {
    /// Stable code, equal to `ErrorCode` of the JavaScript API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Format { .. } => "format",
            Self::UnsupportedOp(_) => "unsupported-op",
            Self::Shape { .. } => "shape",
            Self::UnknownVertex { .. } => "unknown-vertex",
            Self::Conflict { .. } => "conflict",
            Self::OverBudget { .. } | Self::GpuMemory => "over-budget",
            Self::NoKernel { .. } | Self::NoGpu { .. } => "no-gpu",
            Self::DeviceLost { .. } => "device-lost",
            Self::Busy => "busy",
            Self::StaleFeatures { .. } => "stale-features",
            Self::Integrity { .. } => "integrity",
            Self::BadImage { .. } => "bad-image",
            Self::BadOption { .. } => "bad-option",
            Self::Internal { .. } => "internal",
        }
    }

    /// The vertex the error is about.
    pub fn vertex(&self) -> Option<&str> {
        match self {
            Self::Shape { vertex, .. } | Self::Conflict { vertex, .. } | Self::NoKernel { vertex, .. } => Some(vertex),
            Self::UnknownVertex { name, .. } => Some(name),
            Self::UnsupportedOp(ops) => ops.first().map(|o| o.vertex.as_str()),
            Self::Internal { vertex, .. } => vertex.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn format(format: &'static str, reason: impl Into<String>) -> Self {
        Self::Format { format, reason: reason.into() }
    }

    pub(crate) fn option(option: &'static str, reason: impl Into<String>) -> Self {
        Self::BadOption { option, reason: reason.into() }
    }

    pub(crate) fn conflict(vertex: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Conflict { vertex: vertex.into(), reason: reason.into() }
    }

    pub(crate) fn internal(reason: impl Into<String>) -> Self {
        Self::Internal { vertex: None, reason: reason.into() }
    }
}

/// Why an op refuses its inputs; the graph adds the vertex and the shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpError(pub String);

impl OpError {
    /// Wraps a reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// Returns an [`OpError`] from the enclosing function unless the condition holds.
macro_rules! ensure_op {
    ($condition:expr, $($reason:tt)+) => {{
        let holds: bool = $condition;
        if !holds {
            return Err($crate::error::OpError::new(format!($($reason)+)));
        }
    }};
}
pub(crate) use ensure_op;

fn list_ops(ops: &[UnsupportedOp]) -> String {
    let all: Vec<_> = ops.iter().map(|o| format!("{} ('{}')", o.op, o.vertex)).collect();
    all.join(", ")
}

fn list_shapes(shapes: &[Shape]) -> String {
    let all: Vec<_> = shapes.iter().map(ToString::to_string).collect();
    all.join(", ")
}

fn did_you_mean(nearest: &[String]) -> String {
    if nearest.is_empty() {
        return String::new();
    }
    format!("; did you mean '{}'?", nearest.join("', '"))
}

fn at_vertex(vertex: &Option<String>) -> String {
    vertex.as_ref().map(|v| format!(" at vertex '{v}'")).unwrap_or_default()
}
