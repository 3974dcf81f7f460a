"""The layout of src/magvit2: arrows point one way, pixels and tokens meet in one place, outside things have one door.

Every import is read from the source, those inside functions too. The rules are tables; a new folder or a new package
needs a line in one of them, which is where a reviewer sees it.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "magvit2"

# From the lowest row to the highest. A file imports only from lower rows or from its own room (a folder or a file at
# the root); the rooms of one row do not know each other.
ROWS: list[set[str]] = [
    {"errors"},
    {"runtime", "machine"},
    {"schema"},
    {"geometry"},
    {"tokens"},
    {"registry"},
    {"layers", "video", "features", "store"},
    {"quantizers", "lm", "adversarial", "data"},
    {"tokenizer", "sampling", "codec", "losses", "metrics", "understanding"},
    {"pipelines"},
    {"evaluation", "interop", "training", "tokenizing", "generating"},
    {"recipes", "scale", "benchmarks"},
    {"studies"},
    {"serving"},
    {"cli"},
    {"__main__"},
]

# The waist: left of it are pixels, right of it are tokens; only `pipelines` and the rows above it see both.
PIXELS = {"video", "features", "quantizers", "adversarial", "tokenizer"}
TOKENS = {"lm", "sampling", "codec"}

# What may be imported anywhere, and the one door of everything else. A door is a room or a module of it.
CORE = {"torch", "numpy", "einops", "jaxtyping"}
DOORS: dict[str, set[str]] = {
    "av": {"video"},
    "PIL": {"video"},
    "imageio_ffmpeg": {"video"},
    "torch.distributed": {"training"},
    "torch.utils.tensorboard": {"training.board"},
    "tensorboard": {"training.board"},
    "ray": {"scale"},
    "tyro": {"cli"},
    "rich": {"cli", "training"},  # training: its progress bar, on machines without the command line's packages
    "safetensors": {"store"},
    "huggingface_hub": {"store"},
    "torchmetrics": {"metrics"},
    "skimage": {"data.synthetic"},
    "pyarrow": {"data.shards"},
    "matplotlib": {"evaluation"},
    "vector_quantize_pytorch": {"benchmarks"},
    "magvit2_pytorch": {"benchmarks"},
    "transformers": {"benchmarks"},
    "torch.load": {"features.files"},  # foreign state dicts, tensors only
    "torch.jit": {"features.files"},
    "torchvision": set(),  # perceptual networks are plain modules of our own
    "lightning": set(),  # there is one loop, and it is ours
    "accelerate": set(),
    "pickle": set(),  # nothing is ever unpickled
}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 100


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name below the package ("" is the root), its text and whether it is a folder's."""

    name: str
    text: str
    is_package: bool = False

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]


def read_package(folder: Path) -> list[Module]:
    modules = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules.append(Module(name, path.read_text(encoding="utf-8"), is_package))
    return modules


def imports(module: Module) -> Iterator[str]:
    """Yield the dotted name of everything that the module imports, at any depth; ours begin with "magvit2"."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _name(node.func).rpartition(".")[2] in ("import_module", "__import__"):
            yield from (a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str))
        elif isinstance(node, ast.Attribute) and _name(node).startswith("torch."):
            yield _name(node)  # torch.distributed is reachable without an import of its own


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = ["magvit2", *filter(None, module.name.split("."))]
    package = package[: len(package) - node.level + (1 if module.is_package else 0)]
    return ".".join([*package, *filter(None, [node.module])])


def _name(node: ast.expr) -> str:
    """The dotted name of an expression such as a.b.c, or "" when it is something else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = _name(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def _rooms_imported(module: Module) -> Iterator[str]:
    """Yield the room of every import of our own; "" stands for the root's public names."""
    for name in imports(module):
        package, _, rest = name.partition(".")
        if package == "magvit2" and rest != "__version__":
            room = rest.partition(".")[0]
            yield room if room in _row_of() else ""


def _row_of() -> dict[str, int]:
    return {room: row for row, rooms in enumerate(ROWS) for room in rooms}


def arrows_point_down(module: Module) -> Iterator[str]:
    rows = _row_of()
    if module.name == "":
        return  # the root names everything and imports it lazily: tests/test_import_cost.py
    if module.room not in rows:
        yield f"the room {module.room!r} has no row"
        return
    for room in _rooms_imported(module):
        if room == "":
            yield "imports from the package's root or from a room without a row: import from the name's own home"
        elif room != module.room and rows[room] >= rows[module.room]:
            yield f"imports {room}, which is not in a lower row than {module.room}"


def waist_holds(module: Module) -> Iterator[str]:
    rows = _row_of()
    if rows.get(module.room, -1) >= rows["pipelines"] or module.name == "":
        return
    seen = {module.room, *_rooms_imported(module)}
    if seen & PIXELS and seen & TOKENS:
        yield f"sees both sides of the waist: {sorted(seen & PIXELS)} and {sorted(seen & TOKENS)}"


def doors_are_used(module: Module) -> Iterator[str]:
    for name in sorted(set(imports(module))):
        package = name.partition(".")[0]
        if package == "magvit2":
            continue
        door = next((door for door in DOORS if name == door or name.startswith(f"{door}.")), None)
        if door is None:
            if package not in CORE and package not in sys.stdlib_module_names:
                yield f"imports {package}, which has no door"
        elif not any(module.name == place or module.name.startswith(f"{place}.") for place in DOORS[door]):
            yield f"imports {door}; its door is {' or '.join(sorted(DOORS[door])) or 'nowhere'}"


def files_and_functions_are_short(module: Module) -> Iterator[str]:
    lines = len(module.text.splitlines())
    if lines > MAX_FILE_LINES:
        yield f"has {lines} lines, more than {MAX_FILE_LINES}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{node.name} has {length} lines, more than {MAX_FUNCTION_LINES}"


def public_things_say_what_they_are(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield "has no docstring"
    for name, node in _public_definitions(module.tree, ""):
        if not ast.get_docstring(node):
            yield f"{name} has no docstring"


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _public_definitions(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, Definition]]:
    for child in node.body:
        if not isinstance(child, Definition) or child.name.startswith("_"):
            continue
        decorators = {_name(decorator).rpartition(".")[2] for decorator in child.decorator_list}
        if decorators & {"overload", "setter", "override"}:
            continue
        yield prefix + child.name, child
        if isinstance(child, ast.ClassDef):
            yield from _public_definitions(child, f"{prefix}{child.name}.")


Rule = Callable[[Module], Iterator[str]]
RULES: list[Rule] = [
    arrows_point_down,
    waist_holds,
    doors_are_used,
    files_and_functions_are_short,
    public_things_say_what_they_are,
]


def test_the_package_is_found() -> None:
    names = {module.name for module in read_package(SOURCE)}
    assert {"", "errors", "tokens", "layers"} <= names


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_source_keeps_the_rule(rule: Rule) -> None:
    broken = [f"magvit2.{module.name}: {problem}" for module in read_package(SOURCE) for problem in rule(module)]
    assert not broken, "\n".join(broken)


LONG_METHOD = "class A:\n    def f(self):\n" + "        x = 1\n" * MAX_FUNCTION_LINES
GOOD = '"""A docstring."""\n'


@pytest.mark.parametrize(
    ("rule", "name", "text", "problem"),
    [
        (arrows_point_down, "layers.conv", "from magvit2.tokenizer import Tokenizer", "not in a lower row"),
        (arrows_point_down, "layers.conv", "from magvit2.video.reader import read", "not in a lower row"),
        (arrows_point_down, "layers.conv", "from magvit2 import video", "not in a lower row"),
        (arrows_point_down, "layers.conv", "from ..video import reader", "not in a lower row"),
        (arrows_point_down, "layers.conv", "from .. import video", "not in a lower row"),
        (arrows_point_down, "layers.conv", "def f():\n    import magvit2.cli", "not in a lower row"),
        (arrows_point_down, "layers.conv", "import importlib\nimportlib.import_module('magvit2.cli')", "lower row"),
        (arrows_point_down, "geometry", "from magvit2.tokens import Tokens", "not in a lower row"),
        (arrows_point_down, "tokens", "from magvit2 import registry", "not in a lower row"),
        (arrows_point_down, "cli.main", "from magvit2 import Tokenizer", "the name's own home"),
        (arrows_point_down, "cli.main", "import magvit2", "the name's own home"),
        (arrows_point_down, "cli.main", "from magvit2.attic import box", "room without a row"),
        (arrows_point_down, "attic.box", "import os", "has no row"),
        (waist_holds, "lm.masked", "from magvit2.video import reader", "both sides"),
        (waist_holds, "sampling.maskgit", "from magvit2.quantizers import LFQ", "both sides"),
        (waist_holds, "codec.coder", "from magvit2.tokenizer import Tokenizer", "both sides"),
        (waist_holds, "tokenizer.model", "def f():\n    from magvit2.lm import MaskedLM", "both sides"),
        (waist_holds, "metrics.both", "import magvit2.lm.masked\nimport magvit2.video.reader", "both sides"),
        (doors_are_used, "data.folder", "import av", "its door is video"),
        (doors_are_used, "tokenizer.model", "def f():\n    from PIL import Image", "its door is video"),
        (doors_are_used, "losses.gan", "import torch.distributed as dist", "its door is training"),
        (doors_are_used, "losses.gan", "from torch import distributed", "its door is training"),
        (doors_are_used, "losses.gan", "import torch\ntorch.distributed.all_reduce(x)", "its door is training"),
        (doors_are_used, "losses.gan", "from torch.distributed.nn import all_reduce", "its door is training"),
        (doors_are_used, "evaluation.page", "from rich.console import Console", "its door is cli or training"),
        (doors_are_used, "tokenizer.model", "import safetensors.torch", "its door is store"),
        (doors_are_used, "data.folder", "from skimage import data", "its door is data.synthetic"),
        (doors_are_used, "features.lpips", "import torchvision", "its door is nowhere"),
        (doors_are_used, "interop.cosmos", "import torch\ntorch.jit.load(x)", "its door is features.files"),
        (doors_are_used, "store", "import pickle", "its door is nowhere"),
        (doors_are_used, "store", "import requests", "requests, which has no door"),
        (files_and_functions_are_short, "store", "\n" * (MAX_FILE_LINES + 1), "401 lines"),
        (files_and_functions_are_short, "store", LONG_METHOD, "f has 101 lines"),
        (public_things_say_what_they_are, "store", "x = 1", "has no docstring"),
        (public_things_say_what_they_are, "store", GOOD + "def save(): ...", "save has no docstring"),
        (public_things_say_what_they_are, "store", GOOD + "class A: ...", "A has no docstring"),
        (public_things_say_what_they_are, "store", GOOD + f"class A:\n    {GOOD}    def b(self): ...", "A.b has no"),
    ],
)
def test_a_broken_rule_is_reported(rule: Rule, name: str, text: str, problem: str) -> None:
    assert any(problem in found for found in rule(Module(name, text)))


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (arrows_point_down, "tokenizer.model", "from magvit2.layers import conv\nfrom magvit2.quantizers import LFQ"),
        (arrows_point_down, "tokenizer.model", "from magvit2.tokenizer.encoder import Encoder\nfrom . import decoder"),
        (arrows_point_down, "cli.main", "from magvit2 import __version__\nfrom magvit2 import errors, recipes"),
        (arrows_point_down, "geometry", "from magvit2.errors import InputError"),
        (arrows_point_down, "", "from magvit2.tokenizer import Tokenizer"),
        (waist_holds, "pipelines", "from magvit2.tokenizer import Tokenizer\nfrom magvit2.lm import MaskedLM"),
        (waist_holds, "lm.masked", "from magvit2.layers import transformer\nfrom magvit2.tokens import TokenSpace"),
        (waist_holds, "metrics.frames", "from magvit2.video import reader"),
        (doors_are_used, "video.reader", "import av\nfrom PIL import Image\nimport torch, os.path"),
        (doors_are_used, "training.ranks", "import torch.distributed as dist\nfrom rich import progress"),
        (doors_are_used, "data.synthetic", "def f():\n    import skimage.data"),
        (files_and_functions_are_short, "store", "\n" * MAX_FILE_LINES),
        (public_things_say_what_they_are, "store", GOOD + "def _f(): ...\nclass _A:\n    def b(self): ..."),
        (public_things_say_what_they_are, "store", GOOD + f"def f():\n    {GOOD}    def inner(): ..."),
    ],
)
def test_a_kept_rule_is_not_reported(rule: Rule, name: str, text: str) -> None:
    assert list(rule(Module(name, text))) == []


def test_a_folder_s_own_file_resolves_relative_imports_from_the_folder() -> None:
    assert list(imports(Module("layers", "from . import conv", is_package=True))) == ["magvit2.layers.conv"]
    assert list(imports(Module("layers.conv", "from .norm import make", is_package=False))) == [
        "magvit2.layers.norm.make"
    ]
