//! Bundles the kernels with their headers into one source, and names it by its content.

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "cuda")]
    kernels::write()?;
    Ok(())
}

#[cfg(feature = "cuda")]
mod kernels {
    use sha2::{Digest, Sha256};
    use std::path::{Path, PathBuf};
    use std::{env, fs, io};

    pub fn write() -> io::Result<()> {
        println!("cargo::rerun-if-changed=kernels");
        let source = bundle(Path::new("kernels"))?;
        let hash: String = Sha256::digest(&source).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        println!("cargo::rustc-env=EIGENGRAD_KERNELS_HASH={hash}");
        let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or_else(|| io::Error::other("OUT_DIR is not set"))?;
        fs::write(out.join("kernels.cu"), source)
    }

    /// Every file once, after those that it includes.
    fn bundle(folder: &Path) -> io::Result<String> {
        let mut files: Vec<_> = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
        files.sort();
        let (mut source, mut done) = (String::new(), Vec::new());
        for file in files {
            println!("cargo::rerun-if-changed={}", file.display());
            append(&file, &mut source, &mut done)?;
        }
        Ok(source)
    }

    fn append(file: &Path, source: &mut String, done: &mut Vec<PathBuf>) -> io::Result<()> {
        if done.iter().any(|known| known == file) {
            return Ok(());
        }
        done.push(file.to_owned());
        let text = fs::read_to_string(file).map_err(|e| io::Error::other(format!("{}: {e}", file.display())))?;
        let name = file.file_name().unwrap_or_default().display().to_string();
        let included = |line: &str| {
            line.strip_prefix("#include \"").and_then(|rest| rest.strip_suffix('"')).map(|name| file.with_file_name(name))
        };
        for file in text.lines().filter_map(included) {
            append(&file, source, done)?;
        }
        source.push_str(&format!("#line 1 \"{name}\"\n"));
        for line in text.lines() {
            // A line of its own for what is left out keeps the numbers in messages right.
            source.push_str(if included(line).is_some() || line == "#pragma once" { "" } else { line });
            source.push('\n');
        }
        Ok(())
    }
}
