//! A JSON schema: as the caller wrote it, or translated into one.

use crate::base::json::{JsonError, Raw};

/// A JSON schema. Mostly the caller's own text; a dialect that describes its tools otherwise (Gemini's subset of
/// OpenAPI) makes one.
#[derive(Clone, Debug)]
pub struct Schema<'a>(Text<'a>);

#[derive(Clone, Debug)]
enum Text<'a> {
    Borrowed(Raw<'a>),
    Made(String),
}

impl Schema<'_> {
    /// A schema that was made.
    ///
    /// # Errors
    /// The text is not JSON.
    pub fn made(text: String) -> Result<Self, Box<JsonError>> {
        Raw::parse(text.as_bytes())?;
        Ok(Self(Text::Made(text)))
    }

    /// The schema's text.
    pub fn raw(&self) -> Raw<'_> {
        match &self.0 {
            Text::Borrowed(raw) => *raw,
            // It was parsed when it was made.
            Text::Made(text) => Raw::parse(text.as_bytes()).unwrap_or(Raw::literal("{}")),
        }
    }
}

impl<'a> From<Raw<'a>> for Schema<'a> {
    fn from(raw: Raw<'a>) -> Self {
        Self(Text::Borrowed(raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_borrowed_or_made() {
        assert_eq!(Schema::from(Raw::literal(r#"{"type":"object"}"#)).raw().get(), r#"{"type":"object"}"#);
        assert_eq!(Schema::made(r#"{"a": 1}"#.to_owned()).unwrap().raw().member("a").unwrap().u64(), Some(1));
        assert!(Schema::made("{".to_owned()).is_err());
    }
}
