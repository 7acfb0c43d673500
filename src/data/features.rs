//! Cached boundary values of a data set: what training, validation and evaluation run on.

mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use half::f16;

use super::rng::{Rng, Stream};
use super::split;
use crate::error::{Error, Result};
use crate::formats::safetensors::FloatType;
use crate::tensor::{Floats, Rows, Shape};

/// Name and shape (without the batch) of one boundary tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureTensor {
    /// Name of the boundary vertex.
    pub name: String,
    /// Shape of one row.
    pub shape: Shape,
}

/// Name of the targets in a file.
const TARGETS: &str = "regraft.targets";

/// Features of `count` rows with their targets. A row is one view of one image; the views of an image lie side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureSet {
    tensors: Vec<FeatureTensor>,
    rows: Vec<Rows>,
    labels: Vec<String>,
    targets: Vec<f32>,
    ids: Vec<String>,
    groups: Vec<Option<u32>>,
    views: usize,
    trunk_key: String,
}

impl FeatureSet {
    /// `count` rows of zeros, to be filled by [`FeatureSet::set`] in any order.
    ///
    /// Kept as `f16`, values round to nearest, those beyond ±65504 to that, and targets round too, so that a saved set
    /// reads back as it was.
    ///
    /// # Errors
    /// `bad-option` where there are no labels or tensors, two of either share a name, or there is no memory of the size.
    pub fn new(
        tensors: Vec<FeatureTensor>,
        count: usize,
        labels: Vec<String>,
        trunk_key: String,
        dtype: FloatType,
    ) -> Result<Self> {
        check_names(&tensors, &labels).map_err(|reason| Error::option("features", reason))?;
        let too_large = || Error::option("features", format!("{count} rows of these do not fit into memory"));
        let rows = tensors
            .iter()
            .map(|t| t.shape.checked_len().and_then(|len| zeroed(len, count, dtype)))
            .collect::<Option<_>>()
            .ok_or_else(too_large)?;
        let targets = count.checked_mul(labels.len()).and_then(zeros).ok_or_else(too_large)?;
        let ids = zeros(count).ok_or_else(too_large)?;
        let groups = zeros(count).ok_or_else(too_large)?;
        Ok(Self { tensors, rows, labels, targets, ids, groups, views: 1, trunk_key })
    }

    /// The same rows, taken as `views` views of each image: row `image · views + view`.
    ///
    /// # Errors
    /// `bad-option` unless `views` is at least 1 and divides the number of rows.
    pub fn with_views(mut self, views: usize) -> Result<Self> {
        if views == 0 || !self.count().is_multiple_of(views) {
            let reason = format!("must be at least 1 and divide the {} rows, not {views}", self.count());
            return Err(Error::option("views", reason));
        }
        self.views = views;
        Ok(self)
    }

    /// Fills row `index`: its label, its id, and the values of all tensors one after the other.
    pub fn set(&mut self, index: usize, label: usize, id: &str, values: &[f32]) -> Result<()> {
        let classes = self.labels.len();
        if label >= classes {
            return Err(Error::option("features", format!("label {label} of {classes}")));
        }
        let mut target = vec![0.0; classes];
        target[label] = 1.0;
        self.set_row(index, &target, id, None, values)
    }

    /// Like [`FeatureSet::set`] with a target of any distribution, and the group that a split keeps on one side.
    ///
    /// # Errors
    /// `bad-option` where a length does not fit, or an entry of the target is negative or not finite.
    pub fn set_row(
        &mut self,
        index: usize,
        target: &[f32],
        id: &str,
        group: Option<u32>,
        values: &[f32],
    ) -> Result<()> {
        let (count, classes) = (self.count(), self.labels.len());
        let expected: usize = self.tensors.iter().map(|t| t.shape.len()).sum();
        if index >= count || target.len() != classes || values.len() != expected {
            let (targets, values) = (target.len(), values.len());
            let reason =
                format!("row {index} of {count}, {targets} of {classes} targets, {values} of {expected} values");
            return Err(Error::option("features", reason));
        }
        if !target.iter().all(|t| is_target(*t)) {
            return Err(Error::option("label", format!("entries are finite and not negative, not {target:?}")));
        }
        let mut rest = values;
        for (tensor, rows) in self.tensors.iter().zip(&mut self.rows) {
            let (row, after) = rest.split_at(tensor.shape.len());
            rest = after;
            match &mut rows.elements {
                Floats::F32(all) => all[index * row.len()..][..row.len()].copy_from_slice(row),
                Floats::F16(all) => all[index * row.len()..].iter_mut().zip(row).for_each(|(y, x)| *y = saturated(*x)),
            }
        }
        let dtype = self.dtype();
        let stored = self.targets[index * classes..].iter_mut().zip(target);
        match dtype {
            FloatType::F32 => stored.for_each(|(y, x)| *y = *x),
            FloatType::F16 => stored.for_each(|(y, x)| *y = saturated(*x).to_f32()),
        }
        self.ids[index] = id.to_owned();
        self.groups[index] = group;
        Ok(())
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// Names and shapes, in the order of the boundary.
    pub fn tensors(&self) -> &[FeatureTensor] {
        &self.tensors
    }

    /// Names of the classes.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// `count × labels`, row-major.
    pub fn targets(&self) -> &[f32] {
        &self.targets
    }

    /// Name of each row.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Group of each row; a split keeps a group on one side.
    pub fn groups(&self) -> &[Option<u32>] {
        &self.groups
    }

    /// Number of images: rows are those of the first image's views, then of the second's, and so on.
    pub fn images(&self) -> usize {
        self.count() / self.views
    }

    /// Views of each image, the plain one (view 0) included.
    pub fn views(&self) -> usize {
        self.views
    }

    /// Bytes that features and targets take.
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(Rows::bytes).sum::<usize>() + size_of_val(self.targets.as_slice())
    }

    /// Key of the trunk that made the features.
    pub fn trunk_key(&self) -> &str {
        &self.trunk_key
    }

    /// How elements are kept.
    pub fn dtype(&self) -> FloatType {
        match self.rows.first().map(|rows| &rows.elements) {
            Some(Floats::F16(_)) => FloatType::F16,
            _ => FloatType::F32,
        }
    }

    /// The given rows of tensor `tensor`, one after the other.
    pub fn gather(&self, tensor: usize, rows: &[usize]) -> Vec<f32> {
        self.rows[tensor].widened(rows)
    }

    /// All rows of each tensor.
    pub fn rows(&self) -> &[Rows] {
        &self.rows
    }

    /// Fails unless the features were made by the trunk of this key.
    pub fn check_trunk(&self, expected: &str) -> Result<()> {
        if self.trunk_key == expected {
            return Ok(());
        }
        Err(Error::StaleFeatures { expected: expected.to_owned(), found: self.trunk_key.clone() })
    }

    /// The rows of the plain views, image by image: what validation and evaluation look at.
    pub fn plain_rows(&self) -> Vec<usize> {
        (0..self.count()).step_by(self.views).collect()
    }

    /// The rows of an epoch: every image once, in order, in a view drawn anew for each epoch, the plain one as likely as any.
    /// An epoch is as long as without augmentation, and its draw needs no other epoch's.
    pub fn epoch_rows(&self, seed: u64, epoch: u64) -> Vec<usize> {
        let mut rng = Rng::for_item(seed, Stream::View, epoch);
        self.plain_rows().into_iter().map(|row| row + rng.below(self.views)).collect()
    }

    /// Whether views were mixed from two images: a target differs from that of the same image's plain view.
    pub fn is_mixed(&self) -> bool {
        let classes = self.labels.len();
        let differs = |image: &[f32]| image.chunks_exact(classes).any(|target| *target != image[..classes]);
        self.targets.chunks_exact(classes * self.views).any(differs)
    }

    /// The given images as a set of their own, with all their views.
    ///
    /// # Errors
    /// `bad-option` for an image that is not there, and for a part of a mixed set: its views show images of other parts.
    pub fn select(&self, images: &[usize]) -> Result<Self> {
        if images.iter().any(|image| *image >= self.images()) {
            return Err(Error::option("features", format!("an image beyond the {} of the set", self.images())));
        }
        let distinct: BTreeSet<&usize> = images.iter().collect();
        if distinct.len() < self.images() && self.is_mixed() {
            let reason = "views are mixed from two images each; split the images before they are featurized";
            return Err(Error::option("features", reason));
        }
        let rows = images.iter().flat_map(|image| image * self.views..(image + 1) * self.views);
        Ok(Self { views: self.views, ..self.subset(&rows.collect::<Vec<_>>()) })
    }

    /// The given rows, with one view an image.
    fn subset(&self, rows: &[usize]) -> Self {
        let classes = self.labels.len();
        Self {
            tensors: self.tensors.clone(),
            rows: self.rows.iter().map(|all| all.pick(rows)).collect(),
            labels: self.labels.clone(),
            targets: rows.iter().flat_map(|r| &self.targets[r * classes..][..classes]).copied().collect(),
            ids: rows.iter().map(|r| self.ids[*r].clone()).collect(),
            groups: rows.iter().map(|r| self.groups[*r]).collect(),
            views: 1,
            trunk_key: self.trunk_key.clone(),
        }
    }

    /// Largest entry of the target of each image's plain view.
    pub fn image_labels(&self) -> Vec<usize> {
        let classes = self.labels.len();
        let label = |row: &[f32]| (1..classes).fold(0, |best, c| if row[c] > row[best] { c } else { best });
        self.targets.chunks_exact(classes).step_by(self.views).map(label).collect()
    }

    /// Group of each image.
    pub fn image_groups(&self) -> Vec<Option<u32>> {
        self.groups.iter().step_by(self.views).copied().collect()
    }

    /// Two sets, the first with about `fraction` of the images; see [`split`]. The views of an image stay together, and
    /// an image's label is the largest entry of its plain view's target.
    ///
    /// # Errors
    /// As [`split`] and [`FeatureSet::select`].
    pub fn split(&self, fraction: f64, seed: u64, stratified: bool) -> Result<(Self, Self)> {
        let sides = split(&self.image_labels(), &self.image_groups(), fraction, stratified, seed)?;
        Ok((self.select(&sides.train)?, self.select(&sides.test)?))
    }
}

/// Values as a set keeps them.
fn kept(len: usize, values: Vec<f32>, dtype: FloatType) -> Rows {
    let elements = match dtype {
        FloatType::F32 => Floats::F32(values),
        FloatType::F16 => Floats::F16(values.into_iter().map(saturated).collect()),
    };
    Rows { len, elements }
}

/// `count` rows of zeros, or `None` where there is no memory for them.
fn zeroed(len: usize, count: usize, dtype: FloatType) -> Option<Rows> {
    let all = len.checked_mul(count)?;
    let elements = match dtype {
        FloatType::F32 => zeros(all).map(Floats::F32),
        FloatType::F16 => zeros(all).map(Floats::F16),
    };
    Some(Rows { len, elements: elements? })
}

/// `len` default values, or `None` where there is no memory for them.
fn zeros<T: Clone + Default>(len: usize) -> Option<Vec<T>> {
    let mut all = Vec::new();
    all.try_reserve_exact(len).ok()?;
    all.resize(len, T::default());
    Some(all)
}

/// Nearest `f16`; what is beyond its range becomes its largest value.
fn saturated(x: f32) -> f16 {
    f16::from_f32(x).clamp(f16::MIN, f16::MAX)
}

fn is_target(t: f32) -> bool {
    t.is_finite() && t >= 0.0
}

fn check_names(tensors: &[FeatureTensor], labels: &[String]) -> Result<(), String> {
    let names: BTreeSet<&str> = tensors.iter().map(|t| t.name.as_str()).chain([TARGETS]).collect();
    if labels.is_empty() || tensors.is_empty() {
        return Err("there must be a label and a tensor at least".to_owned());
    }
    if names.len() <= tensors.len() || labels.iter().collect::<BTreeSet<_>>().len() < labels.len() {
        return Err(format!("two tensors or labels share a name, or a tensor is called {TARGETS}"));
    }
    Ok(())
}
