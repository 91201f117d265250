//! Lines in, lines out, in order and in bounded memory, on every core.

use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use zhili_runtime::Failure;
use zhili_tone::Engine;

use super::line;

/// Most bytes of one read: a pipe gives at most 64 KiB, a file all of them.
const READ_BYTES: usize = 128 << 10;

/// Longest line in bytes. A text of 16 KiB written wholly in escapes takes 96 KiB, so that this
/// leaves room for context and for fields that are none of ours.
const MAX_LINE_BYTES: usize = 4 << 20;

/// Of a longer line this much is kept to tell its id and the field that is too long.
const KEPT_BYTES: usize = 64 << 10;

/// Chunks read ahead of the writer, for each worker.
const CHUNKS_AHEAD: usize = 4;

/// Whole lines, or the start of one that is too long.
enum Chunk {
    Lines(Vec<u8>),
    TooLong(Vec<u8>),
}

/// The answers to one chunk.
#[derive(Default)]
struct Answers {
    text: Vec<u8>,
    lines: u64,
    bad: u64,
}

type Work = (Chunk, SyncSender<Answers>);

/// Answers every line of `input` on `output`.
///
/// A chunk is what one read gives, so that a line that comes alone is answered at once while
/// a file goes through in large pieces. Blank lines are skipped, as is a byte order mark.
///
/// # Errors
/// [`Failure::Problems`] at the end if lines were bad, [`Failure::Io`] if reading or writing
/// fails; that nobody reads the answers any more is no error.
pub(crate) fn run(
    engine: Engine,
    input: impl Read + Send + 'static,
    mut output: impl Write,
) -> Result<(), Failure> {
    let engine = Arc::new(engine);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let ahead = workers * CHUNKS_AHEAD;
    let (work, todo) = sync_channel::<Work>(ahead);
    let (order, answers) = sync_channel::<Receiver<Answers>>(ahead);
    let todo = Arc::new(Mutex::new(todo));
    // None of the threads is joined: the process may end while one still waits for input.
    for _ in 0..workers {
        let (engine, todo) = (Arc::clone(&engine), Arc::clone(&todo));
        thread::spawn(move || answer_chunks(&engine, &todo));
    }
    drop(todo);
    let reader = thread::spawn(move || {
        Splitter::default().split(input, |chunk| {
            let (answer, place) = sync_channel(1);
            order.send(place).is_ok() && work.send((chunk, answer)).is_ok()
        })
    });

    let (mut lines, mut bad) = (0, 0);
    for answer in answers {
        let answer = answer
            .recv()
            .map_err(|_| Failure::Problems("scoring stopped, please report this line".into()))?;
        lines += answer.lines;
        bad += answer.bad;
        match output.write_all(&answer.text).and_then(|()| output.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(Failure::Io(format!("cannot write answers: {error}"))),
        }
    }
    match reader.join() {
        Ok(Ok(())) if bad == 0 => Ok(()),
        Ok(Ok(())) => Err(Failure::Problems(format!("{bad} of {lines} lines have no score"))),
        Ok(Err(error)) => Err(Failure::Io(format!("cannot read lines: {error}"))),
        Err(_) => Err(Failure::Io("reading stopped, please report this input".into())),
    }
}

fn answer_chunks(engine: &Engine, todo: &Mutex<Receiver<Work>>) {
    loop {
        // Whoever panicked held no half-done work: the lock only hands out chunks.
        let next = todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((chunk, answer)) = next else { return };
        // The writer is gone when nobody reads the answers; there is nothing to tell it then.
        let _ = answer.send(answer_chunk(engine, &chunk));
    }
}

fn answer_chunk(engine: &Engine, chunk: &Chunk) -> Answers {
    let mut answers = Answers::default();
    match chunk {
        Chunk::TooLong(start) => {
            line::refuse_too_long(start, MAX_LINE_BYTES, &mut answers.text);
            answers.lines = 1;
            answers.bad = 1;
        }
        Chunk::Lines(lines) => {
            // An answer with its evidence takes about twice the room of its question.
            answers.text.reserve(lines.len() * 2);
            for line in lines.split(|&byte| byte == b'\n') {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                answers.lines += 1;
                if line.len() > MAX_LINE_BYTES {
                    line::refuse_too_long(&line[..KEPT_BYTES], MAX_LINE_BYTES, &mut answers.text);
                    answers.bad += 1;
                } else {
                    answers.bad += u64::from(!line::answer(engine, line, &mut answers.text));
                }
            }
        }
    }
    answers
}

/// Cuts what is read into chunks of whole lines.
#[derive(Default)]
struct Splitter {
    /// A line whose end was not read yet.
    rest: Vec<u8>,
    /// `rest` is the start of a line that is too long already.
    too_long: bool,
}

impl Splitter {
    /// Reads `input` to its end, or until `put` wants no more.
    fn split(
        mut self,
        mut input: impl Read,
        mut put: impl FnMut(Chunk) -> bool,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        let mut first = true;
        loop {
            let read = match input.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut bytes = &buffer[..read];
            if std::mem::take(&mut first) {
                bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
            }
            let wanted = if read == 0 { self.end(&mut put) } else { self.push(bytes, &mut put) };
            if read == 0 || !wanted {
                return Ok(());
            }
        }
    }

    fn push(&mut self, bytes: &[u8], put: &mut impl FnMut(Chunk) -> bool) -> bool {
        let Some(last) = bytes.iter().rposition(|&byte| byte == b'\n') else {
            self.hold(bytes);
            return true;
        };
        let (lines, rest) = bytes.split_at(last + 1);
        let lines = if self.too_long {
            // The line ends at the first line feed; what was kept of it is refused.
            let end = lines.iter().position(|&byte| byte == b'\n').map_or(lines.len(), |at| at + 1);
            if !self.end(put) {
                return false;
            }
            &lines[end..]
        } else {
            lines
        };
        let mut chunk = std::mem::take(&mut self.rest);
        chunk.extend_from_slice(lines);
        self.hold(rest);
        chunk.is_empty() || put(Chunk::Lines(chunk))
    }

    fn hold(&mut self, bytes: &[u8]) {
        if self.too_long {
            return;
        }
        self.rest.extend_from_slice(bytes);
        if self.rest.len() > MAX_LINE_BYTES {
            self.too_long = true;
            self.rest.truncate(KEPT_BYTES);
            self.rest.shrink_to_fit();
        }
    }

    fn end(&mut self, put: &mut impl FnMut(Chunk) -> bool) -> bool {
        let rest = std::mem::take(&mut self.rest);
        if std::mem::take(&mut self.too_long) {
            return put(Chunk::TooLong(rest));
        }
        rest.is_empty() || put(Chunk::Lines(rest))
    }
}
