//! The options of nvrtcCompileProgram: which there are, what of them g++ is told, and the
//! architecture.

/// What the options ask for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    /// As `sm_90` or `compute_90`.
    pub(crate) architecture: String,
    standard: String,
    /// Passed on to g++.
    pub(crate) passed: Vec<String>,
}

/// What NVRTC 13.0 compiles for.
pub(crate) const ARCHITECTURES: [i32; 12] = [75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121];

/// Options that g++ has no use for; `=` where a value follows.
const IGNORED: [&str; 52] = [
    "--fmad=",
    "-fmad=",
    "--ftz=",
    "-ftz=",
    "--prec-sqrt=",
    "-prec-sqrt=",
    "--prec-div=",
    "-prec-div=",
    "--use_fast_math",
    "-use_fast_math",
    "--maxrregcount=",
    "-maxrregcount=",
    "--device-debug",
    "-G",
    "--generate-line-info",
    "-lineinfo",
    "--restrict",
    "-restrict",
    "--extra-device-vectorization",
    "-extra-device-vectorization",
    "--dopt=",
    "-dopt=",
    "--dopt",
    "-dopt",
    "--device-c",
    "-dc",
    "--device-w",
    "-dw",
    "--relocatable-device-code=",
    "-rdc=",
    "--default-device",
    "-default-device",
    "--disable-warnings",
    "-w",
    "--diag-suppress=",
    "-diag-suppress=",
    "--diag-error=",
    "-diag-error=",
    "--diag-warn=",
    "-diag-warn=",
    "--ptxas-options=",
    "--minimal",
    "-minimal",
    "--no-source-include",
    "-no-source-include",
    "--display-error-number",
    "-err-no",
    "--no-display-error-number",
    "-no-err-no",
    "--brief-diagnostics=",
    "--split-compile=",
    "-split-compile=",
];
/// Options that take their value from the next argument, or after `=`.
const VALUED: [(&str, &str); 14] = [
    ("--gpu-architecture", "arch"),
    ("-arch", "arch"),
    ("--std", "std"),
    ("-std", "std"),
    ("--define-macro", "-D"),
    ("-D", "-D"),
    ("--undefine-macro", "-U"),
    ("-U", "-U"),
    ("--include-path", "-I"),
    ("-I", "-I"),
    ("--pre-include", "-include"),
    ("-include", "-include"),
    ("-Xptxas", ""),
    ("-Xcicc", ""),
];

impl Options {
    /// Reads them.
    ///
    /// # Errors
    /// The first that NVRTC would not know.
    pub(crate) fn parse(options: &[String]) -> Result<Self, String> {
        let mut parsed = Self { architecture: "sm_75".to_owned(), standard: "c++17".to_owned(), passed: Vec::new() };
        let mut options = options.iter();
        while let Some(option) = options.next() {
            if IGNORED.iter().any(|known| option == known || (known.ends_with('=') && option.starts_with(known))) {
                continue;
            }
            let known = VALUED.iter().find_map(|(name, meaning)| {
                let rest = option.strip_prefix(name)?;
                let joined = name.len() == 2 && !rest.is_empty();
                match rest.strip_prefix('=') {
                    Some(value) if !joined || name.starts_with("--") => Some((*meaning, value.to_owned())),
                    _ if rest.is_empty() => options.as_slice().first().map(|next| (*meaning, next.clone())),
                    _ if joined => Some((*meaning, rest.to_owned())),
                    _ => None,
                }
            });
            let refused = || format!("unrecognized option {option} found");
            let (meaning, value) = known.ok_or_else(refused)?;
            if VALUED.iter().any(|(name, _)| option == name) {
                options.next();
            }
            match meaning {
                "arch" => parsed.architecture = architecture(&value).ok_or_else(refused)?,
                "std" if ["c++03", "c++11", "c++14", "c++17", "c++20"].contains(&&*value) => parsed.standard = value,
                "std" => return Err(refused()),
                "" => {}
                meaning => parsed.passed.extend([meaning.to_owned(), value]),
            }
        }
        Ok(parsed)
    }

    /// The standard for g++; the runtime header needs C++17.
    pub(crate) fn standard(&self) -> &str {
        if self.standard == "c++20" { "c++20" } else { "c++17" }
    }

    /// Whether there is no machine code, as the architecture is a virtual one.
    pub(crate) fn is_virtual(&self) -> bool {
        self.architecture.starts_with("compute_")
    }

    /// __CUDA_ARCH__.
    pub(crate) fn number(&self) -> String {
        self.architecture.chars().filter(char::is_ascii_digit).chain(['0']).collect()
    }
}

fn architecture(value: &str) -> Option<String> {
    let number = value.strip_prefix("sm_").or_else(|| value.strip_prefix("compute_"))?;
    let number: i32 = number.trim_end_matches(['a', 'f']).parse().ok()?;
    ARCHITECTURES.contains(&number).then(|| value.to_owned())
}
