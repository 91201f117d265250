//! ClickHouse's HTTP interface in front of the engine.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use rand::RngExt as _;
use subtle::ConstantTimeEq as _;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use crate::chdb::{Counts, Engine};
use crate::compression::{self, Gzip, native_frame};
use crate::dedup_log::{Looked, lasting_orphan};
use crate::exception::{Code, Exception};
use crate::execute::{Answer, Ended, Head, Job, run};
use crate::format::media_type;
use crate::limits::Limits;
use crate::reader::Reader;
use crate::request::{Parameters, Pieces};
use crate::{Key, StoreConfig};

const QUERY_ID: HeaderName = HeaderName::from_static("x-clickhouse-query-id");
const FORMAT: HeaderName = HeaderName::from_static("x-clickhouse-format");
const TIMEZONE: HeaderName = HeaderName::from_static("x-clickhouse-timezone");
const DISPLAY_NAME: HeaderName = HeaderName::from_static("x-clickhouse-server-display-name");
const SUMMARY: HeaderName = HeaderName::from_static("x-clickhouse-summary");
const EXCEPTION_CODE: HeaderName = HeaderName::from_static("x-clickhouse-exception-code");
const EXCEPTION_TAG: HeaderName = HeaderName::from_static("x-clickhouse-exception-tag");

/// Pieces of a result that wait for the client; each is at most a block of the engine.
const PIECES_AHEAD: usize = 2;

/// Unit in which bytes of bodies are counted against their common bound.
const BODY_UNIT: usize = 1 << 10;

/// The engine and what a request needs to know of its store.
pub(crate) struct Facade {
    pub(crate) engine: Engine,
    pub(crate) user: String,
    pub(crate) key: Key,
    pub(crate) limits: Limits,
    pub(crate) version: String,
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) bodies: Arc<Semaphore>,
    /// Where the engine keeps its files.
    pub(crate) engine_folder: PathBuf,
    /// Parts of tables that were looked at.
    looked: Mutex<Looked>,
    /// Set when the store has to end and be started anew.
    pub(crate) unsound: Arc<Unsound>,
}

/// Whether the engine would swallow rows. Nothing runs on it from then on.
#[derive(Default)]
pub(crate) struct Unsound {
    is: AtomicBool,
    changed: Notify,
}

impl Unsound {
    fn set(&self) {
        self.is.store(true, Ordering::SeqCst);
        self.changed.notify_one();
    }

    fn check(&self) -> Result<(), Exception> {
        if self.is.load(Ordering::SeqCst) {
            return Err(Exception::new(Code::Aborted, "the store ends to be started anew"));
        }
        Ok(())
    }

    /// Waits until it is.
    pub(crate) async fn noticed(&self) {
        self.changed.notified().await;
    }
}

impl Facade {
    pub(crate) fn new(
        engine: Engine,
        engine_folder: PathBuf,
        version: String,
        config: StoreConfig,
    ) -> Self {
        let limits = config.limits;
        Self {
            engine,
            user: config.user,
            key: config.key,
            version,
            turns: Arc::new(Semaphore::new(limits.concurrent_statements)),
            bodies: Arc::new(Semaphore::new(limits.all_bodies_bytes / BODY_UNIT)),
            engine_folder,
            looked: Mutex::default(),
            unsound: Arc::default(),
            limits,
        }
    }
}

/// The routes of the interface.
pub(crate) fn router(facade: Arc<Facade>) -> Router {
    let ok = || async { "Ok.\n" };
    Router::new()
        .route("/", any(statement))
        .route("/ping", get(ok))
        .route("/replicas_status", get(ok))
        .with_state(facade)
}

async fn statement(State(facade): State<Arc<Facade>>, request: Request) -> Response {
    let mut parameters = Parameters::default();
    let query_id;
    let answered = match Query::<Vec<(String, String)>>::try_from_uri(request.uri()) {
        Ok(Query(pairs)) => {
            for (name, value) in pairs {
                parameters.add(name, value);
            }
            if request.method() == Method::GET && parameters.get("query").is_none() {
                return "Ok.\n".into_response();
            }
            query_id = parameters.get("query_id").map_or_else(random_id, str::to_owned);
            facade.answer(request, parameters).await
        }
        Err(rejection) => {
            query_id = random_id();
            Err(Exception::new(Code::BadArguments, rejection))
        }
    };
    let mut response = answered.unwrap_or_else(|exception| facade.refusal(&exception));
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::try_from(query_id) {
        headers.insert(QUERY_ID, value);
    }
    headers.insert(TIMEZONE, HeaderValue::from_static("UTC"));
    headers.insert(DISPLAY_NAME, HeaderValue::from_static("zhili-store"));
    response
}

impl Facade {
    async fn answer(
        self: &Arc<Self>,
        request: Request,
        mut parameters: Parameters,
    ) -> Result<Response, Exception> {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let reader = self.authenticate(&parameters, &parts.headers)?;
        let read_only = match parts.method {
            Method::POST | Method::PUT => false,
            Method::GET | Method::HEAD => true,
            other => {
                return Err(Exception::new(
                    Code::NotImplemented,
                    format_args!("method {other} is not supported: use POST or GET"),
                ));
            }
        };
        let limit = self.limits.body_bytes;
        let announced = header(&parts.headers, &CONTENT_LENGTH).parse::<u64>();
        if announced.is_ok_and(|length| length > limit as u64) {
            return Err(compression::too_large(limit));
        }
        let (received, mut held) = self.receive(body).await?;
        // What a body holds unpacked counts too: a small one may hold a thousand times its size.
        let mut room = |bytes: usize| {
            held.push(self.room(bytes)?);
            Ok(())
        };
        let content_encoding = header(&parts.headers, &CONTENT_ENCODING).to_ascii_lowercase();
        let mut body = match content_encoding.as_str() {
            "" | "identity" => received,
            coding => compression::content(coding, received, limit, &mut room)?.into(),
        };
        if parameters.is_on("decompress") {
            body = compression::native_frames(body, limit, &mut room)?.into();
        }
        if header(&parts.headers, &CONTENT_TYPE).starts_with("multipart/form-data") {
            body = form(&parts.headers, body, &mut parameters).await?;
        }

        let in_url = parameters.get("query").map(str::to_owned);
        let (text, body) = match in_url {
            None => (body.joined(), Pieces::default()),
            Some(text) if carries_data(&text) => (Bytes::from(text), body),
            Some(text) => {
                let mut whole = BytesMut::from(text.as_bytes());
                whole.extend_from_slice(b"\n");
                whole.extend_from_slice(&body.joined());
                (whole.freeze(), Pieces::default())
            }
        };
        let header_format = header(&parts.headers, &FORMAT);
        let job = Job {
            text,
            body,
            database: parameters
                .get("database")
                .or(Some(header_text(&parts.headers, "x-clickhouse-database")))
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            settings: parameters
                .settings()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            placeholders: parameters.placeholders(),
            default_format: parameters
                .get("default_format")
                .or(Some(header_format))
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            read_only,
            reader,
            wait_for_end: parameters.is_on("wait_end_of_query"),
        };

        let turn =
            tokio::time::timeout(self.limits.queue_time, Arc::clone(&self.turns).acquire_owned())
                .await
                .ok()
                .and_then(Result::ok)
                .ok_or_else(|| {
                    Exception::new(
                        Code::TooManySimultaneousQueries,
                        format_args!(
                            "too many simultaneous queries: {} run",
                            self.limits.concurrent_statements
                        ),
                    )
                })?;
        self.unsound.check()?;
        let (send_head, first) = oneshot::channel();
        let (send_rest, rest) = mpsc::channel(PIECES_AHEAD);
        let facade = Arc::clone(self);
        let answer = Answer { head: send_head, rest: send_rest, patience: self.limits.send_time };
        // Detached on purpose: an INSERT whose client has gone away is finished all the same.
        drop(tokio::task::spawn_blocking(move || {
            run(&facade.engine, job, answer, |ended| facade.look_after(ended));
            drop((turn, held));
        }));
        let begun = first.await.map_err(|_| {
            Exception::new(Code::UnknownException, "the statement ended without an answer")
        })??;
        Ok(self.respond(begun, rest, &parameters, &parts.headers, started))
    }

    /// Ends the store when a failed INSERT has left its token without its rows: sent again under
    /// it, as its writer is about to, the rows would be lost. The next start forgets the token.
    ///
    /// Also when a part is met that the disk did not take: libchdb 26.7.3 acknowledges an INSERT,
    /// or a merge, whose `write` calls all fail, as on a disk that breaks or a quota that is used
    /// up. The next start takes the part out, with the token of its INSERT, and falls back on the
    /// parts that were merged, which the engine keeps for eight minutes only; so at once. New parts
    /// are therefore looked at before the INSERT is acknowledged.
    ///
    /// # Errors
    /// What a client is then told in place of the engine's own words: those may read like a
    /// refusal for good (a disk that is full, a file that cannot be written), while the same
    /// INSERT is welcome as soon as the store is back.
    fn look_after(&self, ended: Ended) -> Result<(), Exception> {
        match ended {
            Ended::Plainly => return Ok(()),
            Ended::WithRowsIn => {
                let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
                match looked.finds_broken(&self.engine_folder) {
                    Ok(false) => {}
                    Ok(true) => {
                        tracing::error!("the disk did not take a part of a table");
                        self.unsound.set();
                    }
                    Err(error) => {
                        tracing::error!(%error, "cannot look at the new parts of tables");
                        self.unsound.set();
                    }
                }
                return self.unsound.check();
            }
            Ended::OnBrokenPart => {
                tracing::error!("a part of a table is not on disk as it was written");
                self.unsound.set();
                return self.unsound.check();
            }
            Ended::WithTokenGiven => {}
        }
        match lasting_orphan(&self.engine_folder) {
            Ok(false) => {}
            Ok(true) => {
                tracing::error!("a failed INSERT left its deduplication token without its rows");
                self.unsound.set();
            }
            Err(error) => {
                tracing::error!(%error, "cannot look for deduplication tokens without their rows");
                self.unsound.set();
            }
        }
        self.unsound.check()
    }

    /// Lets in whoever has the store's key, and as a reader whoever has one's.
    fn authenticate(
        &self,
        parameters: &Parameters,
        headers: &HeaderMap,
    ) -> Result<Option<Reader>, Exception> {
        let given = parameters.credentials(headers);
        let user = given.user.as_bytes().ct_eq(self.user.as_bytes());
        let key = given.key.as_bytes().ct_eq(self.key.as_bytes());
        if bool::from(user & key) {
            return Ok(None);
        }
        if let Some(reader) = Reader::recognise(&given.user, &given.key, &self.key) {
            return Ok(Some(reader));
        }
        let code =
            if given.key.is_empty() { Code::RequiredPassword } else { Code::AuthenticationFailed };
        Err(Exception::new(
            code,
            format_args!(
                "{}: Authentication failed: password is incorrect, or there is no user with such name",
                given.user
            ),
        ))
    }

    /// Room for bytes of a body among those of all bodies.
    fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Exception> {
        let units = bytes.div_ceil(BODY_UNIT) as u32;
        Arc::clone(&self.bodies).try_acquire_many_owned(units).map_err(|_| {
            Exception::new(
                Code::MemoryLimitExceeded,
                "too many request bodies at once: send again later",
            )
        })
    }

    /// Takes the whole body before anything of it reaches the engine: a body that breaks off
    /// writes nothing, and a slow client holds no turn.
    async fn receive(&self, body: Body) -> Result<(Pieces, Vec<OwnedSemaphorePermit>), Exception> {
        let take_all = async {
            let mut pieces = Pieces::default();
            let mut held = Vec::new();
            let mut size = 0;
            let mut stream = body.into_data_stream();
            while let Some(piece) = stream.next().await {
                let piece = piece.map_err(|error| {
                    Exception::new(
                        Code::CannotReadAllData,
                        format_args!("the request broke off: {error}"),
                    )
                })?;
                size += piece.len();
                if size > self.limits.body_bytes {
                    return Err(compression::too_large(self.limits.body_bytes));
                }
                held.push(self.room(piece.len())?);
                pieces.push(piece);
            }
            Ok((pieces, held))
        };
        tokio::time::timeout(self.limits.receive_time, take_all).await.map_err(|_| {
            Exception::new(Code::SocketTimeout, "the request's body did not arrive in time")
        })?
    }

    fn respond(
        &self,
        head: Head,
        rest: mpsc::Receiver<Result<Bytes, Exception>>,
        parameters: &Parameters,
        headers: &HeaderMap,
        started: Instant,
    ) -> Response {
        let coding = Coding::asked(parameters, headers);
        let tag = random_tag();
        let mut response = Response::builder()
            .status(StatusCode::OK)
            .header(SUMMARY, summary(head.counts, started));
        if !head.format.is_empty() {
            response = response
                .header(CONTENT_TYPE, media_type(&head.format))
                .header(FORMAT, head.format.as_str());
        }
        if coding == Coding::Gzip {
            response = response.header(CONTENT_ENCODING, "gzip");
        }
        if !head.complete {
            response = response.header(EXCEPTION_TAG, tag.as_str());
        }
        let mut packer = Packer::new(coding);
        let body = if head.complete {
            let mut whole = BytesMut::new();
            for piece in head.pieces.iter().map(|piece| packer.pack(piece)) {
                whole.extend_from_slice(&piece);
            }
            whole.extend_from_slice(&packer.finish());
            Body::from(whole.freeze())
        } else {
            let version = self.version.clone();
            let begun =
                stream::iter(head.pieces.into_iter().map(Ok)).chain(ReceiverStream::new(rest));
            Body::from_stream(body_stream(begun, packer, version, tag))
        };
        response
            .body(body)
            .unwrap_or_else(|error| self.refusal(&Exception::new(Code::UnknownException, error)))
    }

    fn refusal(&self, exception: &Exception) -> Response {
        let mut response = Response::builder()
            .status(exception.status())
            .header(EXCEPTION_CODE, exception.code)
            .header(CONTENT_TYPE, "text/plain; charset=UTF-8");
        if exception.status() == StatusCode::UNAUTHORIZED {
            response =
                response.header(WWW_AUTHENTICATE, "Basic realm=\"ClickHouse server HTTP API\"");
        }
        response
            .body(Body::from(exception.body(&self.version)))
            .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}

/// Whether a statement in the URL is an INSERT whose data is the body.
fn carries_data(text: &str) -> bool {
    matches!(crate::sql::look_at(text.as_bytes()), crate::sql::Statement::Insert { .. })
}

/// A result in pieces. An error after the first piece is announced as ClickHouse 26.7 does,
/// between tags that the response's header names, and then the connection breaks off, so that a
/// client that knows nothing of tags sees an incomplete answer too.
fn body_stream(
    pieces: impl stream::Stream<Item = Result<Bytes, Exception>> + Send + 'static,
    packer: Packer,
    version: String,
    tag: String,
) -> impl stream::Stream<Item = Result<Bytes, LateFailure>> + Send + 'static {
    let state = Sending::Pieces { pieces: Box::pin(pieces), packer };
    stream::try_unfold(state, move |state| {
        let (version, tag) = (version.clone(), tag.clone());
        async move {
            match state {
                Sending::Pieces { mut pieces, mut packer } => match pieces.next().await {
                    Some(Ok(piece)) => {
                        let bytes = packer.pack(&piece);
                        Ok(Some((bytes, Sending::Pieces { pieces, packer })))
                    }
                    Some(Err(exception)) => {
                        let message = exception.body(&version);
                        let notice = format!(
                            "\r\n__exception__\r\n{tag}\r\n{message}{} {tag}\r\n__exception__\r\n",
                            message.len()
                        );
                        let mut last = BytesMut::from(packer.pack(&Bytes::from(notice)));
                        last.extend_from_slice(&packer.finish());
                        Ok(Some((last.freeze(), Sending::Broken)))
                    }
                    None => {
                        let end = packer.finish();
                        Ok(Some((end, Sending::Ended)))
                    }
                },
                Sending::Ended => Ok(None),
                Sending::Broken => {
                    // Lets the server write what it holds before it drops the connection.
                    tokio::task::yield_now().await;
                    Err(LateFailure)
                }
            }
        }
    })
    .try_filter(|piece| std::future::ready(!piece.is_empty()))
}

enum Sending<P> {
    Pieces { pieces: std::pin::Pin<Box<P>>, packer: Packer },
    Ended,
    Broken,
}

#[derive(Debug, thiserror::Error)]
#[error("the statement failed after the answer had begun")]
struct LateFailure;

/// How an answer is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    NativeFrames,
}

impl Coding {
    /// ClickHouse's native frames for `compress=1`, gzip for a client that accepts it and sets
    /// `enable_http_compression`, else nothing: the store is on the same machine.
    fn asked(parameters: &Parameters, headers: &HeaderMap) -> Self {
        if parameters.is_on("compress") {
            Self::NativeFrames
        } else if parameters.is_on("enable_http_compression")
            && header(headers, &ACCEPT_ENCODING)
                .split(',')
                .any(|coding| coding.split(';').next().is_some_and(|name| name.trim() == "gzip"))
        {
            Self::Gzip
        } else {
            Self::Identity
        }
    }
}

enum Packer {
    Identity,
    Gzip(Gzip),
    NativeFrames,
}

impl Packer {
    fn new(coding: Coding) -> Self {
        match coding {
            Coding::Identity => Self::Identity,
            Coding::Gzip => Self::Gzip(Gzip::new()),
            Coding::NativeFrames => Self::NativeFrames,
        }
    }

    fn pack(&mut self, piece: &Bytes) -> Bytes {
        match self {
            Self::Identity => piece.clone(),
            Self::Gzip(gzip) => gzip.pack(piece),
            Self::NativeFrames => native_frame(piece),
        }
    }

    fn finish(self) -> Bytes {
        match self {
            Self::Gzip(gzip) => gzip.finish(),
            Self::Identity | Self::NativeFrames => Bytes::new(),
        }
    }
}

/// Adds the fields of a form to the parameters.
async fn form(
    headers: &HeaderMap,
    body: Pieces,
    parameters: &mut Parameters,
) -> Result<Pieces, Exception> {
    let bad = |error: multer::Error| {
        Exception::new(Code::BadArguments, format_args!("cannot read the form: {error}"))
    };
    let boundary = multer::parse_boundary(header(headers, &CONTENT_TYPE)).map_err(bad)?;
    let body = stream::iter(body.into_iter().map(Ok::<_, Infallible>));
    let mut form = multer::Multipart::new(body, boundary);
    while let Some(field) = form.next_field().await.map_err(bad)? {
        let name = field.name().unwrap_or_default().to_owned();
        if field.file_name().is_some_and(|name| !name.is_empty()) {
            return Err(Exception::new(
                Code::NotImplemented,
                format_args!("external data ({name}) is not supported"),
            ));
        }
        let value = field.text().await.map_err(bad)?;
        parameters.add(name, value);
    }
    Ok(Pieces::default())
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What ClickHouse's `X-ClickHouse-Summary` holds; the counts so far when the answer is long.
fn summary(counts: Counts, started: Instant) -> String {
    let mut text = String::from("{");
    for (name, value) in [
        ("read_rows", counts.read_rows),
        ("read_bytes", counts.read_bytes),
        ("written_rows", counts.written_rows),
        ("written_bytes", counts.written_bytes),
        ("total_rows_to_read", counts.read_rows),
        ("result_rows", counts.result_rows),
        ("elapsed_ns", started.elapsed().as_nanos() as u64),
    ] {
        let comma = if text.len() > 1 { "," } else { "" };
        let _ = write!(text, "{comma}\"{name}\":\"{value}\"");
    }
    text.push('}');
    text
}

/// An id in the form of a UUID (version 4).
fn random_id() -> String {
    let mut bits = rand::rng().random::<u128>();
    bits = (bits & !(0xf << 76)) | (0x4 << 76);
    bits = (bits & !(0x3 << 62)) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Sixteen lower-case letters, as ClickHouse tags an exception within a result.
fn random_tag() -> String {
    let mut random = rand::rng();
    (0..16).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect()
}
