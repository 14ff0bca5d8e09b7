"""Holds a gateway that speaks the OpenAI API against recorded answers of real providers.

The kit is both sides of the gateway: the providers behind it, replayed byte by byte, and the caller
before it. It imports nothing of llmbase and can be pointed at any other gateway.
"""
