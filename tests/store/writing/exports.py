"""What tests ask of an export."""

from actlas.store.maintenance.verify_export import verify_export


def problems(exported) -> list[str]:
    return [problem for checked in verify_export(exported) for problem in checked.problems]
