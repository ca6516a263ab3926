//! Writes what a CUDA compiler needs: `kernels FOLDER [N …]` makes `kernels.cu` and
//! `kernels.jsonl`, a line for each instantiation.

use eigengrad::cuda::{instantiations, source};
use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: kernels FOLDER [N …]")?);
    let orders = arguments.map(|n| n.parse()).collect::<Result<Vec<usize>, _>>()?;
    let mut lines = String::new();
    for of in instantiations(&orders) {
        let (n, dtype) = (of.n.map_or("null".to_owned(), |n| n.to_string()), of.dtype);
        let (kernel, expression, shared) = (of.kernel, of.expression, of.shared);
        writeln!(
            lines,
            r#"{{"kernel": "{kernel}", "dtype": "{dtype}", "n": {n}, "shared_bytes": {shared}, "expression": "{expression}"}}"#
        )?;
    }
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("kernels.cu"), source())?;
    fs::write(folder.join("kernels.jsonl"), lines)?;
    Ok(())
}
