use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Largest side an image is resized to.
const MAX_SIZE: u32 = 4096;

/// Smallest share of the short side a crop may keep.
const MIN_CROP_FRACTION: f64 = 0.01;

/// How pixels become the input of a network. Serialises to `Preprocessing` of the JavaScript API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preprocessing {
    /// Size of the result in pixels, 1..=4096 a side.
    pub size: Size,
    /// How an image of another aspect ratio is fitted.
    pub fit: Fit,
    /// Share of the short side that a centre crop keeps, 0.01..=1; [`Fit::Crop`] alone looks at it.
    pub crop_fraction: f64,
    /// Filter of the resize.
    pub resample: Resample,
    /// Order of the channels in the result.
    pub channel_order: ChannelOrder,
    /// `x = (pixel * scale - mean) / std`, pixel in 0..=255.
    pub scale: f64,
    /// Subtracted after scaling, per channel in `channel_order`.
    pub mean: [f64; 3],
    /// Divides last, per channel in `channel_order`; not 0.
    pub std: [f64; 3],
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// How an image of another aspect ratio is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Scale to cover `size / cropFraction`, then keep the centre.
    Crop,
    /// Scale both sides, each by its own factor.
    Stretch,
    /// Scale to fit inside, centre, and fill the rest with the mean colour.
    Pad,
}

/// Resize filter, each with the support of Pillow's filter of that kind (antialiased when shrinking).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resample {
    /// Triangle, Pillow's `BILINEAR`.
    Bilinear,
    /// Catmull-Rom (a = -0.5), Pillow's `BICUBIC`.
    Bicubic,
    /// Mean of the pixels whose centre is covered, Pillow's `BOX`. A centre on the very edge of what is covered goes to
    /// one side or the other by rounding; there Pillow's choice may differ.
    Area,
}

/// Order of the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red first.
    Rgb,
    /// Blue first, as Caffe and OpenCV have it.
    Bgr,
}

/// Some fields of a [`Preprocessing`]; absent ones leave it as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PreprocessingPatch {
    /// See [`Preprocessing::size`].
    pub size: Option<Size>,
    /// See [`Preprocessing::fit`].
    pub fit: Option<Fit>,
    /// See [`Preprocessing::crop_fraction`].
    pub crop_fraction: Option<f64>,
    /// See [`Preprocessing::resample`].
    pub resample: Option<Resample>,
    /// See [`Preprocessing::channel_order`].
    pub channel_order: Option<ChannelOrder>,
    /// See [`Preprocessing::scale`].
    pub scale: Option<f64>,
    /// See [`Preprocessing::mean`].
    pub mean: Option<[f64; 3]>,
    /// See [`Preprocessing::std`].
    pub std: Option<[f64; 3]>,
}

impl Default for Preprocessing {
    /// torchvision's ImageNet evaluation transform: short side to 256, centre 224×224, RGB, normalised per channel.
    fn default() -> Self {
        Self {
            size: Size { width: 224, height: 224 },
            fit: Fit::Crop,
            crop_fraction: 0.875,
            resample: Resample::Bilinear,
            channel_order: ChannelOrder::Rgb,
            scale: 1.0 / 255.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }
}

impl Preprocessing {
    /// This one with the patch's fields; [`Error::BadOption`] where the result is not valid.
    pub fn patched(&self, patch: &PreprocessingPatch) -> Result<Self> {
        let merged = Self {
            size: patch.size.unwrap_or(self.size),
            fit: patch.fit.unwrap_or(self.fit),
            crop_fraction: patch.crop_fraction.unwrap_or(self.crop_fraction),
            resample: patch.resample.unwrap_or(self.resample),
            channel_order: patch.channel_order.unwrap_or(self.channel_order),
            scale: patch.scale.unwrap_or(self.scale),
            mean: patch.mean.unwrap_or(self.mean),
            std: patch.std.unwrap_or(self.std),
        };
        merged.validate()?;
        Ok(merged)
    }

    /// [`Error::BadOption`] unless every field is in its range.
    pub fn validate(&self) -> Result<()> {
        let Size { width, height } = self.size;
        let sides = 1..=MAX_SIZE;
        if !sides.contains(&width) || !sides.contains(&height) {
            return Err(Error::option(
                "preprocessing.size",
                format!("sides are 1 to {MAX_SIZE}, not {width}×{height}"),
            ));
        }
        if !(MIN_CROP_FRACTION..=1.0).contains(&self.crop_fraction) {
            let reason = format!("must be {MIN_CROP_FRACTION} to 1, not {}", self.crop_fraction);
            return Err(Error::option("preprocessing.cropFraction", reason));
        }
        if !self.scale.is_finite() || self.scale == 0.0 {
            let reason = format!("must be finite and not 0, not {}", self.scale);
            return Err(Error::option("preprocessing.scale", reason));
        }
        if !self.mean.iter().all(|m| m.is_finite()) {
            let reason = format!("must be finite, not {:?}", self.mean);
            return Err(Error::option("preprocessing.mean", reason));
        }
        if !self.std.iter().all(|s| s.is_finite() && *s != 0.0) {
            let reason = format!("must be finite and not 0, not {:?}", self.std);
            return Err(Error::option("preprocessing.std", reason));
        }
        if !self.lookup().as_flattened().iter().all(|x| x.is_finite()) {
            let reason = "scale, mean and std give values beyond 32-bit floats";
            return Err(Error::option("preprocessing.scale", reason));
        }
        Ok(())
    }

    /// One text per meaning, to be hashed: JSON without spaces, fields in the order of the struct, shortest decimals
    /// that read back as the same numbers.
    pub fn canonical_json(&self) -> Result<String> {
        self.validate()?;
        serde_json::to_string(self).map_err(|e| Error::internal(e.to_string()))
    }

    /// Normalised value of each byte, per channel of the result. Computed in f64 and rounded once.
    pub(super) fn lookup(&self) -> [[f32; 256]; 3] {
        let channel = |c: usize| {
            let (mean, std) = (self.mean[c], self.std[c]);
            std::array::from_fn(|pixel| ((pixel as f64 * self.scale - mean) / std) as f32)
        };
        [channel(0), channel(1), channel(2)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text the JavaScript API shows for the defaults.
    const DEFAULT_JSON: &str = r#"{"size":{"width":224,"height":224},"fit":"crop","cropFraction":0.875,"resample":"bilinear","channelOrder":"rgb","scale":0.00392156862745098,"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}"#;

    #[test]
    fn canonical_json_is_the_api_object_and_reads_back() {
        let default = Preprocessing::default();
        let json = default.canonical_json().expect("valid");
        assert_eq!(json, DEFAULT_JSON);
        let back: Preprocessing = serde_json::from_str(&json).expect("reads back");
        assert_eq!(back, default);
    }

    #[test]
    fn a_patch_changes_only_its_fields() {
        let patch: PreprocessingPatch = serde_json::from_str(r#"{"channelOrder":"bgr","mean":[1,2,3]}"#).expect("json");
        let patched = Preprocessing::default().patched(&patch).expect("valid");
        let expected =
            Preprocessing { channel_order: ChannelOrder::Bgr, mean: [1.0, 2.0, 3.0], ..Preprocessing::default() };
        assert_eq!(patched, expected);
        assert_eq!(expected.patched(&PreprocessingPatch::default()), Ok(expected));
    }

    #[test]
    fn values_out_of_range_name_their_option() {
        let size = |width, height| PreprocessingPatch { size: Some(Size { width, height }), ..Default::default() };
        let crop = |f| PreprocessingPatch { crop_fraction: Some(f), ..Default::default() };
        let scale = |s| PreprocessingPatch { scale: Some(s), ..Default::default() };
        let mean = |m| PreprocessingPatch { mean: Some([0.0, m, 0.0]), ..Default::default() };
        let std = |s| PreprocessingPatch { std: Some([1.0, 1.0, s]), ..Default::default() };
        let cases = [
            ("preprocessing.size", size(0, 224)),
            ("preprocessing.size", size(224, MAX_SIZE + 1)),
            ("preprocessing.cropFraction", crop(0.0)),
            ("preprocessing.cropFraction", crop(1.5)),
            ("preprocessing.cropFraction", crop(f64::NAN)),
            ("preprocessing.scale", scale(0.0)),
            ("preprocessing.scale", scale(f64::INFINITY)),
            ("preprocessing.scale", scale(1e300)),
            ("preprocessing.mean", mean(f64::NAN)),
            ("preprocessing.std", std(0.0)),
        ];
        for (expected, patch) in cases {
            match Preprocessing::default().patched(&patch) {
                Err(Error::BadOption { option, .. }) => assert_eq!(option, expected, "{patch:?}"),
                other => panic!("{patch:?} gave {other:?}"),
            }
        }
    }
}
