"""The tool through which a model answers whose text cannot be held to a schema.

The model must call it, and the arguments are the answer. Its name alone says so: an answer is read
without the request that it answers.
"""

from __future__ import annotations

from llmbase.v1 import chat_completion_pb2 as pb

ANSWER_TOOL = "llmbase_structured_answer"


def description(wanted: pb.JsonSchema) -> str:
    """Return what the model is told about it."""
    return wanted.description.strip() or "Gives the final answer."
