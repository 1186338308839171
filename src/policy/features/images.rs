//! How many tokens an image has. Its size in pixels stands in the first bytes of its file, which are read out of the base64 in
//! place; where it does not, or cannot be read, the number of bytes must do.
//!
//! * OpenAI: 85 tokens at low detail, else 85 and 170 for each tile of 512 pixels, once the image fits a square of 2,048 and its
//!   shorter side is 768 at most.
//! * Claude: width × height / 750, of an image whose longer side is 2,576 at most (before Opus 4.7: 1,568).
//! * Gemini: 258 up to 384 pixels, else 258 for each tile, whose side is two thirds of the shorter side and 256 to 768 pixels; since
//!   Gemini 3 a fixed number.
//! * Smaller models count the same images several times over; that, and what changes, is for a calibration to learn.

use super::content::ImageRule;

/// The tokens of images, by each rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ImageTokens {
    tiles_512: u64,
    area: u64,
    tiles_768: u64,
    dearest: u64,
}

/// At OpenAI's low detail.
const LOW: u64 = 85;

impl ImageTokens {
    /// The same by every rule.
    pub(super) fn same(tokens: u64) -> Self {
        Self { tiles_512: tokens, area: tokens, tiles_768: tokens, dearest: tokens }
    }

    /// Of an image whose file is here, in base64.
    pub(super) fn of(base64: &[u8]) -> Self {
        let Some(size) = size(base64) else { return Self::same(by_bytes(super::media::decoded(base64.len()))) };
        let (tiles_512, area, tiles_768) = (tiles_512(size), area(size), tiles_768(size));
        Self { tiles_512, area, tiles_768, dearest: tiles_512.max(area).max(tiles_768) }
    }

    /// The same, looked at in little detail: an offer of OpenAI's that others do not know.
    pub(super) fn at_low_detail(self) -> Self {
        Self { tiles_512: LOW, dearest: LOW, ..self }
    }

    pub(super) fn by(&self, rule: ImageRule) -> u64 {
        match rule {
            ImageRule::Tiles512 => self.tiles_512,
            ImageRule::Area => self.area,
            ImageRule::Tiles768 => self.tiles_768,
            ImageRule::Dearest => self.dearest,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.tiles_512 += other.tiles_512;
        self.area += other.area;
        self.tiles_768 += other.tiles_768;
        self.dearest += other.dearest;
    }
}

/// Files have about a byte for each six to eight pixels, so that a hundred bytes are about a token.
fn by_bytes(bytes: u64) -> u64 {
    const LEAST: u64 = 258;
    const MOST: u64 = 1_600;
    (bytes / 100).clamp(LEAST, MOST)
}

/// Width and height in pixels, neither of them 0.
type Size = (u64, u64);

fn tiles_512(size: Size) -> u64 {
    const TILE: u64 = 512;
    let (width, height) = within(size, size.0.max(size.1), 2_048);
    let (width, height) = within((width, height), width.min(height), 768);
    LOW + 170 * width.div_ceil(TILE) * height.div_ceil(TILE)
}

fn area(size: Size) -> u64 {
    const MOST: u64 = 4_784;
    let (width, height) = within(size, size.0.max(size.1), 2_576);
    (width * height).div_ceil(750).min(MOST)
}

fn tiles_768((width, height): Size) -> u64 {
    const TILE: u64 = 258;
    const TILES_MOST: u64 = 64;
    if width <= 384 && height <= 384 {
        return TILE;
    }
    let side = (width.min(height) * 2 / 3).clamp(256, 768);
    TILE * width.div_ceil(side).saturating_mul(height.div_ceil(side)).min(TILES_MOST)
}

/// Scaled down so that `side`, one of its sides, is at most so long.
fn within((width, height): Size, side: u64, most: u64) -> Size {
    if side <= most { (width, height) } else { ((width * most / side).max(1), (height * most / side).max(1)) }
}

/// The size of the PNG, JPEG, GIF or WebP whose base64 this is. Only a few bytes of it are looked at.
fn size(base64: &[u8]) -> Option<Size> {
    let file = File(base64);
    let (width, height) = match file.bytes(0)? {
        [0x89, b'P', b'N', b'G'] => (u32::from_be_bytes(file.bytes(16)?), u32::from_be_bytes(file.bytes(20)?)),
        [b'G', b'I', b'F', b'8'] => (file.little(6)?, file.little(8)?),
        [b'R', b'I', b'F', b'F'] => file.webp()?,
        [0xff, 0xd8, ..] => file.jpeg()?,
        _ => return None,
    };
    (width > 0 && height > 0).then_some((u64::from(width), u64::from(height)))
}

/// A file in base64, any byte of which can be read.
#[derive(Clone, Copy)]
struct File<'b>(&'b [u8]);

impl File<'_> {
    fn byte(self, at: usize) -> Option<u8> {
        let group = at / 3 * 4;
        let bits = |place: usize| self.0.get(group + place).copied().and_then(sextet);
        Some(match at % 3 {
            0 => bits(0)? << 2 | bits(1)? >> 4,
            1 => bits(1)? << 4 | bits(2)? >> 2,
            _ => bits(2)? << 6 | bits(3)?,
        })
    }

    fn bytes<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = self.byte(at + place)?;
        }
        Some(bytes)
    }

    /// Two bytes, the lower first.
    fn little(self, at: usize) -> Option<u32> {
        self.bytes(at).map(u16::from_le_bytes).map(u32::from)
    }

    /// Two bytes, the higher first.
    fn big(self, at: usize) -> Option<u32> {
        self.bytes(at).map(u16::from_be_bytes).map(u32::from)
    }

    fn webp(self) -> Option<(u32, u32)> {
        if self.bytes(8)? != *b"WEBP" {
            return None;
        }
        match &self.bytes::<4>(12)? {
            b"VP8 " => Some((self.little(26)? & 0x3fff, self.little(28)? & 0x3fff)),
            b"VP8L" => {
                let bits = u32::from_le_bytes(self.bytes(21)?);
                Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
            }
            b"VP8X" => {
                let [w0, w1, w2, h0, h1, h2] = self.bytes(24)?;
                Some((u32::from_le_bytes([w0, w1, w2, 0]) + 1, u32::from_le_bytes([h0, h1, h2, 0]) + 1))
            }
            _ => None,
        }
    }

    /// The frame's header stands behind segments of any length.
    fn jpeg(self) -> Option<(u32, u32)> {
        const SEGMENTS_MAX: usize = 64;
        let mut at = 2;
        for _ in 0..SEGMENTS_MAX {
            let [0xff, marker] = self.bytes(at)? else { return None };
            match marker {
                0xff => at += 1,
                0x01 | 0xd0..=0xd7 => at += 2,
                0xc4 | 0xc8 | 0xcc => at += 2 + self.big(at + 2)? as usize,
                0xc0..=0xcf => return Some((self.big(at + 7)?, self.big(at + 5)?)),
                0xd9 | 0xda => return None,
                _ => at += 2 + self.big(at + 2)? as usize,
            }
        }
        None
    }
}

fn sextet(letter: u8) -> Option<u8> {
    Some(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    /// A file of a kind that says that it has this size.
    fn file(kind: &str, width: u32, height: u32) -> Vec<u8> {
        let (be, le) = (|number: u32| (number as u16).to_be_bytes(), |number: u32| (number as u16).to_le_bytes());
        let join = |pieces: &[&[u8]]| pieces.concat();
        match kind {
            "png" => join(&[b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &width.to_be_bytes(), &height.to_be_bytes(), &[8, 2, 0, 0, 0]]),
            "gif" => join(&[b"GIF89a", &le(width), &le(height), b"\0\0\0"]),
            "jpeg" => {
                let exif = [b"\xff\xe1\x40\x00".as_slice(), &[0xc0; 0x3ffe]].concat();
                join(&[b"\xff\xd8", &exif, b"\xff\xff\xdb\0\x03\0", b"\xff\xc2\0\x11\x08", &be(height), &be(width), b"\x03"])
            }
            "webp" => join(&[b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a", &le(width), &le(height)]),
            "webp lossless" => join(&[b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f", &((width - 1) | (height - 1) << 14).to_le_bytes()]),
            _ => join(&[b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0", &(width - 1).to_le_bytes()[..3], &(height - 1).to_le_bytes()[..3]]),
        }
    }

    #[test]
    fn the_size_is_read_from_the_first_bytes() {
        for kind in ["png", "gif", "jpeg", "webp", "webp lossless", "webp extended"] {
            for size in [(1, 1), (640, 481), (1_024, 3_000), (16_000, 2)] {
                let base64 = STANDARD.encode(file(kind, size.0, size.1));
                assert_eq!(super::size(base64.as_bytes()), Some((u64::from(size.0), u64::from(size.1))), "{kind}");
            }
        }
        assert_eq!(size(STANDARD.encode(file("png", 0, 5)).as_bytes()), None);
        assert_eq!(ImageTokens::of(&b"QUJD".repeat(1_000)), ImageTokens::same(258));
    }

    #[test]
    fn images_count_by_the_vendors_rules() {
        // (width, height, OpenAI, Claude, Gemini): the vendors' own examples, and bounds.
        let cases = [
            (1_024, 1_024, 765, 1_399, 1_032),
            (2_048, 4_096, 1_105, 4_424, 4_644),
            (512, 512, 255, 350, 1_032),
            (200, 200, 255, 54, 258),
            (960, 540, 765, 692, 1_548),
            (8_000, 8_000, 765, 4_784, 64 * 258),
            (u64::from(u32::MAX), u64::from(u32::MAX), 765, 4_784, 64 * 258),
            (u64::from(u32::MAX), 1, 85 + 170 * 4, 4, 64 * 258),
        ];
        for (width, height, openai, claude, gemini) in cases {
            let size = (width, height);
            assert_eq!((tiles_512(size), area(size), tiles_768(size)), (openai, claude, gemini), "{size:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_image(kind in 0..8_usize, cut in 0..200_usize, noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let kinds = ["png", "gif", "jpeg", "webp", "webp lossless", "webp extended"];
            let mut bytes = kinds.get(kind).map(|kind| file(kind, 70, 80)).unwrap_or_default();
            bytes.truncate(cut);
            bytes.extend(noise);
            let tokens = ImageTokens::of(STANDARD.encode(&bytes).as_bytes());
            prop_assert!(tokens.by(ImageRule::Dearest) >= 1 && tokens.by(ImageRule::Dearest) <= 64 * 258);
            ImageTokens::of(&bytes);
        }
    }
}
