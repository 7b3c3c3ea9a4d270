"""Tokenizers as model folders have them, each made of other files, all small.

``FOLDERS`` has them by name.

Their vocabularies are trained on TEXTS, so that ids differ where any setting does.
"""

import json

from tests.small_model import TEXTS

GPT2 = {"model_type": "gpt2", "bos_token_id": 7, "eos_token_id": 7}
CORPUS = (
    *TEXTS,
    "The café was naïve. Ça va? ﬁne ①",
    "日本語の文。她喝了她的茶。",
    "हिन्दी में कि वह",
    "it's her's, isn't it?",
    "1234 3.14",
)
SPECIAL = "<|endoftext|>"


def write(folder, name, content):
    """Write JSON, or text, to a file of ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text, encoding="utf-8")


def byte_level(*, trim_offsets=True, processor=True, add_prefix_space=False):
    """A byte-level BPE like GPT-2's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    if processor:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[SPECIAL],
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def save(folder, tokenizer, config=GPT2, **settings):
    """Save tokenizer.json, config.json and, where there are settings, tokenizer_config.json."""
    write(folder, "config.json", config)
    write(folder, "tokenizer.json", tokenizer.to_str())
    if settings:
        write(folder, "tokenizer_config.json", settings)


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


def word_piece(folder):
    """BERT's: lower case, no accents."""
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False),
    )
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    save(folder, tokenizer, {"model_type": "bert"}, **settings)


def word_piece_of_text(folder):
    word_piece(folder)
    vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"][
        "vocab"
    ]
    (folder / "tokenizer.json").unlink()
    write(folder, "vocab.txt", "\n".join(sorted(vocabulary, key=vocabulary.get)))


def unigram(folder):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    save(
        folder,
        tokenizer,
        {"model_type": "t5"},
        tokenizer_class="PreTrainedTokenizerFast",
        eos_token="</s>",
        model_max_length=10**30,
    )


def byte_fallback(kind, normalizer=False):
    """A BPE like Llama's, ▁ for a space, a token for each byte that no other has."""
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=150, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {token: number for number, token in enumerate([*first, *model["vocab"]])}
    merges = [tuple(merge) for merge in model["merges"]]
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    )
    if normalizer:
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return lambda folder: save(
        folder, tokenizer, {"model_type": "llama"}, tokenizer_class=kind, **special
    )


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
