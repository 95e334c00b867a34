"""The package as other projects use it: requirements, imports, public names."""

import ast
import configparser
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import scripts
from scripts.errors import SemclError
from scripts.extras import require
from tests.stages import ROOT
from tools.release_configs import INITIALIZE

CORE = {"torch", "monai", "numpy", "nibabel", "pytorch-ignite", "fire", "pyyaml", "itk", "scipy", "tqdm", "isal"}
REPORT = ("matplotlib", "jinja2", "sklearn")
WITHOUT = f"""
import sys
from importlib.machinery import PathFinder

found = PathFinder.find_spec

def unless_absent(name, path=None, target=None):
    return None if name.partition(".")[0] in {REPORT} else found(name, path, target)

PathFinder.find_spec = unless_absent
"""


def python(code: str, *arguments: str) -> str:
    """What a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def needed(section: str, option: str) -> set[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = [line.partition("#")[0].strip() for line in config[section][option].splitlines()]
    return {line.partition(">")[0].partition("=")[0] for line in lines if line}


def test_an_install_requires_only_what_the_stages_need():
    assert needed("options", "install_requires") == CORE
    assert needed("options.extras_require", "report") == {"matplotlib", "jinja2", "scikit-learn"}


def test_coarse_pretrain_train_and_inference_need_no_extra(cohort):
    code = f"""{WITHOUT}
from tests.stages import run_here
for stage in ("coarse", "pretrain", "train", "inference"):
    fewer = {{}} if stage == "inference" else {{"max_epochs": 1, "epoch_length": 2}}
    run_here(stage, dataset_dir=sys.argv[1], **fewer)
print(sorted(set({REPORT}) & set(sys.modules)))
"""
    assert python(code, str(cohort)).splitlines()[-1] == "[]"
    assert len(list((cohort / "predictions").glob("*.nii.gz"))) > 0


def test_a_command_without_its_extra_names_it():
    code = f"""{WITHOUT}
import runpy
runpy.run_module("scripts", run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "evaluate", "--pred", "p", "--truth", "t"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "error: the extra `report` is not installed" in done.stderr
    assert "pip install 'semcl[report]'" in done.stderr


def test_an_incomplete_extra_names_its_missing_packages():
    require("report", "json")
    with pytest.raises(
        SemclError, match=r"the extra `x` is not installed\n  found:    no nowhere\n  expected: json, nowhere"
    ):
        require("x", "json", "nowhere")


@pytest.mark.parametrize("arguments", [["--help"], ["prepare", "--help"], ["embed", "--help"]])
def test_help_imports_nothing_slow(arguments):
    code = """
import runpy, sys
try:
    runpy.run_module("scripts", run_name="__main__")
except SystemExit:
    pass
print(sorted({"torch", "monai", "numpy", "nibabel", "itk"} & set(sys.modules)), file=sys.__stdout__)
"""
    assert python(code, *arguments).splitlines()[-1] == "[]"


def test_the_package_imports_nothing_until_a_name_is_used():
    code = "import sys, scripts; print(sorted({'torch', 'monai', 'numpy', 'yaml', 'fire'} & set(sys.modules)))"
    assert python(code).strip() == "[]"


def test_public_names_import_little_beyond_monai():
    code = f"""{WITHOUT}
import monai
import torch._dynamo  # by torch.compiler.disable
before = set(sys.modules)
import scripts
for name in scripts.__all__:
    getattr(scripts, name)
extra = {{"Audit", "Embedding", "Evaluation", "ScanReader", "pretrained_encoding", "begun", "began_with"}}
for name in set(scripts.components.__all__) - extra:  # those of stages that need the extra
    getattr(scripts.components, name)
print(sorted({{name.partition(".")[0] for name in set(sys.modules) - before}} - set(sys.stdlib_module_names)))
"""
    assert set(ast.literal_eval(python(code))) <= {"scripts", "itk", "itkConfig", "yaml", "_yaml", "tqdm", "ignite"}


@pytest.mark.parametrize("module", [scripts, scripts.components], ids=["public", "components"])
def test_every_listed_name_exists(module):
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_components_are_what_configs_use_beyond_the_public_names():
    configs = "".join(path.read_text() for path in (ROOT / "bundle" / "configs").rglob("*.yaml")) + INITIALIZE
    assert set(re.findall(r"scripts\.components\.(\w+)", configs)) == set(scripts.components.__all__)
    assert set(re.findall(r"scripts\.(\w+)", configs)) <= {*scripts.__all__, "components"}


def test_editors_see_the_same_names():
    tree = ast.parse(Path(inspect.getfile(scripts)).read_text())
    (block,) = [part for part in tree.body if isinstance(part, ast.If)]
    listed = {
        name.asname or name.name: f"{part.module}:{name.name}" if name.asname else part.module
        for part in block.body
        for name in part.names
    }
    assert listed == scripts._PUBLIC


def test_the_version_is_semantic():
    numbers = scripts.__version__.split(".")
    assert len(numbers) == 3
    assert all(number.isdecimal() for number in numbers)
    assert f"## {scripts.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_public_modules_are_installed():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    packages = {line.strip() for line in config["options"]["packages"].splitlines() if line.strip()}
    found = {
        ".".join(("semcl", *path.parent.relative_to(ROOT / "scripts").parts))
        for path in (ROOT / "scripts").rglob("__init__.py")
    }
    assert packages == found | {"semcl.bundle"}
    assert importlib.import_module("semcl").__all__ == scripts.__all__
