//! Runs one statement on a session of its own and hands its result on piece by piece.
//! Blocking: belongs on a thread that may wait.

use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::chdb::{Connection, Counts, Engine};
use crate::exception::{Code, Exception};
use crate::format::{Joining, joining, without_header};
use crate::reader::Reader;
use crate::request::Pieces;
use crate::sql::{self, Statement};

/// A result up to this size is held back until it is complete, so that an error in it still
/// gets a status of its own and the summary is right.
const HOLD_BACK: usize = 1 << 20;

/// The same for a client that asks `wait_end_of_query=1`.
const HOLD_BACK_ASKED: usize = 64 << 20;

/// What is to run.
pub(crate) struct Job {
    /// The statement, with an INSERT's inline data.
    pub(crate) text: Bytes,
    /// What follows the statement: an INSERT's data.
    pub(crate) body: Pieces,
    pub(crate) database: Option<String>,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) placeholders: Vec<(String, String)>,
    /// The format of a result whose statement names none.
    pub(crate) default_format: Option<String>,
    /// A GET may read only.
    pub(crate) read_only: bool,
    /// Whose rows are shown, when not everybody's.
    pub(crate) reader: Option<Reader>,
    pub(crate) wait_for_end: bool,
}

/// The beginning of an answer: all of it when `rest` never yields.
pub(crate) struct Head {
    pub(crate) format: String,
    pub(crate) counts: Counts,
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) complete: bool,
}

/// Where a job's answer goes.
pub(crate) struct Answer {
    pub(crate) head: oneshot::Sender<Result<Head, Exception>>,
    pub(crate) rest: mpsc::Sender<Result<Bytes, Exception>>,
    /// How long the client may leave a piece untaken.
    pub(crate) patience: Duration,
}

/// What a job's end means for the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nothing.
    Plainly,
    /// It put in rows under a deduplication token, as far as the engine says.
    WithRowsIn,
    /// It failed and carried a deduplication token, which the engine may have noted already.
    WithTokenGiven,
    /// It met a part of a table whose files are not what was written.
    OnBrokenPart,
}

/// Of parts that are shorter than they were written, or lack a file: `NO_FILE_IN_DATA_PART`,
/// `BAD_SIZE_OF_FILE_IN_DATA_PART`, and, where they speak of a part, `CORRUPTED_DATA` and
/// `CANNOT_READ_ALL_DATA`. The next start looks at names and sizes of files and takes such parts out, so it ends in no circle.
fn tells_of_broken_part(exception: &Exception) -> bool {
    match exception.code {
        226 | 228 => true,
        246 => exception.text.contains("marks file"),
        33 => exception.text.contains("While reading part "),
        _ => false,
    }
}

/// Runs `job`. A client that has gone away ends a SELECT; an INSERT is finished.
///
/// `before_end` runs before a failure, or the success of an INSERT with a token, is told to the
/// client, and may have something else to tell instead.
pub(crate) fn run(
    engine: &Engine,
    job: Job,
    answer: Answer,
    before_end: impl FnOnce(Ended) -> Result<(), Exception>,
) {
    let Answer { head, rest, patience } = answer;
    let mut outlet = Outlet {
        head: Some(head),
        rest,
        patience,
        held: Vec::new(),
        held_bytes: 0,
        hold_back: if job.wait_for_end { HOLD_BACK_ASKED } else { HOLD_BACK },
        counts: Counts::default(),
        format: String::new(),
        on_failure: Ended::Plainly,
    };
    match execute(engine, job, &mut outlet) {
        Ok(()) if outlet.on_failure == Ended::WithTokenGiven => {
            match before_end(Ended::WithRowsIn) {
                Ok(()) => outlet.complete(),
                Err(told) => outlet.fail(told),
            }
        }
        Ok(()) => outlet.complete(),
        Err(Stop::Failed(exception)) => {
            let ended = if tells_of_broken_part(&exception) {
                Ended::OnBrokenPart
            } else {
                outlet.on_failure
            };
            let told = before_end(ended).err().unwrap_or(exception);
            outlet.fail(told);
        }
        Err(Stop::ClientGone) => {}
    }
}

enum Stop {
    Failed(Exception),
    ClientGone,
}

impl<E: Into<Exception>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

fn execute(engine: &Engine, job: Job, outlet: &mut Outlet) -> Result<(), Stop> {
    let mut connection = engine.connect()?;
    let statement = sql::look_at(&job.text);
    let sql = utf8(match &statement {
        Statement::Insert { head, .. } => &job.text[head.clone()],
        Statement::Select { .. } | Statement::Other { .. } => &job.text,
    })?;
    if let Some(reader) = &job.reader {
        admit(&mut connection, sql, &statement)?;
        let canonical = render(&mut connection, sql)?;
        Reader::admit(&mut connection, &statement, &job.settings, &canonical)?;
        let limits = reader.settings(&mut connection)?;
        apply(&mut connection, &job)?;
        // After this nothing can be set any more.
        set(&mut connection, limits.iter().map(|(name, value)| (*name, value.as_str())))?;
    } else {
        apply(&mut connection, &job)?;
        admit(&mut connection, sql, &statement)?;
    }
    if carries_token(sql, &job.settings) {
        outlet.on_failure = Ended::WithTokenGiven;
    }
    match statement {
        Statement::Insert { format, data, .. } => {
            let mut body = Pieces::default();
            body.push(job.text.slice(data..));
            if body.has_remaining() && job.body.has_remaining() {
                body.push(Bytes::from_static(b"\n"));
            }
            job.body.into_iter().for_each(|piece| body.push(piece));
            if format.eq_ignore_ascii_case("Values") {
                // Values may be expressions; those of a suspect body are taken as literals only.
                let whole = body.joined();
                if sql::is_suspect(&whole) {
                    let off = "0";
                    set(
                        &mut connection,
                        [
                            ("input_format_values_interpret_expressions", off),
                            ("input_format_values_deduce_templates_of_expressions", off),
                        ],
                    )?;
                }
                body = vec![whole].into();
            }
            outlet.counts = connection.insert(sql, &format, &job.placeholders, body)?;
            Ok(())
        }
        Statement::Select { format } => {
            let format = format.or(job.default_format).unwrap_or_else(|| "TabSeparated".into());
            let joining =
                if joins_by_chunks(sql, &job.settings) { joining(&format) } else { Joining::Whole };
            outlet.format.clone_from(&format);
            if joining == Joining::Whole {
                let (bytes, counts) = connection.query(sql, &format, &job.placeholders)?;
                return outlet.push(bytes, counts);
            }
            let mut stream = connection.stream(sql, &format, &job.placeholders)?;
            let mut first = true;
            while let Some((chunk, counts)) = stream.next_chunk()? {
                let chunk = if first || joining == Joining::Append {
                    chunk
                } else {
                    without_header(&chunk).ok_or_else(|| {
                        Exception::new(Code::CannotReadAllData, "a chunk without its header")
                    })?
                };
                first = false;
                outlet.push(chunk, counts)?;
            }
            Ok(())
        }
        Statement::Other { format } => {
            outlet.format = format.or(job.default_format).unwrap_or_else(|| "TabSeparated".into());
            let (bytes, counts) = connection.query(sql, &outlet.format, &job.placeholders)?;
            outlet.push(bytes, counts)
        }
    }
}

/// Totals and extremes follow the rows of a whole result, and an array of rows has one pair of
/// brackets; chunks would each have their own.
fn joins_by_chunks(sql: &str, settings: &[(String, String)]) -> bool {
    const WHOLE: [&str; 3] = ["totals", "extremes", "output_format_json_array_of_rows"];
    let lower = sql.to_ascii_lowercase();
    !WHOLE
        .iter()
        .any(|word| lower.contains(word) || settings.iter().any(|(name, _)| name.as_str() == *word))
}

fn carries_token(sql: &str, settings: &[(String, String)]) -> bool {
    const TOKEN: &str = "insert_deduplication_token";
    sql.contains(TOKEN) || settings.iter().any(|(name, _)| name == TOKEN)
}

/// Gives the session the request's settings and database.
fn apply(connection: &mut Connection, job: &Job) -> Result<(), Exception> {
    set(connection, job.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    if let Some(database) = &job.database {
        connection.query(&format!("USE {}", quoted(database, '`')), "Null", &[])?;
    }
    if job.read_only && job.reader.is_none() {
        // 2: reads only, yet settings within the statement may change.
        set(connection, [("readonly", "2")])?;
    }
    Ok(())
}

fn set<'a>(
    connection: &mut Connection,
    settings: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), Exception> {
    let assignments: Vec<String> = settings
        .into_iter()
        .map(|(name, value)| format!("{} = {}", quoted(name, '`'), quoted(value, '\'')))
        .collect();
    if assignments.is_empty() {
        return Ok(());
    }
    connection.query(&format!("SET {}", assignments.join(", ")), "Null", &[])?;
    Ok(())
}

/// `text` between `quote`, escaped for ClickHouse's lexer.
fn quoted(text: &str, quote: char) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for character in text.chars() {
        if character == quote || character == '\\' {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push(quote);
    quoted
}

/// Lets through one statement that parses and stays within the store. What it may do there is
/// the engine's to decide, by the grants of its configuration.
fn admit(connection: &mut Connection, sql: &str, statement: &Statement) -> Result<(), Exception> {
    let whole = match statement {
        Statement::Insert { format, .. } => format!("{sql} FORMAT {format}"),
        Statement::Select { .. } | Statement::Other { .. } => sql.to_owned(),
    };
    match connection.count_statements(&whole)? {
        1 => {}
        0 if sql.trim().is_empty() => {
            return Err(Exception::new(Code::SyntaxError, "empty query"));
        }
        0 => {
            // Only parses, so that the text cannot run; its error is the one to report.
            render(connection, &whole)?;
            return Err(Exception::new(Code::AccessDenied, "this statement is not supported"));
        }
        _ => {
            return Err(Exception::new(
                Code::SyntaxError,
                "multi-statements are not allowed: send one statement per request",
            ));
        }
    }
    if sql::is_suspect(whole.as_bytes())
        && let Some(what) = sql::reaches_outside(&render(connection, &whole)?)
    {
        return Err(Exception::new(
            Code::AccessDenied,
            format_args!("{what} reaches outside the store, which is not allowed"),
        ));
    }
    Ok(())
}

/// The engine's canonical rendering of a statement.
fn render(connection: &mut Connection, sql: &str) -> Result<String, Exception> {
    let text = [("sql".to_owned(), tab_separated(sql))];
    let (canonical, _) =
        connection.query("SELECT formatQuerySingleLine({sql:String})", "TSVRaw", &text)?;
    Ok(String::from_utf8_lossy(&canonical).into_owned())
}

/// Placeholder values are escaped as in a `TabSeparated` file.
fn tab_separated(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

fn utf8(text: &[u8]) -> Result<&str, Exception> {
    std::str::from_utf8(text)
        .map_err(|_| Exception::new(Code::SyntaxError, "the statement is not UTF-8"))
}

/// Holds the answer back until it is complete or large, then lets it flow.
struct Outlet {
    head: Option<oneshot::Sender<Result<Head, Exception>>>,
    rest: mpsc::Sender<Result<Bytes, Exception>>,
    patience: Duration,
    held: Vec<Bytes>,
    held_bytes: usize,
    hold_back: usize,
    counts: Counts,
    format: String,
    /// What a failure means for the store.
    on_failure: Ended,
}

impl Outlet {
    fn push(&mut self, bytes: Bytes, counts: Counts) -> Result<(), Stop> {
        self.counts.add(counts);
        match &self.head {
            None => return self.send(Ok(bytes)),
            Some(head) if head.is_closed() => return Err(Stop::ClientGone),
            Some(_) => {}
        }
        self.held_bytes += bytes.len();
        self.held.push(bytes);
        if self.held_bytes > self.hold_back {
            return self.open(false);
        }
        Ok(())
    }

    fn open(&mut self, complete: bool) -> Result<(), Stop> {
        let Some(head) = self.head.take() else {
            return Ok(());
        };
        head.send(Ok(Head {
            format: self.format.clone(),
            counts: self.counts,
            pieces: std::mem::take(&mut self.held),
            complete,
        }))
        .map_err(|_| Stop::ClientGone)
    }

    fn send(&self, piece: Result<Bytes, Exception>) -> Result<(), Stop> {
        let sent =
            Handle::current().block_on(tokio::time::timeout(self.patience, self.rest.send(piece)));
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Stop::ClientGone),
        }
    }

    fn complete(mut self) {
        // The client may be gone; there is no one else to tell.
        drop(self.open(true));
    }

    fn fail(mut self, exception: Exception) {
        match self.head.take() {
            Some(head) => drop(head.send(Err(exception))),
            None => drop(self.send(Err(exception))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_cannot_end_what_it_opens() {
        assert_eq!(quoted("a`b\\c", '`'), "`a\\`b\\\\c`");
        assert_eq!(quoted("1'; DROP TABLE t", '\''), "'1\\'; DROP TABLE t'");
    }

    #[test]
    fn totals_and_arrays_of_rows_need_the_whole_result() {
        assert!(joins_by_chunks("SELECT a, count() FROM t GROUP BY a", &[]));
        assert!(!joins_by_chunks("SELECT a, count() FROM t GROUP BY a WITH TOTALS", &[]));
        let setting = [("output_format_json_array_of_rows".to_owned(), "1".to_owned())];
        assert!(!joins_by_chunks("SELECT 1", &setting));
    }
}
