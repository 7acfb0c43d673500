//! What happens when values stop being numbers.

use super::options::{Divergence, StoppedBy};
use super::trainer::Trainer;
use crate::error::Result;

impl Trainer {
    /// Goes back to the last good epoch and repeats the updates since, looking at every value, to find where it began.
    pub(super) fn diverge(&mut self) -> Result<()> {
        let last = self.progress.position.iteration;
        let (position, snapshot) = self.good.clone();
        self.program.restore(&snapshot)?;
        self.progress.position = position;
        let mut found = None;
        while found.is_none() && self.progress.position.iteration <= last {
            if self.progress.position.cursor >= self.order.len() {
                break;
            }
            let rows = self.feed()?;
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
