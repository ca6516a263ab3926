//! Sources compiled by g++ into shared libraries, kept by the hash of all that goes into them.

use crate::kernel::MARK;
use crate::options::Options;
use crate::region::asan;
use std::borrow::Cow;
use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

const RUNTIME: [(&str, &str); 4] = [
    ("eigengrad_emulator_cuda.hpp", include_str!("../runtime/cuda.hpp")),
    ("eigengrad_emulator_race.hpp", include_str!("../runtime/race.hpp")),
    ("eigengrad_emulator_math.hpp", include_str!("../runtime/math.hpp")),
    ("eigengrad_emulator_kernel.hpp", include_str!("../runtime/kernel.hpp")),
];

/// -fno-gnu-unique: a static variable of a template is not one with that of another module. The
/// rest is what nvcc does, or for speed.
const FLAGS: [&str; 16] = [
    "-x",
    "c++",
    "-O2",
    "-fPIC",
    "-shared",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-strict-aliasing",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-gnu-unique",
    "-fvisibility=hidden",
    "-fno-asynchronous-unwind-tables",
    "-Wno-attributes",
    "-Wno-unknown-pragmas",
    "-Wl,--build-id=none",
];

/// All that is compiled together.
#[derive(Hash)]
pub(crate) struct Unit<'a> {
    pub(crate) name: &'a str,
    pub(crate) source: &'a str,
    /// Headers by the names that includes know them by.
    pub(crate) headers: &'a [(String, String)],
    /// The kernels: lowered name and expression.
    pub(crate) kernels: &'a [(String, String)],
}

fn compiler() -> String {
    env::var("EIGENGRAD_EMULATOR_CXX").unwrap_or_else(|_| "g++".to_owned())
}

/// g++ must not be run under what the program is run under.
fn command() -> Command {
    let mut command = Command::new(compiler());
    command.env_remove("LD_PRELOAD").env("LC_ALL", "C");
    command
}

fn version() -> Result<&'static str, String> {
    static VERSION: OnceLock<Result<String, String>> = OnceLock::new();
    let ask = || {
        let output = command().arg("--version").output().map_err(|e| format!("{}: {e}", compiler()))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    VERSION.get_or_init(ask).as_deref().map_err(Clone::clone)
}

/// The shared library, and what g++ said; if it failed that alone.
pub(crate) fn compile(unit: &Unit, options: &Options) -> Result<(Vec<u8>, String), String> {
    let sanitizers = env::var("EIGENGRAD_EMULATOR_SANITIZE").ok().filter(|list| !list.is_empty());
    if sanitizers.iter().any(|list| list.split(',').any(|name| name == "address")) && !asan().is_here() {
        return Err("EIGENGRAD_EMULATOR_SANITIZE=address needs LD_PRELOAD=$(g++ -print-file-name=libasan.so)\n".to_owned());
    }
    let mut flags: Vec<String> = FLAGS.map(str::to_owned).into();
    flags.push(format!("-std={}", options.standard()));
    flags.push(format!("-D__CUDA_ARCH__={}", options.number()));
    flags.extend(options.passed.iter().cloned());
    if sanitizers.as_deref() == Some("race") {
        // Without g++'s own library: the hooks are in runtime/race.hpp.
        flags.extend(
            ["-fsanitize=thread", "--param=tsan-distinguish-volatile=1", "-nodefaultlibs", "-g1", "-O1"].map(str::to_owned),
        );
    } else if let Some(list) = &sanitizers {
        // The last -O counts. Two thirds of the time with -O2 and -g: nearly all of it is g++'s
        // own.
        flags.extend([format!("-fsanitize={list}"), "-fno-sanitize-recover=all".to_owned(), "-g1".to_owned(), "-O1".to_owned()]);
    }
    let text = text(unit, options);
    let folder = cache().map_err(|e| format!("the cache: {e}"))?;
    let kept = folder.join(format!("{}.so", hash(&(&text, unit.headers, &flags, RUNTIME, version()?))));
    if let Ok(image) = fs::read(&kept) {
        return Ok((image, String::new()));
    }
    let work = Scratch::new().map_err(|e| format!("a temporary folder: {e}"))?;
    let output = run(&work.0, unit, &text, &flags).map_err(|e| format!("{}: {e}", compiler()))?;
    let log = String::from_utf8_lossy(&output.stderr).replace(&format!("{}/", work.0.display()), "");
    if !output.status.success() {
        return Err(log);
    }
    let image = fs::read(work.0.join("module.so")).map_err(|e| e.to_string())?;
    let _ = keep(&folder, &kept, &image); // without a cache it takes longer
    Ok((image, log))
}

fn run(work: &Path, unit: &Unit, text: &str, flags: &[String]) -> io::Result<Output> {
    for (name, content) in RUNTIME {
        fs::write(work.join(name), content)?;
    }
    for (name, content) in unit.headers {
        let path = work.join("headers").join(name.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap_or(work))?;
        fs::write(path, content)?;
    }
    fs::write(work.join("unit.cpp"), text)?;
    let (include, out) = (work.join("headers"), work.join("module.so"));
    command()
        .args(flags)
        .arg("-I")
        .arg(work)
        .arg("-I")
        .arg(include)
        .arg("-o")
        .arg(out)
        .arg(work.join("unit.cpp"))
        .args(["-lm", "-lgcc", "-lc"])
        .output()
}

/// The source between the runtime and the table of its kernels.
fn text(unit: &Unit, options: &Options) -> String {
    let mut text = String::new();
    for (name, _) in RUNTIME {
        let _ = writeln!(text, "#include \"{name}\"");
    }
    let _ = writeln!(text, "#line 1 {}\n{}", literal(unit.name), with_dynamic_memory(&without_barrier(unit)));
    let _ = writeln!(
        text,
        "\nextern \"C\" __attribute__((visibility(\"default\"), used)) const eg_kernel eigengrad_emulator_kernels[] = {{"
    );
    for (name, expression) in unit.kernels {
        let quoted = literal(expression);
        let _ =
            writeln!(text, "#line 1 \"name expression\"\n    eg_call<&{expression}>::described({}, {quoted}),", literal(name));
    }
    let _ = writeln!(text, "    {{nullptr, nullptr, 0, 0, nullptr, nullptr}}}};");
    let mark = literal(&format!("{MARK}{};", options.architecture));
    let _ = writeln!(
        text,
        "extern \"C\" __attribute__((visibility(\"default\"), used)) const char eigengrad_emulator_mark[] = {mark};"
    );
    text
}

/// The source without the barrier that EIGENGRAD_EMULATOR_WITHOUT names, as
/// `backward/f_matrix.cu:58`: a test of what finds that it is missing.
fn without_barrier<'a>(unit: &Unit<'a>) -> Cow<'a, str> {
    match env::var("EIGENGRAD_EMULATOR_WITHOUT").ok().filter(|site| !site.is_empty()) {
        Some(site) => Cow::Owned(leave_out(unit, &site)),
        None => Cow::Borrowed(unit.source),
    }
}

const BARRIERS: [&str; 7] = [
    "__syncthreads();",
    "__syncwarp();",
    "on::team_barrier();",
    "team_barrier();",
    "team::barrier();",
    "TEAM::barrier();",
    "await_copies();",
];

fn leave_out(unit: &Unit, site: &str) -> String {
    let (mut file, mut line) = (unit.name.to_owned(), 1);
    let mut kept = String::with_capacity(unit.source.len());
    for text in unit.source.split_inclusive('\n') {
        let numbered = text.strip_prefix("#line ").and_then(|rest| rest.trim().split_once(' '));
        if let Some((number, name)) = numbered {
            (file, line) = (name.trim_matches('"').to_owned(), number.parse().unwrap_or(0));
            kept.push_str(text);
            continue;
        }
        match format!("{file}:{line}") == site {
            true => kept.push_str(&BARRIERS.iter().fold(text.to_owned(), |text, barrier| text.replace(barrier, ";"))),
            false => kept.push_str(text),
        }
        line += 1;
    }
    kept
}

/// `extern __shared__ type name[];`, which is no C++, as a pointer to the memory that the launch
/// asks for.
fn with_dynamic_memory(source: &str) -> String {
    let mut parts = source.split("extern __shared__ ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once("[];").and_then(|(declared, rest)| Some((declared.rsplit_once(' ')?, rest))) {
            Some(((of, name), rest)) => {
                let _ = write!(text, "{of}* const {name} = static_cast<{of}*>(eg_self->in->dynamic);{rest}");
            }
            None => text = text + "extern __shared__ " + part,
        }
    }
    text
}

fn literal(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// 128 bits that the same content always gives.
fn hash(content: &impl Hash) -> String {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        content.hash(&mut hasher);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(1), half(2))
}

/// EIGENGRAD_EMULATOR_CACHE, or a folder in the user's cache.
fn cache() -> io::Result<PathBuf> {
    let set = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
    let home = || set("HOME").unwrap_or_else(env::temp_dir).join(".cache");
    let folder =
        set("EIGENGRAD_EMULATOR_CACHE").unwrap_or_else(|| set("XDG_CACHE_HOME").unwrap_or_else(home).join("eigengrad-emulator"));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Another process that keeps the same at the same time does no harm.
fn keep(folder: &Path, kept: &Path, image: &[u8]) -> io::Result<()> {
    let partial = folder.join(format!(".{}-{}", std::process::id(), unique()));
    fs::write(&partial, image)?;
    fs::rename(&partial, kept)
}

fn unique() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A folder that goes with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Self> {
        let path = env::temp_dir().join(format!("eigengrad-emulator-{}-{}", std::process::id(), unique()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
