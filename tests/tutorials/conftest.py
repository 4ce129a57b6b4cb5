"""Running a tutorial inside a test, at full length or with smaller settings."""

import ast
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import pytest

from minires import get_num_threads, set_num_threads

TUTORIALS = Path(__file__).parents[2] / "tutorials"


@dataclass(frozen=True)
class Page:
    """The result of running a tutorial: its names, what it printed, and how many seconds it took."""

    names: dict
    output: str
    seconds: float

    def __getitem__(self, name):
        return self.names[name]


class SettingsReplacer(ast.NodeTransformer):
    """Replaces the values of settings, assignments such as `epochs = 20` at the top level of a page."""

    def __init__(self, settings):
        self.settings, self.missing = settings, set(settings)

    def visit_Module(self, module):
        for node in module.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if name in self.missing:
                    node.value = ast.copy_location(
                        ast.parse(repr(self.settings[name])).body[0].value, node.value
                    )
                    self.missing.remove(name)
        return module


def load(path, settings):
    """The page's code, with these settings in place of its own."""
    replacer = SettingsReplacer(settings)
    tree = ast.fix_missing_locations(replacer.visit(ast.parse(path.read_text())))
    assert not replacer.missing, f"{path.name} has no settings {replacer.missing} to replace"
    return compile(tree, path, "exec")


@pytest.fixture
def run_page(monkeypatch, tmp_path, capsys):
    """run_page("01_arrays", epochs=1): executes the tutorial in an empty folder, with its setting `epochs`
    replaced, and returns a Page. A solution is run_page("solutions/01_arrays_solutions")."""
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "show", lambda: pyplot.close("all"))
    monkeypatch.chdir(tmp_path)
    threads = get_num_threads()

    def run(name, **settings):
        path = TUTORIALS / f"{name}.py"
        names = {"__name__": "__main__", "__file__": str(path)}
        code, start = load(path, settings), time.perf_counter()
        exec(code, names)
        seconds = time.perf_counter() - start
        pyplot.close("all")
        return Page(names, capsys.readouterr().out, seconds)

    with matplotlib.rc_context({"backend": "agg"}):
        yield run
    set_num_threads(threads)
