"""The configuration: TOML files and `key=value` overrides, checked before anything runs.

    defaults  <-  wideseek.toml here (or --config FILE)  <-  --set key=value  <-  command-line options

`wideseek config` prints every key with its default. An unknown key is an error that names the nearest right one.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from rapidfuzz import process

from wideseek.errors import BadConfig, BadInput
from wideseek.files import read_text
from wideseek.redaction import without_login, without_secret
from wideseek.trust import Confirm, check_headers, check_servers

LOCAL_FILE = "wideseek.toml"
AUTO = "auto"
PROMPTS = Path(__file__).parent / "prompts"
LOCAL = "local/"
ALL_KEYS = " (`wideseek config` lists all)"

Address = Annotated[str, AfterValidator(without_login)]
"""A model's name or a server's address: a login in it is kept for this process, never in a configuration."""

_OF_THE_CONNECTION = frozenset(
    {"accept-encoding", "connection", "content-encoding", "content-length", "expect", "host", "keep-alive"}
    | {"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _checked_headers(headers: dict[str, str]) -> dict[str, str]:
    """Headers with a mark for each secret value; of one that is there twice, in whatever case, the last counts."""
    checked: dict[str, tuple[str, str]] = {}
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not value.isprintable():
            raise ValueError(f"{name!r} is no header: a name is letters, digits and dashes, a value one line of text")
        if name.lower() in _OF_THE_CONNECTION:
            raise ValueError(f"{name!r} belongs to the connection: leave it out")
        checked[name.lower()] = name, without_secret(name, value.strip())
    return dict(checked.values())


Headers = Annotated[dict[str, str], AfterValidator(_checked_headers)]
"""Headers by name: a secret value is kept for this process, never in a configuration."""


class Section(BaseModel):
    """A group of keys, or a whole file of them."""

    model_config = ConfigDict(extra="forbid", validate_default=True)

    @classmethod
    def merged(cls, values: dict[str, Any], overrides: Mapping[str, Any], path: Path | None = None) -> Self:
        """`values` (read from `path`, if given) with dotted `overrides` on top. Raises `BadConfig`."""
        try:
            return cls.model_validate(nested(overrides, values))
        except ValidationError as error:
            raise BadConfig("; ".join(_explained(cls, problem, path) for problem in error.errors())) from error


class RoleLimits(Section):
    """How far one agent may go."""

    max_turns: int = Field(ge=1, description="turns of one agent, its answer included (depth)")
    max_calls: int = Field(ge=1, description="tool calls, or subagents, per turn")
    context_tokens: int = Field(32_000, ge=512, description="length that one agent's conversation may grow to")


class Lead(RoleLimits):
    max_turns: int = Field(10, ge=1, description="turns of the lead, its answer included")
    max_calls: int = Field(10, ge=1, description="subagents per turn (width; --width)")


class Sub(RoleLimits):
    max_turns: int = Field(20, ge=1, description="turns of a subagent, its report included")
    max_calls: int = Field(5, ge=1, description="tool calls per turn")


class Single(RoleLimits):
    max_turns: int = Field(50, ge=1, description="turns of the single agent, its answer included")
    max_calls: int = Field(5, ge=1, description="tool calls per turn")


class SamplingConfig(Section):
    """How models sample. Unset: the server's own defaults."""

    temperature: float | None = Field(None, ge=0, le=5, description="0 is greedy")
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1, description="tokens of one turn")


class ChatConfig(Section):
    """How model servers are called (what says chat only is not for tokens+SERVER)."""

    timeout_s: float = Field(600.0, gt=0, description="seconds for one call")
    attempts: int = Field(10, ge=1, description="tries of one call before it counts as failed")
    backoff_s: float = Field(0.5, gt=0, description="first wait between two tries; it doubles, up to 30 s")
    concurrency: int = Field(64, ge=1, description="calls in flight per model")
    max_body_mb: float = Field(64.0, gt=0, description="megabytes of one answer, unpacked; a larger one has failed")
    tool_calls: Literal["native", "text"] = Field(
        "native", description="native: the server's tools field; text: <tool_call> in the text; chat only"
    )
    extra: dict[str, Any] = Field({}, description="further fields of every request body; chat only")
    headers: Headers = Field(
        {}, description="further headers of every request (--header 'Name: value'); secret values are not written down"
    )


class TokensConfig(Section):
    """Models that continue token ids: tokens+SERVER, and those that run in this process."""

    server: Literal["auto", "vllm", "sglang"] = Field("auto", description="what tokens+SERVER speaks; auto: asks it")
    tokenizer: str | None = Field(None, description="folder or hub name; unset: the model's name")
    template: dict[str, Any] = Field(
        {}, description="variables of the chat template, such as {enable_thinking = false}"
    )


class LocalConfig(Section):
    """Models that run in this process: local/FOLDER, nano."""

    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: float32, and in a training that of its precision"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    kv_tokens: int | None = Field(None, ge=64, description="memory for keys and values, in tokens")
    max_batch: int = Field(64, ge=1, description="turns that are sampled at the same time")
    threads: int | None = Field(None, ge=1, description="CPU threads; unset: torch's choice")


class PagesConfig(Section):
    """How subagents search and read."""

    search_count: int = Field(3, ge=1, le=20, description="hits per search unless the agent asks otherwise")
    page_chars: int = Field(25_000, ge=100, description="characters of a page that an agent gets")
    shown_only: bool = Field(True, description="agents open only urls that they were shown")
    summarise: bool = Field(False, description="pages are summarised by the model for what the agent wants to know")


class BudgetConfig(Section):
    """What a run may spend. Unset: no limit."""

    tokens: int | None = Field(None, ge=1)
    usd: float | None = Field(None, gt=0, description="needs the model's prices: of the list, or configured")
    seconds: float | None = Field(None, gt=0)
    calls: int | None = Field(None, ge=1, description="model calls")
    reserve: float = Field(0.2, gt=0, lt=1, description="share kept for answering")


class Price(Section):
    """US dollars per million tokens."""

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)
    cached: float | None = Field(None, ge=0)


class ProviderConfig(Section):
    """An OpenAI-compatible server under a short name: `NAME/MODEL`."""

    base_url: Address
    key_env: str | None = Field(None, description="environment variable that holds the key")


class Config(Section):
    """Everything that `wideseek ask` can be told."""

    model: Address = Field(
        AUTO,
        description="who leads: openai/NAME, ollama/NAME, [tokens+]http://host:port/v1#NAME, local/FOLDER, nano, "
        "expert; auto: nano where wideseek[local] is installed, else expert",
    )
    sub_model: Address | None = Field(None, description="who searches and reads, if not the same")
    verify: Address | None = Field(
        None, description="a model that reads each cell beside its quote (--verify); unset: none does"
    )
    workflow: Literal["team", "single"] = "team"
    corpus: Path | None = Field(
        None, description="folder of an index made by `wideseek index`; unset: the pocket world"
    )
    prompts: str = Field(
        AUTO,
        description="prompt profile: default, wideseek-r1, nano, or a folder; auto: what the model was trained with",
    )
    language: Literal["auto", "en", "zh"] = "auto"
    min_supported: float = Field(
        0.0, ge=0, le=1, description="share of all cells that has to be supported, else the run is partial"
    )
    seed: int = 0
    prices: dict[str, Price] = Field(
        {}, description='[prices."openai/NAME"] prompt, completion, cached: dollars per million; unset: the list prices'
    )
    providers: dict[str, ProviderConfig] = Field({}, description="[providers.NAME] base_url, key_env")
    lead: Lead = Lead()
    sub: Sub = Sub()
    single: Single = Single()
    sampling: SamplingConfig = SamplingConfig()
    chat: ChatConfig = ChatConfig()
    tokens: TokensConfig = TokensConfig()
    local: LocalConfig = LocalConfig()
    pages: PagesConfig = PagesConfig()
    budget: BudgetConfig = BudgetConfig()

    @classmethod
    def load(
        cls,
        file: Path | None = None,
        overrides: Mapping[str, Any] | None = None,
        confirm: Confirm | None = None,
    ) -> Self:
        """From `file` (default: `wideseek.toml` in this folder, if there) and dotted `overrides` (`None` is unset).

        Raises `BadConfig` naming the file or option, the key, and the nearest right key or what is allowed. A file that
        was only found is a stranger's (`of_stranger`).
        """
        if file is not None or not Path(LOCAL_FILE).is_file():
            return cls.merged(read_toml(file) if file else {}, overrides or {}, file)
        return cls.of_stranger(read_toml(Path(LOCAL_FILE)), overrides or {}, Path(LOCAL_FILE), confirm)

    @classmethod
    def of_stranger(
        cls, values: dict[str, Any], overrides: Mapping[str, Any], path: Path, confirm: Confirm | None = None
    ) -> Self:
        """`merged`, of `values` that somebody else may have written to `path`.

        Raises `BadConfig` also where they name a server that the user does not know and does not `confirm`
        (`wideseek.trust`).
        """
        config = cls.merged(values, overrides, path)
        check_servers(config.model_dump(), nested(overrides), str(path), confirm)
        check_headers(nested(values), nested(overrides), str(path), confirm)
        return config

    def portable(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON values with whole paths: the same in another folder."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        if self.corpus:
            values["corpus"] = str(self.corpus.resolve())
        if self.prompts not in built_in_prompts() and Path(self.prompts).is_dir():
            values["prompts"] = str(Path(self.prompts).resolve())
        if self.tokens.tokenizer and Path(self.tokens.tokenizer).is_dir():
            values["tokens"]["tokenizer"] = str(Path(self.tokens.tokenizer).resolve())
        for key in ("model", "sub_model", "verify"):
            folder = Path(str(getattr(self, key)).removeprefix(LOCAL))
            if str(getattr(self, key)).startswith(LOCAL) and folder.is_dir():
                values[key] = f"{LOCAL}{folder.resolve()}"
        return values


def built_in_prompts() -> dict[str, Path]:
    """The prompt profiles that come with wideseek. Their names go before folders of the same name."""
    return {folder.name: folder for folder in sorted(PROMPTS.iterdir()) if folder.is_dir()}


def read_overrides(pairs: Iterable[str]) -> dict[str, Any]:
    """`["budget.calls=20", "model=ollama/qwen3"]` as a dict; values are TOML where they parse as TOML, else text."""
    overrides = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise BadConfig(f"--set {pair}: write key=value, for example --set budget.calls=20")
        overrides[key.strip()] = _toml_value(value.strip())
    return overrides


def read_headers(lines: Iterable[str], key: str = "chat.headers") -> dict[str, Any]:
    """`["X-Team: a"]` as overrides of the configuration's headers. Raises `BadConfig`, which never shows a value."""
    overrides = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or "." in name:
            raise BadConfig("--header: write 'Name: value', with a name of letters, digits and dashes")
        overrides[f"{key}.{name.strip()}"] = value.strip()
    return overrides


def describe(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """(dotted key, default, what it is) for every key that can be set."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from describe(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.default, field.description or ""


def as_toml() -> str:
    """Every key with its default and its meaning, as a `wideseek.toml` (what is unset by default is commented out)."""
    lines: list[str] = []
    section = ""
    for key, default, meaning in describe():
        own, _, name = key.rpartition(".")
        if own != section:
            lines += ["", f"[{own}]"]
            section = own
        value = f"{name} = {json.dumps(default)}" if default is not None else f"# {name} ="
        lines.append(f"{value:<28} # {meaning}" if meaning else value)
    return "\n".join(lines).strip()


def read_toml(path: Path) -> dict[str, Any]:
    """The keys in a TOML file. Raises `BadConfig` naming it."""
    try:
        return tomllib.loads(read_text(path))
    except BadInput as error:
        raise BadConfig(str(error)) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadConfig(f"{path}: cannot be read: {error}") from error


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def nested(overrides: Mapping[str, Any], values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Dotted `overrides` as nested dicts, on top of `values`, which stay as they are; `None` is unset."""
    merged = deepcopy(dict(values or {}))
    for key, value in overrides.items():
        if value is not None:
            _set(merged, key, value)
    return merged


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *sections, name = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise BadConfig(f"{key}: {section} is a value, not a section")
    values[name] = value


def _explained(config: type[BaseModel], problem: Any, path: Path | None) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    where = f"{path}: " if path else ""
    if problem["type"] == "extra_forbidden":
        known = [name for name, _, _ in describe(config)]
        nearest = process.extractOne(key, known)
        return f"{where}{key}: unknown; did you mean {nearest[0]}?{ALL_KEYS if config is Config else ''}"
    if problem["type"] == "missing":
        return f"{where}{key}: is needed: {_meaning(config, key)}"
    rule = problem["msg"].lower().partition(" after validation")[0]  # what follows there is the length that it has
    if "headers" in problem["loc"]:  # its values may be secrets
        return f"{where}{key}: {rule.removeprefix('value error, ')}"
    return f"{where}{key}: {rule}, not {problem['input']!r}"


def _meaning(config: type[BaseModel], key: str) -> str:
    return next((meaning for name, _, meaning in describe(config) if name == key and meaning), "it has no default")
