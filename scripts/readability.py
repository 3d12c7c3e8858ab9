"""How readable the code is: one table, a column a checkout.

python scripts/readability.py                     this checkout
python scripts/readability.py ../before .         an older checkout beside it
python scripts/readability.py . ../ndv ../supervision    other projects beside it
"""

from __future__ import annotations

import argparse
import ast
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
VAGUE = ("one", "found", "known", "told", "said", "own")
WALK = ("pipeline/compare.py", "compare_steps", "paths")


def sources(root: Path) -> dict[Path, ast.Module]:
    """The parsed modules of a checkout's package, below ``src`` where there is one."""
    top = root / "src" if (root / "src").is_dir() else root
    trees = {}
    for path in sorted(top.rglob("*.py")):
        parts = path.relative_to(top).parts
        if not any(part in ("tests", "_tests", "build", ".venv") for part in parts):
            trees[path] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


def nested(node: ast.AST) -> bool:
    """Whether a comprehension has two ``for``, or another comprehension inside."""
    inner = any(isinstance(child, COMPREHENSIONS) for child in ast.walk(node) if child is not node)
    return inner or len(node.generators) > 1


def module_name(path: Path) -> str:
    """Dotted name of a module, found from the packages that it lies in."""
    parts = [] if path.stem == "__init__" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)


def imports(trees: dict[Path, ast.Module]) -> dict[str, set[str]]:
    """Which of the modules each module imports, absolute imports only."""
    names = {module_name(path) for path in trees}
    graph = {}
    for path, tree in trees.items():
        targets = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                targets.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                # ``from package import module`` names a module, ``from module import name`` not.
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    targets.add(whole if whole in names else node.module)
        graph[module_name(path)] = targets & names - {module_name(path)}
    return graph


def circles(graph: dict[str, set[str]]) -> int:
    """How many groups of modules import each other in a circle."""
    reachable = {}
    for start, targets in graph.items():
        seen = set()
        waiting = list(targets)
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting.extend(graph[module])
        reachable[start] = seen
    groups = set()
    for module, seen in reachable.items():
        if module in seen:
            groups.add(frozenset(other for other in seen if module in reachable[other]))
    return len(groups)


class Walk:
    """Follow one parameter through the calls that pass it on.

    It is followed by name: what is assigned from an expression that names it is it too, and what a
    call that takes it returns. A method is followed where only one class has its name.
    """

    def __init__(self, trees: dict[Path, ast.Module]) -> None:
        self.stays: list[Path] = []
        self.functions: dict[str, list[tuple[Path, ast.FunctionDef]]] = {}
        for path, tree in trees.items():
            for node in ast.walk(tree):
                if isinstance(node, FUNCTIONS):
                    self.functions.setdefault(node.name, []).append((path, node))
        self._seen: set[tuple[Path, str, str]] = set()

    def follow(self, path: Path, function: ast.FunctionDef, parameter: str) -> None:
        """Visit a function as a parameter of it, and go on to all that it is passed to."""
        place = (path, function.name, parameter)
        if place in self._seen:
            return
        self._seen.add(place)
        self._enter(path)
        names = {parameter}
        for node in sorted(ast.walk(function), key=lambda node: getattr(node, "lineno", 0)):
            if isinstance(node, ast.Assign | ast.AnnAssign) and self._names(node.value) & names:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    names |= self._names(target)
            elif isinstance(node, ast.For) and self._names(node.iter) & names:
                names |= self._names(node.target)
            elif isinstance(node, ast.Call):
                for callee, argument in self._passed(node, names):
                    self.follow(*callee, argument)
                    self._enter(path)

    def _enter(self, path: Path) -> None:
        if not self.stays or self.stays[-1] != path:
            self.stays.append(path)

    def _names(self, node: ast.AST | None) -> set[str]:
        return (
            {child.id for child in ast.walk(node) if isinstance(child, ast.Name)} if node else set()
        )

    def _passed(
        self, call: ast.Call, names: set[str]
    ) -> Iterator[tuple[tuple[Path, ast.FunctionDef], str]]:
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        places = self.functions.get(name, [])
        if len(places) != 1:
            return
        parameters = [argument.arg for argument in places[0][1].args.args]
        if parameters[:1] in (["self"], ["cls"]):
            parameters = parameters[1:]
        for parameter, value in zip(parameters, call.args, strict=False):
            if self._names(value) & names:
                yield places[0], parameter
        for keyword in call.keywords:
            if keyword.arg and self._names(keyword.value) & names:
                yield places[0], keyword.arg


def walked(trees: dict[Path, ast.Module]) -> str:
    """Length of the walk of the training-set paths through the comparison of two models."""
    end, name, parameter = WALK
    walk = Walk(trees)
    for path, function in walk.functions.get(name, []):
        if path.as_posix().endswith(end):
            walk.follow(path, function, parameter)
    if not walk.stays:
        return "-"
    files = len(set(walk.stays))
    return f"{len(walk.stays)} stays in {files} files"


def without_twin(root: Path, trees: dict[Path, ast.Module]) -> str:
    """How many modules with a function or a class have no test of their own name."""
    tests = {path.name for path in (root / "tests").rglob("test_*.py")}
    with_logic = []
    for path, tree in trees.items():
        if any(isinstance(node, (*FUNCTIONS, ast.ClassDef)) for node in tree.body):
            with_logic.append(path)
    missing = [path for path in with_logic if f"test_{path.stem}.py" not in tests]
    return f"{len(missing)} of {len(with_logic)}"


def measure(root: Path) -> dict[str, str]:
    """One column of the table."""
    trees = sources(root)
    lengths = []
    count: Counter[str] = Counter()
    names: Counter[str] = Counter()
    functions = []
    for path, tree in trees.items():
        lines = path.read_text(encoding="utf-8").splitlines()
        lengths.append(len(lines))
        count["comments"] += sum(line.strip().startswith("#") for line in lines)
        count["long"] += sum(len(line) > 100 for line in lines)
        for node in ast.walk(tree):
            if isinstance(node, FUNCTIONS):
                functions.append(node.end_lineno - node.lineno + 1)
            elif isinstance(node, COMPREHENSIONS):
                count["comprehensions"] += 1
                count["nested"] += nested(node)
            elif isinstance(node, ast.Name | ast.arg):
                names[getattr(node, "id", "") or getattr(node, "arg", "")] += 1
    total = sum(lengths) or 1
    long_functions = sum(length > 80 for length in functions)
    readme = root / "README.md"
    words = len(re.findall(r"\S+", readme.read_text(encoding="utf-8"))) if readme.is_file() else 0
    return {
        "lines": f"{total:,}",
        "files": str(len(lengths)),
        "median lines a file": f"{statistics.median(lengths):.0f}",
        "files over 500 lines": str(sum(length > 500 for length in lengths)),
        "functions over 80 lines": f"{long_functions / len(functions):.1%}",
        "lines over 100 characters": str(count["long"]),
        "comment lines per 1,000": f"{1000 * count['comments'] / total:.1f}",
        "comprehensions per 1,000": f"{1000 * count['comprehensions'] / total:.1f}",
        "nested comprehensions": str(count["nested"]),
        "names " + ", ".join(VAGUE): ", ".join(str(names[name]) for name in VAGUE),
        "circles of files": str(circles(imports(trees))),
        "walk of compare": walked(trees),
        "modules without a test of their name": without_twin(root, trees),
        "words in README": str(words),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs="*", type=Path, default=[Path()])
    roots = parser.parse_args().checkouts
    columns = [measure(root) for root in roots]
    print("| point | " + " | ".join(root.resolve().name for root in roots) + " |")
    print("|---" * (len(roots) + 1) + "|")
    for point in columns[0]:
        print(f"| {point} | " + " | ".join(column[point] for column in columns) + " |")


if __name__ == "__main__":
    main()
