//! Clients that know no contract ask for it in one of two versions of the same protocol.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use zhili_runtime::auth::Authenticator;
use zhili_runtime::{Context, Server, bind};

/// Names of the services that the server tells of in this version of the protocol.
macro_rules! services {
    ($version:ident, $channel:expr) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let asked = futures::stream::iter([request]);
        let answer = ServerReflectionClient::new($channel).server_reflection_info(asked).await;
        let answer = answer.unwrap().into_inner().message().await.unwrap().unwrap();
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            panic!("another answer")
        };
        let names = list.service.into_iter().map(|service| service.name);
        // Each tells of itself and not of the other.
        names.filter(|name| !name.starts_with("grpc.reflection.")).collect::<Vec<_>>()
    }};
}

#[tokio::test]
async fn both_versions_of_reflection_tell_of_the_same_services() {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let context = Context::new(stop.clone(), Authenticator::insecure(address).unwrap());
    let server = tokio::spawn(async move { Server::default().serve(listener, &context).await });
    let channel =
        Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let newer = services!(v1, channel.clone());
    assert!(newer.iter().any(|name| name == "zhili.log.v1.LogService"), "{newer:?}");
    assert_eq!(services!(v1alpha, channel.clone()), newer);
    drop(channel);
    stop.cancel();
    server.await.unwrap().unwrap();
}
