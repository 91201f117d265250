//! Decompression of request bodies: ClickHouse's own frames (`decompress=1`) and HTTP content
//! codings.
//!
//! A native frame is a 16-byte `CityHash128` (version 1.0.2) of the rest, one byte of method
//! (0x82 LZ4, 0x02 none), the size of frame without checksum and the size of the data, both
//! little-endian `u32`, then the data. The layout is that of ClickHouse's
//! `CompressedWriteBuffer`.

use std::io::{Read, Write as _};

use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::GzEncoder;
use lz4_flex::frame::FrameDecoder;

use crate::exception::{Code, Exception};

const CHECKSUM: usize = 16;
const HEADER: usize = 9;
const LZ4: u8 = 0x82;
const NONE: u8 = 0x02;

/// Size of the pieces that a decoded body is handed on in.
const PIECE: usize = 1 << 20;

/// Is asked for room before that many more bytes are held; its refusal ends the work.
pub(crate) type Room<'a> = &'a mut dyn FnMut(usize) -> Result<(), Exception>;

/// Undoes ClickHouse's native frames.
///
/// # Errors
///
/// Code 40 when a checksum differs, 33 when the body ends within a frame, 89 for a method that
/// is neither LZ4 nor none, 271 for bytes that do not decompress, 229 when more than `limit`
/// bytes come out.
pub(crate) fn native_frames(
    mut body: impl Buf,
    limit: usize,
    room: Room<'_>,
) -> Result<Vec<Bytes>, Exception> {
    let mut pieces = Vec::new();
    let mut size = 0_usize;
    while body.has_remaining() {
        if body.remaining() < CHECKSUM + HEADER {
            return Err(cut_short());
        }
        let expected = (body.get_u64_le(), body.get_u64_le());
        let mut frame = BytesMut::with_capacity(HEADER);
        frame.put(body.copy_to_bytes(HEADER));
        let method = frame[0];
        let frame_size = u32::from_le_bytes([frame[1], frame[2], frame[3], frame[4]]) as usize;
        let data_size = u32::from_le_bytes([frame[5], frame[6], frame[7], frame[8]]) as usize;
        size = size.saturating_add(data_size);
        if size > limit {
            return Err(too_large(limit));
        }
        room(data_size)?;
        let rest = frame_size.checked_sub(HEADER).ok_or_else(cut_short)?;
        if body.remaining() < rest {
            return Err(cut_short());
        }
        frame.put(body.copy_to_bytes(rest));
        if checksum(&frame) != expected {
            return Err(Exception::new(
                Code::ChecksumDoesntMatch,
                "a compressed block of the body has another checksum than it states",
            ));
        }
        let data = &frame[HEADER..];
        pieces.push(match method {
            LZ4 => Bytes::from(lz4_flex::block::decompress(data, data_size).map_err(|error| {
                Exception::new(
                    Code::CannotDecompress,
                    format_args!("cannot decompress the body: {error}"),
                )
            })?),
            NONE => Bytes::copy_from_slice(data),
            other => {
                return Err(Exception::new(
                    Code::UnknownCompressionMethod,
                    format_args!("unknown compression method 0x{other:02x}: use LZ4"),
                ));
            }
        });
        if pieces.last().is_some_and(|piece| piece.len() != data_size) {
            return Err(Exception::new(
                Code::CannotDecompress,
                "a compressed block of the body has another size than it states",
            ));
        }
    }
    Ok(pieces)
}

/// Packs `data` into one native frame, for a client that asks `compress=1`.
pub(crate) fn native_frame(data: &[u8]) -> Bytes {
    let packed = lz4_flex::block::compress(data);
    let mut frame = BytesMut::with_capacity(CHECKSUM + HEADER + packed.len());
    frame.put_u128_le(0);
    frame.put_u8(LZ4);
    frame.put_u32_le((HEADER + packed.len()) as u32);
    frame.put_u32_le(data.len() as u32);
    frame.put_slice(&packed);
    let (low, high) = checksum(&frame[CHECKSUM..]);
    frame[..8].copy_from_slice(&low.to_le_bytes());
    frame[8..CHECKSUM].copy_from_slice(&high.to_le_bytes());
    frame.freeze()
}

/// The two words of the checksum in the order in which a frame carries them.
fn checksum(frame: &[u8]) -> (u64, u64) {
    let hash = cityhash_rs::cityhash_102_128(frame);
    ((hash >> 64) as u64, hash as u64)
}

/// Undoes the HTTP content coding `coding`.
///
/// # Errors
///
/// Code 48 for a coding that the store does not know, 33 when the body ends within a frame, 271
/// for bytes that do not decompress, 229 when more than `limit` bytes come out.
pub(crate) fn content(
    coding: &str,
    mut body: impl Buf + Clone,
    limit: usize,
    room: Room<'_>,
) -> Result<Vec<Bytes>, Exception> {
    let mut pieces = Vec::new();
    match coding {
        "gzip" | "x-gzip" => {
            read_pieces(MultiGzDecoder::new(body.reader()), &mut pieces, limit, room)?;
        }
        "deflate" => {
            read_pieces(ZlibDecoder::new(body.reader()), &mut pieces, limit, room)?;
        }
        "lz4" => {
            while body.has_remaining() {
                let length = lz4_frame_length(body.clone()).ok_or_else(cut_short)?;
                let frame = (&mut body).take(length).reader();
                read_pieces(FrameDecoder::new(frame), &mut pieces, limit, room)?;
            }
        }
        other => {
            return Err(Exception::new(
                Code::NotImplemented,
                format_args!("Content-Encoding {other} is not supported: use gzip, deflate or lz4"),
            ));
        }
    }
    Ok(pieces)
}

/// Length of the LZ4 frame at the beginning of `body`, by its block sizes; `None` when the body
/// ends before the frame does, which the decoder would take for the frame's end.
fn lz4_frame_length(mut body: impl Buf) -> Option<usize> {
    const MAGIC: usize = 4;
    const BLOCK_CHECKSUMS: u8 = 1 << 4;
    const CONTENT_SIZE: u8 = 1 << 3;
    const CONTENT_CHECKSUM: u8 = 1 << 2;
    const DICTIONARY: u8 = 1;
    const STORED_AS_IS: u32 = 1 << 31;
    let size_of_optional =
        |flags: u8, flag: u8, size: usize| if flags & flag == 0 { 0 } else { size };

    let before = body.remaining();
    skip(&mut body, MAGIC)?;
    let flags = body.try_get_u8().ok()?;
    let options = size_of_optional(flags, CONTENT_SIZE, 8) + size_of_optional(flags, DICTIONARY, 4);
    // The block descriptor before the options, the header's checksum after them.
    skip(&mut body, 1 + options + 1)?;
    loop {
        match body.try_get_u32_le().ok()? {
            0 => break,
            size => {
                let checksum = size_of_optional(flags, BLOCK_CHECKSUMS, 4);
                skip(&mut body, (size & !STORED_AS_IS) as usize + checksum)?;
            }
        }
    }
    skip(&mut body, size_of_optional(flags, CONTENT_CHECKSUM, 4))?;
    Some(before - body.remaining())
}

fn skip(body: &mut impl Buf, count: usize) -> Option<()> {
    (body.remaining() >= count).then(|| body.advance(count))
}

/// Appends what `reader` yields to `pieces`, which may hold `limit` bytes.
fn read_pieces(
    mut reader: impl Read,
    pieces: &mut Vec<Bytes>,
    limit: usize,
    room: Room<'_>,
) -> Result<(), Exception> {
    let mut left = limit.saturating_sub(pieces.iter().map(Bytes::len).sum());
    loop {
        let mut piece = Vec::new();
        let read = reader.by_ref().take(PIECE as u64).read_to_end(&mut piece).map_err(|error| {
            Exception::new(
                Code::CannotDecompress,
                format_args!("cannot decompress the body: {error}"),
            )
        })?;
        if read == 0 {
            return Ok(());
        }
        left = left.checked_sub(read).ok_or_else(|| too_large(limit))?;
        room(read)?;
        pieces.push(piece.into());
    }
}

/// Packs a result for a client that accepts gzip; what was written so far can be read at once.
#[derive(Debug)]
pub(crate) struct Gzip(GzEncoder<Vec<u8>>);

impl Gzip {
    pub(crate) fn new() -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::fast()))
    }

    /// Packs one piece.
    pub(crate) fn pack(&mut self, data: &[u8]) -> Bytes {
        // Writing to memory does not fail.
        self.0.write_all(data).and_then(|()| self.0.flush()).unwrap_or_default();
        std::mem::take(self.0.get_mut()).into()
    }

    /// The end of the stream.
    pub(crate) fn finish(self) -> Bytes {
        self.0.finish().unwrap_or_default().into()
    }
}

fn cut_short() -> Exception {
    Exception::new(Code::CannotReadAllData, "the body ends within a compressed block")
}

/// The body is larger than the store takes.
pub(crate) fn too_large(limit: usize) -> Exception {
    Exception::new(
        Code::QueryIsTooLarge,
        format_args!("the body holds more than {limit} bytes: send smaller batches"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(pieces: &[Bytes]) -> Vec<u8> {
        pieces.concat()
    }

    #[test]
    fn a_packed_frame_unpacks_to_the_same_bytes() {
        let data = b"zhili ".repeat(10_000);
        let body = [native_frame(&data), native_frame(b"x")].concat();
        let mut expected = data;
        expected.push(b'x');
        assert_eq!(
            joined(&native_frames(&body[..], usize::MAX, &mut |_| Ok(())).unwrap()),
            expected
        );
    }

    #[test]
    fn a_flipped_bit_is_seen_by_the_checksum() {
        let frame = native_frame(&b"zhili ".repeat(100));
        for index in [0, 20, frame.len() - 1] {
            let mut broken = frame.to_vec();
            broken[index] ^= 1;
            let code = native_frames(&broken[..], usize::MAX, &mut |_| Ok(())).unwrap_err().code;
            assert!([33, 40, 229].contains(&code), "byte {index}: code {code}");
        }
    }

    #[test]
    fn a_frame_that_ends_early_is_refused() {
        let frame = native_frame(&b"zhili ".repeat(100));
        for length in [1, CHECKSUM, CHECKSUM + HEADER, frame.len() - 1] {
            assert_eq!(
                native_frames(&frame[..length], usize::MAX, &mut |_| Ok(())).unwrap_err().code,
                33
            );
        }
    }

    #[test]
    fn a_frame_cannot_grow_beyond_the_limit() {
        let frame = native_frame(&vec![0; 1 << 20]);
        assert_eq!(native_frames(&frame[..], 1 << 19, &mut |_| Ok(())).unwrap_err().code, 229);
    }

    #[test]
    fn lz4_frames_that_follow_one_another_are_all_read() {
        let frame = |data: &[u8]| {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        };
        // The first frame ends where a piece ends.
        let first = vec![7; PIECE];
        let body = [frame(&first), frame(b"second")].concat();
        let mut expected = first;
        expected.extend(b"second");
        assert_eq!(
            joined(&content("lz4", &body[..], usize::MAX, &mut |_| Ok(())).unwrap()),
            expected
        );
    }

    #[test]
    fn an_lz4_body_that_ends_within_a_frame_is_refused() {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(&[7; 100]).unwrap();
        let frame = encoder.finish().unwrap();
        for length in 1..frame.len() {
            let refused =
                content("lz4", &frame[..length], usize::MAX, &mut |_| Ok(())).unwrap_err();
            assert_eq!(refused.code, 33, "{length} of {} bytes", frame.len());
        }
    }

    #[test]
    fn gzip_pieces_read_as_one_stream() {
        let mut gzip = Gzip::new();
        let body = [gzip.pack(b"first "), gzip.pack(b"second"), gzip.finish()].concat();
        assert_eq!(
            joined(&content("gzip", &body[..], 100, &mut |_| Ok(())).unwrap()),
            b"first second"
        );
        assert_eq!(content("gzip", &body[..], 5, &mut |_| Ok(())).unwrap_err().code, 229);
    }

    #[test]
    fn what_comes_out_is_counted_while_it_does() {
        let mut gzip = Gzip::new();
        let body = [gzip.pack(&vec![0; 8 * PIECE]), gzip.finish()].concat();
        let frames = native_frame(&[0; 100]).repeat(8);
        let mut left = 3;
        let mut room = |_| {
            left -= 1;
            if left > 0 { Ok(()) } else { Err(Exception::new(Code::MemoryLimitExceeded, "full")) }
        };
        assert_eq!(content("gzip", &body[..], usize::MAX, &mut room).unwrap_err().code, 241);
        left = 3;
        let mut room = |_| {
            left -= 1;
            if left > 0 { Ok(()) } else { Err(Exception::new(Code::MemoryLimitExceeded, "full")) }
        };
        assert_eq!(native_frames(&frames[..], usize::MAX, &mut room).unwrap_err().code, 241);
    }
}
