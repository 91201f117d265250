//! Compiles the contracts without protoc: descriptors by protox, types by prost, JSON by pbjson.

use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 8] = [
    "zhili/conversation/v1/event.proto",
    "zhili/conversation/v1/ingest.proto",
    "zhili/conversation/v1/pseudonym.proto",
    "zhili/escalation/v1/escalation.proto",
    "zhili/log/v1/log.proto",
    "zhili/metrics/v1/metrics.proto",
    "zhili/privacy/v1/privacy.proto",
    "zhili/scoring/v1/scoring.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=zhili");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let encoded = prost::Message::encode_to_vec(&descriptors);
    fs::write(out.join("descriptors.bin"), &encoded)?;

    tonic_prost_build::configure()
        .build_transport(true)
        .btree_map(".")
        .bytes(".zhili.log.v1")
        .compile_well_known_types(true)
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds(descriptors)?;

    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .preserve_proto_field_names()
        // A zero is a figure too; only what is not measured is absent.
        .emit_fields()
        .btree_map(["."])
        .build(&[".zhili"])?;
    Ok(())
}
