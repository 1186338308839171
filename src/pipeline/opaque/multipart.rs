//! The field `model` of a form, where it stands early enough to be found.

use std::ops::Range;

use memchr::memmem;

/// What is known of the beginning of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// More is needed.
    More,
    /// Where the field's value stands.
    Found(Range<usize>),
    /// It is not there, or this is no form.
    No,
}

/// Looks for the field from one beginning to the next longer one, each part once.
pub(super) struct Form {
    /// `--boundary`.
    delimiter: Vec<u8>,
    /// Where the part begins that was not whole last time; its delimiter stands there.
    part: usize,
    /// How far its end has been looked for.
    searched: usize,
}

impl Form {
    /// A form of this content type; `None` where it is none.
    pub(super) fn of(content_type: &str) -> Option<Self> {
        let (essence, parameters) = content_type.split_once(';')?;
        if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let (name, value) = parameters.split(';').filter_map(|parameter| parameter.split_once('=')).find(is_boundary)?;
        let boundary = value.trim().trim_matches('"');
        // RFC 2046 §5.1.1.
        let sound = name.trim().eq_ignore_ascii_case("boundary") && (1..=70).contains(&boundary.len());
        sound.then(|| Self { delimiter: format!("--{boundary}").into_bytes(), part: 0, searched: 0 })
    }

    /// Looks at the beginning that has come so far.
    pub(super) fn search(&mut self, text: &[u8]) -> Search {
        loop {
            let Some(part) = text.get(self.part..) else { return Search::More };
            if part.len() < self.delimiter.len() + 2 {
                let fits = part.iter().zip(&self.delimiter).all(|(byte, wanted)| byte == wanted);
                return if fits { Search::More } else { Search::No };
            }
            let Some(content) = part.strip_prefix(self.delimiter.as_slice()).and_then(|rest| rest.strip_prefix(b"\r\n")) else {
                return Search::No;
            };
            let start = self.part + self.delimiter.len() + 2;
            // The line end before the next delimiter is the delimiter's.
            let from = self.searched.max(start - 2);
            let Some(at) = text.get(from..).and_then(|rest| find_delimiter(rest, &self.delimiter)) else {
                self.searched = text.len().saturating_sub(self.delimiter.len() + 1).max(start - 2);
                return Search::More;
            };
            let end = from + at;
            let content = content.get(..end.saturating_sub(start)).unwrap_or_default();
            if let Some(value) = memmem::find(content, b"\r\n\r\n").map(|at| at + 4)
                && names_model(&content[..value])
            {
                return Search::Found(start + value..end);
            }
            self.part = end + 2;
            self.searched = self.part;
        }
    }
}

fn is_boundary((name, _): &(&str, &str)) -> bool {
    name.trim().eq_ignore_ascii_case("boundary")
}

fn find_delimiter(text: &[u8], delimiter: &[u8]) -> Option<usize> {
    memmem::find_iter(text, b"\r\n").find(|at| text[at + 2..].starts_with(delimiter))
}

/// Whether a part's head is that of a field `model`, and no file.
fn names_model(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head);
    head.lines().any(|line| {
        let Some((name, value)) = line.split_once(':') else { return false };
        let mut parameters = value.split(';').skip(1).map(str::trim);
        name.trim().eq_ignore_ascii_case("content-disposition")
            && parameters.clone().any(|parameter| parameter == "name=\"model\"" || parameter == "name=model")
            && !parameters.any(|parameter| parameter.starts_with("filename"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"x y\"";

    fn part(head: &str, value: &str) -> String {
        format!("--x y\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
    }

    fn found(text: &str, step: usize) -> Option<String> {
        let mut form = Form::of(TYPE).unwrap();
        for end in (0..text.len()).step_by(step).chain([text.len()]) {
            match form.search(&text.as_bytes()[..end]) {
                Search::Found(span) => return Some(text[span].to_owned()),
                Search::No => return None,
                Search::More => {}
            }
        }
        None
    }

    #[test]
    fn the_field_is_found_wherever_it_stands() {
        let model = part("name=\"model\"", "whisper-1");
        let file = part("name=\"file\"; filename=\"model\"\r\nContent-Type: audio/wav", "RIFF\r\n\r\n--x\r\nname=\"model\"\r\n--");
        let prompt = part("name=\"prompt\"", "");
        let table = [
            (format!("{model}{file}--x y--\r\n"), Some("whisper-1")),
            (format!("{file}{prompt}{model}--x y--\r\n"), Some("whisper-1")),
            (format!("{file}{prompt}--x y--\r\n"), None),
            (part("name=\"model\"; filename=\"a\"", "x") + "--x y--", None),
            (part("name=\"models\"", "x") + "--x y--", None),
            ("no form at all, but long enough".to_owned(), None),
            ("--x y--".to_owned(), None),
            (format!("{}--x y--", part("name=\"model\"", "")), Some("")),
            // Not whole yet.
            (model[..model.len() - 2].to_owned(), None),
            (String::new(), None),
        ];
        for (text, value) in &table {
            for step in [1, 3, 1000] {
                assert_eq!(found(text, step).as_deref(), *value, "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn only_forms_are_forms() {
        for content_type in ["application/json", "multipart/form-data", "multipart/mixed; boundary=a", "multipart/form-data; boundary="] {
            assert!(Form::of(content_type).is_none(), "{content_type}");
        }
        assert!(Form::of("Multipart/Form-Data; charset=utf-8; Boundary=a").is_some());
    }
}
