"""Tokenizers whose post-processors add special tokens, as those of each family of models do.

``SPECIAL_FOLDERS`` has them by name; ``AROUND`` says what each adds before and after a text.
"""

from tests.pipeline.inputs.trained_tokenizers import CORPUS, byte_fallback, save, write

ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
LLAMA_3 = ["<|begin_of_text|>", "<|end_of_text|>"]


def template(*pieces):
    """A TemplateProcessing of ``pieces``: tokens with their ids, and the text where one is None."""
    from tokenizers import processors

    tokens = {piece[0]: piece[1] for piece in pieces if piece}
    single = " ".join(piece[0] if piece else "$A" for piece in pieces)
    return processors.TemplateProcessing(single=single, special_tokens=list(tokens.items()))


def word_piece(folder, processor, **settings):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processor
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    named = {f"{name}_token": token for name, token in names.items()}
    save(folder, tokenizer, {"model_type": "bert"}, **named, **settings)


def bert(folder):
    processor = template(("[CLS]", 2), None, ("[SEP]", 3))
    word_piece(folder, processor, tokenizer_class="BertTokenizer", do_lower_case=True)


def bert_generic_class(folder):
    processor = template(("[CLS]", 2), None, ("[SEP]", 3))
    word_piece(folder, processor, tokenizer_class="PreTrainedTokenizerFast")


def two_in_front(folder):
    """A language's token behind the BOS, as in translation models."""
    processor = template(("[CLS]", 2), ("[PAD]", 0), None, ("[SEP]", 3), ("[SEP]", 3))
    word_piece(folder, processor, tokenizer_class="PreTrainedTokenizerFast")


def bytes_with(special, processor):
    """A byte-level BPE whose first ids are ``special``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=special,
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processor
    return tokenizer


def roberta_of(folder, kind):
    from tokenizers import AddedToken, processors

    processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    tokenizer = bytes_with(ROBERTA, processor)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    names = {"bos": "<s>", "cls": "<s>", "sep": "</s>", "eos": "</s>", "unk": "<unk>"}
    named = {f"{name}_token": token for name, token in names.items()}
    mask = {"content": "<mask>", "lstrip": True, "rstrip": False, "normalized": False}
    flags = {**mask, "single_word": False, "special": True, "__type": "AddedToken"}
    settings = {"tokenizer_class": kind, "pad_token": "<pad>", "mask_token": flags}
    save(folder, tokenizer, {"model_type": "roberta"}, **named, **settings)


def roberta(folder):
    roberta_of(folder, "RobertaTokenizer")


def roberta_generic_class(folder):
    roberta_of(folder, "PreTrainedTokenizerFast")


def llama_3(folder):
    """A processor of two: offsets are trimmed, then BOS is added."""
    from tokenizers import processors

    steps = [processors.ByteLevel(trim_offsets=True), template((LLAMA_3[0], 0), None)]
    tokenizer = bytes_with(LLAMA_3, processors.Sequence(steps))
    named = {"bos_token": LLAMA_3[0], "eos_token": LLAMA_3[1]}
    config = {"model_type": "llama"}
    save(folder, tokenizer, config, tokenizer_class="PreTrainedTokenizerFast", **named)


def settings_of_llama(folder, **settings):
    byte_fallback("LlamaTokenizer", normalizer=True)(folder)
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "LlamaTokenizer", **special, **settings}
    write(folder, "tokenizer_config.json", settings)


def llama_adds_eos(folder):
    settings_of_llama(folder, add_bos_token=True, add_eos_token=True)


def llama_adds_none(folder):
    settings_of_llama(folder, add_bos_token=False, add_eos_token=False)


def gemma(folder):
    import json

    byte_fallback("GemmaTokenizer")(folder)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    content["pre_tokenizer"] = None
    write(folder, "tokenizer.json", content)
    write(folder, "config.json", {"model_type": "gemma2"})


def only_eos(folder):
    """As T5's: nothing before, EOS behind."""
    tokenizer = bytes_with(LLAMA_3, template(None, (LLAMA_3[1], 1)))
    named = {"bos_token": LLAMA_3[0], "eos_token": LLAMA_3[1]}
    config = {"model_type": "gpt2"}
    save(folder, tokenizer, config, tokenizer_class="PreTrainedTokenizerFast", **named)


SPECIAL_FOLDERS = {
    make.__name__: make
    for make in (
        *(bert, bert_generic_class, two_in_front, roberta, roberta_generic_class, llama_3),
        *(llama_adds_eos, llama_adds_none, gemma, only_eos),
    )
}
#: of those that all versions of transformers agree about: 5 passes `add_bos_token` and
#: `add_eos_token` of a LlamaTokenizer over where tokenizer.json is there, 4 does not
AROUND = {
    "bert": (["[CLS]"], ["[SEP]"]),
    "bert_generic_class": (["[CLS]"], ["[SEP]"]),
    "two_in_front": (["[CLS]", "[PAD]"], ["[SEP]", "[SEP]"]),
    "roberta": (["<s>"], ["</s>"]),
    "roberta_generic_class": (["<s>"], ["</s>"]),
    "llama_3": (["<|begin_of_text|>"], []),
    "gemma": (["<s>"], []),
    "only_eos": ([], ["<|end_of_text|>"]),
}
