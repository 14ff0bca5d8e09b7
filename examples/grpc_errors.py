"""What went wrong over gRPC: a reason for programs, the field at fault, when to try again."""

import os

import grpc
from google.rpc import error_details_pb2, status_pb2
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.chat_completion_pb2_grpc import ChatCompletionServiceStub

address = os.environ.get("LLMBASE_GRPC", "127.0.0.1:50051")
metadata = [("authorization", f"Bearer {os.environ['LLMBASE_API_KEY']}")]
request = pb.ChatCompletionRequest(
    model=os.environ.get("LLMBASE_MODEL", "local/smollm2-135m-instruct"),
    messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hello.")])],
    temperature=9,  # between 0 and 2, or it is refused
)


def details(error: grpc.Call) -> status_pb2.Status:
    """Return the google.rpc.Status that every error of llmbase carries."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return status_pb2.Status.FromString(value)
    return status_pb2.Status()


with grpc.insecure_channel(address) as channel:
    try:
        ChatCompletionServiceStub(channel).CreateChatCompletion(
            request, metadata=metadata, timeout=60
        )
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)  # every error that a call raises is one
        print(f"{error.code().name}: {error.details()}")
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        for detail in details(error).details:
            if detail.Unpack(info):
                print(f"reason {info.reason} in {info.domain}")  # look at this, never at the text
            elif detail.Unpack(bad):
                for violation in bad.field_violations:
                    print(f"field {violation.field} {violation.description}")
            elif detail.Unpack(retry):
                print(f"again in {retry.retry_delay.ToTimedelta().total_seconds():g} s")
