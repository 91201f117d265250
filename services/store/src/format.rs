//! Output formats: which can be sent chunk by chunk, and what they are called in HTTP.

use bytes::{Buf as _, Bytes};

/// How the chunks of a result, each a complete document of its format, become one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joining {
    /// Chunks follow one another.
    Append,
    /// As `Append`, but each chunk repeats the header of `RowBinaryWithNamesAndTypes`.
    StripHeader,
    /// Not by chunks: the engine formats the whole result.
    Whole,
}

/// How chunks of `format` are joined.
pub(crate) fn joining(format: &str) -> Joining {
    match format {
        "RowBinary" | "Native" | "JSONEachRow" | "JSONLines" | "NDJSON" | "JSONCompactEachRow"
        | "TabSeparated" | "TSV" | "TabSeparatedRaw" | "TSVRaw" | "Raw" | "CSV" => Joining::Append,
        "RowBinaryWithNamesAndTypes" => Joining::StripHeader,
        _ => Joining::Whole,
    }
}

/// Drops the header of a `RowBinaryWithNamesAndTypes` document: the number of columns, their
/// names, their types. `None` when the bytes hold no whole header.
pub(crate) fn without_header(document: &Bytes) -> Option<Bytes> {
    let mut rest = document.clone();
    let columns = take_varint(&mut rest)?;
    for _ in 0..columns.checked_mul(2)? {
        let length = usize::try_from(take_varint(&mut rest)?).ok()?;
        if rest.len() < length {
            return None;
        }
        rest.advance(length);
    }
    Some(rest)
}

/// Reads an unsigned LEB128 number.
fn take_varint(bytes: &mut Bytes) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        if bytes.is_empty() {
            return None;
        }
        let byte = bytes.get_u8();
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The media type that ClickHouse states for a format.
pub(crate) fn media_type(format: &str) -> &'static str {
    if format.starts_with("TabSeparated") || format.starts_with("TSV") || format == "Raw" {
        "text/tab-separated-values; charset=UTF-8"
    } else if format.starts_with("CSV") {
        "text/csv; charset=UTF-8"
    } else if matches!(format, "JSONEachRow" | "JSONLines" | "NDJSON") {
        "application/x-ndjson; charset=UTF-8"
    } else if format.starts_with("JSON") {
        "application/json; charset=UTF-8"
    } else if matches!(format, "Pretty" | "Vertical" | "Values" | "XML" | "Markdown") {
        "text/plain; charset=UTF-8"
    } else {
        "application/octet-stream"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_header_goes() {
        let document = Bytes::from_static(b"\x02\x01a\x02bc\x05UInt8\x06Stringrows");
        assert_eq!(without_header(&document).unwrap(), "rows");
    }

    #[test]
    fn a_document_that_is_cut_within_its_header_has_none() {
        let document = Bytes::from_static(b"\x02\x01a\x02bc\x05UInt8\x06Stri");
        assert_eq!(without_header(&document), None);
        assert_eq!(without_header(&Bytes::new()), None);
    }
}
