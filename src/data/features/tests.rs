use super::*;
use crate::data::{Rng, Stream};

const COUNT: usize = 24;

fn strings(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix} {i}")).collect()
}

fn tensors() -> Vec<FeatureTensor> {
    let tensor = |name: &str, shape: Shape| FeatureTensor { name: name.to_owned(), shape };
    vec![tensor("pool", [3, 2].into()), tensor("a.skip", [5].into())]
}

fn empty(dtype: FloatType) -> FeatureSet {
    FeatureSet::new(tensors(), COUNT, strings("class", 3), "key".to_owned(), dtype).expect("features")
}

/// A row whose values and target tell its index.
fn row(index: usize) -> (Vec<f32>, [f32; 3]) {
    let mut rng = Rng::for_item(31, Stream::Verify, index as u64);
    let values = (0..11).map(|_| rng.normal() as f32).collect();
    let mut target = [0.1; 3];
    target[index / 2 % 3] = 0.8;
    (values, target)
}

/// Rows set last to first, as workers that finish out of order do.
fn filled(dtype: FloatType) -> FeatureSet {
    let mut set = empty(dtype);
    for index in (0..COUNT).rev() {
        let (values, target) = row(index);
        let group = (index % 3 == 0).then_some(7);
        set.set_row(index, &target, &format!("image {index}"), group, &values).expect("fits");
    }
    set
}

#[test]
fn rows_come_back_where_they_were_put() {
    let set = filled(FloatType::F32);
    let rows = [5, 0, 23, 5];
    let expected: Vec<Vec<f32>> = rows.iter().map(|&r| row(r).0).collect();
    let pool: Vec<f32> = expected.iter().flat_map(|values| &values[..6]).copied().collect();
    let skip: Vec<f32> = expected.iter().flat_map(|values| &values[6..]).copied().collect();
    assert_eq!(set.gather(0, &rows), pool);
    assert_eq!(set.gather(1, &rows), skip);
    assert_eq!(set.targets()[5 * 3..6 * 3], row(5).1);
    assert_eq!((set.ids()[23].as_str(), set.groups()[21], set.groups()[23]), ("image 23", Some(7), None));
    assert_eq!(set.bytes(), COUNT * (11 + 3) * 4);
}

#[test]
fn halves_are_nearest_and_saturate() {
    let mut set = empty(FloatType::F16);
    let mut values = [0.1; 11];
    (values[0], values[1], values[2]) = (1e9, -1e9, 2049.0);
    set.set(0, 1, "image", &values).expect("fits");
    // IEEE 754 binary16: 0.1 is 0x2e66, the largest value 65504; 2049 lies between 2048 and 2050, ties to even.
    let tenth = 0.099_975_586;
    assert_eq!(set.gather(0, &[0]), [65504.0, -65504.0, 2048.0, tenth, tenth, tenth]);
    assert_eq!(set.targets()[..3], [0.0, 1.0, 0.0]);
    assert_eq!(set.bytes(), COUNT * (11 * 2 + 3 * 4));
}

#[test]
fn saved_sets_read_back_as_they_were() {
    for dtype in [FloatType::F32, FloatType::F16] {
        let set = filled(dtype).with_views(2).expect("divides");
        let bytes = set.save().expect("saves");
        assert_eq!(FeatureSet::load(&bytes), Ok(set));
    }
    let none = FeatureSet::new(tensors(), 0, strings("class", 1), String::new(), FloatType::F32).expect("empty");
    assert_eq!(FeatureSet::load(&none.save().expect("saves")), Ok(none));
}

#[test]
fn other_tools_find_the_tensors_by_name() {
    let bytes = filled(FloatType::F16).save().expect("saves");
    let file = ::safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let pool = file.tensor("pool").expect("pool");
    assert_eq!((pool.shape(), pool.dtype()), (&[COUNT, 3, 2][..], ::safetensors::Dtype::F16));
}

#[test]
fn splits_keep_views_and_groups_together() {
    let set = filled(FloatType::F32).with_views(2).expect("divides");
    let image = |id: &String| id["image ".len()..].parse::<usize>().expect("a number") / 2;
    for seed in 0..10 {
        let (train, test) = set.split(0.75, seed, true).expect("splits");
        assert_eq!((train.views(), test.views()), (2, 2));
        assert_eq!(train.count() + test.count(), COUNT);
        for side in [&train, &test] {
            for pair in side.ids().chunks(2) {
                assert_eq!(image(&pair[0]), image(&pair[1]), "seed {seed}");
            }
            for (at, id) in side.ids().iter().enumerate() {
                let index = id["image ".len()..].parse().expect("a number");
                assert_eq!(side.gather(0, &[at]), row(index).0[..6], "seed {seed}");
                assert_eq!(side.targets()[at * 3..][..3], row(index).1, "seed {seed}");
            }
        }
        let grouped = |side: &FeatureSet| side.groups().iter().step_by(2).any(Option::is_some);
        assert!(grouped(&train) != grouped(&test), "seed {seed}: a group is on both sides");
    }
}

#[test]
fn epochs_take_each_image_once_in_a_view_of_its_own() {
    let set = filled(FloatType::F32).with_views(4).expect("divides");
    assert_eq!((set.images(), set.plain_rows()), (6, vec![0, 4, 8, 12, 16, 20]));
    assert_eq!(set.epoch_rows(5, 3), set.epoch_rows(5, 3));
    assert_ne!(set.epoch_rows(5, 3), set.epoch_rows(6, 3));
    let mut seen = [0; COUNT];
    const EPOCHS: u64 = 2000;
    for epoch in 0..EPOCHS {
        let rows = set.epoch_rows(5, epoch);
        let images: Vec<usize> = rows.iter().map(|row| row / 4).collect();
        assert_eq!(images, [0, 1, 2, 3, 4, 5]);
        rows.into_iter().for_each(|row| seen[row] += 1);
    }
    // A quarter of 2000, ± five standard deviations.
    assert!(seen.iter().all(|count| (403..597).contains(count)), "{seen:?}");
    let plain = filled(FloatType::F32);
    assert_eq!(plain.epoch_rows(5, 3), plain.plain_rows());
}

#[test]
fn images_are_selected_with_their_views() {
    let set = filled(FloatType::F32).with_views(2).expect("divides");
    let some = set.select(&[7, 0]).expect("there");
    assert_eq!((some.images(), some.views()), (2, 2));
    assert_eq!(some.ids(), ["image 14", "image 15", "image 0", "image 1"]);
    assert_eq!(some.image_labels(), [1, 0]);
    assert_eq!(some.image_groups(), [None, Some(7)]);
    assert_eq!(set.select(&[12]).map_err(|e| e.code()), Err("bad-option"));
    // Targets of `row` change with every second row: with four views, a view's target is not its image's.
    let mixed = filled(FloatType::F32).with_views(4).expect("divides");
    assert!(mixed.is_mixed() && !set.is_mixed());
    assert_eq!(mixed.select(&[1]).map_err(|e| e.code()), Err("bad-option"));
    assert!(mixed.split(0.5, 0, true).is_err());
    assert!(mixed.select(&[5, 4, 3, 2, 1, 0]).is_ok());
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let mut set = empty(FloatType::F32);
    let values = [0.0; 11];
    let code = |result: Result<()>| result.map_err(|e| e.code());
    assert_eq!(code(set.set(COUNT, 0, "", &values)), Err("bad-option"));
    assert_eq!(code(set.set(0, 3, "", &values)), Err("bad-option"));
    assert_eq!(code(set.set(0, 0, "", &values[1..])), Err("bad-option"));
    for target in [&[1.0][..], &[f32::NAN, 0.0, 0.0], &[-1.0, 1.0, 1.0]] {
        assert_eq!(code(set.set_row(0, target, "", None, &values)), Err("bad-option"), "{target:?}");
    }
    assert_eq!(set, empty(FloatType::F32));
}

#[test]
fn sets_that_cannot_be_are_refused() {
    let new = |tensors: Vec<FeatureTensor>, count, labels| {
        FeatureSet::new(tensors, count, labels, String::new(), FloatType::F32).map_err(|e| e.code()).err()
    };
    let refused = Some("bad-option");
    assert_eq!(new(tensors(), 1, vec![]), refused);
    assert_eq!(new(vec![], 1, strings("class", 1)), refused);
    assert_eq!(new([tensors(), tensors()].concat(), 1, strings("class", 1)), refused);
    assert_eq!(new(tensors(), 1, vec!["a".to_owned(); 2]), refused);
    assert_eq!(new(tensors(), usize::MAX, strings("class", 1)), refused);
    assert_eq!(new(tensors(), usize::MAX / 64, strings("class", 1)), refused);
    let named = FeatureTensor { name: TARGETS.to_owned(), shape: [1].into() };
    assert_eq!(new(vec![named], 1, strings("class", 1)), refused);
    for views in [0, 5, COUNT + 1] {
        assert!(empty(FloatType::F32).with_views(views).is_err(), "{views} views");
    }
}

#[test]
fn hostile_files_are_refused() {
    use crate::formats::safetensors::{read, write};
    use crate::tensor::Tensor;

    let bytes = filled(FloatType::F32).save().expect("saves");
    for length in (0..bytes.len()).step_by(7) {
        assert!(FeatureSet::load(&bytes[..length]).is_err(), "{length} bytes");
    }
    let (tensors, metadata) = read(&bytes).expect("reads");
    let written = |tensors: &[(String, Tensor)], metadata: &_| {
        let named: Vec<_> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
        write(&named, metadata, FloatType::F32).expect("writes")
    };
    assert!(FeatureSet::load(&written(&tensors, &metadata)).is_ok());
    let texts = [
        ("regraft.features", r#"["pool","pool"]"#),
        ("regraft.features", r#"["regraft.targets"]"#),
        ("regraft.features", "[]"),
        ("regraft.labels", r#"["a","a","b"]"#),
        ("regraft.labels", r#"["a"]"#),
        ("regraft.ids", "[]"),
        ("regraft.groups", "[null]"),
        ("regraft.groups", "[-1]"),
        ("regraft.views", "0"),
        ("regraft.views", "18446744073709551615"),
        ("regraft.dtype", r#""f64""#),
    ];
    for (key, value) in texts {
        let mut metadata = metadata.clone();
        metadata.insert(key.to_owned(), value.to_owned());
        let found = FeatureSet::load(&written(&tensors, &metadata)).map_err(|e| e.code());
        assert_eq!(found.err(), Some("format"), "{key} {value}");
    }
    for key in metadata.keys() {
        let mut metadata = metadata.clone();
        metadata.remove(key);
        assert!(FeatureSet::load(&written(&tensors, &metadata)).is_err(), "without {key}");
    }
    for at in 0..tensors.len() {
        let mut broken = tensors.clone();
        if let Some(values) = broken[at].1.as_f32_mut() {
            values[0] = f32::NAN;
        }
        assert!(FeatureSet::load(&written(&broken, &metadata)).is_err(), "NaN in {}", tensors[at].0);
        broken[at].1 = Tensor::scalar(1.0);
        assert!(FeatureSet::load(&written(&broken, &metadata)).is_err(), "scalar {}", tensors[at].0);
        broken.remove(at);
        assert!(FeatureSet::load(&written(&broken, &metadata)).is_err(), "without {}", tensors[at].0);
    }
}
