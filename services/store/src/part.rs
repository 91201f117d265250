//! Whether a part of a table is on disk as it was written.
//!
//! `checksums.txt` is written last and names every other file with its size: after its first line come
//! frames of ClickHouse's native compression, and in them the number of files and, for each, name,
//! size, hash, whether it is compressed, and if so size and hash of the content. Numbers are varints,
//! hashes 16 bytes.

use std::fs;
use std::io;
use std::path::Path;

use bytes::{Buf, Bytes};

use crate::compression::native_frames;

const HEADER: &[u8] = b"checksums format version: 4\n";

/// More than a part of any table needs.
const LIMIT: usize = 16 << 20;

/// Whether the files of a part have the sizes that its list of them says. A part that goes away
/// meanwhile, or whose list has a format that is not known here, counts as whole.
///
/// # Errors
///
/// I/O.
pub(crate) fn is_whole(part: &Path) -> io::Result<bool> {
    let gone = || !part.is_dir();
    let list = match fs::read(part.join("checksums.txt")) {
        Ok(list) => list,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(gone()),
        Err(error) => return Err(error),
    };
    let list = Bytes::from(list);
    if !list.starts_with(HEADER) {
        // Of an unknown format at best, and cut off if it is shorter than the line.
        return Ok(list.len() > HEADER.len());
    }
    let Some(files) = files(list.slice(HEADER.len()..)) else { return Ok(gone()) };
    for (name, size) in files {
        // Projections are folders with lists of their own.
        if Path::new(&name).extension().is_some_and(|extension| extension == "proj") {
            continue;
        }
        match fs::metadata(part.join(name)) {
            Ok(file) if file.len() == size => {}
            Ok(_) => return Ok(gone()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(gone()),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// The files that a list names, with their sizes; nothing if it is not whole itself.
fn files(frames: Bytes) -> Option<Vec<(String, u64)>> {
    let pieces = native_frames(frames, LIMIT, &mut |_| Ok(())).ok()?;
    let mut list = Bytes::from(pieces.concat());
    let count = varint(&mut list)?;
    let mut files = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(varint(&mut list)?).ok()?;
        let name = String::from_utf8(take(&mut list, length)?.to_vec()).ok()?;
        let size = varint(&mut list)?;
        take(&mut list, 16)?;
        if take(&mut list, 1)?[0] != 0 {
            varint(&mut list)?;
            take(&mut list, 16)?;
        }
        files.push((name, size));
    }
    list.is_empty().then_some(files)
}

fn take(list: &mut Bytes, length: usize) -> Option<Bytes> {
    (list.len() >= length).then(|| list.split_to(length))
}

fn varint(list: &mut Bytes) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let byte = list.has_remaining().then(|| list.get_u8())?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::native_frame;

    /// A part with these files, whose list says that they have these sizes.
    fn part(files: &[(&str, &[u8], u8)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut list = vec![files.len() as u8];
        for (name, content, size) in files {
            fs::write(folder.path().join(name), content).unwrap();
            list.push(name.len() as u8);
            list.extend(name.bytes());
            list.push(*size);
            list.extend([7; 16]);
            // Every other one is compressed.
            if list.len() % 2 == 0 {
                list.push(0);
            } else {
                list.extend([1, 200, 1]);
                list.extend([9; 16]);
            }
        }
        let checksums = [HEADER, &native_frame(&list)].concat();
        fs::write(folder.path().join("checksums.txt"), checksums).unwrap();
        folder
    }

    #[test]
    fn a_part_is_whole_when_every_file_has_the_size_that_its_list_says() {
        let whole = part(&[("count.txt", b"20000", 5), ("data.bin", b"some rows", 9)]);
        assert!(is_whole(whole.path()).unwrap());
        let short = part(&[("count.txt", b"20000", 5), ("data.bin", b"some", 9)]);
        assert!(!is_whole(short.path()).unwrap());
        fs::remove_file(whole.path().join("count.txt")).unwrap();
        assert!(!is_whole(whole.path()).unwrap());
    }

    #[test]
    fn a_list_that_is_cut_off_or_empty_is_none() {
        let folder = part(&[("count.txt", b"20000", 5)]);
        let list = folder.path().join("checksums.txt");
        let whole = fs::read(&list).unwrap();
        for length in 0..whole.len() {
            fs::write(&list, &whole[..length]).unwrap();
            assert!(!is_whole(folder.path()).unwrap(), "{length}");
        }
        fs::remove_file(&list).unwrap();
        assert!(!is_whole(folder.path()).unwrap());
    }

    #[test]
    fn a_part_that_has_gone_and_a_list_of_another_format_are_no_defects() {
        assert!(is_whole(Path::new("/nowhere/all_1_1_0")).unwrap());
        let folder = part(&[("count.txt", b"20000", 5)]);
        fs::write(folder.path().join("checksums.txt"), "checksums format version: 9\nnews")
            .unwrap();
        assert!(is_whole(folder.path()).unwrap());
    }
}
