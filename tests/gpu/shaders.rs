//! Which ops have kernels, and that every shader that a case or a network of the zoo needs is valid WGSL, generated text included.

use std::collections::{BTreeMap, BTreeSet};

use regraft::Error;
use regraft::Result;
use regraft::backend::gpu::{Recording, record};
use regraft::ops::{GpuLimits, Op, Tiles, all_cases};
use regraft::plan::Plan;
use regraft::zoo::Architecture;
use wgpu::naga;

use crate::SEED;
use crate::conformance::{Weights, doubled, graph_of, rounded};
use crate::plans::planned;

/// Texts and overrides with what needs them.
type Shaders = BTreeMap<(String, String), (Vec<(&'static str, f64)>, String)>;

fn collect(recording: Recording, about: &str, shaders: &mut Shaders) {
    for (_, dispatch) in recording.dispatches {
        let kernel = dispatch.kernel;
        let key = (kernel.text.into_owned(), format!("{:?}", kernel.constants));
        shaders.entry(key).or_insert_with(|| (kernel.constants, about.to_owned()));
    }
}

fn validate(text: &str, constants: &[(&str, f64)]) -> std::result::Result<(), String> {
    let module = naga::front::wgsl::parse_str(text).map_err(|e| e.emit_to_string(text))?;
    // What WebGPU has without features: `unpack2x16float` is not a matter of downlevel devices there.
    let capabilities = naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities);
    let info = validator.validate(&module).map_err(|e| e.emit_to_string(text))?;
    let constants = constants.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    let stage = Some((naga::ShaderStage::Compute, "main"));
    let processed = naga::back::pipeline_constants::process_overrides(&module, &info, stage, &constants);
    processed.map(|_| ()).map_err(|e| e.to_string())
}

#[test]
fn every_shader_is_valid() -> Result<()> {
    let mut shaders = Shaders::new();
    for case in all_cases() {
        let x = case.draw(SEED);
        let halves = rounded(&x);
        for (x, weights) in [(&x, Weights::Fixed), (&x, Weights::Written), (&halves, Weights::Fixed)] {
            let plan = Plan::new(&graph_of(&case, x, weights)?, None)?;
            let [small, large, wide, shared] = Tiles::ALL;
            for (lanes, tiles) in
                [(GpuLimits::default().lanes, small), (1, small), (1, large), (1, wide), (1, shared), (8, shared)]
            {
                let winograd = [lanes == 8; 2];
                match record(&plan, GpuLimits { lanes, tiles: [tiles; 2], winograd, ..GpuLimits::default() }) {
                    Err(Error::NoKernel { .. }) => {}
                    recording => collect(recording?, &format!("{case:?}"), &mut shaders),
                }
            }
        }
    }
    for network in [Architecture::EfficientnetLite0, Architecture::MobilenetV2] {
        collect(record(&planned(network)?, Default::default())?, network.name(), &mut shaders);
    }
    let halves = Plan::new(&doubled(5)?, None)?.with_halves(&["x".to_owned()]);
    collect(record(&halves, Default::default())?, "inputs of 16 bits", &mut shaders);
    let invalid = |((text, _), (constants, about)): (&(String, String), &(Vec<_>, String))| {
        Some(format!("{about}: {}\n{text}", validate(text, constants).err()?))
    };
    let failures: Vec<_> = shaders.iter().filter_map(invalid).collect();
    assert!(shaders.len() > 20, "only {} shaders were found", shaders.len());
    assert!(failures.is_empty(), "{} of {} shaders fail:\n{}", failures.len(), shaders.len(), failures.join("\n"));
    Ok(())
}

#[test]
fn a_wrong_shader_is_refused() {
    let text = "@compute @workgroup_size(1) fn main() { let x: f32 = 1u; }";
    assert!(validate(text, &[]).is_err());
}

/// Ops without a kernel for one of their cases: this list only ever shrinks.
const WITHOUT_KERNEL: &[&str] = &[];

#[test]
fn ops_without_a_kernel_are_known() -> Result<()> {
    let mut missing = BTreeSet::new();
    for case in all_cases() {
        let x = case.draw(SEED);
        match record(&Plan::new(&graph_of(&case, &x, Weights::Fixed)?, None)?, Default::default()) {
            Err(Error::NoKernel { vertex, op }) => {
                assert_eq!((vertex.as_str(), op), ("y", case.op.name()), "the error names another vertex");
                missing.insert(op);
            }
            recording => {
                recording?;
            }
        }
    }
    assert_eq!(missing.into_iter().collect::<Vec<_>>(), WITHOUT_KERNEL);
    assert!(WITHOUT_KERNEL.iter().all(|name| Op::NAMES.contains(name)));
    Ok(())
}
