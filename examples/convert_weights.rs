//! Writes a model file of any readable format as a regraft file.
//!
//! `cargo run --release --example convert_weights -- in.pth out.regraft.safetensors [--f16] [--architecture NAME]`

use std::collections::BTreeMap;
use std::error::Error;

use regraft::formats::Format;
use regraft::transfer::{ExportOptions, ExportType, LoadOptions, Model};

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths = Vec::new();
    let (mut options, mut load) = (ExportOptions::default(), LoadOptions::default());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--f16" => options.dtype = Some(ExportType::F16),
            "--architecture" => load.architecture = arguments.next(),
            _ => paths.push(argument),
        }
    }
    let [from, to] = paths.as_slice() else {
        return Err("usage: convert_weights IN OUT [--f16] [--architecture NAME]".into());
    };
    let bytes = std::fs::read(from)?;
    let model = Model::load(&BTreeMap::from([(from.clone(), bytes.as_slice())]), &load)?;
    let export = model.export(Format::Regraft, &options)?;
    for bytes in export.files.values() {
        std::fs::write(to, bytes)?;
    }
    eprintln!("{to}: outputs differ by at most {}", export.verified.max_abs_diff);
    Ok(())
}
