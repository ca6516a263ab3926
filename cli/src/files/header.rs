//! The header of an .npy file: element type, byte order, storage order and shape, believed only as
//! far as the file's size agrees.
//!
//! The header is a Python dict with three known keys, read here in one pass without recursion. The
//! parsers of npyz and ndarray-npy take time exponential in the nesting depth, allocate the length
//! that the file claims, or multiply the shape unchecked.

use eigengrad::Dtype;
use std::io::Read;

/// The element types that have an .npy form, with numpy's code and the bytes of one element.
const TYPES: [(Dtype, &str, usize); 5] = [
    (Dtype::F16, "f2", 2),
    (Dtype::F32, "f4", 4),
    (Dtype::F64, "f8", 8),
    (Dtype::Complex64, "c8", 8),
    (Dtype::Complex128, "c16", 16),
];
const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// What version 1 can hold; numpy itself reads at most 10,000 bytes of a file that it does not
/// trust.
const LONGEST: usize = u16::MAX as usize;
/// The size of a file says nothing about an array without elements, so its dimensions are bounded
/// by this instead.
const LARGEST_OF_EMPTY: usize = 1024;

/// What a header says, checked against the size of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The element type.
    pub dtype: Dtype,
    /// Whether components are stored big end first.
    pub big_endian: bool,
    /// Whether the first index runs fastest.
    pub fortran_order: bool,
    /// The lengths of the axes.
    pub shape: Vec<usize>,
}

impl Header {
    /// Reads the header of a file of `size` bytes and leaves `file` at the first element.
    ///
    /// # Errors
    /// What is wrong with it, without the file's name.
    pub fn read(file: &mut impl Read, size: u64) -> Result<Self, String> {
        let mut start = [0; 8];
        file.read_exact(&mut start).map_err(|_| "not an .npy file: shorter than 8 bytes")?;
        if start.starts_with(b"PK\x03\x04") {
            return Err("an .npz archive is not supported: save one array by numpy.save".into());
        }
        if !start.starts_with(MAGIC) {
            return Err("not an .npy file: it does not begin with \\x93NUMPY".into());
        }
        let width = match [start[6], start[7]] {
            [1, 0] => 2,
            [2 | 3, 0] => 4,
            [major, minor] => {
                return Err(format!("version {major}.{minor} of the .npy format is not supported: expected 1.0 to 3.0"));
            }
        };
        let mut length = [0; 4];
        file.read_exact(&mut length[..width]).map_err(|_| "truncated in the header")?;
        let length = u32::from_le_bytes(length) as usize;
        let before = (8 + width) as u64;
        if length as u64 > size.saturating_sub(before) {
            return Err(format!("truncated: the header is said to be {length} bytes long, the file is {size}"));
        }
        if length > LONGEST {
            return Err(format!("a header of {length} bytes is not supported: expected at most {LONGEST}"));
        }
        let mut text = vec![0; length];
        file.read_exact(&mut text).map_err(|_| "truncated in the header")?;
        let header = Dict { text: &text, at: 0 }.parse()?;
        header.agrees(size - before - length as u64)?;
        Ok(header)
    }

    /// The number of bytes of one element.
    pub fn element_size(&self) -> usize {
        TYPES.iter().find(|(dtype, ..)| *dtype == self.dtype).map_or(0, |(.., size)| *size)
    }

    /// Whether the shape needs exactly `bytes` bytes.
    fn agrees(&self, bytes: u64) -> Result<(), String> {
        let product = self.shape.iter().try_fold(self.element_size(), |product, &length| product.checked_mul(length));
        let needed = product.ok_or_else(|| format!("shape {:?} is too large to address", self.shape))?;
        if needed as u64 != bytes {
            let what = if bytes < needed as u64 { "truncated" } else { "too long" };
            return Err(format!("{what}: {} {:?} needs {needed} bytes of data, the file has {bytes}", self.dtype, self.shape));
        }
        if needed == 0 && self.shape.iter().any(|&length| length > LARGEST_OF_EMPTY) {
            return Err(format!("shape {:?} has no elements and a dimension over {LARGEST_OF_EMPTY}", self.shape));
        }
        Ok(())
    }
}

/// The header of a little-endian array in C order, padded so that the elements begin at a multiple
/// of 64 bytes.
pub fn write(code: &str, shape: &[usize]) -> Vec<u8> {
    let order = if code == "b1" { '|' } else { '<' };
    let lengths: String = shape.iter().map(|length| format!("{length}, ")).collect();
    let mut text = format!("{{'descr': '{order}{code}', 'fortran_order': False, 'shape': ({}), }}", lengths.trim_end());
    let padding = 63 - (MAGIC.len() + 4 + text.len()) % 64;
    text.extend(std::iter::repeat_n(' ', padding));
    text.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((text.len() as u16).to_le_bytes()); // three axes of 20 digits are far from 65,535
    bytes.extend(text.bytes());
    bytes
}

/// numpy's code for an element type, if there is one.
pub fn code(dtype: Dtype) -> Option<&'static str> {
    TYPES.iter().find(|(known, ..)| *known == dtype).map(|(_, code, _)| *code)
}

/// Whether numpy's code is that of integers or truth values.
fn is_integer(descr: &str) -> bool {
    let code = descr.trim_start_matches(['<', '>', '|', '=']);
    code.starts_with(['i', 'u', 'b']) && code[1..].parse::<u8>().is_ok()
}

/// A cursor in the text of a header.
struct Dict<'a> {
    text: &'a [u8],
    at: usize,
}

impl Dict<'_> {
    fn parse(mut self) -> Result<Header, String> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect(b'{')?;
        while self.peek() != Some(b'}') {
            let key = self.string()?;
            self.expect(b':')?;
            let repeated = match key.as_str() {
                "descr" => descr.replace(self.element_type()?).is_some(),
                "fortran_order" => fortran_order.replace(self.boolean()?).is_some(),
                "shape" => shape.replace(self.tuple()?).is_some(),
                _ => return Err(format!("malformed header: unknown key '{key}'")),
            };
            if repeated {
                return Err(format!("malformed header: key '{key}' occurs twice"));
            }
            if self.peek() != Some(b'}') {
                self.expect(b',')?;
            }
        }
        self.expect(b'}')?;
        if self.peek().is_some() {
            return Err(self.unexpected("its end"));
        }
        let missing = |key| move || format!("malformed header: no key '{key}'");
        let (dtype, big_endian) = descr.ok_or_else(missing("descr"))?;
        let (fortran_order, shape) = (fortran_order.ok_or_else(missing("fortran_order"))?, shape.ok_or_else(missing("shape"))?);
        Ok(Header { dtype, big_endian, fortran_order, shape })
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.peek() != Some(byte) {
            return Err(self.unexpected(&format!("'{}'", byte as char)));
        }
        self.at += 1;
        Ok(())
    }

    fn unexpected(&self, expected: &str) -> String {
        let got = self.text.get(self.at).map_or("its end".into(), |&byte| format!("'{}'", byte.escape_ascii()));
        format!("malformed header: expected {expected} at byte {} of its text, got {got}", self.at)
    }

    /// A quoted string without escapes, at most 40 bytes of it: it may end up in a message.
    fn string(&mut self) -> Result<String, String> {
        let quote = self.peek().filter(|byte| matches!(byte, b'\'' | b'"')).ok_or_else(|| self.unexpected("a string"))?;
        let rest = &self.text[self.at + 1..];
        let end = rest.iter().position(|&byte| byte == quote).ok_or("malformed header: a string does not end")?;
        self.at += end + 2;
        Ok(rest[..end.min(40)].escape_ascii().to_string())
    }

    fn element_type(&mut self) -> Result<(Dtype, bool), String> {
        if matches!(self.peek(), Some(b'[' | b'(')) {
            return Err("a structured dtype is not supported: expected f2, f4, f8, c8 or c16".into());
        }
        let descr = self.string()?;
        let big_endian = descr.starts_with('>');
        let code = descr.strip_prefix(['<', '>']);
        let found = TYPES.iter().find(|(_, known, _)| Some(*known) == code);
        found.map(|(dtype, ..)| (*dtype, big_endian)).ok_or_else(|| {
            let remedy = if is_integer(&descr) { "; convert it by .astype('f8')" } else { "" };
            format!("dtype {descr} is not supported: expected f2, f4, f8, c8 or c16, little- or big-endian{remedy}")
        })
    }

    fn boolean(&mut self) -> Result<bool, String> {
        self.peek();
        for (word, value) in [("True", true), ("False", false)] {
            if self.text[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.unexpected("True or False"))
    }

    fn tuple(&mut self) -> Result<Vec<usize>, String> {
        let mut lengths = Vec::new();
        self.expect(b'(')?;
        while self.peek() != Some(b')') {
            lengths.push(self.number()?);
            if self.peek() != Some(b')') {
                self.expect(b',')?;
            }
        }
        self.expect(b')')?;
        Ok(lengths)
    }

    fn number(&mut self) -> Result<usize, String> {
        self.peek();
        let digits: String = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).map(|&b| b as char).collect();
        if digits.is_empty() {
            return Err(self.unexpected("a length"));
        }
        self.at += digits.len();
        if digits.len() > 1 && digits.starts_with('0') {
            return Err(format!("malformed header: the length {digits} begins with 0"));
        }
        digits.parse().map_err(|_| format!("malformed header: a length of {} digits is too large", digits.len()))
    }
}
