"""The two public lists of models, read into one form.

LiteLLM's list comes as it is published (per token, one key for each tier) or compacted (per million tokens, tiers
nested); genai-prices' as it is published or dumped from its package. A price is USD for a million tokens, or for a
thousand of whatever else is counted, always a Decimal: no float ever touches one.
"""

import json
import re
from dataclasses import dataclass, field
from decimal import Decimal

# Our kinds, by the sources' names for whose models they list.
LITELLM_KINDS = {
    "anthropic": "anthropic", "azure": "azure", "azure_ai": "azure", "azure_text": "azure", "bedrock": "bedrock",
    "bedrock_converse": "bedrock", "bedrock_mantle": "bedrock", "aihubmix": "aihubmix", "cerebras": "cerebras",
    "cohere": "cohere", "cohere_chat": "cohere", "crusoe": "crusoe", "dashscope": "dashscope",
    "deepseek": "deepseek", "fireworks_ai": "fireworks", "fireworks_ai-embedding-models": "fireworks",
    "gemini": "gemini", "groq": "groq", "mistral": "mistral", "moonshot": "moonshot", "nebius": "nebius",
    "nvidia_nim": "nvidia", "openai": "openai", "openrouter": "openrouter", "perplexity": "perplexity",
    "publicai": "publicai", "sambanova": "sambanova", "scaleway": "scaleway", "text-completion-openai": "openai",
    "together_ai": "together", "xai": "xai", "xiaomi_mimo": "xiaomi", "zai": "zai",
}
GENAI_KINDS = {
    "anthropic": ["anthropic"], "aws": ["bedrock"], "azure": ["azure"], "cerebras": ["cerebras"], "cohere": ["cohere"],
    "deepseek": ["deepseek"], "fireworks": ["fireworks"], "google": ["gemini", "vertex"], "groq": ["groq"],
    "mistral": ["mistral"], "moonshotai": ["moonshot"], "openai": ["openai"], "openrouter": ["openrouter"],
    "perplexity": ["perplexity"], "together": ["together"], "x-ai": ["xai"], "zai": ["zai"],
}

# What LiteLLM calls a rate, by our letter. Longer names first: each is the beginning of a key.
RATES = {
    "cache_creation_input_token_cost_above_12hr": "X", "cache_creation_input_token_cost_above_1hr": "W",
    "cache_creation_input_token_cost": "w", "cache_read_input_audio_token_cost": "c",
    "cache_read_input_token_cost": "r", "output_cost_per_reasoning_token": "t", "input_cost_per_audio_token": "a",
    "output_cost_per_audio_token": "A", "input_cost_per_image_token": "p", "output_cost_per_image_token": "P",
    "input_cost_per_video_token": "v", "input_cost_per_token": "i", "output_cost_per_token": "o",
}
COMPACT_RATES = {
    "in": "i", "out": "o", "cr": "r", "cw": "w", "cw1h": "W", "cw12h": "X", "reason": "t", "ain": "a", "aout": "A",
    "acr": "c", "imgin": "p", "imgout": "P", "vin": "v",
}
GENAI_RATES = {
    "input_mtok": "i", "output_mtok": "o", "cache_read_mtok": "r", "cache_write_mtok": "w",
    "cache_write_1h_mtok": "W", "output_reasoning_mtok": "t", "input_audio_mtok": "a", "output_audio_mtok": "A",
    "cache_audio_read_mtok": "c", "input_image_mtok": "p", "output_image_mtok": "P", "input_video_mtok": "v",
    "cache_write_5m_mtok": "w", "requests_kcount": "q", "rerank_searches_kcount": "q", "web_searches_kcount": "s",
}
TIERS = {"batches": "batch", "priority": "priority", "flex": "flex", "balanced": "balanced", "ultrafast": "ultrafast"}
GENAI_TIERS = {"batch": "batch", "priority": "priority", "flex": "flex", "fast": "fast"}

# What LiteLLM says of a model, by our letter: its published key, and its compacted word.
FLAGS = {
    "a": ("supports_audio_input", "audio_in"), "A": ("supports_audio_output", "audio_out"),
    "b": ("supports_bedrock_native_structured_output", "bedrock_json_schema"),
    "c": ("supports_tool_choice", "tool_choice"), "d": ("supports_pdf_input", "pdf"),
    "e": ("supports_adaptive_thinking", "adaptive_thinking"), "f": ("supports_forced_tool_use", "forced_tool"),
    "g": ("thinking_always_on", "thinking_always_on"), "i": ("supports_video_input", "video_in"),
    "j": ("supports_response_schema", "json_schema"),
    "J": ("supports_native_structured_output", "native_json_schema"), "k": ("supports_prompt_caching", "cache"),
    "l": ("supports_minimal_reasoning_effort", "effort_minimal"),
    "m": ("supports_mid_conversation_system", "mid_system"), "n": ("supports_none_reasoning_effort", "effort_none"),
    "p": ("supports_parallel_function_calling", "parallel_tools"), "r": ("supports_reasoning", "reasoning"),
    "s": ("supports_sampling_params", "sampling"), "t": ("supports_function_calling", "tools"),
    "v": ("supports_vision", "vision"), "w": ("supports_web_search", "web_search"),
    "x": ("supports_assistant_prefill", "prefill"), "y": ("supports_system_messages", "system"),
}
# Modes whose prices are by the token or by the request.
MODES = {"chat", "responses", "completion", "embedding", "rerank", "moderation"}


@dataclass
class Entry:
    """What one source says of one model."""

    mode: str = ""
    context: int = 0
    output: int = 0
    yes: str = ""
    no: str = ""
    # Rates by condition; "" is the price of an ordinary request. A condition joins its parts by a space.
    prices: dict[str, dict[str, Decimal]] = field(default_factory=dict)


def load(path):
    """The JSON at a path or an HTTP address."""
    if path.startswith(("https://", "http://")):
        from urllib.request import urlopen

        with urlopen(path, timeout=60) as answer:
            text = answer.read()
    else:
        with open(path, "rb") as file:
            text = file.read()
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


# === LiteLLM ===


def litellm(document):
    """{(kind, model): Entry}."""
    compact = "legend" in document
    models = document["models"] if compact else document
    found = {}
    # Where a model stands both with and without its provider's prefix, the prefixed key counts: it is the one that
    # LiteLLM looks up.
    for key, raw in sorted(models.items(), key=lambda item: ("/" not in item[0], item[0])):
        provider = raw.get("p") if compact else raw.get("litellm_provider")
        kind = "vertex" if (provider or "").startswith("vertex_ai") else LITELLM_KINDS.get(provider)
        model = kind and litellm_model(key, provider)
        if model and raw.get("mode") in MODES:
            found.setdefault((kind, model), compact_entry(raw) if compact else published_entry(raw))
    return found


def litellm_model(key, provider):
    """The model's name at its provider, or None for what is not asked for by a name."""
    model = key.lower()
    for prefix in (provider, provider.removesuffix("_converse"), provider.split("-")[0]):
        if model.startswith(prefix + "/"):
            model = model[len(prefix) + 1:]
            break
    if "commitment/" in model or model.startswith("claude_platform/") or model == "container":
        return None
    # Sizes of models rather than models.
    if re.search(r"-(up-to-)?[\d.]+[bm](-[\d.]+[bm])?$", model) and model.startswith("together-ai-"):
        return None
    return model


def compact_entry(raw):
    entry = Entry(raw["mode"], int(raw.get("ctx", 0)), int(raw.get("max_out", 0)))
    entry.yes = "".join(letter for letter, (_, word) in FLAGS.items() if word in raw.get("cap", []))
    entry.no = "".join(letter for letter, (_, word) in FLAGS.items() if word in raw.get("nocap", []))
    entry.prices[""] = {COMPACT_RATES[name]: value for name, value in raw.get("price", {}).items()}
    for tier, rates in raw.get("tiers", {}).items():
        above, _, service = tier.partition("@")
        if service and service not in TIERS:
            continue
        condition = joined(above and int(above[1:-1]) * 1000, TIERS.get(service))
        entry.prices[condition] = {COMPACT_RATES[name]: value for name, value in rates.items()}
    return finished(entry, raw)


def published_entry(raw):
    context = raw.get("max_input_tokens", raw.get("max_tokens", 0))
    entry = Entry(raw["mode"], whole(context), whole(raw.get("max_output_tokens", raw.get("max_tokens", 0))))
    entry.yes = "".join(letter for letter, (key, _) in FLAGS.items() if raw.get(key) is True)
    entry.no = "".join(letter for letter, (key, _) in FLAGS.items() if raw.get(key) is False)
    entry.prices[""] = {}
    for key, value in raw.items():
        name = next((name for name in RATES if key == name or key.startswith(name + "_")), None)
        rest = re.fullmatch(r"(?:_above_(\d+)k_tokens)?(?:_([a-z]+))?", key[len(name):]) if name else None
        if not rest or not isinstance(value, Decimal) or (rest[2] and rest[2] not in TIERS):
            continue
        condition = joined(rest[1] and int(rest[1]) * 1000, TIERS.get(rest[2]))
        entry.prices.setdefault(condition, {})[RATES[name]] = value * 1_000_000
    query = raw.get("input_cost_per_query", raw.get("input_cost_per_request"))
    return finished(entry, {**raw, "per_query": query} if query is not None else raw)


def finished(entry, raw):
    """What both forms of the list spell alike."""
    if raw.get("per_query"):
        entry.prices[""]["q"] = raw["per_query"] * 1000
    for row in raw.get("tiered_pricing", []):
        start = int(row.get("range", [0])[0])
        rates = {RATES[name]: value * 1_000_000 for name, value in row.items() if name in RATES}
        entry.prices[joined(start, None)] = rates
    if night := raw.get("off_peak") or raw.get("off_peak_pricing"):
        rates = {RATES[name]: value * 1_000_000 for name, value in night.items() if name in RATES}
        entry.prices["off:" + windows(night["windows"])] = rates
    return entry


def windows(rows):
    """Hours in which a price holds, as days/from-to: 12345/0000-0100,0400-0600;67/0000-2400, in UTC, Monday is 1."""
    spans = []
    for row in rows:
        hours = row["hours_utc"] if isinstance(row["hours_utc"], list) else [row["hours_utc"]]
        cut = [hour.replace(":", "") for hour in hours]
        cut = [hour[:-4] + "2400" if hour.endswith("-0000") else hour for hour in cut]
        spans.append("".join(str(day) for day in row.get("weekdays", range(1, 8))) + "/" + ",".join(cut))
    return ";".join(spans)


def joined(above, service):
    return " ".join(part for part in (above and f">{above}", service and f"@{service}") if part)


def whole(value):
    return int(value) if isinstance(value, Decimal) else 0


# === genai-prices ===


class Genai:
    """The other list, whose models have clauses that say which names are theirs."""

    def __init__(self, document):
        providers = document["providers"] if isinstance(document, dict) else document
        self.models = {}
        for provider in providers:
            for kind in GENAI_KINDS.get(provider["id"], []):
                self.models.setdefault(kind, []).extend(provider["models"])

    def find(self, kind, model):
        """The first of a kind's models whose clauses take this name."""
        return next((row for row in self.models.get(kind, []) if matches(row["match"], model)), None)

    def periods(self, row, date):
        """[(since, Entry)]: the price on that day, and those that are announced, in order; "" means always."""
        dated = row["prices"] if isinstance(row["prices"], list) else [{"prices": row["prices"]}]
        plain = [(since(each), each) for each in dated if "start_time" not in (each.get("constraint") or {})]
        plain.sort(key=lambda pair: pair[0])
        now = [pair for pair in plain if pair[0] <= date][-1:]
        later = [pair for pair in plain if pair[0] > date]
        return [(start, self.entry(row, each, max(start, date))) for start, each in now + later]

    def entry(self, row, dated, date):
        entry = Entry("", int(row.get("context_window") or 0))
        place(entry, dated["prices"], None)
        for variant in row.get("price_variants") or []:
            when = variant["when"]
            # Anthropic's fast mode is a speed of the ordinary tier; the answer tells it, and never both.
            service = when.get("service_tier") or when.get("speed") or ("batch" if when.get("processing") == "batch" else None)
            # Of several that hold, the first counts: the list has the newest on top.
            known = joined(None, GENAI_TIERS.get(service)) in entry.prices
            if len(when) == 1 and service in GENAI_TIERS and since(variant) <= date and variant["prices"] and not known:
                place(entry, variant["prices"], GENAI_TIERS[service])
        return entry


def place(entry, prices, service):
    entry.prices.setdefault(joined(None, service), {})
    for name, value in prices.items():
        letter = GENAI_RATES.get(name)
        if not letter:
            continue
        tiers = value["tiers"] if isinstance(value, dict) else []
        entry.prices[joined(None, service)][letter] = value["base"] if isinstance(value, dict) else value
        for tier in tiers:
            entry.prices.setdefault(joined(int(tier["start"]), service), {})[letter] = tier["price"]


def since(dated):
    return (dated.get("constraint") or {}).get("start_date") or ""


def matches(clause, model):
    (name, value), = clause.items()
    match name.rstrip("_"):
        case "equals":
            return model == value
        case "starts_with":
            return model.startswith(value)
        case "ends_with":
            return model.endswith(value)
        case "contains":
            return value in model
        case "regex":
            return re.search(value, model) is not None
        case "or":
            return any(matches(each, model) for each in value)
        case "and":
            return all(matches(each, model) for each in value)
    raise ValueError(f"a clause of an unknown kind: {name}")


def names(row):
    """The names that a model is listed under: its id, and those that its clauses spell out."""
    clause = row["match"]
    choices = clause.get("or_") or clause.get("or") or [clause]
    spelled = [each["equals"] for each in choices if "equals" in each]
    return [row["id"].lower(), *(name.lower() for name in spelled)]
