"""A client of Evergrant as a Python service would write it: stock grpcio and generated stubs.

Every answer is one line of JSON on standard output; a status other than OK is {"error": {...}} and exit code 1.
"""

import argparse
import json
import sys

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status


def main():
    arguments = parse_arguments()
    sys.path.insert(0, arguments.stubs)
    metadata = []
    if arguments.auth_token:
        metadata.append(("authorization", f"Bearer {arguments.auth_token}"))
    with grpc.insecure_channel(arguments.target) as channel:
        try:
            arguments.run(channel, metadata, arguments)
        except grpc.RpcError as error:
            say({"error": describe(error)})
            sys.exit(1)


def get_token(channel, metadata, arguments):
    from evergrant.v1 import token_service_pb2, token_service_pb2_grpc

    request = token_service_pb2.GetTokenRequest(
        tenant_id=arguments.tenant, credential_id=arguments.credential
    )
    service = token_service_pb2_grpc.TokenServiceStub(channel)
    say_message(service.GetToken(request, metadata=metadata, timeout=arguments.timeout))


def watch(channel, metadata, arguments):
    from evergrant.v1 import event_service_pb2, event_service_pb2_grpc

    request = event_service_pb2.WatchRequest(
        tenant_id=arguments.tenant,
        after=arguments.after,
        skip_snapshot=arguments.skip_snapshot,
    )
    service = event_service_pb2_grpc.EventServiceStub(channel)
    stream = service.Watch(request, metadata=metadata, timeout=arguments.timeout)
    say_first(stream, arguments.count)


def health(channel, metadata, arguments):
    request = health_pb2.HealthCheckRequest(service=arguments.service)
    service = health_pb2_grpc.HealthStub(channel)
    if arguments.watch:
        stream = service.Watch(request, metadata=metadata, timeout=arguments.timeout)
        say_first(stream, arguments.count)
    else:
        say_message(service.Check(request, metadata=metadata, timeout=arguments.timeout))


def say_first(stream, count):
    for number, message in enumerate(stream, start=1):
        say_message(message)
        if number == count:
            stream.cancel()
            return


def describe(error):
    facts = {"code": error.code().name, "message": error.details()}
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        for name, kind in {
            "error_info": error_details_pb2.ErrorInfo,
            "retry_info": error_details_pb2.RetryInfo,
        }.items():
            if detail.Is(kind.DESCRIPTOR):
                unpacked = kind()
                detail.Unpack(unpacked)
                facts[name] = as_dict(unpacked)
    return facts


def say_message(message):
    say(as_dict(message))


def as_dict(message):
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def say(value):
    print(json.dumps(value), flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True, help="host:port of the server")
    parser.add_argument("--stubs", required=True, help="folder of the generated stubs")
    parser.add_argument("--auth-token", default="")
    parser.add_argument("--timeout", type=float, default=30, help="deadline in seconds")
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("get-token")
    command.add_argument("--tenant", default="")
    command.add_argument("--credential", required=True)
    command.set_defaults(run=get_token)

    command = commands.add_parser("watch")
    command.add_argument("--tenant", default="")
    command.add_argument("--after", default="")
    command.add_argument("--skip-snapshot", action="store_true")
    command.add_argument("--count", type=int, required=True, help="end after so many messages")
    command.set_defaults(run=watch)

    command = commands.add_parser("health")
    command.add_argument("--service", default="")
    command.add_argument("--watch", action="store_true")
    command.add_argument("--count", type=int, default=1, help="of a watch: end after so many")
    command.set_defaults(run=health)

    return parser.parse_args()


if __name__ == "__main__":
    main()
