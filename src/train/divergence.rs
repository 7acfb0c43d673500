//! What happens when values stop being numbers.

use super::options::{Divergence, StoppedBy};
use super::trainer::Trainer;
use crate::backend::Device;
use crate::error::Result;

impl Trainer {
    /// Goes back to the last good epoch and repeats the updates since, up to `last`, looking at every value, to find where it
    /// began. The CPU does this, as it runs step by step.
    pub(super) async fn diverge(&mut self, last: u64) -> Result<()> {
        if !self.program.backend.lies_in_memory() {
            self.place_on(&Device::Cpu)?;
        }
        self.forget_pending();
        let (position, snapshot) = (self.good.position, self.good.snapshot.clone());
        self.program.restore(&snapshot)?;
        self.progress.position = position;
        let mut found = None;
        while found.is_none() && self.progress.position.iteration <= last {
            if self.progress.position.cursor >= self.order.len() {
                break;
            }
            let rows = self.feed().await?;
            found = self.program.backend.run_checked()?;
            self.progress.position.cursor += rows;
            self.progress.position.iteration += u64::from(found.is_none());
        }
        let iteration = self.progress.position.iteration.min(last);
        let vertex = found.map_or_else(String::new, |name| self.visible(&name));
        self.divergence = Some(Divergence { iteration, vertex });
        self.stopped = Some(StoppedBy::Diverged);
        self.progress.position = position;
        self.program.restore(&snapshot)
    }

    /// The vertex of the tail that a vertex of the step was made for.
    fn visible(&self, name: &str) -> String {
        let belongs = |v: &str| name.strip_prefix(v).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let names = self.tail.iter().map(|(_, v)| v.name.as_str());
        let found = names.filter(|v| belongs(v)).max_by_key(|v| v.len()).and_then(|v| self.tail.find(v));
        let Some(vertex) = found.map(|id| self.tail.get(id)) else { return name.to_owned() };
        let layer = self.program.layer_of.get(&vertex.name).or(vertex.layer.as_ref());
        layer.unwrap_or(&vertex.name).clone()
    }
}
