//! Cached boundary values of a data set: what training, validation and evaluation run on.

use std::collections::BTreeMap;

use half::f16;

use super::split;
use crate::error::{Error, Result};
use crate::formats::safetensors::{self, FloatType};
use crate::tensor::{Data, Shape, Tensor};

/// Name and shape (without the batch) of one boundary tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureTensor {
    /// Name of the boundary vertex.
    pub name: String,
    /// Shape of one row.
    pub shape: Shape,
}

/// Elements as they are kept.
#[derive(Debug, Clone, PartialEq)]
enum Rows {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

/// Features of `count` rows with their targets.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureSet {
    tensors: Vec<FeatureTensor>,
    rows: Vec<Rows>,
    labels: Vec<String>,
    targets: Vec<f32>,
    ids: Vec<String>,
    trunk_key: String,
}

const FORMAT: &str = "features";
const TARGETS: &str = "regraft.targets";

impl FeatureSet {
    /// `count` rows of zeros, to be filled by [`FeatureSet::set`].
    ///
    /// # Errors
    /// `bad-option` where there are no labels or the sizes overflow.
    pub fn new(
        tensors: Vec<FeatureTensor>,
        count: usize,
        labels: Vec<String>,
        trunk_key: String,
        dtype: FloatType,
    ) -> Result<Self> {
        let too_large = || Error::option("count", format!("{count} rows of these features cannot be addressed"));
        if labels.is_empty() || tensors.is_empty() {
            return Err(Error::option("labels", "features need at least one label and one tensor"));
        }
        let zeros = |len: usize| match dtype {
            FloatType::F32 => Rows::F32(vec![0.0; len]),
            FloatType::F16 => Rows::F16(vec![f16::ZERO; len]),
        };
        let rows = tensors
            .iter()
            .map(|t| t.shape.checked_len().and_then(|len| len.checked_mul(count)).map(zeros).ok_or_else(too_large))
            .collect::<Result<_>>()?;
        let targets = vec![0.0; count.checked_mul(labels.len()).ok_or_else(too_large)?];
        Ok(Self { tensors, rows, labels, targets, ids: vec![String::new(); count], trunk_key })
    }

    /// Fills row `index`: its label, its id, and the values of all tensors one after the other.
    pub fn set(&mut self, index: usize, label: usize, id: &str, values: &[f32]) -> Result<()> {
        let expected: usize = self.tensors.iter().map(|t| t.shape.len()).sum();
        if index >= self.count() || label >= self.labels.len() || values.len() != expected {
            let reason = format!(
                "row {index} of {}, label {label} of {}, {} of {expected} values",
                self.count(),
                self.labels.len(),
                values.len()
            );
            return Err(Error::option("features", reason));
        }
        let mut rest = values;
        for (tensor, rows) in self.tensors.iter().zip(&mut self.rows) {
            let (row, after) = rest.split_at(tensor.shape.len());
            rest = after;
            rows.write(index * row.len(), row);
        }
        let classes = self.labels.len();
        let target = &mut self.targets[index * classes..][..classes];
        target.fill(0.0);
        target[label] = 1.0;
        self.ids[index] = id.to_owned();
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

    /// Key of the trunk that made the features.
    pub fn trunk_key(&self) -> &str {
        &self.trunk_key
    }

    /// How elements are kept.
    pub fn dtype(&self) -> FloatType {
        match self.rows.first() {
            Some(Rows::F16(_)) => FloatType::F16,
            _ => FloatType::F32,
        }
    }

    /// The given rows of tensor `tensor`, one after the other.
    pub fn gather(&self, tensor: usize, rows: &[usize]) -> Vec<f32> {
        let len = self.tensors[tensor].shape.len();
        let mut all = Vec::with_capacity(rows.len() * len);
        for &row in rows {
            match &self.rows[tensor] {
                Rows::F32(values) => all.extend_from_slice(&values[row * len..][..len]),
                Rows::F16(values) => all.extend(values[row * len..][..len].iter().map(|v| v.to_f32())),
            }
        }
        all
    }

    /// Fails unless the features were made by the trunk of this key.
    pub fn check_trunk(&self, expected: &str) -> Result<()> {
        if self.trunk_key == expected {
            return Ok(());
        }
        Err(Error::StaleFeatures { expected: expected.to_owned(), found: self.trunk_key.clone() })
    }

    /// The given rows as a set of their own.
    pub fn subset(&self, rows: &[usize]) -> Self {
        let classes = self.labels.len();
        let pick = |tensor: usize| {
            let len = self.tensors[tensor].shape.len();
            match &self.rows[tensor] {
                Rows::F32(v) => Rows::F32(rows.iter().flat_map(|r| &v[r * len..][..len]).copied().collect()),
                Rows::F16(v) => Rows::F16(rows.iter().flat_map(|r| &v[r * len..][..len]).copied().collect()),
            }
        };
        Self {
            tensors: self.tensors.clone(),
            rows: (0..self.tensors.len()).map(pick).collect(),
            labels: self.labels.clone(),
            targets: rows.iter().flat_map(|r| &self.targets[r * classes..][..classes]).copied().collect(),
            ids: rows.iter().map(|r| self.ids[*r].clone()).collect(),
            trunk_key: self.trunk_key.clone(),
        }
    }

    /// Two sets, the first with about `fraction` of the rows; see [`split`].
    pub fn split(&self, fraction: f64, seed: u64, stratified: bool) -> Result<(Self, Self)> {
        let classes = self.labels.len();
        let label = |row: &[f32]| (1..classes).fold(0, |best, c| if row[c] > row[best] { c } else { best });
        let labels: Vec<usize> = self.targets.chunks_exact(classes).map(label).collect();
        let sides = split(&labels, &vec![None; labels.len()], fraction, stratified, seed)?;
        Ok((self.subset(&sides.train), self.subset(&sides.test)))
    }

    /// The features as safetensors bytes.
    pub fn save(&self) -> Result<Vec<u8>> {
        let all: Vec<usize> = (0..self.count()).collect();
        let mut tensors = Vec::with_capacity(self.tensors.len() + 1);
        for (index, tensor) in self.tensors.iter().enumerate() {
            let shape: Vec<usize> = [self.count()].iter().chain(tensor.shape.iter()).copied().collect();
            tensors.push((tensor.name.clone(), Tensor::f32(shape, self.gather(index, &all))?));
        }
        let targets = Tensor::f32([self.count(), self.labels.len()], self.targets.clone())?;
        tensors.push((TARGETS.to_owned(), targets));
        let order: Vec<&str> = self.tensors.iter().map(|t| t.name.as_str()).collect();
        let metadata = BTreeMap::from([
            ("regraft.features".to_owned(), to_json(&order)?),
            ("regraft.labels".to_owned(), to_json(&self.labels)?),
            ("regraft.ids".to_owned(), to_json(&self.ids)?),
            ("regraft.trunk".to_owned(), self.trunk_key.clone()),
        ]);
        let named: Vec<(String, &Tensor)> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
        safetensors::write(&named, &metadata, self.dtype())
    }

    /// Reads what [`FeatureSet::save`] wrote. Elements are kept as `f32`.
    pub fn load(bytes: &[u8]) -> Result<Self> {
        let (tensors, metadata) = safetensors::read(bytes)?;
        let mut tensors: BTreeMap<String, Tensor> = tensors.into_iter().collect();
        let order: Vec<String> = field(&metadata, "regraft.features")?;
        let labels: Vec<String> = field(&metadata, "regraft.labels")?;
        let ids: Vec<String> = field(&metadata, "regraft.ids")?;
        let trunk_key = metadata.get("regraft.trunk").cloned().ok_or_else(|| missing("regraft.trunk"))?;
        let mut take = |name: &str| tensors.remove(name).ok_or_else(|| missing(name));
        let targets = take(TARGETS)?;
        if **targets.shape() != [ids.len(), labels.len()] || labels.is_empty() || order.is_empty() {
            return Err(Error::format(FORMAT, format!("targets of {} do not fit ids and labels", targets.shape())));
        }
        let (mut infos, mut rows) = (Vec::new(), Vec::new());
        for name in order {
            let tensor = take(&name)?;
            match (tensor.shape().split_first(), tensor.data()) {
                (Some((count, shape)), Data::F32(values)) if *count == ids.len() => {
                    infos.push(FeatureTensor { shape: shape.into(), name });
                    rows.push(Rows::F32(values.clone()));
                }
                _ => return Err(Error::format(FORMAT, format!("'{name}' does not hold {} rows of floats", ids.len()))),
            }
        }
        let targets = targets.into_f32().ok_or_else(|| Error::format(FORMAT, "targets are no floats"))?;
        Ok(Self { tensors: infos, rows, labels, targets, ids, trunk_key })
    }
}

impl Rows {
    fn write(&mut self, at: usize, values: &[f32]) {
        match self {
            Self::F32(all) => all[at..][..values.len()].copy_from_slice(values),
            Self::F16(all) => {
                all[at..].iter_mut().zip(values).for_each(|(y, x)| *y = f16::from_f32(*x));
            }
        }
    }
}

fn field<T: serde::de::DeserializeOwned>(metadata: &BTreeMap<String, String>, name: &str) -> Result<T> {
    let text = metadata.get(name).ok_or_else(|| missing(name))?;
    serde_json::from_str(text).map_err(|e| Error::format(FORMAT, format!("{name}: {e}")))
}

fn missing(name: &str) -> Error {
    Error::format(FORMAT, format!("'{name}' is missing"))
}

fn to_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::internal(e.to_string()))
}
