"""Tokenizers as model folders have them, each made of other files, all small.

``FOLDERS`` has them by name.

Their vocabularies are trained on TEXTS, so that ids differ where any setting does.
"""

import json

from tests.pipeline.inputs.trained_tokenizers import (
    GPT2,
    SPECIAL,
    byte_fallback,
    byte_level,
    save,
    unigram,
    word_piece,
    write,
)


def plain(folder):
    save(folder, byte_level())


def untrimmed(folder):
    save(folder, byte_level(trim_offsets=False), tokenizer_class="PreTrainedTokenizerFast")


def no_processor(folder):
    save(folder, byte_level(processor=False), tokenizer_class="GPT2TokenizerFast")


def prefix_space_in_settings(folder):
    save(folder, byte_level(), tokenizer_class="GPT2Tokenizer", add_prefix_space=True)


def prefix_space_only_in_tokenizer(folder):
    save(
        folder,
        byte_level(add_prefix_space=True),
        tokenizer_class="GPT2Tokenizer",
        add_prefix_space=False,
    )


def prefix_space_generic_class(folder):
    save(folder, byte_level(), tokenizer_class="PreTrainedTokenizerFast", add_prefix_space=True)


def vocab_and_merges(folder):
    write(folder, "config.json", GPT2)
    byte_level().model.save(str(folder))


def added_tokens(folder):
    """As fine-tuned GPT-2 models of transformers 3 and 4 are saved."""
    vocab_and_merges(folder)
    size = byte_level().get_vocab_size()
    write(folder, "added_tokens.json", {"<|user|>": size, "<|end|>": size + 1})
    write(folder, "special_tokens_map.json", {"bos_token": SPECIAL, "eos_token": "<|end|>"})


def added_tokens_decoder(folder):
    tokenizer = byte_level()
    size = tokenizer.get_vocab_size()
    flags = {
        "lstrip": False,
        "normalized": False,
        "rstrip": False,
        "single_word": False,
        "special": True,
    }
    decoder = {
        "0": {"content": SPECIAL, **flags},
        str(size): {"content": "<|user|>", **flags},
        str(size + 1): {
            "content": "her garden",
            **flags,
            "special": False,
            "normalized": True,
            "lstrip": True,
        },
    }
    save(
        folder,
        tokenizer,
        tokenizer_class="GPT2Tokenizer",
        added_tokens_decoder=decoder,
        bos_token="<|user|>",
    )


def tokens_as_dicts(folder):
    flags = {"lstrip": True, "normalized": False, "rstrip": True, "single_word": False}
    save(folder, byte_level(), tokenizer_class="PreTrainedTokenizerFast")
    special = {
        "bos_token": {"content": "<s>", **flags},
        "additional_special_tokens": ["[X]", "Mary"],
    }
    write(folder, "special_tokens_map.json", special)


def split_special_tokens(folder):
    settings = {"split_special_tokens": True, "eos_token": SPECIAL}
    save(folder, byte_level(), tokenizer_class="PreTrainedTokenizerFast", **settings)


def bos_of_post_processor(folder):
    from tokenizers import processors

    tokenizer = byte_level()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{SPECIAL} $A", special_tokens=[(SPECIAL, 0)]
    )
    save(folder, tokenizer, tokenizer_class="PreTrainedTokenizerFast", bos_token=SPECIAL)


def padded_and_truncated(folder):
    tokenizer = byte_level()
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=12, pad_token=SPECIAL)
    save(folder, tokenizer, tokenizer_class="PreTrainedTokenizerFast", model_max_length=5)


def versioned(folder):
    """transformers takes tokenizer.4.0.0.json in place of tokenizer.json.

    Where the settings list it.
    """
    files = ["tokenizer.4.0.0.json"]
    save(
        folder, byte_level(), tokenizer_class="PreTrainedTokenizerFast", fast_tokenizer_files=files
    )
    write(folder, files[0], byte_level(add_prefix_space=True).to_str())


def compatibility_forms(folder):
    from tokenizers import normalizers

    tokenizer = byte_level()
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    save(folder, tokenizer, tokenizer_class="PreTrainedTokenizerFast")


def word_piece_of_text(folder):
    word_piece(folder)
    vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"][
        "vocab"
    ]
    (folder / "tokenizer.json").unlink()
    write(folder, "vocab.txt", "\n".join(sorted(vocabulary, key=vocabulary.get)))


def llama(folder):
    byte_fallback("LlamaTokenizerFast")(folder)


def llama_slow_class(folder):
    byte_fallback("LlamaTokenizer", normalizer=True)(folder)


def llama_generic_class(folder):
    byte_fallback("PreTrainedTokenizerFast", normalizer=True)(folder)


FOLDERS = {
    make.__name__: make
    for make in (
        *(plain, untrimmed, no_processor, prefix_space_in_settings, prefix_space_only_in_tokenizer),
        *(
            prefix_space_generic_class,
            vocab_and_merges,
            added_tokens,
            added_tokens_decoder,
            tokens_as_dicts,
        ),
        *(
            split_special_tokens,
            bos_of_post_processor,
            padded_and_truncated,
            versioned,
            compatibility_forms,
        ),
        *(word_piece, word_piece_of_text, unigram, llama, llama_slow_class, llama_generic_class),
    )
}
