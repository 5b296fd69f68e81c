//! Decodes the bytes of a file: UTF-8, or UTF-16 as Windows PowerShell writes it.

use super::Position;
use super::places::Places;
use super::words::TOO_LARGE;

/// Why bytes cannot be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Undecodable {
    /// Position of the fault; `None` for the file as a whole.
    pub position: Option<Position>,
    /// The fault, and what to do.
    pub message: String,
}

impl Undecodable {
    fn whole(message: &str) -> Self {
        Self {
            position: None,
            message: message.to_owned(),
        }
    }
}

/// Decodes bytes as text. A byte order mark is dropped.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<String, Undecodable> {
    let text = any(bytes)?;
    match memchr::memchr(0, text.as_bytes()) {
        Some(at) => Err(Undecodable {
            position: Some(Places::new(&text).position(at)),
            message: "the file is binary, or UTF-16 without a byte order mark; save it as UTF-8"
                .to_owned(),
        }),
        None => Ok(text),
    }
}

fn any(bytes: Vec<u8>) -> Result<String, Undecodable> {
    if u32::try_from(bytes.len()).is_err() {
        return Err(Undecodable::whole(TOO_LARGE));
    }
    let unit = match bytes.as_slice() {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => {
            return Err(Undecodable::whole(
                "the file is UTF-32, which kubectl does not read; save it as UTF-8",
            ));
        }
        [0xFF, 0xFE, ..] => u16::from_le_bytes,
        [0xFE, 0xFF, ..] => u16::from_be_bytes,
        _ => return utf8(bytes),
    };
    utf16(&bytes[2..], unit)
}

fn utf8(bytes: Vec<u8>) -> Result<String, Undecodable> {
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.into_bytes();
        let before = String::from_utf8_lossy(&bytes[..valid]);
        Undecodable {
            position: Some(Places::new(&before).position(valid)),
            message: format!(
                "byte 0x{:02X} is not UTF-8; save the file as UTF-8",
                bytes[valid]
            ),
        }
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Undecodable> {
    let (units, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(units.len());
    for read in char::decode_utf16(units.iter().map(|&bytes| unit(bytes))) {
        match read {
            Ok(character) => text.push(character),
            Err(_) => return Err(broken(&text)),
        }
    }
    if rest.is_empty() {
        Ok(text)
    } else {
        Err(broken(&text))
    }
}

fn broken(before: &str) -> Undecodable {
    Undecodable {
        position: Some(Places::new(before).position(before.len())),
        message: "half a character of UTF-16 stands here; save the file as UTF-8".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_bytes_are_text_or_an_error(
            start in proptest::sample::select(vec![&b""[..], b"\xFF\xFE", b"\xFE\xFF", b"\xEF\xBB\xBF"]),
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64),
        ) {
            let all = [start, &bytes].concat();
            match decode(all) {
                Ok(text) => proptest::prop_assert!(!text.contains('\0')),
                Err(error) => proptest::prop_assert!(!error.message.is_empty()),
            }
        }
    }

    fn units(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn utf_8_and_utf_16_are_read() {
        let text = "a: ä\u{1F600}\r\n";
        let marked = format!("\u{feff}{text}");
        for bytes in [
            text.as_bytes().to_vec(),
            marked.as_bytes().to_vec(),
            units(&marked, u16::to_le_bytes),
            units(&marked, u16::to_be_bytes),
        ] {
            assert_eq!(decode(bytes).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_text_is_named_with_its_place() {
        let mut half = units("\u{feff}a:\nb", u16::to_le_bytes);
        half.extend([0, 0xD8]);
        let mut odd = units("\u{feff}a", u16::to_be_bytes);
        odd.push(b'b');
        for (bytes, at, words) in [
            (b"a: 1\nb: \xe4\n".to_vec(), Some((2, 4)), "0xE4"),
            (half, Some((2, 2)), "half a character"),
            (odd, Some((1, 2)), "half a character"),
            (vec![0xFF, 0xFE, 0, 0, b'a', 0, 0, 0], None, "UTF-32"),
            (units("a", u16::to_le_bytes), Some((1, 2)), "UTF-16 without"),
        ] {
            let error = decode(bytes).unwrap_err();
            let position = at.map(|(line, column)| Position { line, column });
            assert_eq!(error.position, position, "{}", error.message);
            assert!(error.message.contains(words), "{}", error.message);
        }
    }
}
