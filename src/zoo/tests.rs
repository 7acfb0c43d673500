use super::values::Values;
use super::*;
use crate::ops::{Op, Role};
use crate::tensor::Tensor;

/// Trainable elements with 1000 classes. torchvision's documentation of each model; timm's `results-imagenet.csv` in millions
/// for the lite ones, here in full as that many layers of those widths have them.
const PUBLISHED: [(&str, usize); 9] = [
    ("efficientnet_lite0", 4_652_008),
    ("efficientnet_lite1", 5_416_680),
    ("efficientnet_lite2", 6_092_072),
    ("efficientnet_lite3", 8_197_096),
    ("efficientnet_lite4", 13_006_568),
    ("mobilenet_v2", 3_504_872),
    ("squeezenet1_1", 1_235_496),
    ("resnet18", 11_689_512),
    ("vgg16", 138_357_544),
];

/// The architecture with zeros for parameters.
fn zeros(architecture: Architecture, classes: usize) -> ZooModel {
    architecture.build_from(Values::zeros(architecture.name(), classes)).expect("builds")
}

/// What a checkpoint of the architecture holds, in PyTorch's order of dimensions.
fn checkpoint(architecture: Architecture, classes: usize) -> StateDict {
    let graph = zeros(architecture, classes).graph;
    let reader = |name: &str| graph.iter().find(|(_, v)| v.inputs.iter().any(|i| graph.get(*i).name == name));
    let shape = |name: &str, shape: &Shape| match (reader(name).map(|(_, v)| &v.op), &**shape) {
        (_, &[channels]) => Shape::from([channels]),
        (Some(Op::DepthwiseConv2d(_)), &[kh, kw, c]) => [c, 1, kh, kw].into(),
        (Some(Op::Conv2d(_)), &[kh, kw, c, m]) => [m, c, kh, kw].into(),
        (Some(Op::Dense(_)), &[k, n]) => [n, k].into(),
        (op, shape) => panic!("{name} of {shape:?} is read by {op:?}"),
    };
    let tensor = |name: &str, value: &Tensor| Tensor::zeros(shape(name, value.shape()));
    let parameters = graph.iter().filter_map(|(_, v)| Some((v.name.clone(), tensor(&v.name, v.value.as_deref()?))));
    parameters.collect()
}

#[test]
fn parameters_are_as_many_as_published() {
    for (name, published) in PUBLISHED {
        let architecture = Architecture::from_name(name).expect("known");
        let (_, trainable) = zeros(architecture, 1000).graph.count_parameters();
        assert_eq!(trainable, published, "{name}");
    }
}

#[test]
fn every_name_is_known_in_json_too() {
    assert_eq!(Architecture::ALL.map(Architecture::name), PUBLISHED.map(|(name, _)| name));
    for architecture in Architecture::ALL {
        assert_eq!(serde_json::to_value(architecture).expect("JSON"), architecture.name());
    }
    let error = Architecture::from_name("vgg17").expect_err("unknown");
    assert_eq!(error.code(), "bad-option");
    assert!(error.to_string().contains("vgg16"), "{error}");
}

#[test]
fn drawn_networks_end_in_probabilities_of_the_classes_asked_for() {
    for (name, _) in PUBLISHED {
        let model = zeros(Architecture::from_name(name).expect("known"), 7);
        let graph = &model.graph;
        model.preprocessing.validate().expect("valid");
        let side = model.preprocessing.size.width as usize;
        let input = graph.get(graph.require("input").expect("an input"));
        assert_eq!(*input.ty.shape, [1, 3, side, side], "{name}");
        let [output] = graph.outputs() else { panic!("{name} has {} outputs", graph.outputs().len()) };
        let output = graph.get(*output);
        assert_eq!((output.name.as_str(), &*output.ty.shape), ("predictions", &[1, 7][..]), "{name}");
        assert!(matches!(output.op, Op::Softmax(_)), "{name}");
        let batch = graph.with_batch(3).expect("any batch");
        assert_eq!(*batch.get(batch.outputs()[0]).ty.shape, [3, 7], "{name}");
    }
}

#[test]
fn draws_depend_on_the_seed_alone() {
    let build = |seed| Architecture::Squeezenet1_1.build(Weights::Random { seed, classes: 3 }).expect("builds").graph;
    assert_eq!(build(5), build(5));
    let weight = |graph: &Graph| graph.get(graph.require("classifier.1.weight").expect("a weight")).value.clone();
    assert_ne!(weight(&build(5)), weight(&build(6)));
    for classes in [0, 1, usize::MAX] {
        let error = Architecture::Vgg16.build(Weights::Random { seed: 0, classes }).expect_err("out of range");
        assert_eq!(error.code(), "bad-option");
    }
}

#[test]
fn drawn_norms_are_the_identity() {
    let graph = Architecture::MobilenetV2.build(Weights::Random { seed: 1, classes: 2 }).expect("builds").graph;
    for (_, vertex) in graph.iter() {
        let Op::Parameter(parameter) = &vertex.op else { continue };
        let expected = match parameter.role {
            Role::Gamma | Role::Variance => 1.0,
            Role::Beta | Role::Mean | Role::Bias => 0.0,
            Role::Weight => continue,
        };
        let values = vertex.value.as_ref().and_then(|v| v.as_f32()).expect("floats");
        assert!(values.iter().all(|&v| v == expected), "{}", vertex.name);
    }
}

#[test]
fn layers_of_vgg_end_with_their_activation() {
    let graph = zeros(Architecture::Vgg16, 2).graph;
    for (layer, part, output) in [
        ("block1_conv1", "block1_conv1/conv", vec![1, 64, 224, 224]),
        ("block5_conv3", "block5_conv3/conv", vec![1, 512, 14, 14]),
        ("fc1", "fc1/dense", vec![1, 4096]),
        ("fc2", "fc2/dense", vec![1, 4096]),
        ("predictions", "predictions/dense", vec![1, 2]),
    ] {
        let vertex = graph.get(graph.require(layer).expect("a layer"));
        assert_eq!(vertex.ty.shape.to_vec(), output, "{layer}");
        let inner = graph.get(vertex.inputs[0]);
        assert_eq!((inner.name.as_str(), inner.layer.as_deref()), (part, Some(layer)));
    }
    assert_eq!(*graph.get(graph.require("block5_pool").expect("a pooling")).ty.shape, [1, 512, 7, 7]);
    let rows = graph.summary().expect("a summary");
    let row = rows.iter().find(|r| r.name == "fc1").expect("a row");
    assert_eq!(row.parameters, 25_088 * 4096 + 4096);
}

/// Tensors that torchvision's documentation of the state dict and `torch.load` show, with their shapes.
#[test]
fn checkpoints_have_the_names_of_torchvision() {
    type Shapes = &'static [(&'static str, &'static [usize])];
    let tensors: [(Architecture, usize, Shapes); 4] = [
        (
            Architecture::Resnet18,
            62 + 40,
            &[
                ("conv1.weight", &[64, 3, 7, 7]),
                ("layer1.0.bn2.running_var", &[64]),
                ("layer2.0.downsample.0.weight", &[128, 64, 1, 1]),
                ("layer2.0.downsample.1.running_mean", &[128]),
                ("layer4.1.conv2.weight", &[512, 512, 3, 3]),
                ("fc.weight", &[1000, 512]),
            ],
        ),
        (
            Architecture::Vgg16,
            32,
            &[
                ("features.0.weight", &[64, 3, 3, 3]),
                ("features.5.weight", &[128, 64, 3, 3]),
                ("features.17.bias", &[512]),
                ("features.28.weight", &[512, 512, 3, 3]),
                ("classifier.0.weight", &[4096, 25088]),
                ("classifier.3.weight", &[4096, 4096]),
                ("classifier.6.bias", &[1000]),
            ],
        ),
        (
            Architecture::Squeezenet1_1,
            52,
            &[
                ("features.0.weight", &[64, 3, 3, 3]),
                ("features.3.expand3x3.weight", &[64, 16, 3, 3]),
                ("features.7.squeeze.weight", &[32, 256, 1, 1]),
                ("features.12.expand1x1.bias", &[256]),
                ("classifier.1.weight", &[1000, 512, 1, 1]),
            ],
        ),
        (
            Architecture::MobilenetV2,
            314 - 52,
            &[
                ("features.1.conv.1.weight", &[16, 32, 1, 1]),
                ("features.17.conv.1.0.weight", &[960, 1, 3, 3]),
                ("features.18.0.weight", &[1280, 320, 1, 1]),
                ("classifier.1.weight", &[1000, 1280]),
            ],
        ),
    ];
    for (architecture, count, expected) in tensors {
        let state = checkpoint(architecture, 1000);
        assert_eq!(state.len(), count, "{}", architecture.name());
        for (name, shape) in expected {
            let (_, found) = state.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{name} is missing"));
            assert_eq!(found.shape().to_vec(), *shape, "{name}");
        }
    }
}

#[test]
fn checkpoints_are_told_apart() {
    for architecture in Architecture::ALL {
        let state = checkpoint(architecture, 5);
        assert_eq!(Architecture::detect(&state), Some(architecture));
        let model = architecture.build(Weights::State(state)).expect("builds");
        assert_eq!(model, zeros(architecture, 5), "{}", architecture.name());
    }
    assert_eq!(Architecture::detect(&Vec::new()), None);
}

#[test]
fn squeeze_and_excite_is_no_lite_network() {
    let mut state = checkpoint(Architecture::EfficientnetLite0, 5);
    state.push(("_blocks.0._se_reduce.weight".into(), Tensor::zeros([8, 32, 1, 1])));
    assert_eq!(Architecture::detect(&state), None);
}

#[test]
fn wrong_checkpoints_are_refused() {
    let architecture = Architecture::Resnet18;
    let state = checkpoint(architecture, 5);
    let refuse = |state: StateDict, code: &str, named: &[&str]| {
        let error = architecture.build(Weights::State(state)).expect_err("is refused");
        assert_eq!(error.code(), code, "{error}");
        named.iter().for_each(|n| assert!(error.to_string().contains(n), "{error} does not name {n}"));
    };
    refuse(Vec::new(), "format", &["conv1.weight"]);

    let without = |name: &str| state.iter().filter(|(n, _)| n != name).cloned().collect();
    refuse(without("layer3.1.bn1.running_var"), "format", &["layer3.1.bn1.running_var"]);
    refuse(without("fc.weight"), "format", &["fc.weight"]);

    let with = |name: &str, tensor: Tensor| {
        let mut state: StateDict = without(name);
        state.push((name.to_owned(), tensor));
        state
    };
    refuse(with("bn1.bias", Tensor::zeros([65])), "shape", &["bn1.bias", "[65]", "[64]"]);
    refuse(with("fc.weight", Tensor::scalar(0.0)), "shape", &["fc.weight"]);
    refuse(with("fc.weight", Tensor::zeros([0, 512])), "shape", &["fc"]);
    let integers = Tensor::new([64], crate::tensor::Data::I32(vec![0; 64])).expect("filled");
    refuse(with("bn1.bias", integers), "format", &["bn1.bias", "I32"]);
    refuse(with("layer5.0.conv1.weight", Tensor::zeros([1])), "format", &["layer5.0.conv1.weight"]);

    let counted = with("bn1.num_batches_tracked", Tensor::zeros([]));
    assert_eq!(Architecture::detect(&counted), Some(architecture));
    architecture.build(Weights::State(counted)).expect("counters are ignored");
}

/// timm's names of Lite0, written down from `timm/models/efficientnet.py` by stage and block.
#[test]
fn names_of_timm_are_read() {
    let stages = [1, 2, 2, 3, 3, 4, 1];
    let places: Vec<[usize; 2]> =
        stages.iter().enumerate().flat_map(|(stage, blocks)| (0..*blocks).map(move |block| [stage, block])).collect();
    let renamed = |name: &str| {
        let Some(rest) = name.strip_prefix("_blocks.") else {
            let name = name.replace("_conv_stem", "conv_stem").replace("_conv_head", "conv_head");
            return name.replace("_bn1", "bn2").replace("_bn0", "bn1").replace("_fc", "classifier");
        };
        let (number, part) = rest.split_once('.').expect("a block");
        let [stage, block] = places[number.parse::<usize>().expect("a number")];
        let part = match part.split_once('.').expect("a layer") {
            ("_expand_conv", of) => format!("conv_pw.{of}"),
            ("_bn0", of) => format!("bn1.{of}"),
            ("_depthwise_conv", of) => format!("conv_dw.{of}"),
            ("_bn1", of) if stage == 0 => format!("bn1.{of}"),
            ("_bn1", of) => format!("bn2.{of}"),
            ("_project_conv", of) if stage == 0 => format!("conv_pw.{of}"),
            ("_project_conv", of) => format!("conv_pwl.{of}"),
            ("_bn2", of) if stage == 0 => format!("bn2.{of}"),
            ("_bn2", of) => format!("bn3.{of}"),
            (layer, _) => panic!("{layer} is unknown"),
        };
        format!("blocks.{stage}.{block}.{part}")
    };
    let state = checkpoint(Architecture::EfficientnetLite0, 4);
    let timm: StateDict = state.into_iter().map(|(name, tensor)| (renamed(&name), tensor)).collect();
    assert_eq!(Architecture::detect(&timm), Some(Architecture::EfficientnetLite0));
    let graph = Architecture::EfficientnetLite0.build(Weights::State(timm)).expect("builds").graph;
    assert!(graph.find("blocks.6.0.conv_pwl.weight").is_some());
    let names = |g: &Graph| g.iter().filter(|(_, v)| !v.is_stored()).map(|(_, v)| v.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&graph), names(&zeros(Architecture::EfficientnetLite0, 4).graph));
}
