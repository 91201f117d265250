//! The C interface of libchdb, loaded at run time.
//!
//! The only module with `unsafe`. Everything it exports is safe: a [`Connection`] runs one
//! statement at a time because each call borrows it mutably, every handle is destroyed on drop,
//! and bytes are copied out before their owner is destroyed. The library is never unloaded: its
//! engine keeps threads of its own until the process ends.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use bytes::Bytes;

/// Handle of a connection: the engine hands out a pointer to this pointer.
type RawConnection = *mut c_void;
type RawResult = *mut c_void;
type RawInsert = *mut c_void;

/// `chdb_state`: 0 is success.
const SUCCESS: c_int = 0;

/// What `chdb_classify_query_n` reports; the first field tells the engine how much fits.
#[repr(C)]
struct RawAnalysis {
    struct_size: u32,
    statement_count: u32,
    flags: u32,
    query_class: u32,
}

type ConnectFn = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut RawConnection;
type CloseFn = unsafe extern "C" fn(*mut RawConnection);
type QueryFn = unsafe extern "C" fn(
    RawConnection,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> RawResult;
type StreamFetchFn = unsafe extern "C" fn(RawConnection, RawResult) -> RawResult;
type StreamCancelFn = unsafe extern "C" fn(RawConnection, RawResult);
type DestroyResultFn = unsafe extern "C" fn(RawResult);
type InsertFn = unsafe extern "C" fn(
    RawConnection,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> RawInsert;
type AppendFn = unsafe extern "C" fn(RawInsert, *const c_void, usize) -> c_int;
type DoneFn = unsafe extern "C" fn(RawInsert) -> RawResult;
type InsertErrorFn = unsafe extern "C" fn(RawInsert) -> *const c_char;
type InsertHandleFn = unsafe extern "C" fn(RawInsert);
type BufferFn = unsafe extern "C" fn(RawResult) -> *mut c_char;
type LengthFn = unsafe extern "C" fn(RawResult) -> usize;
type CountFn = unsafe extern "C" fn(RawResult) -> u64;
type ResultErrorFn = unsafe extern "C" fn(RawResult) -> *const c_char;
type ClassifyFn = unsafe extern "C" fn(
    RawConnection,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *mut RawAnalysis,
) -> c_int;
type SignalsFn = unsafe extern "C" fn(c_int);

struct Api {
    connect: ConnectFn,
    close: CloseFn,
    query: QueryFn,
    stream: QueryFn,
    stream_fetch: StreamFetchFn,
    stream_cancel: StreamCancelFn,
    destroy_result: DestroyResultFn,
    insert: InsertFn,
    append: AppendFn,
    done: DoneFn,
    insert_error: InsertErrorFn,
    cancel_insert: InsertHandleFn,
    destroy_insert: InsertHandleFn,
    buffer: BufferFn,
    length: LengthFn,
    storage_rows_read: CountFn,
    storage_bytes_read: CountFn,
    rows_returned: CountFn,
    rows_written: CountFn,
    bytes_written: CountFn,
    result_error: ResultErrorFn,
    classify: ClassifyFn,
    set_signal_handlers: SignalsFn,
}

/// libchdb could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The dynamic linker refused the file or a function is missing in it.
    #[error("{0}")]
    Library(#[from] libloading::Error),
    /// The engine did not start; the reason is what it wrote to standard error.
    #[error("the engine refused to start (its reason is on the line above, if it gave one)")]
    Refused,
    /// An argument holds a NUL byte.
    #[error("an engine argument holds a NUL byte")]
    NulByte,
}

/// A statement that the engine refused or gave up, in ClickHouse's words
/// (`Code: 60. DB::Exception: ...`).
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct EngineError(pub(crate) String);

/// What one call read and wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Rows and bytes read from storage.
    pub(crate) read_rows: u64,
    /// Bytes read from storage.
    pub(crate) read_bytes: u64,
    /// Rows in the result.
    pub(crate) result_rows: u64,
    /// Rows written, those of materialized views included.
    pub(crate) written_rows: u64,
    /// Bytes written, those of materialized views included.
    pub(crate) written_bytes: u64,
}

impl Counts {
    /// Adds what another chunk of the same statement counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.read_rows += other.read_rows;
        self.read_bytes += other.read_bytes;
        self.result_rows += other.result_rows;
        self.written_rows += other.written_rows;
        self.written_bytes += other.written_bytes;
    }
}

/// The running engine. Keeps one connection open: the engine stops with its last connection.
pub(crate) struct Engine {
    api: Arc<Api>,
    path_argument: CString,
    _first: Connection,
}

impl Engine {
    /// Loads libchdb and starts its engine with `arguments` (`--name=value`). `path_argument`
    /// is the `--path=` argument, which every further connection has to repeat.
    ///
    /// # Errors
    ///
    /// When the library cannot be loaded or the engine returns no connection.
    pub(crate) fn start(
        library: &Path,
        path_argument: &str,
        arguments: &[String],
    ) -> Result<Self, LoadError> {
        let api = Arc::new(Api::load(library)?);
        // SAFETY: takes a flag; called before the first connection, as libchdb asks.
        unsafe { (api.set_signal_handlers)(0) };
        let path_argument = CString::new(path_argument).map_err(|_| LoadError::NulByte)?;
        let mut all = vec![path_argument.clone()];
        for argument in arguments {
            all.push(CString::new(argument.as_str()).map_err(|_| LoadError::NulByte)?);
        }
        let first = Connection::open(&api, &all).ok_or(LoadError::Refused)?;
        Ok(Self { api, path_argument, _first: first })
    }

    /// Opens a connection with a session of its own (about 0.15 ms).
    ///
    /// # Errors
    ///
    /// When the engine is stopping.
    pub(crate) fn connect(&self) -> Result<Connection, EngineError> {
        Connection::open(&self.api, std::slice::from_ref(&self.path_argument)).ok_or_else(|| {
            EngineError("Code: 236. DB::Exception: the engine is stopping. (ABORTED)".into())
        })
    }
}

impl Api {
    fn load(path: &Path) -> Result<Self, LoadError> {
        // SAFETY: loading runs the library's initialisers; the file is the one the operator
        // named or the checked one in the cache.
        let library = unsafe {
            libloading::os::unix::Library::open(
                Some(path),
                libloading::os::unix::RTLD_NOW | libloading::os::unix::RTLD_LOCAL,
            )?
        };
        // SAFETY: the types above are those of libchdb's C interface, version 26.7.
        let api = unsafe {
            Self {
                connect: *library.get(b"chdb_connect\0")?,
                close: *library.get(b"chdb_close_conn\0")?,
                query: *library.get(b"chdb_query_with_params_n\0")?,
                stream: *library.get(b"chdb_stream_query_with_params_n\0")?,
                stream_fetch: *library.get(b"chdb_stream_fetch_result\0")?,
                stream_cancel: *library.get(b"chdb_stream_cancel_query\0")?,
                destroy_result: *library.get(b"chdb_destroy_query_result\0")?,
                insert: *library.get(b"chdb_stream_insert_with_params_n\0")?,
                append: *library.get(b"chdb_stream_append\0")?,
                done: *library.get(b"chdb_stream_done\0")?,
                insert_error: *library.get(b"chdb_stream_insert_error\0")?,
                cancel_insert: *library.get(b"chdb_stream_cancel_insert\0")?,
                destroy_insert: *library.get(b"chdb_destroy_insert_stream\0")?,
                buffer: *library.get(b"chdb_result_buffer\0")?,
                length: *library.get(b"chdb_result_length\0")?,
                storage_rows_read: *library.get(b"chdb_result_storage_rows_read\0")?,
                storage_bytes_read: *library.get(b"chdb_result_storage_bytes_read\0")?,
                rows_returned: *library.get(b"chdb_result_rows_read\0")?,
                rows_written: *library.get(b"chdb_result_rows_written\0")?,
                bytes_written: *library.get(b"chdb_result_bytes_written\0")?,
                result_error: *library.get(b"chdb_result_error\0")?,
                classify: *library.get(b"chdb_classify_query_n\0")?,
                set_signal_handlers: *library.get(b"chdb_set_signal_handlers_enabled\0")?,
            }
        };
        // The engine's threads run code of the library until the process ends.
        std::mem::forget(library);
        Ok(api)
    }
}

/// One session of the engine: settings and current database live and die with it.
pub(crate) struct Connection {
    api: Arc<Api>,
    raw: *mut RawConnection,
}

// SAFETY: libchdb lets any thread use a connection as long as no two do so at once; every call
// takes `&mut self`.
unsafe impl Send for Connection {}
// SAFETY: no method takes `&self`.
unsafe impl Sync for Connection {}

impl Connection {
    fn open(api: &Arc<Api>, arguments: &[CString]) -> Option<Self> {
        let program = c"clickhouse";
        let mut argv: Vec<*mut c_char> = std::iter::once(program.as_ptr().cast_mut())
            .chain(arguments.iter().map(|argument| argument.as_ptr().cast_mut()))
            .collect();
        // SAFETY: `argv` holds NUL-terminated strings that outlive the call; libchdb copies them.
        let raw = unsafe { (api.connect)(argv.len() as c_int, argv.as_mut_ptr()) };
        (!raw.is_null()).then(|| Self { api: Arc::clone(api), raw })
    }

    fn handle(&self) -> RawConnection {
        // SAFETY: `raw` came from `connect`, is not null and stays valid until `close`.
        unsafe { *self.raw }
    }

    /// Runs a statement to its end; returns the formatted result and what it counted.
    ///
    /// # Errors
    ///
    /// The engine's own message.
    pub(crate) fn query(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<(Bytes, Counts), EngineError> {
        let result = self.start_query(self.api.query, sql, format, parameters);
        if let Some(error) = result.error() {
            return Err(error);
        }
        Ok((result.bytes(), result.counts()))
    }

    /// Starts a `SELECT` whose result is fetched chunk by chunk; each chunk is a complete
    /// document of its format (headers repeat).
    ///
    /// # Errors
    ///
    /// The engine's own message; also when the statement is none that can be streamed.
    pub(crate) fn stream(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<Stream<'_>, EngineError> {
        let head = self.start_query(self.api.stream, sql, format, parameters);
        if let Some(error) = head.error() {
            return Err(error);
        }
        Ok(Stream { connection: self, head, finished: false })
    }

    fn start_query(
        &self,
        function: QueryFn,
        sql: &str,
        format: &str,
        parameters: &[(String, String)],
    ) -> ResultHandle {
        let bound = BoundParameters::new(parameters);
        // SAFETY: every pointer comes with its length and outlives the call; the lists have
        // `count` entries each.
        let raw = unsafe {
            function(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                bound.names.as_ptr(),
                bound.name_lengths.as_ptr(),
                bound.values.as_ptr(),
                bound.value_lengths.as_ptr(),
                parameters.len(),
            )
        };
        ResultHandle { api: Arc::clone(&self.api), raw }
    }

    /// Inserts `chunks`, the body of one `INSERT` in `format`; `sql` has no `FORMAT` clause.
    /// Nothing is written unless all chunks were taken and parsed.
    ///
    /// # Errors
    ///
    /// The engine's own message.
    pub(crate) fn insert(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &[(String, String)],
        chunks: impl IntoIterator<Item = Bytes>,
    ) -> Result<Counts, EngineError> {
        let bound = BoundParameters::new(parameters);
        // SAFETY: as in `start_query`.
        let raw = unsafe {
            (self.api.insert)(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                bound.names.as_ptr(),
                bound.name_lengths.as_ptr(),
                bound.values.as_ptr(),
                bound.value_lengths.as_ptr(),
                parameters.len(),
            )
        };
        let insert = InsertHandle { api: &self.api, raw };
        if let Some(error) = insert.error() {
            return Err(error);
        }
        for chunk in chunks {
            if chunk.is_empty() {
                continue;
            }
            // SAFETY: the handle is alive; the engine copies the bytes.
            let state =
                unsafe { (self.api.append)(insert.raw, chunk.as_ptr().cast(), chunk.len()) };
            if state != SUCCESS {
                // The reason is the worker's, which only `done` waits for.
                break;
            }
        }
        // SAFETY: the handle is alive; the result is owned by the wrapper.
        let raw = unsafe { (self.api.done)(insert.raw) };
        let result = ResultHandle { api: Arc::clone(&self.api), raw };
        match result.error().or_else(|| insert.error()) {
            Some(error) => Err(error),
            None => Ok(result.counts()),
        }
    }

    /// How many statements the text holds; 0 when it does not parse or is empty.
    ///
    /// # Errors
    ///
    /// When the engine cannot analyse the text at all.
    pub(crate) fn count_statements(&mut self, sql: &str) -> Result<u32, EngineError> {
        let mut analysis = RawAnalysis {
            struct_size: size_of::<RawAnalysis>() as u32,
            statement_count: 0,
            flags: 0,
            query_class: 0,
        };
        // SAFETY: `analysis` states its own size; no target database is given.
        let state = unsafe {
            (self.api.classify)(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                ptr::null(),
                0,
                &raw mut analysis,
            )
        };
        if state == SUCCESS {
            Ok(analysis.statement_count)
        } else {
            Err(EngineError(
                "Code: 62. DB::Exception: cannot analyse the statement. (SYNTAX_ERROR)".into(),
            ))
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: opened once, closed once; results and inserts borrow the connection.
        unsafe { (self.api.close)(self.raw) }
    }
}

/// Pointer lists of query parameters; borrows the strings.
struct BoundParameters {
    names: Vec<*const c_char>,
    name_lengths: Vec<usize>,
    values: Vec<*const c_char>,
    value_lengths: Vec<usize>,
}

impl BoundParameters {
    fn new(parameters: &[(String, String)]) -> Self {
        Self {
            names: parameters.iter().map(|(name, _)| name.as_ptr().cast()).collect(),
            name_lengths: parameters.iter().map(|(name, _)| name.len()).collect(),
            values: parameters.iter().map(|(_, value)| value.as_ptr().cast()).collect(),
            value_lengths: parameters.iter().map(|(_, value)| value.len()).collect(),
        }
    }
}

/// A `SELECT` in flight; dropping it before the end cancels the query.
pub(crate) struct Stream<'connection> {
    connection: &'connection mut Connection,
    head: ResultHandle,
    finished: bool,
}

impl Stream<'_> {
    /// The next chunk, or `None` after the last one.
    ///
    /// # Errors
    ///
    /// The engine's own message; the stream is over then.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<(Bytes, Counts)>, EngineError> {
        if self.finished {
            return Ok(None);
        }
        let api = Arc::clone(&self.connection.api);
        // SAFETY: the stream belongs to this connection, which no one else uses meanwhile.
        let raw = unsafe { (api.stream_fetch)(self.connection.handle(), self.head.raw) };
        let chunk = ResultHandle { api, raw };
        if let Some(error) = chunk.error() {
            self.finished = true;
            return Err(error);
        }
        let bytes = chunk.bytes();
        if bytes.is_empty() {
            self.finished = true;
            return Ok(None);
        }
        Ok(Some((bytes, chunk.counts())))
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // SAFETY: as in `next_chunk`; the head is destroyed after this.
            unsafe {
                (self.connection.api.stream_cancel)(self.connection.handle(), self.head.raw);
            }
        }
    }
}

struct InsertHandle<'api> {
    api: &'api Api,
    raw: RawInsert,
}

impl InsertHandle<'_> {
    fn error(&self) -> Option<EngineError> {
        if self.raw.is_null() {
            return Some(no_answer());
        }
        // SAFETY: the handle is alive; the string belongs to it and is copied.
        message(unsafe { (self.api.insert_error)(self.raw) })
    }
}

impl Drop for InsertHandle<'_> {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: cancelling a finished insert is a no-op; destroyed once.
            unsafe {
                (self.api.cancel_insert)(self.raw);
                (self.api.destroy_insert)(self.raw);
            }
        }
    }
}

struct ResultHandle {
    api: Arc<Api>,
    raw: RawResult,
}

impl ResultHandle {
    fn error(&self) -> Option<EngineError> {
        if self.raw.is_null() {
            return Some(no_answer());
        }
        // SAFETY: the handle is alive; the string belongs to it and is copied.
        message(unsafe { (self.api.result_error)(self.raw) })
    }

    fn bytes(&self) -> Bytes {
        // SAFETY: the handle is alive; the buffer has `length` bytes and is copied here.
        unsafe {
            let length = (self.api.length)(self.raw);
            let buffer = (self.api.buffer)(self.raw);
            if length == 0 || buffer.is_null() {
                return Bytes::new();
            }
            Bytes::copy_from_slice(std::slice::from_raw_parts(buffer.cast::<u8>(), length))
        }
    }

    fn counts(&self) -> Counts {
        // SAFETY: the handle is alive; plain getters.
        unsafe {
            Counts {
                read_rows: (self.api.storage_rows_read)(self.raw),
                read_bytes: (self.api.storage_bytes_read)(self.raw),
                result_rows: (self.api.rows_returned)(self.raw),
                written_rows: (self.api.rows_written)(self.raw),
                written_bytes: (self.api.bytes_written)(self.raw),
            }
        }
    }
}

impl Drop for ResultHandle {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: owned by this wrapper, destroyed once.
            unsafe { (self.api.destroy_result)(self.raw) }
        }
    }
}

fn message(text: *const c_char) -> Option<EngineError> {
    if text.is_null() {
        return None;
    }
    // SAFETY: libchdb's error strings are NUL-terminated and live as long as their owner.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    (!text.is_empty()).then(|| EngineError(text.into_owned()))
}

fn no_answer() -> EngineError {
    EngineError("Code: 1000. DB::Exception: the engine gave no answer. (UNKNOWN_EXCEPTION)".into())
}
