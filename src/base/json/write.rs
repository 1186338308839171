//! Writing JSON into a caller's buffer, member by member.

use super::{Raw, write_escaped, write_string};

/// Appends an object; `fill` writes its members.
pub fn object(out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    fill(&mut Object { out, first: true });
    out.push(b'}');
}

/// Appends an array; `fill` writes its elements.
pub fn array(out: &mut Vec<u8>, fill: impl FnOnce(&mut Array<'_>)) {
    out.push(b'[');
    fill(&mut Array { out, first: true });
    out.push(b']');
}

/// Appends an object whose filling may fail; what was written until then stays.
///
/// # Errors
/// That of `fill`.
pub fn try_object<E>(out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>) -> Result<(), E>) -> Result<(), E> {
    let mut result = Ok(());
    object(out, |object| result = fill(object));
    result
}

/// Appends an array whose filling may fail; what was written until then stays.
///
/// # Errors
/// That of `fill`.
pub fn try_array<E>(out: &mut Vec<u8>, fill: impl FnOnce(&mut Array<'_>) -> Result<(), E>) -> Result<(), E> {
    let mut result = Ok(());
    array(out, |array| result = fill(array));
    result
}

/// Appends JSON without line breaks (they can only be white space there): an event of a stream is one line.
pub fn write_on_one_line(json: &str, out: &mut Vec<u8>) {
    let from = out.len();
    out.extend_from_slice(json.as_bytes());
    if memchr::memchr2(b'\n', b'\r', json.as_bytes()).is_some() {
        for byte in &mut out[from..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
}

/// The open object. Keys are constants of ours or come from a text that was unescaped: both are escaped as needed.
pub struct Object<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl Object<'_> {
    /// Writes a key and gives the buffer for its value, which the caller must write.
    #[inline]
    pub fn key(&mut self, key: &str) -> &mut Vec<u8> {
        self.out.extend_from_slice(if std::mem::take(&mut self.first) { b"\"" } else { b",\"" });
        write_escaped(key, self.out);
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// A string member, from plain characters.
    #[inline]
    pub fn string(&mut self, key: &str, value: &str) {
        write_string(value, self.key(key));
    }

    /// A member that is moved as it was written.
    pub fn raw(&mut self, key: &str, value: Raw<'_>) {
        self.key(key).extend_from_slice(value.get().as_bytes());
    }

    /// A member whose value is written as JSON already: a number, `null`.
    pub fn verbatim(&mut self, key: &str, json: &str) {
        self.key(key).extend_from_slice(json.as_bytes());
    }

    /// A whole number.
    pub fn u64(&mut self, key: &str, value: u64) {
        self.key(key).extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A boolean.
    pub fn bool(&mut self, key: &str, value: bool) {
        self.verbatim(key, if value { "true" } else { "false" });
    }

    /// `null`.
    pub fn null(&mut self, key: &str) {
        self.verbatim(key, "null");
    }

    /// An object.
    pub fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        object(self.key(key), fill);
    }

    /// An array.
    pub fn array(&mut self, key: &str, fill: impl FnOnce(&mut Array<'_>)) {
        array(self.key(key), fill);
    }
}

/// The open array.
pub struct Array<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl Array<'_> {
    /// Gives the buffer for the next element, which the caller must write.
    pub fn item(&mut self) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out
    }

    /// An object element.
    pub fn object(&mut self, fill: impl FnOnce(&mut Object<'_>)) {
        object(self.item(), fill);
    }

    /// An element that is moved as it was written.
    pub fn raw(&mut self, value: Raw<'_>) {
        self.item().extend_from_slice(value.get().as_bytes());
    }

    /// A string element, from plain characters.
    pub fn string(&mut self, value: &str) {
        write_string(value, self.item());
    }
}
