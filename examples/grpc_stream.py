"""A stream over gRPC: it has SECONDS until it must be over, and ends early after CHARACTERS.

python grpc_stream.py [SECONDS [CHARACTERS]]
"""

import os
import sys

import grpc
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.chat_completion_pb2_grpc import ChatCompletionServiceStub

seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
enough = int(sys.argv[2]) if len(sys.argv) > 2 else 200

address = os.environ.get("LLMBASE_GRPC", "127.0.0.1:50051")
metadata = [("authorization", f"Bearer {os.environ['LLMBASE_API_KEY']}")]
request = pb.ChatCompletionRequest(
    model=os.environ.get("LLMBASE_MODEL", "local/smollm2-135m-instruct"),
    messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Tell me a story.")])],
)

with grpc.insecure_channel(address) as channel:
    stub = ChatCompletionServiceStub(channel)
    # The deadline travels with the call: llmbase and the provider stop at it, too.
    call = stub.StreamChatCompletion(request, metadata=metadata, timeout=seconds)
    heard = 0
    try:
        for chunk in call:
            for delta in chunk.choices:
                print(delta.content, end="", flush=True)
                heard += len(delta.content)
            if chunk.last:  # a stream without this chunk was cut
                print(f"\nThe end: {chunk.usage.total_tokens} tokens.")
            elif heard >= enough:
                call.cancel()  # the provider's connection is closed at once, and so is the bill
                print("\nEnough.")
                break
    except grpc.RpcError as error:
        # An RpcError that a call raises is the call itself, which knows its status.
        if (
            not isinstance(error, grpc.Call)
            or error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
        ):
            raise
        print("\nOut of time.")
