"""SVG files made safe to embed."""

import pytest

from scripts.evaluate.figures import curves_figure
from scripts.evaluate.safe_svg import safe_svg
from tests.evaluate.test_report import SVG


def test_comments_and_entities_hide_nothing():
    cleaned = safe_svg(SVG.replace("a map", "<!--><img src=x onerror=alert(1)>--><![CDATA[<script>1</script>]]>"))
    assert "<img" not in cleaned
    assert "<script>" not in cleaned
    bomb = '<!DOCTYPE x [<!ENTITY a "<script/>">]>' + SVG.replace("a map", "&a;")
    with pytest.raises(ValueError, match=r"SVG with \S+script|not SVG"):
        safe_svg(bomb)


def test_ordinary_figures_are_unchanged():
    cleaned = safe_svg(curves_figure({"train": [[2.5, 1.5]]}))
    assert cleaned.startswith("<svg")
    assert cleaned.count("<path") == curves_figure({"train": [[2.5, 1.5]]}).count("<path")
    assert ">train<" in cleaned


@pytest.mark.parametrize("text", ["not SVG", "<html/>", "<svg/>", SVG.replace("<text>", "<script/><text>")])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="SVG"):
        safe_svg(text)
