"""The rules of the repository: imports go one way between the layers, and nothing grows too long to be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
PACKAGE = "cumulet"

# What a layer may import besides itself. `drivers.specs` allows that module only, not its neighbours.
ALLOWED: dict[str, set[str]] = {
    "lib": set(),
    "drivers": {"lib"},
    "bus": {"lib"},
    "agent": {"bus", "drivers", "lib"},
    "model": {"lib"},
    "engine": {"model", "bus", "lib"},
    "control": {"engine", "model", "drivers.specs", "lib"},
    "wire": {"lib"},
    "identity": {"model", "wire", "lib"},
    "api": {"identity", "model", "wire", "lib"},
}
# These put the layers together, so they know all of them, and no layer knows them.
ABOVE = {"services", "parts", "admin", "administration", "cli", "__main__", "demo", "lab", "testing", "nova_manage"}
ABOVE |= {"tutorial", "hearing"}

LONGEST_FILE = 400
LONGEST_FUNCTION = 60


@dataclass(frozen=True)
class Import:
    """A module of ours that is named in an import: where it stands, and both ends as dotted names below the package."""

    file: Path
    line: int
    importer: str
    imported: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.importer or PACKAGE} -> {self.imported}"


def dotted(file: Path, source: Path) -> str:
    """The name of a module below the package: `drivers.network.linux`; the package itself is the empty name."""
    parts = file.relative_to(source / PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def targets(node: ast.Import | ast.ImportFrom, file: Path, source: Path) -> list[str]:
    """The full names that an import statement names; `from a import b` may mean the module a.b, so both are meant."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        here = file.relative_to(source).parent.parts
        above = here[: len(here) - node.level + 1]
        base = ".".join([*above, base] if base else above)
    return [f"{base}.{alias.name}" if is_module(source, f"{base}.{alias.name}") else base for alias in node.names]


def is_module(source: Path, name: str) -> bool:
    path = source.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def imports(source: Path) -> Iterator[Import]:
    """Each import of one module of ours by another, also those inside functions and under TYPE_CHECKING."""
    for file in sorted((source / PACKAGE).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(), str(file))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for target in targets(node, file, source):
                    head, _, rest = target.partition(".")
                    if head == PACKAGE and rest:
                        yield Import(file, node.lineno, dotted(file, source), rest)


def layer(name: str) -> str:
    return name.split(".")[0]


def crosses_a_layer(edge: Import) -> bool:
    importer, imported = layer(edge.importer), layer(edge.imported)
    if importer in ABOVE or importer == imported:
        return False
    allowed = ALLOWED.get(importer, set())
    return imported not in allowed and not any(below(edge.imported, name) for name in allowed if "." in name)


def below(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def drivers(source: Path) -> set[str]:
    """The modules in which a class with a driver's three verbs is written, the contract itself apart."""
    return {
        dotted(file, source)
        for file in (source / PACKAGE / "drivers").glob("*/**/*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef) and {"ensure", "remove", "observe"} <= methods(node)
    }


def methods(node: ast.ClassDef) -> set[str]:
    return {part.name for part in node.body if isinstance(part, ast.FunctionDef)}


def crosses_a_driver(edge: Import, driver_modules: set[str]) -> bool:
    """Whether a driver's folder reaches into another kind's, or a driver is imported by another of its own kind."""
    importer, imported = edge.importer.split("."), edge.imported.split(".")
    if layer(edge.importer) != "drivers" or layer(edge.imported) != "drivers" or len(imported) < 3:
        return False
    if len(importer) < 2 or importer[1] != imported[1]:
        return True
    return edge.imported in driver_modules and len(importer) > 2 and importer[2] != imported[2]


def functions(source: Path) -> Iterator[tuple[str, int]]:
    """Each function by file, line and name, with its length in lines."""
    for file in sorted((source / PACKAGE).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{file}:{node.lineno}: {node.name}()", (node.end_lineno or node.lineno) - node.lineno + 1


def listed(found: list[str]) -> str:
    return "\n" + "\n".join(found)


def test_imports_go_one_way() -> None:
    wrong = [str(edge) for edge in imports(SOURCE) if crosses_a_layer(edge)]
    assert not wrong, listed(wrong)


def test_no_driver_imports_another() -> None:
    known = drivers(SOURCE)
    wrong = [str(edge) for edge in imports(SOURCE) if crosses_a_driver(edge, known)]
    assert not wrong, listed(wrong)


def test_every_folder_is_a_layer_that_the_rule_knows() -> None:
    there = {layer(dotted(file, SOURCE)) for file in (SOURCE / PACKAGE).rglob("*.py")} - {""}
    assert there <= ALLOWED.keys() | ABOVE, there - ALLOWED.keys() - ABOVE


def test_no_file_is_too_long() -> None:
    files = [
        *(file for file in SOURCE.rglob("*.py") if "versions" not in file.parts),
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "bench").rglob("*.py"),
        ROOT / "tools/install",
    ]
    lengths = {file: len(file.read_text().splitlines()) for file in files}
    wrong = [
        f"{file}: {length} lines, {LONGEST_FILE} are allowed"
        for file, length in lengths.items()
        if length > LONGEST_FILE
    ]
    assert not wrong, listed(wrong)


def test_no_function_is_too_long() -> None:
    wrong = [
        f"{name} has {length} lines"
        for name, length in functions(SOURCE)
        if length > LONGEST_FUNCTION and "versions" not in name
    ]
    assert not wrong, listed(wrong)


def write(tree: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = tree / PACKAGE / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tree


def test_every_way_to_write_an_import_is_seen(tmp_path: Path) -> None:
    tree = write(
        tmp_path,
        {
            "lib/ids.py": "",
            "model/work.py": "",
            "api/a.py": "import cumulet.bus.memory",
            "api/b.py": "from cumulet import control",
            "api/c.py": "from ..engine import leases",
            "api/d.py": "def f():\n    from cumulet.drivers.specs import Spec",
            "api/e.py": "from cumulet.model import work\nfrom cumulet.lib import ids",
            "bus/memory.py": "",
            "control/x.py": "from cumulet.drivers import specs\nfrom cumulet.drivers.contract import Driver",
            "drivers/specs.py": "",
            "drivers/contract.py": "",
            "engine/leases.py": "",
            "services.py": "from cumulet import api, control",
        },
    )
    wrong = {
        f"{edge.importer} -> {edge.imported} in line {edge.line}" for edge in imports(tree) if crosses_a_layer(edge)
    }
    assert wrong == {
        "api.a -> bus.memory in line 1",
        "api.b -> control in line 1",
        "api.c -> engine.leases in line 1",
        "api.d -> drivers.specs in line 2",
        "control.x -> drivers.contract in line 2",
    }


def test_a_driver_may_use_what_its_kind_shares_but_no_other_driver(tmp_path: Path) -> None:
    shared = "from cumulet.drivers import specs\nfrom cumulet.drivers.network import nft, fake\n"
    verbs = "class D:\n    def ensure(self): ...\n    def remove(self): ...\n    def observe(self): ...\n"
    tree = write(
        tmp_path,
        {
            "drivers/specs.py": "",
            "drivers/network/fake.py": verbs,
            "drivers/network/nft.py": "",
            "drivers/network/linux.py": shared + verbs,
            "drivers/volume/directory.py": "from cumulet.drivers.network.nft import rules\n" + verbs,
        },
    )
    wrong = {f"{edge.importer} -> {edge.imported}" for edge in imports(tree) if crosses_a_driver(edge, drivers(tree))}
    assert wrong == {
        "drivers.network.linux -> drivers.network.fake",
        "drivers.volume.directory -> drivers.network.nft",
    }
