//! Files that other tools read, checked before they are handed out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::load::{Files, LoadOptions};
use super::model::Model;
use crate::backend::Session;
use crate::data::{Preprocessing, Rng, Stream};
use crate::error::{Error, Result};
use crate::formats::safetensors::FloatType;
use crate::formats::{Format, onnx, regraft};

/// Settings of an export.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExportOptions {
    /// How weights are stored; `f32`. ONNX files are `f32` always.
    pub dtype: Option<ExportType>,
    /// Puts scaling and normalisation into the graph, so that it takes pixels of 0 to 255. ONNX alone.
    pub include_preprocessing: bool,
    /// Entries for the file's metadata.
    pub model_card: BTreeMap<String, String>,
}

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportType {
    /// 32-bit floats.
    F32,
    /// 16-bit floats, rounded to nearest even.
    F16,
}

/// Exported files.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// Files by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The check that was made of them.
    pub verified: Verified,
}

/// The written files were read back and run beside the model on seeded random inputs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Inputs tried.
    pub samples: usize,
    /// Largest difference of any output element.
    pub max_abs_diff: f32,
}

/// Inputs an export is tried on.
const SAMPLES: usize = 2;
/// Files whose outputs differ by more are not handed out: f32 files differ by the order of sums at most.
const MAX_DIFFERENCE_F32: f32 = 1e-4;
/// Weights in f16 keep 11 bits; probabilities of real networks move by less than this.
const MAX_DIFFERENCE_F16: f32 = 5e-2;

impl Model {
    /// Writes the model, reads the bytes back and compares.
    ///
    /// # Errors
    /// `bad-option` for a format that cannot be written or options it does not have; `internal` where the comparison fails.
    pub fn export(&self, format: Format, options: &ExportOptions) -> Result<Export> {
        let half = options.dtype == Some(ExportType::F16);
        let mut metadata =
            if options.include_preprocessing { self.taking_pixels().metadata()? } else { self.metadata()? };
        metadata.extend(options.model_card.clone());
        let (name, bytes) = match format {
            Format::Regraft if options.include_preprocessing => {
                return Err(Error::option(
                    "includePreprocessing",
                    "a regraft file keeps preprocessing beside the graph",
                ));
            }
            Format::Regraft => {
                let dtype = if half { FloatType::F16 } else { FloatType::F32 };
                ("model.regraft.safetensors", regraft::write_sealed(&self.graph, &metadata, dtype)?)
            }
            Format::Onnx if half => return Err(Error::option("dtype", "onnx files are written in f32")),
            Format::Onnx => {
                let normalization = options.include_preprocessing.then(|| self.normalization());
                ("model.onnx", onnx::write(&self.graph, &metadata, normalization.as_ref())?)
            }
            Format::Pytorch | Format::Safetensors => {
                return Err(Error::option("format", format!("{format} cannot be written; choose onnx or regraft")));
            }
        };
        let verified = self.verify(name, &bytes, options.include_preprocessing)?;
        let limit = if half { MAX_DIFFERENCE_F16 } else { MAX_DIFFERENCE_F32 };
        // Not a number fails too.
        if verified.max_abs_diff.is_nan() || verified.max_abs_diff > limit {
            return Err(Error::internal(format!("the written file's outputs differ by {}", verified.max_abs_diff)));
        }
        Ok(Export { files: BTreeMap::from([(name.to_owned(), bytes)]), verified })
    }

    /// What the file says of itself where normalisation is in its graph: whoever reads it must not normalise again.
    fn taking_pixels(&self) -> Self {
        let preprocessing = Preprocessing { scale: 1.0, mean: [0.0; 3], std: [1.0; 3], ..self.preprocessing.clone() };
        Self { preprocessing, ..self.clone() }
    }

    fn normalization(&self) -> onnx::Normalization {
        let p = &self.preprocessing;
        onnx::Normalization { scale: p.scale as f32, mean: p.mean.map(|v| v as f32), std: p.std.map(|v| v as f32) }
    }

    fn verify(&self, name: &str, bytes: &[u8], takes_pixels: bool) -> Result<Verified> {
        let files: Files<'_> = BTreeMap::from([(name.to_owned(), bytes)]);
        let written = Self::load(&files, &LoadOptions::default())?;
        let mut ours = Session::new(&self.graph, 1, None)?;
        let mut theirs = Session::new(&written.graph, 1, None)?;
        let mut max_abs_diff = 0f32;
        for sample in 0..SAMPLES {
            let inputs: Vec<(String, Vec<f32>)> = self.random_inputs(sample as u64);
            run(&mut ours, &inputs)?;
            let inputs = if takes_pixels { self.as_pixels(inputs)? } else { inputs };
            run(&mut theirs, &inputs)?;
            for index in 0..ours.outputs().len() {
                let pairs = ours.output(index)?.iter().zip(theirs.output(index)?);
                max_abs_diff = pairs.map(|(a, b)| (a - b).abs()).fold(max_abs_diff, |m, d| if d <= m { m } else { d });
            }
        }
        Ok(Verified { samples: SAMPLES, max_abs_diff })
    }

    fn random_inputs(&self, sample: u64) -> Vec<(String, Vec<f32>)> {
        let mut rng = Rng::for_item(0, Stream::Verify, sample);
        let inputs = self.graph.inputs().iter().map(|id| self.graph.get(*id));
        let draw = |len: usize, rng: &mut Rng| (0..len).map(|_| (2.0 * rng.uniform() - 1.0) as f32).collect();
        inputs.map(|v| (v.name.clone(), draw(v.ty.shape[1..].iter().product(), &mut rng))).collect()
    }

    /// Pixels whose normalisation gives these inputs: `pixel = (x·std + mean) / scale`.
    fn as_pixels(&self, inputs: Vec<(String, Vec<f32>)>) -> Result<Vec<(String, Vec<f32>)>> {
        let (_, layout) = super::trunk::image_input(&self.graph, &self.preprocessing)?;
        let p = &self.preprocessing;
        let plane = p.size.width as usize * p.size.height as usize;
        let channel = |i: usize| if layout == crate::ops::Layout::Nchw { i / plane } else { i % 3 };
        let pixel = |(i, x): (usize, f32)| ((f64::from(x) * p.std[channel(i)] + p.mean[channel(i)]) / p.scale) as f32;
        Ok(inputs.into_iter().map(|(name, x)| (name, x.into_iter().enumerate().map(pixel).collect())).collect())
    }
}

fn run(session: &mut Session, inputs: &[(String, Vec<f32>)]) -> Result<()> {
    let views: Vec<(&str, &[f32])> = inputs.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect();
    session.run(&views)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Image;
    use crate::transfer::Predictor;

    /// Probabilities on one image, which f32 sums in another order can move.
    const TOLERANCE: f32 = 1e-4;

    #[test]
    fn a_file_with_preprocessing_inside_is_not_normalised_twice() -> Result<()> {
        let options = LoadOptions { architecture: Some("squeezenet1_1".into()), ..LoadOptions::default() };
        let model = Model::load(&Files::new(), &options)?;
        let export =
            model.export(Format::Onnx, &ExportOptions { include_preprocessing: true, ..Default::default() })?;
        let files: Files<'_> = export.files.iter().map(|(name, bytes)| (name.clone(), bytes.as_slice())).collect();
        let again = Model::load(&files, &LoadOptions::default())?;
        let pixels: Vec<u8> = (0..64 * 64 * 3).map(|i| (i * 7 % 256) as u8).collect();
        let image = Image::new(&pixels, 64, 64, 3)?;
        let ours = Predictor::new(&model)?.predict(image, 1000)?;
        let theirs = Predictor::new(&again)?.predict(image, 1000)?;
        for prediction in &ours {
            let other = theirs.iter().find(|p| p.index == prediction.index).map_or(f32::NAN, |p| p.probability);
            assert!((prediction.probability - other).abs() <= TOLERANCE, "{prediction:?} against {other}");
        }
        assert_ne!(again.preprocessing, model.preprocessing);
        Ok(())
    }
}
