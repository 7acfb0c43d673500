//! Models from files, and back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::config::FineTuneConfiguration;
use super::model::Model;
use super::settings::{LearningConfig, Settings};
use crate::data::{Preprocessing, PreprocessingPatch, Size};
use crate::error::{Error, Result};
use crate::formats::safetensors::FloatType;
use crate::formats::{Format, onnx, pytorch, regraft, safetensors};
use crate::graph::Graph;
use crate::tensor::{Hash, hex};
use crate::zoo::{Architecture, Weights};

/// Files of a model by name; most models are one file.
pub type Files<'a> = BTreeMap<String, &'a [u8]>;

/// What the caller knows of a file.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LoadOptions {
    /// Detected from the bytes where absent.
    pub format: Option<Format>,
    /// Name of the zoo architecture, for files that hold weights alone; detected from the tensors where absent.
    pub architecture: Option<String>,
    /// Names of the classes; they are as many as the first output has columns.
    pub labels: Option<Vec<String>>,
    /// Fields that differ from what the file or the architecture says.
    pub preprocessing: Option<PreprocessingPatch>,
    /// Whether the SHA-256 of the file goes into the model's provenance, which takes some time; `true`. Else [`Model::set_digest`] may follow.
    pub digest: Option<bool>,
    /// Seed of the weights where there is no file.
    pub seed: Option<u64>,
}

/// Metadata keys under which a model's belongings are kept in files.
const LABELS: &str = "regraft.labels";
const PREPROCESSING: &str = "regraft.preprocessing";
const CONFIGURATION: &str = "regraft.configuration";
const SETTINGS: &str = "regraft.settings";
const PROVENANCE: &str = "regraft.provenance";

/// Entries of the provenance for the format of the file and its digest.
const FORMAT: &str = "source.format";
const DIGEST: &str = "source.sha256";

/// Classes of an architecture without weights: ImageNet's.
const DEFAULT_CLASSES: usize = 1000;

impl Model {
    /// Reads a model. Without files, `architecture` names a zoo network that gets random weights.
    ///
    /// # Errors
    /// `format`, `integrity`, `unsupported-op`, `shape`; `bad-option` where options and file do not go together.
    pub fn load(files: &Files<'_>, options: &LoadOptions) -> Result<Self> {
        let architecture = options.architecture.as_deref().map(Architecture::from_name).transpose()?;
        let mut model = match main_file(files, options.format)? {
            None => {
                let Some(architecture) = architecture else {
                    return Err(Error::option("architecture", "needed where there is no file"));
                };
                let weights = Weights::Random { seed: options.seed.unwrap_or_default(), classes: DEFAULT_CLASSES };
                Self::from_zoo(architecture, weights, BTreeMap::new())?
            }
            Some((format, bytes)) => {
                let mut provenance = BTreeMap::from([(FORMAT.to_owned(), format.to_string())]);
                if options.digest.unwrap_or(true) {
                    let mut hash = Hash::default();
                    hash.update(bytes);
                    provenance.insert(DIGEST.to_owned(), hex(&hash.finish()));
                }
                Self::from_file(format, bytes, files, architecture, provenance)?
            }
        };
        if let Some(patch) = &options.preprocessing {
            model.preprocessing = model.preprocessing.patched(patch)?;
        }
        if let Some(labels) = &options.labels {
            model.set_labels(Some(labels.clone()))?;
        }
        Ok(model)
    }

    /// Puts the SHA-256 of its file, in hexadecimal digits, into the provenance of a model that was loaded without. A model whose file
    /// tells where it came from itself stays as it is.
    pub fn set_digest(&mut self, digest: String) {
        if self.provenance.contains_key(FORMAT) {
            self.provenance.entry(DIGEST.to_owned()).or_insert(digest);
        }
    }

    fn from_file(
        format: Format,
        bytes: &[u8],
        files: &Files<'_>,
        architecture: Option<Architecture>,
        provenance: BTreeMap<String, String>,
    ) -> Result<Self> {
        let weights = |state: pytorch::StateDict| {
            let found = architecture.or_else(|| Architecture::detect(&state));
            let found = found.ok_or_else(|| {
                Error::option("architecture", "the file holds weights alone; name the zoo architecture they are for")
            })?;
            Self::from_zoo(found, Weights::State(state), provenance.clone())
        };
        match format {
            Format::Pytorch => weights(pytorch::read(bytes)?),
            Format::Safetensors => weights(safetensors::read(bytes)?.0),
            Format::Regraft => {
                // First what is not sound at all, which the digest would only call changed.
                let (graph, metadata) = regraft::read(bytes)?;
                regraft::check(bytes)?;
                Self::from_graph(graph, &metadata, provenance)
            }
            Format::Onnx => {
                let (graph, metadata) = onnx::read(bytes, files)?;
                Self::from_graph(graph, &metadata, provenance)
            }
        }
    }

    fn from_zoo(
        architecture: Architecture,
        weights: Weights,
        mut provenance: BTreeMap<String, String>,
    ) -> Result<Self> {
        let built = architecture.build(weights)?;
        provenance.insert("source.architecture".to_owned(), architecture.name().to_owned());
        Ok(Self {
            graph: built.graph,
            labels: None,
            preprocessing: built.preprocessing,
            configuration: FineTuneConfiguration::default(),
            settings: Settings::new(),
            reinitialized: Vec::new(),
            provenance,
        })
    }

    /// A graph with what its file's metadata says of it.
    pub(super) fn from_graph(
        graph: Graph,
        metadata: &BTreeMap<String, String>,
        provenance: BTreeMap<String, String>,
    ) -> Result<Self> {
        let preprocessing = match field(metadata, PREPROCESSING)? {
            Some(preprocessing) => preprocessing,
            None => Preprocessing { size: image_size(&graph), ..Preprocessing::default() },
        };
        preprocessing.validate()?;
        let mut model = Self {
            graph,
            labels: None,
            preprocessing,
            configuration: field(metadata, CONFIGURATION)?.unwrap_or_default(),
            settings: field(metadata, SETTINGS)?.unwrap_or_default(),
            reinitialized: Vec::new(),
            provenance: field(metadata, PROVENANCE)?.unwrap_or(provenance),
        };
        model.settings.values().try_for_each(LearningConfig::validate)?;
        model.configuration.learning.validate()?;
        model.set_labels(field(metadata, LABELS)?)?;
        Ok(model)
    }

    /// What [`Model::from_graph`] reads.
    pub(super) fn metadata(&self) -> Result<BTreeMap<String, String>> {
        let mut metadata = BTreeMap::from([
            (PREPROCESSING.to_owned(), self.preprocessing.canonical_json()?),
            (CONFIGURATION.to_owned(), json(&self.configuration)?),
            (SETTINGS.to_owned(), json(&self.settings)?),
            (PROVENANCE.to_owned(), json(&self.provenance)?),
        ]);
        if let Some(labels) = &self.labels {
            metadata.insert(LABELS.to_owned(), json(labels)?);
        }
        Ok(metadata)
    }

    /// The frozen part alone as a model file, for another worker.
    pub fn trunk_file(&self, trunk: &Graph) -> Result<Vec<u8>> {
        let metadata = BTreeMap::from([(PREPROCESSING.to_owned(), self.preprocessing.canonical_json()?)]);
        regraft::write(trunk, &metadata, FloatType::F32)
    }
}

/// The file to read and its format; `None` where there is none.
fn main_file<'a>(files: &Files<'a>, format: Option<Format>) -> Result<Option<(Format, &'a [u8])>> {
    if files.is_empty() {
        return Ok(None);
    }
    let detected = |bytes: &[u8]| Format::detect(bytes);
    // With several files, the one of a known format that is not external data.
    let found = files.values().find_map(|bytes| detected(bytes).map(|f| (f, *bytes)));
    match (format, found) {
        (Some(format), Some((found, bytes))) if format == found => Ok(Some((format, bytes))),
        (Some(format), _) => {
            let bytes = files.values().next().copied().unwrap_or_default();
            match (files.len(), found) {
                // What a damaged file is, its bytes do not say; its reader says what is wrong with it.
                (1, None) => Ok(Some((format, bytes))),
                _ => Err(Error::Format { format: name(format), reason: "the bytes are of another format".into() }),
            }
        }
        (None, Some(found)) => Ok(Some(found)),
        (None, None) => {
            Err(Error::format("model", "the bytes are of no known format (onnx, pytorch, safetensors, regraft)"))
        }
    }
}

fn name(format: Format) -> &'static str {
    match format {
        Format::Onnx => "onnx",
        Format::Pytorch => "pytorch",
        Format::Safetensors => "safetensors",
        Format::Regraft => "regraft",
    }
}

/// Height and width of the first input that looks like an image batch; 224×224 where none does.
fn image_size(graph: &Graph) -> Size {
    let sizes = graph.inputs().iter().find_map(|id| match graph.get(*id).ty.shape.get(1..) {
        Some([3, h, w]) | Some([h, w, 3]) => Some((*h, *w)),
        _ => None,
    });
    let (h, w) = sizes.unwrap_or((224, 224));
    let side = |s: usize| u32::try_from(s).unwrap_or(u32::MAX);
    Size { width: side(w), height: side(h) }
}

fn field<T: serde::de::DeserializeOwned>(metadata: &BTreeMap<String, String>, key: &str) -> Result<Option<T>> {
    let parse = |text: &String| serde_json::from_str(text).map_err(|e| Error::format("regraft", format!("{key}: {e}")));
    metadata.get(key).map(parse).transpose()
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::internal(e.to_string()))
}
