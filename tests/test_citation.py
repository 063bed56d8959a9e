"""What `photfeh cite` says: every model and relation has its papers, and every entry is whole."""

from __future__ import annotations

import re

import pytest

from photfeh.core.errors import UnknownName
from photfeh.inference import citation
from photfeh.inference.citation import cite
from photfeh.inference.prediction import list_trained
from photfeh.samples.relations import RELATIONS


def keys_of(text):
    return re.findall(r"^@\w+\{(\w+),$", text, re.M)


def test_every_trained_model_and_relation_has_papers():
    assert set(citation._OF_MODELS) == set(list_trained())
    entries = citation._entries()
    for name in RELATIONS:
        assert set(citation._papers(name)) <= set(entries), name
    for papers in citation._OF_MODELS.values():
        assert set(papers) <= set(entries)
    used = {
        key for group in (citation._OF_MODELS, citation._OF_RELATIONS) for papers in group.values() for key in papers
    }
    assert used | set(citation._SURVEY) == set(entries), "an entry that nothing cites"


def test_entries_are_whole():
    for key, entry in citation._entries().items():
        assert entry.count("{") == entry.count("}"), key
        fields = set(re.findall(r"^  (\w+) = ", entry, re.M))
        assert fields >= {"title", "year"}, key
        assert fields & {"doi", "eprint", "pages"}, key


def test_nothing_comes_twice_and_what_was_not_used_not_at_all():
    keys = keys_of(cite(["gru", "default"], ["dekany-2021-rrab-i", "jurcsik-kovacs-1996-rrab-v"]))
    assert len(keys) == len(set(keys))
    assert {"photfeh", "gaia2016", "dekany2022", "monti2024", "jurcsik1996"} <= set(keys)
    assert "muraveva2025" not in keys_of(cite(["dekany-i-band"]))


def test_unknown_names_are_refused(call):
    with pytest.raises(UnknownName, match="Did you mean 'gru'"):
        cite(["gruu"])
    code, out, err = call("cite", "--relation", "nobody-2030")
    assert (code, out) == (2, "")
    assert "nobody-2030" in err
    code, out, _ = call("cite")
    assert code == 0
    assert out.startswith("% This work has made use of data from the European Space Agency")
    assert "@software{photfeh," in out
