"""A gRPC client that knows no contract: it asks the server for it and publishes an event.

    python3 -m venv target/python-grpc
    target/python-grpc/bin/pip install grpcio grpcio-reflection
    ZHILI_TOKEN=... target/python-grpc/bin/python tests/e2e/grpc_reflection_check.py 127.0.0.1:7400

Ends with 0 and the line `ok` when all checks pass.
"""

import datetime
import os
import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)


class Bearer(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Adds the token to every call, those of reflection among them."""

    def __init__(self, token):
        self.metadata = [("authorization", f"Bearer {token}")]

    def _with_token(self, details):
        return details._replace(metadata=[*(details.metadata or []), *self.metadata])

    def intercept_unary_unary(self, continuation, details, request):
        return continuation(self._with_token(details), request)

    def intercept_stream_stream(self, continuation, details, requests):
        return continuation(self._with_token(details), requests)




def main() -> None:
    channel = grpc.intercept_channel(
        grpc.insecure_channel(sys.argv[1]), Bearer(os.environ["ZHILI_TOKEN"])
    )
    # The package asks for the first version of the protocol only.
    database = ProtoReflectionDescriptorDatabase(channel)

    def services():
        # Each version tells of itself and not of the other.
        return [n for n in database.get_services() if not n.startswith("grpc.reflection.")]

    names = services()
    # Clients that ask for the newer one get the same; its messages are those of the first.
    database._stub.ServerReflectionInfo = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    assert services() == names, names
    name = "zhili.conversation.v1.IngestService"
    assert name in names, names
    pool = DescriptorPool(database)
    method = pool.FindServiceByName(name).FindMethodByName("Publish")
    request = GetMessageClass(method.input_type)()
    event = {
        "event_id": "m-1",
        "source": "reflection",
        "conversation_id": "c-1",
        "type": "message",
        "customer": {"id": "k"},
        "author": {"id": "k", "role": "customer"},
        "sent_at": datetime.datetime.now(datetime.timezone.utc).isoformat(),
        "text": "在吗",
    }
    json_format.ParseDict({"events": [event]}, request)
    publish = channel.unary_unary(
        f"/{name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    answer = publish(request)
    assert len(answer.results) == 1 and answer.results[0].HasField("ack"), answer
    print(f"ok: {len(names)} services by reflection, one event published")


if __name__ == "__main__":
    main()
