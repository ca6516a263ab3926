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

    /// Every file below a folder once, after those that it includes, which are named from there.
    fn bundle(root: &Path) -> io::Result<String> {
        let (mut source, mut done) = (String::new(), Vec::new());
        for folder in entries(root)? {
            for file in entries(&folder)? {
                println!("cargo::rerun-if-changed={}", file.display());
                append(root, &file, &mut source, &mut done)?;
            }
        }
        Ok(source)
    }

    fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut paths: Vec<_> = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
        paths.sort();
        Ok(paths)
    }

    fn append(root: &Path, file: &Path, source: &mut String, done: &mut Vec<PathBuf>) -> io::Result<()> {
        if done.iter().any(|known| known == file) {
            return Ok(());
        }
        done.push(file.to_owned());
        let text = fs::read_to_string(file).map_err(|e| io::Error::other(format!("{}: {e}", file.display())))?;
        let included = |line: &str| line.strip_prefix("#include \"")?.strip_suffix('"').map(|name| root.join(name));
        for file in text.lines().filter_map(included) {
            append(root, &file, source, done)?;
        }
        let name = file.strip_prefix(root).unwrap_or(file).components().map(|part| part.as_os_str().display().to_string());
        source.push_str(&format!("#line 1 \"{}\"\n", name.collect::<Vec<_>>().join("/")));
        for line in text.lines() {
            // A line of its own for what is left out keeps the numbers in messages right.
            source.push_str(if included(line).is_some() || line == "#pragma once" { "" } else { line });
            source.push('\n');
        }
        Ok(())
    }
}
