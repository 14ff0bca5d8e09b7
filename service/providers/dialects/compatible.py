"""Providers that are only compatible with OpenAI: a row each, and no code.

A row says where the provider is, what its documentation calls the variable of its key, and where
it differs from others in what it takes. What a row does not know is passed on as it is.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from service.providers.dialects.openai_spelling import Spelling

# OpenAI's reasoning models take no `max_tokens`; it refuses fields that it does not know.
OPENAI = Spelling(
    max_tokens="max_completion_tokens",
    reasoning="",
    developer="developer",
    unsupported=frozenset({"chat_template_kwargs"}),
    openai_models=True,
    additions=False,
)

_PLAIN = Spelling()
_OPENROUTER = Spelling(reasoning="reasoning", extra_body={"usage": {"include": True}})
_GROQ = Spelling(
    max_tokens="max_completion_tokens",
    reasoning="",
    unsupported=frozenset(
        {
            "chat_template_kwargs",
            "logit_bias",
            "logprobs",
            "n",
            "prompt_cache_key",
            "top_logprobs",
        }
    ),
)
_CEREBRAS = Spelling(
    max_tokens="max_completion_tokens",
    reasoning="reasoning",
    unsupported=frozenset({"frequency_penalty", "logit_bias", "n", "presence_penalty"}),
)
_DEEPSEEK = Spelling(unsupported=frozenset({"logit_bias", "n", "parallel_tool_calls", "seed"}))
_PERPLEXITY = Spelling(
    reasoning="",
    unsupported=frozenset({"logit_bias", "logprobs", "n", "parallel_tool_calls", "seed"}),
)
_XAI = Spelling(max_tokens="max_completion_tokens", unsupported=frozenset({"logit_bias"}))


def _nine_characters(call_id: str) -> str:
    """Return an id in the form that Mistral takes; the same id gives the same one."""
    if re.fullmatch(r"[A-Za-z0-9]{9}", call_id):
        return call_id
    return hashlib.sha256(call_id.encode()).hexdigest()[:9]


# Mistral refuses fields that it does not know, in messages too, and gives usage in streams unasked.
_MISTRAL = Spelling(
    reasoning="",
    seed="random_seed",
    required="any",
    asks_for_usage=False,
    prefix=True,
    call_id=_nine_characters,
    additions=False,
    refusals=False,
    names=False,
    parameters='{"type":"object","properties":{}}',
    most_temperature=1.5,
    signed_seeds=False,
    unsupported=frozenset(
        {
            "chat_template_kwargs",
            "logit_bias",
            "logprobs",
            "prompt_cache_key",
            "service_tier",
            "top_logprobs",
            "user",
        }
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A provider. No `base_url`: it is the user's own server or account."""

    name: str
    base_url: str | None
    key_variable: str | None = None
    spelling: Spelling = _PLAIN


COMPATIBLE = (
    Row("alibaba", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY"),
    Row("avian", "https://api.avian.io/v1", "AVIAN_API_KEY"),
    Row("baseten", "https://inference.baseten.co/v1", "BASETEN_API_KEY"),
    Row("bedrock-mantle", "https://bedrock-mantle.{region}.api.aws/v1", "AWS_BEARER_TOKEN_BEDROCK"),
    Row("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY", _CEREBRAS),
    Row("cloudflare", None, "CLOUDFLARE_API_TOKEN"),
    Row("crusoe", "https://api.inference.crusoecloud.com/v1", "CRUSOE_API_KEY"),
    Row("databricks", None, "DATABRICKS_TOKEN"),
    Row("deepinfra", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    Row("deepseek", "https://api.deepseek.com", "DEEPSEEK_API_KEY", _DEEPSEEK),
    Row("doubleword", "https://api.doubleword.ai/v1", "DOUBLEWORD_API_KEY"),
    Row("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    Row("gpustack", None, "GPUSTACK_API_KEY"),
    Row("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", _GROQ),
    Row("huggingface", "https://router.huggingface.co/v1", "HF_TOKEN"),
    Row("llamacpp", "http://localhost:8080/v1"),
    Row("lmstudio", "http://localhost:1234/v1"),
    Row("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", _MISTRAL),
    Row("mistralrs", "http://localhost:1234/v1"),
    Row("moonshot", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    Row("nvidia", "https://integrate.api.nvidia.com/v1", "NVIDIA_API_KEY"),
    Row("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", _OPENROUTER),
    Row("perplexity", "https://api.perplexity.ai", "PERPLEXITY_API_KEY", _PERPLEXITY),
    Row("sambanova", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    Row("sglang", "http://localhost:30000/v1"),
    Row("snowflake", None, "SNOWFLAKE_TOKEN"),
    Row("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    Row("venice", "https://api.venice.ai/api/v1", "VENICE_API_KEY"),
    Row("vercel-gateway", "https://ai-gateway.vercel.sh/v1", "AI_GATEWAY_API_KEY"),
    Row("vllm", "http://localhost:8000/v1"),
    Row("xai", "https://api.x.ai/v1", "XAI_API_KEY", _XAI),
    Row("zai", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY"),
)
