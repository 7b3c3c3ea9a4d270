.PHONY: demo test lint bench
demo:
	python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt -e ".[model]" && .venv/bin/actlas demo
test:
	python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt -e ".[test-all]" && .venv/bin/python -m pytest -n auto --dist loadfile -m "not slow"
lint:
	ruff format --check . && ruff check . && mypy && lint-imports && codespell
bench:
	python scripts/bench/extraction.py
