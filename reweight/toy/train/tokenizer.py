"""A CLIPTokenizer in which every word of `world.words()` is one token."""

from __future__ import annotations

from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

from ..world.scenes import words

LENGTH = 24
END_OF_WORD = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"


def build_tokenizer() -> CLIPTokenizer:
    """Byte-level BPE over the captions' words; unknown words are split into letters, which have tokens too."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = Tokenizer(BPE(end_of_word_suffix=END_OF_WORD))
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    last = [letter + END_OF_WORD for letter in alphabet]
    trainer = BpeTrainer(  # all letters in a fixed order, which breaks ties between merges
        vocab_size=9999, end_of_word_suffix=END_OF_WORD, special_tokens=[*alphabet, *last], show_progress=False
    )  # fmt: skip
    learner.train_from_iterator(words(), trainer)
    merges = [tuple(merge) for merge in _merges(learner)]
    tokens = [*alphabet, *last, *("".join(merge) for merge in merges)]
    vocab = {token: i for i, token in enumerate(dict.fromkeys([*tokens, START, END]))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=LENGTH, pad_token=END, unk_token=END)


def _merges(learner: Tokenizer) -> list:
    import json

    return [m.split(" ") if isinstance(m, str) else m for m in json.loads(learner.to_str())["model"]["merges"]]
