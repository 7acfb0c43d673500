//! Which backend is faster on this machine.

/// The backend chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// `BackendName` of the JavaScript API.
    pub backend: &'static str,
    /// Shown to the user as `device.reason`.
    pub reason: String,
}

/// Chooses a backend. This build has the CPU backend alone, so there is nothing to time.
pub fn choose() -> Choice {
    Choice { backend: "cpu", reason: "this build has no WebGPU backend".into() }
}
