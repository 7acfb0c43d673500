//! Which samples train and which test, on indices alone.
//!
//! Everything here depends on the seed and on the order of the samples: sort them by id first and the order in which
//! files were found does not matter.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::rng::{Rng, Stream};
use crate::error::{Error, Result};

/// Two disjoint lists of sample indices, each ascending, that together name every sample once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Samples to train on.
    pub train: Vec<usize>,
    /// Samples held out.
    pub test: Vec<usize>,
}

/// The distinct labels in the order of their Unicode code points, and the index of each sample's label among them.
pub fn sorted_labels<T: AsRef<str>>(labels: &[T]) -> (Vec<String>, Vec<usize>) {
    let mut index: BTreeMap<&str, usize> = labels.iter().map(|l| (l.as_ref(), 0)).collect();
    index.values_mut().enumerate().for_each(|(i, position)| *position = i);
    let positions = labels.iter().filter_map(|l| index.get(l.as_ref()).copied()).collect();
    (index.into_keys().map(str::to_owned).collect(), positions)
}

/// Splits so that about `train_fraction`, in (0, 1), of the samples train; the rest is held out.
///
/// `labels` has the label index of each sample. `groups` is empty or has a group id for each sample: samples of one
/// group stay on one side.
///
/// Rounding: the share of training samples among the labels up to and including each one is rounded, half up, and a label
/// gets the difference to the one before it, so that the total is that of the whole set and no label is off by one or
/// more. Stratified, a label of two groups or more (a sample without a group is its own) then gets at least one on each
/// side, one of a single group trains. Groups are placed largest first, each on the side that it brings nearest to its
/// number; groups that hold several labels can make that number, and a label on each side, impossible.
/// Without `stratified`, labels are ignored.
pub fn split(
    labels: &[usize],
    groups: &[Option<u32>],
    train_fraction: f64,
    stratified: bool,
    seed: u64,
) -> Result<Split> {
    if !(train_fraction > 0.0 && train_fraction < 1.0) {
        let reason = format!("must lie between 0 and 1, not {train_fraction}");
        return Err(Error::option("trainFraction", reason));
    }
    let classes = if stratified { dense(labels) } else { vec![0; labels.len()] };
    let units = units(&classes, groups)?;
    let share = |samples: i64| (samples as f64 * train_fraction + 0.5).floor() as i64;
    let mut before = 0;
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (samples, holders) in class_sizes(&units) {
        let wanted = share(before + samples) - share(before);
        let wanted = if holders < 2 { samples } else { wanted.clamp(1, samples - 1) };
        train.push(wanted);
        test.push(samples - wanted);
        before += samples;
    }
    let mut sides = assign(units, vec![train, test], seed).into_iter();
    let mut next = || sides.next().unwrap_or_default();
    Ok(Split { train: next(), test: next() })
}

/// As many samples of each label that occurs as its rarest label has, at most `per_label`; ascending indices.
pub fn balanced(labels: &[usize], per_label: Option<usize>, seed: u64) -> Result<Vec<usize>> {
    if per_label == Some(0) {
        return Err(Error::option("perLabel", "must be at least 1"));
    }
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (sample, &label) in labels.iter().enumerate() {
        members.entry(label).or_default().push(sample);
    }
    let rarest = members.values().map(Vec::len).min().unwrap_or(0);
    let keep = per_label.map_or(rarest, |cap| cap.min(rarest));
    let mut rng = Rng::new(seed, Stream::Split);
    let mut kept = Vec::with_capacity(keep * members.len());
    for samples in members.values_mut() {
        rng.shuffle(samples);
        kept.extend(samples.iter().take(keep));
    }
    kept.sort_unstable();
    Ok(kept)
}

/// `k` stratified splits, each sample held out in one of them. `labels` and `groups` as for [`split`].
///
/// Without groups, the numbers of a label's samples in two folds differ by at most one, and so do the folds' sizes.
/// [`Error::BadOption`] unless `k` is at least 2 and at most the number of groups.
pub fn folds(labels: &[usize], groups: &[Option<u32>], k: usize, seed: u64) -> Result<Vec<Split>> {
    let units = units(&dense(labels), groups)?;
    if k < 2 || k > units.len() {
        let reason = format!("must be 2 to {}, the number of groups, not {k}", units.len());
        return Err(Error::option("k", reason));
    }
    // Samples sorted by label are dealt to the folds in turn, as scikit-learn's StratifiedKFold does.
    let mut targets = vec![Vec::new(); k];
    let mut before = 0;
    for (samples, _) in class_sizes(&units) {
        for (fold, targets) in targets.iter_mut().enumerate() {
            let dealt = |samples: i64| (samples + (k - 1 - fold) as i64) / k as i64;
            targets.push(dealt(before + samples) - dealt(before));
        }
        before += samples;
    }
    let held_out = assign(units, targets, seed);
    let mut fold_of = vec![0; labels.len()];
    for (fold, samples) in held_out.iter().enumerate() {
        samples.iter().for_each(|&sample| fold_of[sample] = fold);
    }
    let without = |fold| (0..labels.len()).filter(|&sample| fold_of[sample] != fold).collect();
    let numbered = held_out.into_iter().enumerate();
    Ok(numbered.map(|(fold, test)| Split { train: without(fold), test }).collect())
}

/// Samples that stay together, with how many of them each class has.
struct Unit {
    samples: Vec<usize>,
    classes: BTreeMap<usize, i64>,
}

/// The labels renumbered 0, 1, ... without gaps, in the same order.
fn dense(labels: &[usize]) -> Vec<usize> {
    let mut distinct = labels.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    labels.iter().map(|label| distinct.partition_point(|d| d < label)).collect()
}

fn units(classes: &[usize], groups: &[Option<u32>]) -> Result<Vec<Unit>> {
    if !groups.is_empty() && groups.len() != classes.len() {
        let (groups, samples) = (groups.len(), classes.len());
        return Err(Error::internal(format!("{groups} group ids for {samples} samples")));
    }
    let mut units: Vec<Unit> = Vec::new();
    let mut unit_of_group = BTreeMap::new();
    for (sample, &class) in classes.iter().enumerate() {
        let new = units.len();
        let group = groups.get(sample).copied().flatten();
        let unit = group.map_or(new, |group| *unit_of_group.entry(group).or_insert(new));
        if unit == new {
            units.push(Unit { samples: Vec::new(), classes: BTreeMap::new() });
        }
        units[unit].samples.push(sample);
        *units[unit].classes.entry(class).or_insert(0) += 1;
    }
    Ok(units)
}

/// Samples of each class, and units that hold any.
fn class_sizes(units: &[Unit]) -> Vec<(i64, usize)> {
    let mut sizes = Vec::new();
    for (&class, &samples) in units.iter().flat_map(|unit| &unit.classes) {
        if sizes.len() <= class {
            sizes.resize(class + 1, (0, 0));
        }
        sizes[class].0 += samples;
        sizes[class].1 += 1;
    }
    sizes
}

/// A side that is being filled: per class, samples wanted and samples still missing (negative when there are too many).
struct Side {
    wanted: Vec<i64>,
    missing: Vec<i64>,
    samples: Vec<usize>,
}

impl Side {
    /// Wants the class and has none of it.
    fn lacks(&self, class: usize) -> bool {
        self.wanted[class] > 0 && self.missing[class] == self.wanted[class]
    }

    /// By how much the side's distance from its numbers grows with the unit, and the share of its numbers it misses.
    fn distance(&self, unit: &Unit) -> (i64, f64) {
        let mut growth = 0;
        let mut need = 0.0;
        for (&class, &samples) in &unit.classes {
            let (wanted, missing) = (self.wanted[class], self.missing[class]);
            growth += (missing - samples).abs() - missing.abs();
            need += samples as f64 * missing as f64 / wanted.max(1) as f64;
        }
        (growth, need)
    }

    fn take(&mut self, unit: Unit) {
        for (class, samples) in unit.classes {
            self.missing[class] -= samples;
        }
        self.samples.extend(unit.samples);
    }
}

/// Places units, in random order but larger ones first, on the sides; returns each side's samples, ascending.
fn assign(mut units: Vec<Unit>, wanted: Vec<Vec<i64>>, seed: u64) -> Vec<Vec<usize>> {
    let mut left: Vec<usize> = class_sizes(&units).iter().map(|&(_, holders)| holders).collect();
    Rng::new(seed, Stream::Split).shuffle(&mut units);
    units.sort_by_key(|unit| Reverse(unit.samples.len()));
    let mut sides: Vec<Side> =
        wanted.into_iter().map(|wanted| Side { missing: wanted.clone(), wanted, samples: Vec::new() }).collect();
    for unit in units {
        // Classes whose remaining units are all needed by sides that lack the class.
        let scarce: Vec<usize> = unit
            .classes
            .keys()
            .copied()
            .filter(|&class| left[class] <= sides.iter().filter(|side| side.lacks(class)).count())
            .collect();
        unit.classes.keys().for_each(|&class| left[class] -= 1);
        let rank = |side: &Side| {
            let wasted = scarce.iter().filter(|&&class| !side.lacks(class)).count();
            let (growth, need) = side.distance(&unit);
            (wasted, growth, need)
        };
        let best = sides.iter_mut().min_by(|a, b| {
            let (a, b) = (rank(a), rank(b));
            (a.0, a.1).cmp(&(b.0, b.1)).then(b.2.total_cmp(&a.2))
        });
        if let Some(side) = best {
            side.take(unit);
        }
    }
    sides.iter_mut().for_each(|side| side.samples.sort_unstable());
    sides.into_iter().map(|side| side.samples).collect()
}

#[cfg(test)]
mod tests;
