"""A readout in use: its arrays mapped from the file, its numbers, its words."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from actlas.store.errors import DamagedStore, UsageError, quoted
from actlas.store.format.schema import Json
from actlas.store.io.safe_open import opened
from actlas.store.readouts.record import FOLDER, REMEDY, VIEWS, Part, file_name, read_readout
from actlas.store.readouts.words import Words

Floats = npt.NDArray[np.float32]
#: kinds of norm → whether the mean is subtracted
NORMS = {"layer": True, "rms": False}
Index = int | slice | npt.NDArray[np.integer]


class StoredReadout:
    """The file of a readout; each array is compared with its checksum when it is first used.

    Raises FileNotFoundError, DamagedStore.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record, size = read_readout(path)
        self.facts: Json = self.record.facts
        with opened(path) as (descriptor, _):
            self._map = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
        self._found: dict[str, npt.NDArray[Any]] = {}

    def __contains__(self, name: str) -> bool:
        """Whether it has an array."""
        return name in self.record.arrays

    def stored(self, name: str) -> npt.NDArray[Any]:
        """Return an array as it is stored, mapped; bfloat16 as uint16. Raises DamagedStore."""
        if name not in self._found:
            stored = self.record.arrays[name]
            start, end = stored.span
            found = xxhash.xxh3_64_hexdigest(memoryview(self._map)[start:end])
            if found != stored.checksum:
                raise DamagedStore(f"{self.path}: {name} was altered: {REMEDY}")
            count = stored.nbytes // np.dtype(VIEWS[stored.dtype]).itemsize
            flat = np.frombuffer(self._map, VIEWS[stored.dtype], count, start)
            self._found[name] = flat.reshape(stored.shape)
        return self._found[name]

    def array(self, name: str, index: Index | tuple[Index, ...] = slice(None)) -> Floats:
        """Return an array, or a part along its first dims, as float32.

        What is stored in float32 is mapped, anything else widened.
        """
        return widened(self.stored(name)[index], self.record.arrays[name].dtype)


class Readout(StoredReadout):
    """What turns a row of the residual stream into logits: norm, unembedding, words.

    Of a model of masked tokens, ``facts["head"]`` is ``masked``: a linear map and an activation
    function come before the norm. Raises DamagedStore where its facts do not make sense.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            norm = self.facts["norm"]
            self.centred = NORMS[norm["kind"]]
            self.epsilon, self.scale = float(norm["epsilon"]), float(self.facts["scale"])
            self.cap = None if self.facts["cap"] is None else float(self.facts["cap"])
            self.masked = self.facts["head"] == "masked"
            self.activation = str(self.facts["activation"])
            mask = self.facts["mask"]
            #: id of the token that stands for a masked word; None for a tokenizer without one
            self.mask = None if mask is None else int(mask[1])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DamagedStore(f"{path} has facts that are none ({error}): {REMEDY}") from error

    @property
    def digest(self) -> str:
        """The digest of the weights that it is of."""
        return str(self.record.model["weights"])

    @cached_property
    def gain(self) -> Floats:
        """What the final norm multiplies by, (d_model,); 1 where it has none."""
        ones: Floats = np.ones(self.unembed.shape[1], np.float32)
        return self.array("gain") if "gain" in self else ones

    @cached_property
    def shift(self) -> Floats | None:
        """What the final norm adds, (d_model,); None for a norm that adds nothing."""
        return self.array("shift") if "shift" in self else None

    @cached_property
    def unembed(self) -> Floats:
        """The unembedding, (vocabulary, d_model); widened in memory unless stored in float32."""
        return self.array("unembed")

    @cached_property
    def bias(self) -> Floats | None:
        """What the unembedding adds to each logit, (vocabulary,); None for one without."""
        return self.array("unembed_bias") if "unembed_bias" in self else None

    @cached_property
    def words(self) -> Words:
        """The words of the vocabulary."""
        return Words(self.stored("vocabulary_length"), self.stored("vocabulary_bytes"))


class HeadReadout(StoredReadout):
    """Output matrices of attention: ``w_o`` (layer, head, d_head, d_model), ``b_o``."""

    def w_o(self, layer: int) -> Floats:
        """Return the output matrices of the heads of a layer, (head, d_head, d_model)."""
        return self.array("w_o", layer)

    def b_o(self, layer: int) -> Floats | None:
        """Return what attention adds in a layer whatever it sees, (d_model,)."""
        return self.array("b_o", layer) if "b_o" in self else None


class NeuronReadout(StoredReadout):
    """Output matrices of MLPs: ``w_out`` (layer, d_mlp, d_model), ``b_out`` (layer, d_model).

    ``norm_gain`` (layer, d_model) where an RMS norm follows, whose ε is ``epsilon``. Raises
    DamagedStore where its facts do not make sense.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            #: of the norm that follows the MLP; None where none does
            self.epsilon = float(self.facts["epsilon"]) if "norm_gain" in self else None
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedStore(f"{path} has facts that are none ({error}): {REMEDY}") from error

    def w_out(self, layer: int, neurons: Index = slice(None)) -> Floats:
        """Return what neurons of a layer write, (neuron, d_model)."""
        return self.array("w_out", (layer, neurons))

    def b_out(self, layer: int) -> Floats | None:
        """Return what the MLP of a layer adds whatever it sees, (d_model,)."""
        return self.array("b_out", layer) if "b_out" in self else None

    def gain(self, layer: int) -> Floats | None:
        """Return what the norm behind the MLP multiplies by, (d_model,); None without one."""
        return self.array("norm_gain", layer) if "norm_gain" in self else None


def widened(stored: npt.NDArray[Any], dtype: str) -> Floats:
    """Return numbers as they are stored as float32; those of float32 are not copied."""
    if dtype == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32, copy=False)


#: part → what is missing, and the option of `actlas readout` that stores it
MISSING: Mapping[Part, tuple[str, str]] = {
    "output": ("readout", ""),
    "heads": ("output matrices of attention", " --heads"),
    "neurons": ("output matrices of MLPs", " --neurons"),
}


@dataclass(frozen=True)
class ReadoutSource:
    """Where the readout of a run's model is looked for.

    store: of an export the folder that it lies in. model: as the specification of the run has it.
    names: of the run and of its model, for messages.
    """

    store: Path
    model: Mapping[str, Any]
    run: str
    model_name: str

    def output(self) -> Readout:
        """Return the readout; raises UsageError where there is none, DamagedStore."""
        return Readout(self._path("output"))

    def heads(self) -> HeadReadout:
        """Return the output matrices of attention; raises as ``output``."""
        return HeadReadout(self._path("heads"))

    def neurons(self) -> NeuronReadout:
        """Return the output matrices of MLPs; raises as ``output``."""
        return NeuronReadout(self._path("neurons"))

    def has(self, part: Part) -> bool:
        """Whether there is a file of that part."""
        return (self.store / FOLDER / file_name(self.model, part)).is_file()

    def _path(self, part: Part) -> Path:
        path = self.store / FOLDER / file_name(self.model, part)
        if path.is_file():
            return path
        what, option = MISSING[part]
        others = not option and any((self.store / FOLDER).glob("*.h5"))
        found = " (those there are of other weights)" if others else ""
        raise UsageError(
            f"run {self.run} has no {what} of its model{found}: `actlas readout {self.model_name} "
            f"--store {self.store}{option}` stores what is missing"
        )


def single_answer(readout: Readout, text: str) -> int:
    """Return the id of the token that ``text`` is, with a space before it where that is one.

    Raises UsageError for what is no token of the vocabulary, with the longest that begins it.
    """
    found = readout.words.id_of(text)
    if found is not None:
        return found
    begins = readout.words.longest_beginning(text)
    hint = f": its first piece may be {quoted(begins)}, give that to count it" if begins else ""
    raise UsageError(f"{quoted(text)} is not one token of the model's vocabulary{hint}")
