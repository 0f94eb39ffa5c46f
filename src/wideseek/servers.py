"""The servers that are known by a short name, and what stands around a server's name in a model's name."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

FALLBACK_KEY = "WIDESEEK_API_KEY"  # of a server for which no other variable is named
BY_IDS = "tokens+"  # before a server that is asked by token ids


def bare_name(name: str) -> str:
    """A model's name without `tokens+` and white space around what it names."""
    return name.strip().removeprefix(BY_IDS).strip()


class Provider(msgspec.Struct, frozen=True, omit_defaults=True):
    """A server that users call by a short name. It needs a key if `key_env`, the variable that holds it, is given.

    The variable `base_url_env`, where set, replaces `base_url`: then the key becomes optional. An empty `base_url` is
    each user's own: the variable has to be set, to an address to which `path` is added where it has none.
    """

    base_url: str
    key_env: str | None = None
    base_url_env: str | None = None
    path: str = ""


PROVIDERS: Mapping[str, Provider] = {
    "openai": Provider("https://api.openai.com/v1", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "azure": Provider("", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "/openai/v1"),
    "openrouter": Provider("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "deepseek": Provider("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "mistral": Provider("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "groq": Provider("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "together": Provider("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "dashscope": Provider("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY"),
    "anthropic": Provider("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    "gemini": Provider("https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    "xai": Provider("https://api.x.ai/v1", "XAI_API_KEY"),
    "moonshot": Provider("https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    "zhipu": Provider("https://open.bigmodel.cn/api/paas/v4", "ZHIPUAI_API_KEY"),
    "zai": Provider("https://api.z.ai/api/paas/v4", "ZAI_API_KEY"),
    "siliconflow": Provider("https://api.siliconflow.cn/v1", "SILICONFLOW_API_KEY"),
    "minimax": Provider("https://api.minimax.io/v1", "MINIMAX_API_KEY"),
    "ollama": Provider("http://localhost:11434/v1"),
    "vllm": Provider("http://localhost:8000/v1"),
    "sglang": Provider("http://localhost:30000/v1"),
    "llamacpp": Provider("http://localhost:8080/v1"),
    "lmstudio": Provider("http://localhost:1234/v1"),
    "jan": Provider("http://localhost:1337/v1"),
}
