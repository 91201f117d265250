//! Searches for requests that break what takes them apart before the engine sees them; see
//! `zhili_fuzz`.

use bytes::Bytes;
use zhili_fuzz::{Search, kind};

use crate::compression::{content, native_frame, native_frames};
use crate::format::{joining, media_type, without_header};
use crate::sql::{Statement, is_suspect, look_at, reaches_outside};

/// Bytes that a body may hold when it is unpacked.
const LIMIT: usize = 1 << 16;

#[test]
fn fuzzed_statements_are_looked_at_within_their_text() {
    let corpus = [
        "INSERT INTO t (a, b) FORMAT JSONEachRow {\"a\":1}",
        "INSERT INTO `t` VALUES (1, 'it''s'), (2, 'x\\'y')",
        "WITH x AS (SELECT 1) SELECT * FROM x FORMAT TSV",
        "/* INSERT */ SELECT $tag$ FORMAT $tag$, file('x') -- end\n FORMAT CSV",
        "BACKUP DATABASE d TO File('b')",
    ];
    let words = &[
        "INSERT",
        "INTO",
        "VALUES",
        "FORMAT",
        "SELECT",
        "WITH",
        "(",
        ")",
        "'",
        "''",
        "\\'",
        "\"",
        "`",
        "$$",
        "$a$",
        "--",
        "\n",
        "/*",
        "*/",
        "#",
        ";",
        "file(",
        "url(",
        "INTO OUTFILE 'x'",
        "JSONEachRow",
        "é",
        "\0",
    ];
    Search::of("statements of SQL").corpus(corpus).words(words).longest(1024).run(|input| {
        let statement = look_at(input);
        let suspect = is_suspect(input);
        let outside = reaches_outside(&String::from_utf8_lossy(input));
        match statement {
            Statement::Insert { head, format, data } => {
                assert!(head.start <= head.end && head.end <= input.len(), "{head:?}");
                assert!(head.end <= data && data <= input.len(), "{head:?} {data}");
                let _ = (joining(&format), media_type(&format));
                kind(&(0, format.len().min(8), data == input.len(), suspect, outside))
            }
            Statement::Select { format } => kind(&(1, format, suspect, outside)),
            Statement::Other { format } => kind(&(2, format, suspect, outside)),
        }
    });
}

#[test]
fn fuzzed_bodies_are_unpacked_within_their_limit_or_refused() {
    let gzip = {
        use std::io::Write;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&[b'x'; 4096]).unwrap();
        packed.finish().unwrap()
    };
    let lz4 = {
        use std::io::Write;
        let mut packed = lz4_flex::frame::FrameEncoder::new(Vec::new());
        packed.write_all(&[b'x'; 4096]).unwrap();
        packed.finish().unwrap()
    };
    let native = native_frame(&[b'x'; 4096]).to_vec();
    let corpus = [gzip, lz4, native, b"\x02\x01a\x01b\x05UInt8\x05UInt81".to_vec()];
    Search::of("bodies of requests").corpus(corpus).longest(4096).run(|input| {
        let unpacked = |pieces: Result<Vec<Bytes>, crate::exception::Exception>| {
            pieces.ok().map(|pieces| pieces.iter().map(Bytes::len).sum::<usize>())
        };
        let mut asked = 0_usize;
        let mut room = |bytes: usize| {
            asked = asked.saturating_add(bytes);
            Ok(())
        };
        let body = Bytes::copy_from_slice(input);
        let mut sizes = vec![unpacked(native_frames(body.clone(), LIMIT, &mut room))];
        for coding in ["gzip", "deflate", "lz4", "br"] {
            sizes.push(unpacked(content(coding, body.clone(), LIMIT, &mut room)));
        }
        assert!(sizes.iter().flatten().all(|size| *size <= LIMIT), "{sizes:?}");
        assert!(asked <= sizes.len() * (LIMIT + (1 << 20)), "asks for {asked} bytes");
        let header = without_header(&body);
        assert!(header.as_ref().is_none_or(|rest| input.ends_with(rest)));
        let sizes: Vec<_> = sizes.iter().map(|size| size.map(|size| size / 512)).collect();
        kind(&(sizes, header.map(|rest| rest.len().min(4))))
    });
}
