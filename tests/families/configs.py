"""The config.json of every tiny model, in the spelling of transformers 4.

All sizes of a model differ, and little that a type can set is left at its default: windows are
shorter than the sentences, bounds of scores and logits are in reach, bases of rotary positions and
ε are unusual.
"""

IDS = {"bos_token_id": 0, "eos_token_id": 0}
WORDS = {"vocab_size": 313, **IDS}  # more rows than the tokenizer has tokens, as in many files
UNTIED = {"tie_word_embeddings": False}
GATED = {
    **WORDS,
    "hidden_size": 45,
    "intermediate_size": 31,
    "num_hidden_layers": 3,
    "num_attention_heads": 15,
    "num_key_value_heads": 5,
    "head_dim": 8,  # 15 · 8 is not 45
    "max_position_embeddings": 89,
    "rms_norm_eps": 1e-3,
    "rope_theta": 500.0,
}
# for types whose d_head is d_model / n_head: 6
DIVIDED = {
    **{key: value for key, value in GATED.items() if key != "head_dim"},
    "hidden_size": 54,
    "num_hidden_layers": 4,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
}
LLAMA = {
    "model_type": "llama",
    **GATED,
    **UNTIED,
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "rope_scaling": None,
}
LLAMA_3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,  # of four waves one is kept, one between, two stretched
}
YARN = {  # of four waves one is kept, one between, two stretched
    "max_position_embeddings": 88,
    "rope_theta": 50.0,
    "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 22},
}
LLAMAS = {
    "llama": LLAMA,
    "llama-bos": LLAMA,  # its tokenizer begins each sentence with <|endoftext|>
    "llama-biases": {**LLAMA, "attention_bias": True, "mlp_bias": True},
    "llama-tied": {**LLAMA, "tie_word_embeddings": True},
    "llama-linear-rope": {**LLAMA, "rope_scaling": {"type": "linear", "factor": 3.0}},
    "llama-llama3-rope": {**LLAMA, "rope_scaling": LLAMA_3_ROPE},
    "llama-yarn": {**LLAMA, **YARN},
}

MISTRAL = {
    "model_type": "mistral",
    **GATED,
    **UNTIED,
    "hidden_act": "silu",
    "sliding_window": 5,
}
QWEN2 = {
    "model_type": "qwen2",
    **DIVIDED,
    **UNTIED,
    "hidden_act": "silu",
    "use_sliding_window": False,  # so that the window does not count
    "sliding_window": 5,
    "max_window_layers": 2,
}
QWEN3 = {
    "model_type": "qwen3",
    **GATED,
    "tie_word_embeddings": True,
    "hidden_act": "silu",
    "attention_bias": False,
    "rope_scaling": None,
    "use_sliding_window": False,
    "sliding_window": None,
    "max_window_layers": 1,
}
SLIDING = {"use_sliding_window": True, "sliding_window": 5}
PHI3 = {
    "model_type": "phi3",
    **DIVIDED,
    **UNTIED,
    "hidden_act": "silu",
    "pad_token_id": 0,
    "original_max_position_embeddings": 89,
    "partial_rotary_factor": 0.7,  # 4 of 6 columns
    "rope_scaling": None,
    "sliding_window": 5,
}
PHI = {
    "model_type": "phi",
    **DIVIDED,
    **UNTIED,
    "hidden_act": "gelu_new",
    "layer_norm_eps": 1e-3,
    "partial_rotary_factor": 0.7,  # 4 of 6 columns
}
OLMO2 = {"model_type": "olmo2", **GATED, **UNTIED, "hidden_act": "silu", "attention_bias": False}
LONGROPE = {  # short factors up to 7 tokens, long ones beyond
    "max_position_embeddings": 84,
    "original_max_position_embeddings": 7,
    "partial_rotary_factor": 1.0,
    "rope_scaling": {
        "type": "longrope",
        "short_factor": [1.0, 1.2, 1.5],
        "long_factor": [1.3, 2.5, 4.0],
    },
}
DESCENDANTS = {
    "mistral": MISTRAL,
    "mistral-full": {**MISTRAL, "hidden_size": 60, "head_dim": None, "sliding_window": None},
    "qwen2": QWEN2,
    "qwen2-sliding": {**QWEN2, **SLIDING, "tie_word_embeddings": True},
    "qwen3": QWEN3,
    "qwen3-sliding": {**QWEN3, **SLIDING, "attention_bias": True, "tie_word_embeddings": False},
    "phi": PHI,
    "olmo2": OLMO2,
    "phi3": PHI3,
    "phi3-full": {**PHI3, "sliding_window": None, "partial_rotary_factor": 1.0},
    "phi3-longrope": {**PHI3, **LONGROPE},
}

GEMMA = {"model_type": "gemma", **GATED, "pad_token_id": 0, "hidden_act": "gelu_pytorch_tanh"}
GEMMA2 = {
    "model_type": "gemma2",
    **GATED,
    "pad_token_id": 0,
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 11,
    "sliding_window": 5,  # in layers 0 and 2
    "attn_logit_softcapping": 1.0,
    "final_logit_softcapping": 2.0,
}
GEMMA3 = {
    "model_type": "gemma3_text",
    **GATED,
    "pad_token_id": 0,
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 11,
    "sliding_window": 5,
    "sliding_window_pattern": 2,  # in layers 0 and 2
    "rope_local_base_freq": 50.0,
    "rope_scaling": {"rope_type": "linear", "factor": 3.0},  # not in the sliding layers
}
EVERY_LAYER = ["full_attention", "sliding_attention", "sliding_attention"]
# text and images; one image is 4 patches
BOTH = {
    "model_type": "gemma3",
    "text_config": GEMMA3,
    "vision_config": {
        "model_type": "siglip_vision_model",
        "hidden_size": 18,
        "intermediate_size": 21,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "image_size": 28,
        "patch_size": 14,
        "vision_use_head": False,
    },
    "mm_tokens_per_image": 4,
    "boi_token_index": 308,
    "eoi_token_index": 309,
    "image_token_index": 310,
}
GEMMAS = {
    "gemma": GEMMA,
    # what the first files say; transformers 4 takes the exact GELU, 5 the tanh form that is meant
    "gemma-first-files": {**GEMMA, "hidden_act": "gelu", "hidden_activation": None},
    "gemma2": GEMMA2,
    "gemma2-biases": {**GEMMA2, "attention_bias": True, "tie_word_embeddings": False},
    "gemma2-uncapped": {
        **GEMMA2,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        "layer_types": EVERY_LAYER,
    },
    "gemma3_text": GEMMA3,
    "gemma3_text-capped": {
        **GEMMA3,
        "final_logit_softcapping": 2.0,
        "layer_types": EVERY_LAYER,
        "rope_scaling": None,
    },
    "gemma3": BOTH,
    "gemma3-saved": BOTH,  # with the names that transformers writes since 4.52
}

NEOX = {
    "model_type": "gpt_neox",
    **WORDS,
    **UNTIED,
    "hidden_size": 45,
    "intermediate_size": 31,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "max_position_embeddings": 89,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-3,
    "rotary_pct": 0.5,  # 4 of 9 columns
    "rotary_emb_base": 500,
    "use_parallel_residual": True,
}
NEO = {
    "model_type": "gpt_neo",
    **WORDS,
    "hidden_size": 35,
    "intermediate_size": None,  # 140
    "num_layers": 4,
    "num_heads": 5,
    "max_position_embeddings": 89,
    "attention_types": [[["global", "local"], 2]],
    "attention_layers": ["global", "local", "global", "local"],
    "window_size": 5,
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-3,
}
GPTJ = {
    "model_type": "gptj",
    **WORDS,
    **UNTIED,
    "n_embd": 45,
    "n_inner": None,  # 180
    "n_layer": 3,
    "n_head": 5,
    "n_positions": 89,
    "rotary_dim": 4,  # of 9 columns
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-3,
}
GPTS = {
    "gpt_neox": NEOX,
    "gpt_neox-sequential": {**NEOX, "use_parallel_residual": False, "rotary_pct": 0.25},
    "gpt_neox-no-bias": {**NEOX, "attention_bias": False, "hidden_act": "gelu_new"},
    "gpt_neo": NEO,
    "gpt_neo-inner": {**NEO, "intermediate_size": 31, "activation_function": "relu"},
    "gptj": GPTJ,
    "gptj-inner": {**GPTJ, "n_inner": 31, "activation_function": "gelu"},
}

BERT = {
    "model_type": "bert",
    "vocab_size": 211,
    "hidden_size": 35,
    "intermediate_size": 43,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "max_position_embeddings": 89,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "layer_norm_eps": 1e-3,
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
}
ROBERTA = {
    **BERT,
    "model_type": "roberta",
    "vocab_size": 313,
    "max_position_embeddings": 91,  # for 89 tokens: two rows are for padding
    "type_vocab_size": 1,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
}
ENCODERS = {
    "bert": BERT,
    "bert-pretraining": {**BERT, "hidden_act": "gelu_new"},  # gamma and beta, a pooler, two heads
    "bert-model": BERT,  # no head, and no "bert." before the names
    "roberta": ROBERTA,
}
TINY: dict[str, dict] = {**GPTS, **LLAMAS, **DESCENDANTS, **GEMMAS, **ENCODERS}
