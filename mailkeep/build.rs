//! Lists the sample mail below `sample/mail`, so that the program carries it: `demo` needs nothing but the program.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let sample = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("sample/mail");
    let mut files = Vec::new();
    collect(&sample, &mut files)?;
    files.sort();
    let mut code = String::from("&[\n");
    for file in &files {
        let name = file.strip_prefix(&sample).map_err(io::Error::other)?;
        writeln!(code, "    ({:?}, include_bytes!({:?})),", text(name)?, text(file)?)
            .map_err(io::Error::other)?;
    }
    code.push_str("]\n");
    fs::write(PathBuf::from(variable("OUT_DIR")?).join("sample.rs"), code)?;
    println!("cargo::rerun-if-changed={}", sample.display());
    Ok(())
}

fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}

fn text(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| io::Error::other(format!("{}: the name is not UTF-8", path.display())))
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
