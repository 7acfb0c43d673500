//! Preprocessing against Pillow, from `reference/preprocessing.py`.

use regraft::data::{ChannelOrder, Fit, Image, Preprocessing, PreprocessingPatch, Resample};
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

const REFERENCE: &[u8] = include_bytes!("../reference/preprocessing.safetensors");

/// Pillow's filter weights have 22 bits, those of fast_image_resize 16: a sum near a half rounds the other way.
const MAX_BYTE_DIFF: u8 = 1;

/// Means of equally weighted bytes are often exact halves, so that in both passes the weights' last bit decides.
const MAX_BYTE_DIFF_AREA: u8 = 2;

/// Share of bytes that [`MAX_BYTE_DIFF`] may concern; 0.4 % were measured over all cases.
const MAX_DIFFERING: f64 = 0.01;

/// The bytes that come out of the resize: normalisation switched off.
fn raw() -> Preprocessing {
    Preprocessing { scale: 1.0, mean: [0.0; 3], std: [1.0; 3], ..Preprocessing::default() }
}

fn run(preprocessing: &Preprocessing, image: Image<'_>) -> Vec<f32> {
    let mut out = vec![f32::NAN; (preprocessing.size.width * preprocessing.size.height * 3) as usize];
    preprocessing.preprocess(image, &mut out).expect("preprocesses");
    out
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn resized_bytes_are_pillows() {
    let (_, header) = SafeTensors::read_metadata(REFERENCE).expect("reference");
    let metadata = header.metadata().as_ref().expect("metadata");
    let cases: Vec<PreprocessingPatch> = serde_json::from_str(&metadata["cases"]).expect("cases");
    assert!(!cases.is_empty());
    let tensors = SafeTensors::deserialize(REFERENCE).expect("reference");
    let filters = tensors.names().into_iter().filter_map(|name| name.split_once('.'));
    let area = filters.filter(|(_, filter)| *filter == "area").count();
    assert!(area >= 6, "area, which the reference leaves out where Pillow breaks ties, has {area} cases");
    let (mut differing, mut total) = (0, 0);
    for name in tensors.names() {
        let Some((index, filter)) = name.split_once('.').filter(|(_, filter)| *filter != "image") else {
            continue;
        };
        let expected = tensors.tensor(name).expect("expected");
        let source = tensors.tensor(&format!("{index}.image")).expect("image");
        let [height, width, channels] = *source.shape() else { panic!("not an image") };
        let image = Image::new(source.data(), width as u32, height as u32, channels as u8).expect("image");
        let case = &cases[index.parse::<usize>().expect("a number")];
        let mut preprocessing = raw().patched(case).expect("valid");
        preprocessing.resample = serde_json::from_value(filter.into()).expect("filter");
        let limit = if filter == "area" { MAX_BYTE_DIFF_AREA } else { MAX_BYTE_DIFF };
        let found = run(&preprocessing, image);
        assert_eq!(found.len(), expected.data().len(), "{name}");
        for (at, (&x, &y)) in found.iter().zip(expected.data()).enumerate() {
            let diff = (x as u8).abs_diff(y);
            assert!(diff <= limit, "{name} at {at}: {x}, Pillow has {y}; {case:?}");
            differing += usize::from(diff > 0);
            total += 1;
        }
    }
    let share = differing as f64 / total as f64;
    assert!(total > 50_000 && share < MAX_DIFFERING, "{differing} of {total} bytes differ");
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn every_transparent_pixel_on_white_is_pillows() {
    let (_, header) = SafeTensors::read_metadata(REFERENCE).expect("reference");
    let expected = &header.metadata().as_ref().expect("metadata")["over_white_sha256"];
    let data: Vec<u8> = (0..=255u8).flat_map(|a| (0..=255u8).flat_map(move |v| [v, v, v, a])).collect();
    let mut preprocessing = raw();
    preprocessing.crop_fraction = 1.0;
    (preprocessing.size.width, preprocessing.size.height) = (256, 256);
    let out = run(&preprocessing, Image::new(&data, 256, 256, 4).expect("image"));
    let bytes: Vec<u8> = out.chunks_exact(3).map(|rgb| rgb[0] as u8).collect();
    let found: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(&found, expected);
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn normalised_values_are_in_the_order_and_scale_asked_for() {
    let pixel = [10, 20, 40];
    let mut preprocessing = Preprocessing::default();
    (preprocessing.size.width, preprocessing.size.height) = (1, 1);
    let image = Image::new(&pixel, 1, 1, 3).expect("image");
    // (pixel / 255 - mean) / std in double precision.
    let expected = [-1.946_656_4, -1.685_574_2, -1.107_276_7];
    for (x, y) in run(&preprocessing, image).iter().zip(expected) {
        assert!((x - y).abs() < 1e-6, "{x}, expected {y}");
    }
    preprocessing = Preprocessing { channel_order: ChannelOrder::Bgr, size: preprocessing.size, ..raw() };
    preprocessing.mean = [100.0, 0.0, 1.0];
    preprocessing.std = [2.0, 4.0, 8.0];
    assert_eq!(run(&preprocessing, image), [-30.0, 5.0, 1.125]);
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn padding_is_the_mean_colour() {
    let mut preprocessing = Preprocessing { fit: Fit::Pad, ..Preprocessing::default() };
    (preprocessing.size.width, preprocessing.size.height) = (4, 4);
    let out = run(&preprocessing, Image::new(&[255; 8], 4, 2, 1).expect("image"));
    let rows: Vec<bool> = out.chunks_exact(12).map(|row| row.iter().all(|&x| x == 0.0)).collect();
    assert_eq!(rows, [true, false, false, true]);
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn a_wide_crop_keeps_the_middle_of_a_tall_image() {
    let mut preprocessing = raw();
    (preprocessing.size.width, preprocessing.size.height) = (8, 4);
    preprocessing.crop_fraction = 1.0;
    // 16×40, each row its own grey: 8×20 when scaled to cover, of which rows 8 to 12 stay, source rows 16 to 24.
    let data: Vec<u8> = (0..40u8).flat_map(|row| [row; 16]).collect();
    preprocessing.resample = Resample::Area;
    let out = run(&preprocessing, Image::new(&data, 16, 40, 1).expect("image"));
    let rows: Vec<f32> = out.chunks_exact(24).map(|row| row[0]).collect();
    assert_eq!(rows, [17.0, 19.0, 21.0, 23.0]);
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn extreme_images_are_cheap_and_do_not_panic() {
    for (width, height) in [(32_767, 1), (1, 32_767), (1, 1)] {
        let data = vec![7; width as usize * height as usize];
        for fit in [Fit::Crop, Fit::Stretch, Fit::Pad] {
            for crop_fraction in [0.01, 1.0] {
                let preprocessing = Preprocessing { fit, crop_fraction, ..raw() };
                let out = run(&preprocessing, Image::new(&data, width, height, 1).expect("image"));
                assert!(out.iter().all(|&x| x == 7.0 || x == 0.0), "{width}×{height} {fit:?}");
            }
        }
    }
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn a_buffer_of_another_length_is_refused() {
    let image = Image::new(&[0; 3], 1, 1, 3).expect("image");
    for length in [0, 224 * 224 * 3 - 1, 224 * 224 * 3 + 1] {
        assert!(Preprocessing::default().preprocess(image, &mut vec![0.0; length]).is_err());
    }
}
