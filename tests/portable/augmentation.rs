//! Augmented views against Pillow, SciPy and colorsys, from `reference/augmentation.py`, and what holds for all of them.

use regraft::data::{Augmentation, Colour, Fit, Geometry, Image, Preprocessing, Size, View};
use serde::Deserialize;
use sha2::{Digest, Sha256};

const REFERENCE: &str = include_str!("../reference/augmentation.json");

/// SciPy and colorsys compute in doubles, the reference has two decimals.
const MAX_DIFF: f32 = 0.01;

/// Pillow cuts off the fraction of a value after each step, and rounds the mean grey.
const MAX_DIFF_PILLOW: f32 = 1.5;

/// What is shrunk first, as in `preprocessing.rs`.
const MAX_DIFF_SHRUNK: f32 = 1.0;

/// Three steps that cut off.
const MAX_DIFF_CHAIN: f32 = 3.0;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    fit: Fit,
    width: u32,
    height: u32,
    image: String,
    size: Size,
    geometry: Option<CaseGeometry>,
    colour: Option<CaseColour>,
    expected: Vec<f32>,
}

#[derive(Deserialize)]
struct CaseGeometry {
    crop: [f64; 4],
    flips: [bool; 2],
    rotate: f64,
    zoom: f64,
    shift: [f64; 2],
}

#[derive(Deserialize)]
struct CaseColour {
    brightness: f64,
    contrast: f64,
    saturation: f64,
    hue: f64,
}

impl Case {
    fn view(&self) -> View {
        let geometry = self.geometry.as_ref().map(|g| Geometry {
            crop: g.crop,
            flip_horizontal: g.flips[0],
            flip_vertical: g.flips[1],
            rotate: g.rotate,
            zoom: g.zoom,
            shift: g.shift,
        });
        let colour = self.colour.as_ref().map(|c| Colour {
            brightness: c.brightness,
            contrast: c.contrast,
            saturation: c.saturation,
            hue: c.hue,
        });
        View { geometry: geometry.unwrap_or_default(), colour: colour.unwrap_or_default(), erase: None }
    }

    fn tolerance(&self) -> f32 {
        let shrinks = self.width > self.size.width || self.geometry.as_ref().is_some_and(|g| g.zoom < 1.0);
        let shrunk = if shrinks { MAX_DIFF_SHRUNK } else { 0.0 };
        shrunk
            + match &*self.name {
                "one after the other" => MAX_DIFF_CHAIN,
                _ if self.fit == Fit::Pad => MAX_DIFF_PILLOW,
                name if self.colour.is_some() && !name.starts_with("hue") => MAX_DIFF_PILLOW,
                _ => MAX_DIFF,
            }
    }
}

/// Bytes as they are, and -1 for padding.
fn raw(size: Size, fit: Fit) -> Preprocessing {
    let (mean, std) = ([-1.0; 3], [1.0; 3]);
    Preprocessing { size, fit, scale: 1.0, mean, std, crop_fraction: 1.0, ..Preprocessing::default() }
}

/// `preprocess_view` with [`raw`], less the 1 that tells padding (0) from black.
fn render(image: Image<'_>, preprocessing: &Preprocessing, view: &View) -> Vec<f32> {
    let mut out = vec![f32::NAN; (preprocessing.size.width * preprocessing.size.height * 3) as usize];
    preprocessing.preprocess_view(image, view, &mut out).expect("renders");
    out.iter().map(|x| x - 1.0).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal")).collect()
}

/// Values that depend on the place in no simple way.
fn texture(width: u32, height: u32, channels: u8) -> Vec<u8> {
    (0..width * height * u32::from(channels)).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

const SIZE: Size = Size { width: 20, height: 14 };

fn everything() -> Augmentation {
    Augmentation {
        flip_horizontal: true,
        flip_vertical: true,
        rotate_degrees: 30.0,
        zoom: 0.2,
        shift: 0.1,
        random_crop: 0.5,
        brightness: 0.3,
        contrast: 0.3,
        saturation: 0.3,
        hue: 0.1,
        erase: 0.5,
        mixup: 0.2,
        cutmix: 1.0,
    }
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn views_are_those_of_pillow_and_scipy() {
    let golden: Golden = serde_json::from_str(REFERENCE).expect("reference");
    assert!(golden.cases.len() >= 36);
    for case in &golden.cases {
        let data = bytes(&case.image);
        let image = Image::new(&data, case.width, case.height, 3).expect("image");
        let found = render(image, &raw(case.size, case.fit), &case.view());
        assert_eq!(found.len(), case.expected.len(), "{}", case.name);
        for (at, (x, y)) in found.iter().zip(&case.expected).enumerate() {
            let (name, fit) = (&case.name, case.fit);
            assert!((x - y).abs() <= case.tolerance(), "{name} {fit:?}, value {at}: {x}, expected {y}");
        }
    }
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn nothing_asked_for_changes_nothing() {
    for (fit, channels) in [(Fit::Crop, 3), (Fit::Stretch, 4), (Fit::Pad, 1)] {
        let data = texture(53, 31, channels);
        let image = Image::new(&data, 53, 31, channels).expect("image");
        let preprocessing = Preprocessing { size: SIZE, fit, ..Preprocessing::default() };
        let mut plain = vec![0.0; 20 * 14 * 3];
        preprocessing.preprocess(image, &mut plain).expect("preprocesses");
        for view in [Augmentation::default().view(1, 2, 3, SIZE), everything().view(1, 2, 0, SIZE)] {
            let mut out = vec![f32::NAN; plain.len()];
            preprocessing.preprocess_view(image, &view, &mut out).expect("renders");
            assert_eq!(out, plain, "{fit:?}");
        }
        // The other ways through the code: pixels that are flipped, and pixels that are sampled.
        let flipped = View { geometry: Geometry { flip_vertical: true, ..Geometry::default() }, ..View::default() };
        let mut out = vec![f32::NAN; plain.len()];
        preprocessing.preprocess_view(image, &flipped, &mut out).expect("renders");
        let rows: Vec<f32> = out.chunks_exact(20 * 3).rev().flatten().copied().collect();
        assert_eq!(rows, plain, "{fit:?}");
        let barely = View { geometry: Geometry { rotate: 1e-9, ..Geometry::default() }, ..View::default() };
        let (sampled, plain) = (raw(SIZE, fit), render(image, &raw(SIZE, fit), &View::default()));
        // A sum of fractions may miss a byte by rounding; the border of the padding is at stake too.
        let off = render(image, &sampled, &barely).iter().zip(&plain).filter(|(x, y)| (*x - *y).abs() > 1.01).count();
        assert_eq!(off, 0, "{fit:?}");
    }
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn views_follow_from_seed_sample_and_view() {
    let (all, size) = (everything(), SIZE);
    let drawn = |seed, index, view| (all.view(seed, index, view, size), all.mix(seed, index, view, 9, size));
    assert_eq!(drawn(5, 7, 2), drawn(5, 7, 2));
    let others = [drawn(6, 7, 2), drawn(5, 8, 2), drawn(5, 7, 3), drawn(5, 2, 7)];
    assert!(others.iter().all(|other| other.0 != drawn(5, 7, 2).0), "{others:?}");
    let data = texture(40, 33, 3);
    let image = Image::new(&data, 40, 33, 3).expect("image");
    let mut hash = Sha256::new();
    for view in 1..9 {
        let pixels = render(image, &raw(size, Fit::Crop), &all.view(5, 7, view, size));
        hash.update(pixels.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
    }
    let found: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(found, "e63ef0cd22ecc5d1003fe17b4e956fbcd0c5104680afe296fcd2ee1267d99446", "the same in every build");
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn draws_fill_their_ranges_and_leave_each_other_alone() {
    let all = everything();
    let alone = Augmentation { hue: 0.1, ..Augmentation::default() };
    let (mut flips, mut erased, mut cut) = (0, 0, 0);
    let (mut turned, mut zoomed, mut areas) = ([f64::MAX, f64::MIN], [f64::MAX, f64::MIN], [f64::MAX, f64::MIN]);
    let grow = |range: &mut [f64; 2], x: f64| *range = [range[0].min(x), range[1].max(x)];
    const VIEWS: usize = 2000;
    const SAMPLES: usize = 5;
    let mut partners = [0; SAMPLES];
    for index in 0..VIEWS {
        let View { geometry, colour, erase } = all.view(3, index, 1, SIZE);
        assert_eq!(alone.view(3, index, 1, SIZE).colour.hue, colour.hue);
        flips += usize::from(geometry.flip_horizontal);
        grow(&mut turned, geometry.rotate);
        grow(&mut zoomed, geometry.zoom);
        let [left, top, width, height] = geometry.crop;
        assert!(left >= 0.0 && top >= 0.0 && left + width <= 1.0 + 1e-12 && top + height <= 1.0 + 1e-12);
        grow(&mut areas, width * height);
        if let Some(patch) = erase {
            erased += 1;
            assert!(patch.left + patch.width <= 20 && patch.top + patch.height <= 14, "{patch:?}");
            // Sides are whole pixels.
            let area = f64::from(patch.width * patch.height) / 280.0;
            assert!((0.01..0.36).contains(&area), "{patch:?}");
        }
        let own = index % SAMPLES;
        let mix = all.mix(3, own, 1 + index, SAMPLES, SIZE).expect("mixes");
        assert!(mix.partner != own && mix.partner < SAMPLES && (0.0..=1.0).contains(&mix.share), "{own}: {mix:?}");
        partners[mix.partner] += 1;
        cut += usize::from(mix.patch.is_some());
        if let Some(patch) = mix.patch {
            let own = 1.0 - f64::from(patch.width * patch.height) / 280.0;
            assert!((own - f64::from(mix.share)).abs() < 1e-6, "{mix:?}");
        }
    }
    // Five standard deviations of 2000 even draws are 112.
    for (name, count) in [("flips", flips), ("erased", erased), ("cut", cut)] {
        assert!((888..1112).contains(&count), "{name}: {count} of {VIEWS}");
    }
    // A fifth of 2000, ± five standard deviations.
    assert!(partners.iter().all(|count| (310..490).contains(count)), "{partners:?}");
    let near = |range: [f64; 2], low: f64, high: f64| {
        let slack = 0.05 * (high - low);
        low <= range[0] && range[0] < low + slack && high - slack < range[1] && range[1] <= high + 1e-12
    };
    assert!(near(turned, -30.0, 30.0), "{turned:?}");
    assert!(near(zoomed, 0.8, 1.2), "{zoomed:?}");
    assert!(near(areas, 0.5, 1.0), "{areas:?}");
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn mixed_views_are_means_or_patches() {
    let (own, partner) = ([1.0; 20 * 14 * 3], [5.0; 20 * 14 * 3]);
    let mut kinds = [0; 2];
    for index in 0..20 {
        let mix = everything().mix(1, index, 1, 20, SIZE).expect("mixes");
        let mut mixed = own;
        mix.pixels(&mut mixed, &partner, 20);
        let target = mix.target(&[0.0, 1.0], &[1.0, 0.0]);
        assert_eq!(target[1], mix.share);
        assert!((target[0] + target[1] - 1.0).abs() < 1e-6);
        // Either way the mean over all values has the shares of the target.
        let mean = mixed.iter().sum::<f32>() / mixed.len() as f32;
        assert!((mean - (mix.share + 5.0 * (1.0 - mix.share))).abs() < 1e-4, "{mix:?}: {mean}");
        kinds[usize::from(mix.patch.is_some())] += 1;
        let whole = mixed.iter().all(|x| *x == 1.0 || *x == 5.0);
        assert_eq!(whole, mix.patch.is_some() || mix.share == 1.0, "{mix:?}");
    }
    assert!(kinds[0] > 0 && kinds[1] > 0, "{kinds:?}");
    let all = everything();
    assert_eq!((all.mix(1, 0, 0, 9, SIZE), all.mix(1, 0, 1, 1, SIZE)), (None, None));
    assert_eq!(Augmentation { mixup: 0.0, cutmix: 0.0, ..all }.mix(1, 0, 1, 9, SIZE), None);
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn options_out_of_range_are_refused() {
    let code = |json: &str| {
        let parsed: Augmentation = serde_json::from_str(json).expect("json");
        parsed.validate().map_err(|e| e.code()).err()
    };
    for field in ["zoom", "shift", "randomCrop", "brightness", "contrast", "saturation", "hue", "erase"] {
        assert_eq!(code(&format!(r#"{{"{field}":0.3}}"#)), None, "{field}");
        for value in ["-0.1", "1.5"] {
            assert_eq!(code(&format!(r#"{{"{field}":{value}}}"#)), Some("bad-option"), "{field} {value}");
        }
    }
    for field in ["mixup", "cutmix", "rotateDegrees"] {
        assert_eq!(code(&format!(r#"{{"{field}":-1}}"#)), Some("bad-option"), "{field}");
        assert_eq!(code(&format!(r#"{{"{field}":181}}"#)), Some("bad-option"), "{field}");
    }
    assert_eq!(
        Augmentation { hue: f64::NAN, ..Augmentation::default() }.validate().map_err(|e| e.code()),
        Err("bad-option")
    );
    assert!(serde_json::from_str::<Augmentation>(r#"{"rotate":3}"#).is_err(), "an unknown name");
    assert_eq!(everything().validate(), Ok(()));
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn extreme_images_and_views_do_not_panic() {
    let far = Geometry { zoom: 0.1, rotate: 179.0, shift: [1.0, -1.0], ..Geometry::default() };
    let near = Geometry { zoom: 1.9, crop: [0.99, 0.99, 0.01, 0.01], ..Geometry::default() };
    for (width, height) in [(32_767, 1), (1, 32_767), (1, 1)] {
        let data = vec![7; width as usize * height as usize];
        let image = Image::new(&data, width, height, 1).expect("image");
        for fit in [Fit::Crop, Fit::Stretch, Fit::Pad] {
            for geometry in [far, near] {
                let out = render(image, &raw(SIZE, fit), &View { geometry, ..View::default() });
                assert!(out.iter().all(|&x| x == 7.0 || x == -1.0), "{width}×{height} {fit:?}");
            }
        }
    }
}
