"""A sweep file, read and checked: `load` returns a resolved `Sweep` or raises every problem of the file at once.

name: spectral_transition                 # also the results folder
study: spectral                           # a file of tsd/studies
fixed: {teacher_width: 20}                # fields with one value
axes: {student_width: [20, 40, 60]}       # fields with several, crossed
zip: [{lr: [5e-3, 2e-3], batch_size: [300, 500]}]
when: [{if: "layer = 'spectral'", axes: {eigenvalue_l2: [5e-4, 5e-3]}}]
except: ["student_width < teacher_width"]
seeds: {teacher: 2, init: 4}
resources: {cpu: 1, gpu: 0}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from dataclasses import field as attribute
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import Any

from tsd.engine.rng import STREAMS
from tsd.errors import UserError
from tsd.families import Family
from tsd.fields import Field, Role, Scalar
from tsd.studies import STUDIES
from tsd.sweep import _checks, _known, _overrides, _sections, _yaml, columns
from tsd.sweep._known import KEYS
from tsd.sweep._sections import Problems, Resources, Values, When
from tsd.sweep._yaml import Node
from tsd.sweep.problems import Place, Problem, SweepFileError, listed, near, nearest, nearest_file

__all__ = ["Resources", "Sweep", "SweepFileError", "When", "load"]

MOST_BYTES = 1_000_000
SQL_TYPES = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", str: "VARCHAR"}


@dataclass(frozen=True)
class Sweep:
    """One question, resolved: every value has the type of its field and is in range.

    Args:
        name, study, version: the sweep, its study, and the study's `VERSION`.
        fixed: fields with one value. A field that is neither fixed nor an axis has its default.
        axes: fields with several values, crossed.
        zips: groups of fields that move together, each of equally many values; a group counts as one axis.
        when: further axes for the trials in which a condition holds; elsewhere their fields are fixed or default.
        excludes: conditions whose trials are dropped.
        seeds: seeds of all streams together, or of each named stream, crossed.
        resources: of one pack.
        path: the file.
        fields: every field that a trial may have, in the order of the trial table's columns.
        members: for each field that names members of a family, the members named here, each with its own fields.
        module: the study.
        places: where the conditions stand: `when[0].if`, `except[0]`.
        judged: the values that the file gives to fields of the study's `CHECKS`, by field.
        question: what the file asks: its first comment, as far as the first question mark; "" where there is none.
        analysis: the commands of that comment that draw from the results.
    """

    name: str
    study: str
    version: int
    fixed: Mapping[str, Scalar]
    axes: Mapping[str, Values]
    zips: tuple[Mapping[str, Values], ...]
    when: tuple[When, ...]
    excludes: tuple[str, ...]
    seeds: int | Mapping[str, int]
    resources: Resources
    path: Path
    fields: Mapping[str, Field] = attribute(repr=False)
    members: Mapping[str, Mapping[str, Mapping[str, Field]]] = attribute(repr=False)
    module: ModuleType = attribute(repr=False, compare=False)
    places: Mapping[str, Place] = attribute(repr=False, compare=False)
    judged: Mapping[str, Sequence[Node]] = attribute(repr=False, compare=False)
    question: str = attribute(default="", repr=False, compare=False)
    analysis: tuple[str, ...] = attribute(default=(), repr=False, compare=False)

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """For each field that names members of a family, the members named here: {"method": ("kd", "none")}."""
        return {part: tuple(members) for part, members in self.members.items()}

    @property
    def static(self) -> list[str]:
        """The fields that must agree in a pack."""
        return [field.name for field in self.fields.values() if field.role is Role.STATIC]

    @property
    def columns(self) -> dict[str, str]:
        """What a condition may use, with SQL types: the fields of a trial and the seed of every stream."""
        types = {name: SQL_TYPES[field.type] for name, field in self.fields.items()}
        return types | {f"seed_{stream}": "BIGINT" for stream in STREAMS}

    def doubts(self, asked: Callable[[str, object], bool] = lambda name, value: True) -> Problems:
        """What the study says of values that a declaration cannot judge, such as the name of a data set.

        Args:
            asked: (field, value) → whether a trial has it.
        """
        found = []
        for name, nodes in self.judged.items():
            for node in (node for node in nodes if isinstance(node.value, str) and asked(name, node.value)):
                try:
                    self.module.CHECKS[name](node.value)
                except UserError as error:
                    found.append(node.problem(str(error)))
        return found

    def as_dict(self) -> dict[str, Any]:
        """The sweep in plain lists, mappings and scalars."""
        asked = {"question": self.question, "analysis": list(self.analysis)}
        return {key: said for key, said in asked.items() if said} | {
            "name": self.name,
            "study": self.study,
            "version": self.version,
            "fixed": dict(self.fixed),
            "axes": {name: list(values) for name, values in self.axes.items()},
            "zip": [{name: list(values) for name, values in group.items()} for group in self.zips],
            "when": [{"if": w.condition, "axes": {n: list(v) for n, v in w.axes.items()}} for w in self.when],
            "except": list(self.excludes),
            "seeds": self.seeds if isinstance(self.seeds, int) else dict(self.seeds),
            "resources": asdict(self.resources),
        }


def load(path: Path, overrides: Sequence[str] = (), studies: Family = STUDIES) -> Sweep:
    """Read the sweep file at `path`, changed by `overrides` (each `KEY=VALUE`).

    Raises:
        SweepFileError: the file cannot be read or is wrong; every problem of it is told.
    """
    start = Place(0, 1, 1, _yaml.clean(str(path)))
    text = _text(path)
    root, problems = _yaml.read(text, start)
    root, wrong = _overrides.apply(root, overrides)
    problems += wrong
    if not isinstance(root.value, dict):
        found = "The file is empty" if root.value is None else f"Found {root.found()}"
        raise SweepFileError([*problems, root.problem(f"{found}, expected a mapping of the keys {listed(KEYS)}.")])
    sweep = _read(root.value, root, path, studies, problems)
    if sweep is None or problems:
        raise SweepFileError([*problems, *(sweep.doubts() if sweep else [])])
    header = [line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), text.splitlines())]
    return replace(sweep, question=_question(header), analysis=_analysis(header))


def _question(header: Sequence[str]) -> str:
    asked, mark, _ = " ".join(header).partition("?")
    return asked + mark if mark else ""


def _analysis(header: Sequence[str]) -> tuple[str, ...]:
    lines = "\n".join(header).replace("\\\n", "").splitlines()
    return tuple(line for line in lines if line.startswith("python -m analysis "))


def _read(written: dict[str, Node], root: Node, path: Path, studies: Family, problems: Problems) -> Sweep | None:
    """The sweep of the sections `written`; None where its study is not known. What is misnamed is read as what is
    nearest, so that all problems are told at once."""
    given = _sections.meant(written, KEYS)

    def section(key: str) -> Node:
        return given.get(key, Node(None, root.place, root.place, key))

    module, name = _study(given, root, studies, problems)
    known = _known.known(name, module, given)
    _checks.keys(written, given, known, root, problems)
    fixed = _sections.read_fixed(section("fixed"), known, problems)
    axes = _sections.read_axes(section("axes"), known, problems)
    zips = _sections.read_zips(section("zip"), known, problems)
    when = _sections.read_when(section("when"), known, problems)
    excludes = _sections.read_excludes(section("except"), problems)
    seeds = _sections.read_seeds(given["seeds"], problems) if "seeds" in given else 1
    resources = _sections.read_resources(section("resources"), problems)
    title = _sections.read_name(given["name"], problems) if "name" in given else ""
    _checks.claims(given, problems)
    if module is None:
        return None
    sweep = Sweep(
        name=title,
        study=name,
        version=module.VERSION,
        fixed=fixed,
        axes=axes,
        zips=zips,
        when=when,
        excludes=excludes,
        seeds=seeds,
        resources=resources,
        path=path,
        fields=columns.parameters(module.Trial, {part: list(named) for part, named in known.members.items()}),
        members=known.members,
        module=module,
        places=_places(given),
        judged={field: [*_known.written(field, given)] for field in getattr(module, "CHECKS", {})},
    )
    _checks.size(sweep, root, problems)
    if known.complete:
        _checks.written_conditions(sweep, problems)
    return sweep


def _places(given: Mapping[str, Node]) -> dict[str, Place]:
    """Where the conditions stand, by their place in the resolved sweep: `when[0].if`, `except[0]`."""
    rules = _sections.sequence(given["when"], [], "rules") if "when" in given else []
    excludes = _sections.sequence(given["except"], [], "conditions") if "except" in given else []
    places = {f"except[{i}]": node.place for i, node in enumerate(excludes)}
    for i, rule in enumerate(rules):
        places[f"when[{i}].if"] = _sections.mapping(rule, []).get("if", rule).place
    return places


def _text(path: Path) -> str:
    """The text of the file. Raises SweepFileError where there is none."""

    def fail(text: str, line: int = 0, column: int = 0) -> SweepFileError:
        return SweepFileError([Problem(Place(0, line, column, _yaml.clean(str(path))), "", text)])

    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except IsADirectoryError:
        raise fail("This is a folder, expected a sweep file.") from None
    except FileNotFoundError:
        raise fail(f"There is no such file.{nearest_file(path)}") from None
    except (OSError, ValueError) as error:
        raise fail(f"The file cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if len(data) > MOST_BYTES:
        raise fail("The file is larger than a megabyte; a sweep file is a page of text.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace").split("\n")
        text = f"The byte 0x{data[error.start]:02x} is not UTF-8. Save the file as UTF-8."
        raise fail(text, len(before), len(before[-1]) + 1) from None


def _study(given: dict[str, Node], root: Node, studies: Family, problems: Problems) -> tuple[ModuleType | None, str]:
    """The study's module and name, or those of the nearest; no module where none is near. What is not there is a
    problem."""
    if "study" not in given:
        problems.append(Problem(root.place, "study", f"The file names no study. There are {listed(studies.names())}."))
        return None, ""
    node = given["study"]
    names, text = studies.names(), node.value if isinstance(node.value, str) else ""
    if text not in names:
        expected = f"expected one of {listed(names)}.{nearest(text, names)}"
        problems.append(node.problem(f"Found {node.found()}, {expected}"))
    name = near(text, names)
    return (studies.load(name), name) if name else (None, str(node.value))
