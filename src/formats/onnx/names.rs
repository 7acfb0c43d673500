//! Names that are used once.

use std::collections::{HashMap, HashSet};

/// Names that are taken, and free ones.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    next: HashMap<String, usize>,
}

impl Names {
    /// `base`, or `base_1`, `base_2`, … whichever is free first; it is taken from now on.
    pub(super) fn unique(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        let next = self.next.entry(name.clone()).or_default();
        while !self.taken.insert(name.clone()) {
            *next += 1;
            name = format!("{base}_{next}");
        }
        name
    }
}
