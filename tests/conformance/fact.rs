//! Facts, one line of JSON each.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write};

/// A value in a fact.
pub enum Value {
    Text(String),
    Integer(i128),
    Number(f64),
    Truth(bool),
}

macro_rules! values {
    ($($from:ty: |$x:ident| $value:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($x: $from) -> Self {
                $value
            }
        }
    )*};
}

values! {
    &str: |x| Self::Text(x.to_owned());
    String: |x| Self::Text(x);
    i32: |x| Self::Integer(x.into());
    i64: |x| Self::Integer(x.into());
    usize: |x| Self::Integer(x as i128);
    f64: |x| Self::Number(x);
    bool: |x| Self::Truth(x);
}

impl Value {
    fn json(&self) -> String {
        match self {
            Self::Text(text) => format!("\"{}\"", text.replace(['\\', '"'], "'").replace(char::is_control, " ")),
            Self::Integer(number) => number.to_string(),
            Self::Number(number) if number.is_finite() => format!("{number:.6e}"),
            Self::Number(_) => "null".to_owned(),
            Self::Truth(truth) => truth.to_string(),
        }
    }
}

/// Writes a fact: its name, then its fields.
pub fn say(name: &str, fields: &[(&str, Value)]) {
    let fields: String = fields.iter().map(|(key, value)| format!(", \"{key}\": {}", value.json())).collect();
    let line = format!("{{\"fact\": \"{name}\"{fields}}}\n");
    io::stdout().write_all(line.as_bytes()).expect("the standard output can be written to");
    if let Some(path) = env::var_os("EIGENGRAD_CONFORMANCE_OUT") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("EIGENGRAD_CONFORMANCE_OUT can be written to");
    }
}

/// `fact!("name", key: value, …)`
macro_rules! fact {
    ($name:expr $(, $key:ident: $value:expr)* $(,)?) => {
        $crate::fact::say($name, &[$((stringify!($key), $value.into())),*])
    };
}
pub(crate) use fact;
