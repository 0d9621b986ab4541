//! Text as bytes of a file, and bytes as text: UTF-8 with and without a byte-order mark, UTF-16, and the single bytes of old.

/// How text becomes bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8; what comes without a byte-order mark and is no UTF-8 is read as Windows-1252.
    Utf8,
    /// UTF-8 with a byte-order mark.
    Utf8Marked,
    /// UTF-16, the low byte first, with a byte-order mark.
    Utf16,
    /// UTF-16, the high byte first, with a byte-order mark.
    Utf16Swapped,
    /// UTF-32, the low byte first, with a byte-order mark.
    Utf32,
    /// One byte for each sign, `?` for those beyond.
    Ascii,
    /// Windows-1252, `?` for signs beyond.
    Latin,
}

/// The signs of Windows-1252 from 0x80 to 0x9F; those that it does not have are themselves.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

impl Encoding {
    /// The names that `-Encoding` takes.
    pub const NAMES: &'static [&'static str] = &[
        "UTF8",
        "UTF8BOM",
        "UTF8NoBOM",
        "Unicode",
        "BigEndianUnicode",
        "UTF32",
        "UTF7",
        "ASCII",
        "Default",
        "OEM",
        "String",
        "Byte",
        "ANSI",
    ];

    /// The encoding of a name, of `-Encoding` or of the network (`utf-8`, `iso-8859-1`, `windows-1252`).
    pub fn named(name: &str) -> Option<Encoding> {
        Some(match name.to_ascii_lowercase().as_str() {
            "utf8" | "utf8bom" | "utf8encoding" => Encoding::Utf8Marked,
            "utf8nobom" | "utf-8" | "default" | "string" | "byte" => Encoding::Utf8,
            "unicode" | "utf-16" | "utf-16le" | "utf16" | "unicodeencoding" => Encoding::Utf16,
            "bigendianunicode" | "utf-16be" => Encoding::Utf16Swapped,
            "utf32" | "utf-32" => Encoding::Utf32,
            "ascii" | "us-ascii" | "utf7" | "asciiencoding" => Encoding::Ascii,
            "oem" | "ansi" | "iso-8859-1" | "latin1" | "windows-1252" | "1252" | "28591" => Encoding::Latin,
            "65001" => Encoding::Utf8,
            "20127" => Encoding::Ascii,
            _ => return None,
        })
    }

    /// The byte-order mark that a new file begins with.
    pub fn mark(self) -> &'static [u8] {
        match self {
            Encoding::Utf8Marked => b"\xEF\xBB\xBF",
            Encoding::Utf16 => b"\xFF\xFE",
            Encoding::Utf16Swapped => b"\xFE\xFF",
            Encoding::Utf32 => b"\xFF\xFE\x00\x00",
            Encoding::Utf8 | Encoding::Ascii | Encoding::Latin => b"",
        }
    }

    /// Text as bytes, without a mark.
    pub fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Encoding::Utf8 | Encoding::Utf8Marked => text.as_bytes().to_vec(),
            Encoding::Utf16 => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Encoding::Utf16Swapped => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Encoding::Utf32 => text.chars().flat_map(|sign| u32::from(sign).to_le_bytes()).collect(),
            Encoding::Ascii => text.chars().map(|sign| if sign.is_ascii() { sign as u8 } else { b'?' }).collect(),
            Encoding::Latin => text.chars().map(windows_byte).collect(),
        }
    }

    /// Bytes as text; what is no text of the encoding becomes U+FFFD. A mark at the beginning stays out.
    pub fn decode(self, bytes: &[u8]) -> String {
        let bytes = bytes.strip_prefix(self.mark()).unwrap_or(bytes);
        match self {
            Encoding::Utf8 | Encoding::Utf8Marked => {
                String::from_utf8_lossy(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)).into_owned()
            }
            Encoding::Utf16 => utf16(bytes, u16::from_le_bytes),
            Encoding::Utf16Swapped => utf16(bytes, u16::from_be_bytes),
            Encoding::Utf32 => bytes
                .chunks(4)
                .map(|four| {
                    four.try_into().map_or(None, |four| char::from_u32(u32::from_le_bytes(four))).unwrap_or('\u{fffd}')
                })
                .collect(),
            Encoding::Ascii => bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect(),
            Encoding::Latin => bytes.iter().map(|byte| windows_char(*byte)).collect(),
        }
    }
}

/// The text of a file whose encoding nobody said: by its byte-order mark, else UTF-8, else Windows-1252.
pub fn decode_file(bytes: &[u8]) -> String {
    if bytes.starts_with(b"\xFF\xFE\x00\x00") {
        return Encoding::Utf32.decode(bytes);
    }
    for encoding in [Encoding::Utf8Marked, Encoding::Utf16, Encoding::Utf16Swapped] {
        if bytes.starts_with(encoding.mark()) {
            return encoding.decode(bytes);
        }
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => Encoding::Latin.decode(bytes),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks(2).map(|pair| pair.try_into().map_or(0xFFFD, unit));
    char::decode_utf16(units).map(|sign| sign.unwrap_or('\u{fffd}')).collect()
}

fn windows_byte(sign: char) -> u8 {
    match u32::from(sign) {
        code @ (0..=0x7F | 0xA0..=0xFF) => code as u8,
        _ => WINDOWS.iter().position(|known| *known == sign).map_or(b'?', |at| at as u8 + 0x80),
    }
}

fn windows_char(byte: u8) -> char {
    match byte {
        0x80..=0x9F => WINDOWS[usize::from(byte - 0x80)],
        other => char::from(other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_of_all_usual_encodings_are_read() {
        for bytes in [
            "Größe 5 €".as_bytes().to_vec(),
            [Encoding::Utf8Marked.mark(), "Größe 5 €".as_bytes()].concat(),
            [Encoding::Utf16.mark(), &Encoding::Utf16.encode("Größe 5 €")].concat(),
            [Encoding::Utf16Swapped.mark(), &Encoding::Utf16Swapped.encode("Größe 5 €")].concat(),
            [Encoding::Utf32.mark(), &Encoding::Utf32.encode("Größe 5 €")].concat(),
            b"Gr\xF6\xDFe 5 \x80".to_vec(),
        ] {
            assert_eq!(decode_file(&bytes), "Größe 5 €", "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read_again(text in "\\PC{0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Utf16Swapped, Encoding::Utf32] {
                prop_assert_eq!(&encoding.decode(&encoding.encode(&text)), &text);
                let _ = encoding.decode(&bytes);
            }
            let _ = decode_file(&bytes);
        }
    }
}
