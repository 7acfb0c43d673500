//! Finding vertices by name, and making names that are free.

use super::{Graph, VertexId};
use crate::error::{Error, Result};

const SUGGESTIONS: usize = 3;

impl Graph {
    /// The vertex of this name.
    pub fn find(&self, name: &str) -> Option<VertexId> {
        self.by_name.get(name).copied()
    }

    /// The vertex of this name, or `unknown-vertex` with the nearest names.
    pub fn require(&self, name: &str) -> Result<VertexId> {
        self.find(name).ok_or_else(|| Error::UnknownVertex { name: name.to_owned(), nearest: self.nearest(name) })
    }

    /// `base`, or `base_1`, `base_2`, … whichever is free first.
    pub fn free_name(&self, base: &str) -> String {
        if !self.by_name.contains_key(base) {
            return base.to_owned();
        }
        let mut n = 1;
        loop {
            let name = format!("{base}_{n}");
            if !self.by_name.contains_key(&name) {
                return name;
            }
            n += 1;
        }
    }

    /// Visible names close to the given one: by edit distance, at most half of its length.
    fn nearest(&self, name: &str) -> Vec<String> {
        let limit = name.chars().count().div_ceil(2);
        let mut candidates: Vec<_> = self
            .iter()
            .filter(|(_, v)| !v.is_stored() && v.layer.is_none())
            .map(|(_, v)| (edit_distance(name, &v.name), v.name.as_str()))
            .filter(|(distance, _)| *distance <= limit)
            .collect();
        candidates.sort_unstable();
        candidates.into_iter().take(SUGGESTIONS).map(|(_, n)| n.to_owned()).collect()
    }
}

/// Levenshtein distance, one row at a time (Wagner & Fischer 1974).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
