"""The GPU path, where there is a GPU.

The same numbers through a ring of pinned buffers, however small its slots.
"""

import pytest
import torch
import xarray as xr

from actlas.pipeline.extraction import loop as extract
from actlas.pipeline.extraction import transfer
from tests.extraction import extract_texts
from tests.small_model import TEXTS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
TOLERANCE = 1e-4  # other kernels, other rounding


@pytest.mark.parametrize("slot_bytes", [512, 1 << 20])
@pytest.mark.parametrize("unit_tokens", [60, 10_000])
def test_gpu_equals_cpu(tmp_path, small_model, monkeypatch, slot_bytes, unit_tokens):
    def small(writes, device):
        return transfer.CudaTransfer(writes, device, slots=2, slot_bytes=slot_bytes)

    monkeypatch.setattr(extract, "CudaTransfer", small)
    gpu, stats = extract_texts(
        tmp_path / "gpu", small_model, TEXTS, device="cuda", unit_tokens=unit_tokens
    )
    cpu, _ = extract_texts(tmp_path / "cpu", small_model, TEXTS, device="cpu")
    assert stats.device.startswith("cuda")
    assert gpu.id == cpu.id
    xr.testing.assert_allclose(
        gpu.dataset(check=True), cpu.dataset(), rtol=TOLERANCE, atol=TOLERANCE
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_on_a_gpu(tmp_path, small_model, dtype):
    half, _ = extract_texts(
        tmp_path / "half", small_model, TEXTS, ("resid", "q"), device="cuda", dtype=dtype
    )
    full, _ = extract_texts(tmp_path / "full", small_model, TEXTS, ("resid", "q"), device="cpu")
    for site in ("resid", "q"):
        difference = half.dataset()[site].values - full.dataset()[site].values
        assert abs(difference).max() < 0.1 * abs(full.dataset()[site].values).max()
