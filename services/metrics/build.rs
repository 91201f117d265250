//! Puts the built console (`web/dist`) into the program, if it was built: Rust alone must do for
//! whoever only builds the service.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() -> Result<(), Box<dyn Error>> {
    // The console's build touches this file, so that a console built for the first time is seen.
    println!("cargo:rerun-if-changed=build.rs");
    let dist = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("web/dist");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut table = "static ASSETS: &[Asset] = &[\n".to_owned();
    if dist.is_dir() {
        println!("cargo:rerun-if-changed=web/dist");
        let mut files = Vec::new();
        list(&dist, &mut files)?;
        files.sort();
        for (number, file) in files.iter().enumerate() {
            let packed = out.join(format!("asset-{number}.gz"));
            let mut encoder = GzEncoder::new(fs::File::create(&packed)?, Compression::best());
            encoder.write_all(&fs::read(file)?)?;
            encoder.finish()?;
            let path = file.strip_prefix(&dist)?.to_string_lossy();
            table += &format!(
                "Asset {{ path: {:?}, kind: {:?}, plain: include_bytes!({:?}), \
                 gzip: include_bytes!({:?}) }},\n",
                format!("/{path}"),
                kind(file)?,
                file.to_string_lossy(),
                packed.to_string_lossy(),
            );
        }
    }
    table += "];\n";
    fs::write(out.join("assets.rs"), table)?;
    Ok(())
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn kind(file: &Path) -> Result<&'static str, Box<dyn Error>> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => Ok("text/html; charset=utf-8"),
        Some("js") => Ok("text/javascript; charset=utf-8"),
        Some("css") => Ok("text/css; charset=utf-8"),
        Some("svg") => Ok("image/svg+xml"),
        _ => Err(format!("{}: of no kind that the console has", file.display()).into()),
    }
}
