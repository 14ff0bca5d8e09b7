"""A whole answer over gRPC."""

import os

import grpc
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.chat_completion_pb2_grpc import ChatCompletionServiceStub

address = os.environ.get("LLMBASE_GRPC", "127.0.0.1:50051")
metadata = [("authorization", f"Bearer {os.environ['LLMBASE_API_KEY']}")]
request = pb.ChatCompletionRequest(
    model=os.environ.get("LLMBASE_MODEL", "local/smollm2-135m-instruct"),
    messages=[
        pb.Message(role=pb.ROLE_SYSTEM, content=[pb.ContentPart(text="Answer briefly.")]),
        pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="What is recursion?")]),
    ],
    max_tokens=60,
    temperature=0.2,
)

with grpc.insecure_channel(address) as channel:
    stub = ChatCompletionServiceStub(channel)
    answer = stub.CreateChatCompletion(request, metadata=metadata, timeout=60)

(choice,) = answer.choices
print("".join(part.text for part in choice.message.content))
print(f"{pb.FinishReason.Name(choice.finish_reason)}, {answer.usage.total_tokens} tokens,", end=" ")
print(f"answered by {answer.route.served_model} at {answer.route.provider}")
