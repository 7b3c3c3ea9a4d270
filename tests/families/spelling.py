"""The same config.json, as transformers 5 writes it."""

# Phi 3 keeps its partial_rotary_factor beside the one in rope_parameters
ROPE_FIELDS = (
    "rope_theta",
    "rope_scaling",
    "rope_local_base_freq",
    "rotary_pct",
    "rotary_emb_base",
)
ROTARY = (
    *("gpt_neox", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2"),
    *("phi", "phi3", "olmo2"),
)


def spelled_5(config: dict) -> dict:
    """Return the config.json of the same model as transformers 5 writes it: rope_parameters."""
    if "text_config" in config:
        return {**_renamed(config), "text_config": spelled_5(config["text_config"])}
    found = {key: value for key, value in _renamed(config).items() if key not in ROPE_FIELDS}
    if config["model_type"] == "gemma3_text":
        local = {"rope_type": "default", "rope_theta": config["rope_local_base_freq"]}
        rope = {"sliding_attention": local, "full_attention": _rope(config)}
        return {**found, "rope_parameters": rope}
    if config["model_type"] in ROTARY:
        found["rope_parameters"] = _rope(config)
    return found


def _rope(config: dict) -> dict:
    rope = {"rope_type": "default", **(config.get("rope_scaling") or {})}
    rope["rope_type"] = rope.pop("type", rope["rope_type"])
    rope["rope_theta"] = config.get("rope_theta", config.get("rotary_emb_base"))
    fraction = config.get("partial_rotary_factor", config.get("rotary_pct"))
    if fraction is not None:
        rope["partial_rotary_factor"] = fraction
    if rope["rope_type"] == "longrope":
        rope["original_max_position_embeddings"] = config["original_max_position_embeddings"]
    return rope


def _renamed(config: dict) -> dict:
    return {{"torch_dtype": "dtype"}.get(key, key): value for key, value in config.items()}
