//! Feature sets as safetensors files.

use std::collections::BTreeMap;

use super::{FeatureSet, FeatureTensor, TARGETS, check_names, is_target, kept};
use crate::error::{Error, Result};
use crate::formats::safetensors::{self, FloatType};
use crate::tensor::{Shape, Tensor};

/// Name of the format in errors.
const FORMAT: &str = "features";

/// What the file says beside its tensors, each as JSON but the trunk.
const ORDER: &str = "regraft.features";
const LABELS: &str = "regraft.labels";
const IDS: &str = "regraft.ids";
const GROUPS: &str = "regraft.groups";
const VIEWS: &str = "regraft.views";
const DTYPE: &str = "regraft.dtype";
const TRUNK: &str = "regraft.trunk";

impl FeatureSet {
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
        let dtype = match self.dtype() {
            FloatType::F32 => "f32",
            FloatType::F16 => "f16",
        };
        let order: Vec<&str> = self.tensors.iter().map(|t| t.name.as_str()).collect();
        let metadata = BTreeMap::from([
            (ORDER.to_owned(), to_json(&order)?),
            (LABELS.to_owned(), to_json(&self.labels)?),
            (IDS.to_owned(), to_json(&self.ids)?),
            (GROUPS.to_owned(), to_json(&self.groups)?),
            (VIEWS.to_owned(), to_json(&self.views)?),
            (DTYPE.to_owned(), to_json(&dtype)?),
            (TRUNK.to_owned(), self.trunk_key.clone()),
        ]);
        let named: Vec<(String, &Tensor)> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
        safetensors::write(&named, &metadata, self.dtype())
    }

    /// Reads what [`FeatureSet::save`] wrote.
    ///
    /// # Errors
    /// `format` for other files, and where parts do not fit each other or a number is not finite.
    pub fn load(bytes: &[u8]) -> Result<Self> {
        let (tensors, metadata) = safetensors::read(bytes)?;
        let mut tensors: BTreeMap<String, Tensor> = tensors.into_iter().collect();
        let order: Vec<String> = field(&metadata, ORDER)?;
        let labels: Vec<String> = field(&metadata, LABELS)?;
        let ids: Vec<String> = field(&metadata, IDS)?;
        let groups: Vec<Option<u32>> = field(&metadata, GROUPS)?;
        let dtype = match field::<String>(&metadata, DTYPE)?.as_str() {
            "f32" => FloatType::F32,
            "f16" => FloatType::F16,
            other => return Err(bad(format!("{DTYPE} is '{other}'"))),
        };
        let trunk_key = metadata.get(TRUNK).cloned().ok_or_else(|| missing(TRUNK))?;
        let mut take = |name: &str, shape: Option<&[usize]>| -> Result<(Shape, Vec<f32>)> {
            let tensor = tensors.remove(name).ok_or_else(|| missing(name))?;
            let found = tensor.shape().clone();
            let fits = shape.map_or(found.first() == Some(&ids.len()), |shape| *found == *shape);
            let values = tensor.into_f32().filter(|_| fits);
            let values = values.ok_or_else(|| bad(format!("'{name}' does not hold {} rows of floats", ids.len())))?;
            if !values.iter().all(|x| x.is_finite()) {
                return Err(bad(format!("'{name}' has values that are not finite")));
            }
            Ok((found, values))
        };
        let (_, targets) = take(TARGETS, Some(&[ids.len(), labels.len()]))?;
        if groups.len() != ids.len() || !targets.iter().all(|t| is_target(*t)) {
            return Err(bad("groups or targets are not those of the rows"));
        }
        let (mut infos, mut rows) = (Vec::new(), Vec::new());
        for name in order {
            let (shape, values) = take(&name, None)?;
            let shape: Shape = shape.iter().skip(1).copied().collect::<Vec<_>>().into();
            rows.push(kept(shape.len(), values, dtype));
            infos.push(FeatureTensor { shape, name });
        }
        check_names(&infos, &labels).map_err(bad)?;
        let all = Self { tensors: infos, rows, labels, targets, ids, groups, views: 1, trunk_key };
        all.with_views(field(&metadata, VIEWS)?).map_err(|e| bad(e.to_string()))
    }
}

fn field<T: serde::de::DeserializeOwned>(metadata: &BTreeMap<String, String>, name: &str) -> Result<T> {
    let text = metadata.get(name).ok_or_else(|| missing(name))?;
    serde_json::from_str(text).map_err(|e| bad(format!("{name}: {e}")))
}

fn bad(reason: impl Into<String>) -> Error {
    Error::format(FORMAT, reason)
}

fn missing(name: &str) -> Error {
    bad(format!("'{name}' is missing"))
}

fn to_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::internal(e.to_string()))
}
