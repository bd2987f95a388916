from pathlib import Path

import pytest

from kallglot.speech.engines.recognition_models import FAMILIES, ModelSpec, load, trouble

WHISPER = ModelSpec("whisper", {}, ("en", "pt-BR", "jv"), 3, {"codes": {"jv": "jw"}, "tail_paddings": 300})


def test_a_child_is_told_all_of_it() -> None:
    assert ModelSpec.from_json(WHISPER.to_json()) == WHISPER


def test_languages_have_the_names_that_the_model_gives_them() -> None:
    assert [WHISPER.code(tag) for tag in ("en-GB", "pt-br", "jv")] == ["en", "pt", "jw"]
    assert [WHISPER.tag(code) for code in ("<|en|>", "jw", "")] == ["en", "jv", ""]
    with pytest.raises(ValueError, match="does not serve de"):
        WHISPER.code("de")


@pytest.mark.parametrize("family", FAMILIES)
def test_what_of_a_model_is_not_there_is_told(family: str, tmp_path: Path) -> None:
    roles = [roles.split("|")[-1] for roles in FAMILIES[family].roles]
    files = {role: str(tmp_path / f"{role}.onnx") for role in roles}
    for path in files.values():
        Path(path).write_text("")
    assert trouble(ModelSpec(family, files, ("en",))) is None
    Path(files[roles[-1]]).unlink()
    assert trouble(ModelSpec(family, files, ("en",))) == f"{roles[-1]}.onnx is gone"
    del files[roles[0]]
    assert "file is not in it" in str(trouble(ModelSpec(family, files, ("en",))))
    with pytest.raises(ValueError, match="not in it"):
        load(ModelSpec(family, files, ("en",)))


def test_a_family_of_the_future_is_not_loaded() -> None:
    with pytest.raises(ValueError, match="hears-everything"):
        load(ModelSpec("hears-everything", {}, ("en",)))
