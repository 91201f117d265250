//! Requests as a client makes them that knows the contract by its descriptors alone.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures::StreamExt;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// Longer than any answer takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Given(Vec<u8>),
    Unauthenticated,
    Denied,
    Unknown,
    Conflict,
    /// Anything else, in its own words.
    Other(String),
}

/// Bytes as they are.
#[derive(Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Every contract that is served.
pub(crate) fn contracts() -> DescriptorPool {
    let mut pool = DescriptorPool::new();
    for set in [
        zhili_proto::DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        pool.decode_file_descriptor_set(set).unwrap();
    }
    pool
}

/// Calls `package.Service/Method` with a message in JSON. A stream is read to its end, one that
/// does not end by itself (`endless`) to its first message.
pub(crate) async fn grpc(
    pool: &DescriptorPool,
    channel: Channel,
    method: &str,
    message: &str,
    token: Option<&str>,
    endless: bool,
) -> Answer {
    let (service, name) = method.split_once('/').unwrap();
    let service = pool.get_service_by_name(service).expect(method);
    let input = service.methods().find(|one| one.name() == name).expect(method).input();
    let mut json = serde_json::Deserializer::from_str(message);
    let message = DynamicMessage::deserialize(input, &mut json);
    let message = Bytes::from(message.expect(method).encode_to_vec());
    let mut request = Request::new(futures::stream::iter([message]));
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = format!("/{method}").parse().unwrap();
    let called = async {
        let mut answers = client.streaming(request, path, Raw).await?.into_inner();
        let mut whole = Vec::new();
        while let Some(answer) = answers.next().await {
            whole.extend(answer?);
            if endless {
                break;
            }
        }
        Ok::<_, Status>(whole)
    };
    match tokio::time::timeout(PATIENCE, called).await.expect(method) {
        Ok(whole) => Answer::Given(whole),
        Err(status) => match status.code() {
            Code::Unauthenticated => Answer::Unauthenticated,
            Code::PermissionDenied => Answer::Denied,
            Code::NotFound => Answer::Unknown,
            Code::FailedPrecondition => Answer::Conflict,
            _ => Answer::Other(status.to_string()),
        },
    }
}

/// Makes a request over HTTP.
pub(crate) async fn http(
    client: &reqwest::Client,
    method: &str,
    url: &str,
    body: &str,
    token: Option<&str>,
    endless: bool,
) -> Answer {
    let mut request = client.request(method.parse().unwrap(), url).timeout(PATIENCE);
    if !body.is_empty() {
        request = request.header("content-type", "application/json").body(body.to_owned());
    }
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let mut response = request.send().await.unwrap();
    let status = response.status();
    let mut whole = Vec::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        whole.extend(chunk);
        if endless && whole.windows(2).any(|end| end == b"\n\n") {
            break;
        }
    }
    match status.as_u16() {
        200..300 => Answer::Given(whole),
        401 => Answer::Unauthenticated,
        403 => Answer::Denied,
        404 => Answer::Unknown,
        409 => Answer::Conflict,
        other => Answer::Other(format!("{other} {}", String::from_utf8_lossy(&whole))),
    }
}
