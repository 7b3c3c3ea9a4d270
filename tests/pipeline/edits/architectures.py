"""Architectures whose edits are read and checked without a model."""

from actlas.pipeline.models.architecture import Architecture
from actlas.pipeline.models.families.gpt.gpt2 import GPT2 as FAMILY
from actlas.pipeline.models.geometry import Geometry

GPT2 = Architecture(FAMILY, Geometry(12, 12, 768, 64, 3072, 1024, 50257))


SMALL = Architecture(FAMILY, Geometry(3, 2, 8, 4, 32, 9, 50))
