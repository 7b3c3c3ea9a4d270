"""Models loaded in several threads at once are those loaded one after the other."""

import threading

import pytest
import torch

from actlas.pipeline.models.folder import load, resolve
from tests.small_model import save_model


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_models_are_loaded_side_by_side(tmp_path, small_model, attention):
    folders = [
        small_model,
        save_model(tmp_path / "other", seed=1, n_layer=2),
        save_model(tmp_path / "third", seed=2, n_head=7),
    ]
    jobs = [(folder, dtype) for folder in folders for dtype in (torch.float32, torch.bfloat16)] * 2
    found, errors, ready = {}, [], threading.Barrier(len(jobs))

    def work(number):
        folder, dtype = jobs[number]
        ready.wait()
        try:
            found[number] = load(
                resolve(str(folder)), dtype=dtype, device=torch.device("cpu"), attention=attention
            )
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert torch.get_default_dtype() == torch.float32
    for number, (folder, dtype) in enumerate(jobs):
        wanted = load(
            resolve(str(folder)), dtype=dtype, device=torch.device("cpu"), attention=attention
        ).state_dict()
        got = found[number].state_dict()
        assert got.keys() == wanted.keys()
        for name, value in got.items():
            assert value.dtype == dtype
            assert torch.equal(value, wanted[name]), name
