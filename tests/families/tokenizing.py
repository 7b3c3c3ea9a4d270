"""A tokenizer for each type: of bytes for decoders, with what encoders put around a sentence."""

import re

from tests.small_model import TEXTS, small_tokenizer


def tokenizer_for(name):
    """Return the tokenizer of the model ``name`` of TINY."""
    if name.startswith("bert"):
        return word_pieces()
    if name.startswith("roberta"):
        return bytes_between_marks()
    tokenizer = small_tokenizer()
    if name.endswith("-bos"):
        from tokenizers.processors import TemplateProcessing

        begin = "<|endoftext|>"
        tokenizer.post_processor = TemplateProcessing(f"{begin} $A", None, [(begin, 0)])
    return tokenizer


def word_pieces():
    """[CLS] … [SEP]: words of TEXTS in lower case, and letters for all others."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = {word for word in re.findall("[a-z]{2,}", " ".join(TEXTS).lower()) if len(word) < 6}
    pieces = [*special, *".,—", *letters, *(f"##{letter}" for letter in letters), *sorted(words)]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(special)
    ends = [(mark, vocabulary[mark]) for mark in ("[CLS]", "[SEP]")]
    pair = "[CLS] $A [SEP] $B:1 [SEP]:1"
    tokenizer.post_processor = TemplateProcessing("[CLS] $A [SEP]", pair, ends)
    return tokenizer


def bytes_between_marks():
    """<s> … </s>, bytes between them, as RoBERTa has them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=311,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([*TEXTS, " her her her her"], trainer)
    ends = (("</s>", 2), ("<s>", 0))  # by position: their names differ between versions
    tokenizer.post_processor = processors.RobertaProcessing(*ends, add_prefix_space=False)
    return tokenizer
