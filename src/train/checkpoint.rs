//! A training run as bytes, and back: weights, updater state, place in the run, what it brought, settings. Random numbers have
//! no state beside the seed and the place.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::options::FitOptions;
use super::program::Snapshot;
use super::progress::Progress;
use super::trainer::Trainer;
use crate::backend::Device;
use crate::data::FeatureSet;
use crate::error::{Error, Result};
use crate::formats::safetensors::{self, FloatType};
use crate::graph::Graph;
use crate::tensor::Tensor;
use crate::transfer::Settings;

const FORMAT: &str = "checkpoint";
const KEY: &str = "regraft.checkpoint";
/// Prefixes of tensors: values as they are, and those of the best epoch.
const NOW: &str = "now/";
const BEST: &str = "best/";

/// A run that can be continued.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Settings of the run. `epochs` and `max_iterations` may be raised before the run is continued.
    pub options: FitOptions,
    header: Header,
    now: Snapshot,
    best: Option<Snapshot>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Header {
    version: u32,
    options: FitOptions,
    progress: Progress,
    data: Data,
}

/// What the run trained on; it continues on the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Data {
    trunk: String,
    rows: usize,
    labels: Vec<String>,
}

impl Data {
    fn of(set: &FeatureSet) -> Self {
        Self { trunk: set.trunk_key().to_owned(), rows: set.count(), labels: set.labels().to_vec() }
    }
}

const VERSION: u32 = 1;

impl Trainer {
    /// The run as bytes for [`Checkpoint::read`]: a safetensors file. On a GPU [`Trainer::arrive`] comes first.
    pub fn checkpoint(&self) -> Result<Vec<u8>> {
        let options = FitOptions { seed: Some(self.seed), ..self.options.clone() };
        let header = Header { version: VERSION, options, progress: self.progress.clone(), data: Data::of(&self.train) };
        let json = serde_json::to_string(&header).map_err(|e| Error::internal(e.to_string()))?;
        let now: Snapshot =
            self.program.kept().map(|name| Ok((name.clone(), self.value(name)?.to_vec()))).collect::<Result<_>>()?;
        let named = |prefix: &'static str| {
            move |(name, values): (&String, &Vec<f32>)| {
                Ok((format!("{prefix}{name}"), Tensor::f32([values.len()], values.clone())?))
            }
        };
        let best = self.best.iter().flatten().map(named(BEST));
        let tensors: Vec<(String, Tensor)> = now.iter().map(named(NOW)).chain(best).collect::<Result<_>>()?;
        let tensors: Vec<(String, &Tensor)> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
        safetensors::write(&tensors, &BTreeMap::from([(KEY.to_owned(), json)]), FloatType::F32)
    }

    /// Continues a run: the updates that follow are those of the run that was not interrupted; on the CPU, bit for bit.
    ///
    /// # Errors
    /// As [`Trainer::new`]; `stale-features` and `conflict` where model, data or updaters are not those of the run.
    pub fn resumed(
        device: &Device,
        tail: &Graph,
        settings: &Settings,
        train: Arc<FeatureSet>,
        validation: Option<Arc<FeatureSet>>,
        checkpoint: Checkpoint,
        budget: Option<u64>,
    ) -> Result<Self> {
        let Checkpoint { options, header, now, best } = checkpoint;
        train.check_trunk(&header.data.trunk)?;
        if header.data != Data::of(&train) {
            let reason = format!("the checkpoint has {} rows of {:?}", header.data.rows, header.data.labels);
            return Err(Error::option("resumeFrom", reason));
        }
        let mut trainer = Self::on(device, tail, settings, train, validation, options, budget)?;
        let expected = &trainer.good.snapshot;
        for (name, values) in expected {
            if now.get(name).is_none_or(|given| given.len() != values.len()) {
                return Err(Error::conflict(name, "the checkpoint has no such value; model or updater are others"));
            }
        }
        if now.len() != expected.len() {
            return Err(Error::option("resumeFrom", "the checkpoint is of another model or updater"));
        }
        if !header.progress.is_place_among(trainer.train.images()) {
            return Err(Error::format(FORMAT, "its place in the run is none"));
        }
        trainer.resume(header.progress, now, best)?;
        Ok(trainer)
    }
}

impl Checkpoint {
    /// Reads what [`Trainer::checkpoint`] wrote.
    ///
    /// # Errors
    /// `format` for bytes that are none, or of another version.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let (tensors, metadata) = safetensors::read(bytes)?;
        let bad = |reason: String| Error::format(FORMAT, reason);
        let json = metadata.get(KEY).ok_or_else(|| bad(format!("metadata '{KEY}' is missing")))?;
        let header: Header = serde_json::from_str(json).map_err(|e| bad(e.to_string()))?;
        if header.version != VERSION {
            return Err(bad(format!("version {} is not {VERSION}, the one this build reads", header.version)));
        }
        let (mut now, mut best) = (Snapshot::new(), Snapshot::new());
        for (name, tensor) in &tensors {
            let values = tensor.as_f32().ok_or_else(|| bad(format!("'{name}' is not f32")))?.to_vec();
            match (name.strip_prefix(NOW), name.strip_prefix(BEST)) {
                (Some(name), _) => now.insert(name.to_owned(), values),
                (_, Some(name)) => best.insert(name.to_owned(), values),
                _ => return Err(bad(format!("unknown tensor '{name}'"))),
            };
        }
        let best = Some(best).filter(|best| !best.is_empty());
        Ok(Self { options: header.options.clone(), header, now, best })
    }
}
