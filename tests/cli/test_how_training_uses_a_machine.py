"""`samecar train` uses a machine as its options say."""

import json

from command_line import done, refused, tiny


def speed_of(out):
    return json.loads((out / "run.json").read_text())["sessions"][-1]["speed"]


def test_options_are_noted_and_pictures_are_kept(painted_source, tmp_path):
    command = ("train", "report-baseline", "--data", painted_source, *tiny())
    done(*command, "--out", tmp_path / "plain")
    assert speed_of(tmp_path / "plain") == {"channels_last": True, "fused": True, "compile": False, "cache": False}
    others = ("--no-channels-last", "--no-fused", "--cache", tmp_path / "kept")
    done(*command, "--out", tmp_path / "other", *others)
    assert speed_of(tmp_path / "other") == {"channels_last": False, "fused": False, "compile": False, "cache": True}
    assert len(list((tmp_path / "kept").glob("pictures-*"))) == 1
    weights = [(tmp_path / name / "model" / "model.safetensors").stat().st_size for name in ("plain", "other")]
    assert weights[0] == weights[1]


def test_a_place_that_is_a_file_is_one_sentence(painted_source, tmp_path):
    (tmp_path / "kept").write_text("")
    command = ("train", "report-baseline", "--data", painted_source, *tiny(), "--out", tmp_path / "run")
    assert "kept" in refused(*command, "--cache", tmp_path / "kept")
