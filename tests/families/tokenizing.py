"""A tokenizer for each type: of bytes for decoders, with what encoders put around a sentence."""

from tests.small_model import small_tokenizer


def tokenizer_for(model_type):
    return small_tokenizer()
