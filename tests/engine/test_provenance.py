import io
import json
import re
import struct
import time
import types
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from reweight.engine import provenance
from reweight.engine.provenance import MAX_BYTES, parameters_text, png_bytes, read_png, save_png, settings_of
from reweight.engine.request import validate
from reweight.models.loading import LoadedModel
from reweight.models.registry import REGISTRY, card_for


class DDIMScheduler:
    pass


TOY = LoadedModel(
    types.SimpleNamespace(scheduler=DDIMScheduler()), REGISTRY["toy"], "toy", "0123456789ab", "cpu", "float32"
)
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))
HASH = "ab" * 32


def make_settings(method="reweighted", **changes):
    request = validate(**({"prompt": "a red apple, сад", "steps": 2, "model": "toy"} | changes))
    weights = request.weights(np.full((request.steps, 7), 0.5)) if method == "reweighted" else None
    return settings_of(request, TOY, method, weights, HASH)


def png(*chunks):
    parts = [provenance.SIGNATURE]
    for kind, body in chunks:
        parts.append(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
    return b"".join(parts)


def refused(data, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_png(data)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text and len(text) < 300


class TestRoundTrip:
    @pytest.mark.parametrize(
        "asked",
        [
            {},
            {"negative_prompt": "blurry: ugly, \"x\"", "seed": 2**32 - 1, "guidance": 0.1 + 0.2},
            {"model": "sdxl", "steps": 20, "first_step": 3, "last_step": 17, "blocks": [4, 1], "schedule": "inverted"},
            {"freeu": {"b1": 1 / 3, "b2": 4, "s1": 0, "s2": 0.2}, "low": 0.1, "high": 1.9, "size": 64},
            {"prompt": "Negative prompt: 👩‍🚀 <b>\\u0000 {\"a\": 1}"},
        ],
    )  # fmt: skip
    def test_gives_the_same_request(self, asked):
        settings = make_settings("vanilla", **asked)
        back = read_png(png_bytes(PICTURE, settings))
        assert back == settings
        assert validate(**back["request"]) == validate(
            **({"prompt": "a red apple, сад", "steps": 2, "model": "toy"} | asked)
        )

    def test_keeps_weights_bitwise_and_pixels(self):
        settings = make_settings(low=0.98, high=1.1)
        data = png_bytes(PICTURE, settings)
        assert read_png(data)["weights"] == np.full((2, 7), 1.04).tolist() == settings["weights"]
        assert (np.asarray(Image.open(io.BytesIO(data))) == np.asarray(PICTURE)).all()
        assert data == png_bytes(PICTURE, settings)

    @pytest.mark.parametrize("prompt", ["apple", "café", "сад 👩‍🚀"])
    def test_survives_a_program_that_saves_the_picture_again(self, prompt):
        settings = make_settings(prompt=prompt)
        picture = Image.open(io.BytesIO(png_bytes(PICTURE, settings)))
        info, file = PngInfo(), io.BytesIO()
        info.add_text("reweight", json.dumps(json.loads(picture.text["reweight"]), ensure_ascii=False))
        picture.save(file, format="PNG", pnginfo=info)
        assert read_png(file.getvalue()) == settings

    def test_through_a_file(self, tmp_path):
        path, settings = tmp_path / "a.png", make_settings()
        save_png(path, PICTURE, settings)
        save_png(path, PICTURE, settings)
        assert read_png(path) == read_png(str(path)) == settings
        assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
        assert Image.open(path).text["parameters"] == parameters_text(settings)


class TestParameters:
    def test_as_other_tools_write_them(self):
        settings = make_settings(negative_prompt="ugly", seed=7, low=0.98, high=1.1)
        assert parameters_text(settings) == (
            "a red apple, сад\nNegative prompt: ugly\nSteps: 2, Sampler: DDIM, CFG scale: 3, Seed: 7, Size: 128x128, "
            "Model: toy, Reweight: reweighted low 0.98 high 1.1 importance steps 1-2"
        )

    def test_without_a_negative_prompt(self):
        lines = parameters_text(make_settings("freeu")).splitlines()
        assert len(lines) == 2
        assert lines[1].endswith("Reweight: freeu b1 1.1 b2 1.2 s1 0.9 s2 0.6 version 2")

    def test_are_in_the_picture(self):
        picture = Image.open(io.BytesIO(png_bytes(PICTURE, make_settings())))
        assert picture.text["parameters"] == parameters_text(make_settings())


class TestPrivacy:
    def test_a_folder_goes_by_its_name(self, sd_folder):
        card = card_for(str(sd_folder), local=True)
        loaded = LoadedModel(TOY.pipe, card, sd_folder.name, "0" * 12, "cpu", "float32")
        settings = settings_of(validate(card, prompt="a"), loaded, "vanilla")
        assert settings["request"]["model"] == "tiny-sd"
        assert "/" not in json.dumps(settings)

    def test_a_hub_id_stays(self):
        card = card_for("some/one@abc", local=True)
        loaded = LoadedModel(TOY.pipe, card, "some/one", "abc", "cpu", "float32")
        settings = settings_of(validate(card, prompt="a"), loaded, "vanilla")
        assert validate(card, **settings["request"]).model == "some/one@abc"

    def test_nothing_else_of_the_picture_goes_along(self):
        picture = PICTURE.copy()
        picture.info = {"icc_profile": b"secret", "exif": b"Exif\0\0secret", "comment": "secret"}
        assert b"secret" not in png_bytes(picture, make_settings())
        assert picture.info

    def test_other_modes_become_rgb(self):
        assert Image.open(io.BytesIO(png_bytes(PICTURE.convert("RGBA"), make_settings()))).mode == "RGB"


class TestReading:
    def test_no_png(self):
        refused(b"", "not a PNG")
        refused(b"\xff\xd8\xff\xe0JFIF", "not a PNG")

    def test_no_settings(self):
        file = io.BytesIO()
        PICTURE.save(file, format="PNG")
        refused(file.getvalue(), "has no settings")

    def test_every_truncation(self):
        data = png_bytes(PICTURE, make_settings())
        for length in range(8, len(data)):
            refused(data[:length], "damaged")

    def test_every_flipped_byte(self):
        data = png_bytes(PICTURE, make_settings())
        for place in range(len(data)):
            flipped = bytearray(data)
            flipped[place] ^= 0x40
            refused(bytes(flipped), "damaged|not a PNG")

    def test_larger_than_the_limit(self, tmp_path):
        refused(bytes(MAX_BYTES + 1), "larger than 20 MB")
        path = tmp_path / "large.png"
        with path.open("wb") as file:
            file.truncate(10 * MAX_BYTES)
        refused(path, "larger than 20 MB")

    def test_a_million_chunks_are_refused_quickly(self):
        start = time.process_time()
        refused(png(*[(b"teXt", b"")] * 100_000), "damaged")
        assert time.process_time() - start < 5

    def test_a_compressed_bomb_is_not_opened(self):
        bomb = zlib.compress(bytes(50_000_000))
        refused(png((b"zTXt", b"reweight\0\0" + bomb), (b"IEND", b"")), "has no settings")
        refused(png((b"iTXt", b"reweight\0\1\0\0\0" + bomb), (b"IEND", b"")), "has no settings")

    @pytest.mark.parametrize(
        "text",
        [
            b"", b"{}", b"[]", b"null", b"{", b"\xff\xfe", b'{"format": "reweight-settings-1"}', b"[" * 100_000,
            b'{"a": 1, "a": 2}', b'{"a": NaN}', b'{"a": 1e999}', b" " * 300_000,
        ],
    )  # fmt: skip
    def test_text_that_is_no_settings(self, text):
        refused(png((b"tEXt", b"reweight\0" + text), (b"IEND", b"")), "not a picture's settings")

    @pytest.mark.parametrize(
        "change",
        [
            {"format": "reweight-settings-2"}, {"request": []}, {"weights": [[]]}, {"weights": [["1"]]}, {"extra": 1},
            {"weights": [[1.0]] * 51}, {"table_sha256": "x"}, {"versions": {"torch": 2}}, {"method": ""},
            {"source": "a" * 201},
        ],
    )  # fmt: skip
    def test_settings_of_another_shape(self, change):
        changed = make_settings() | change
        refused(
            png((b"tEXt", b"reweight\0" + json.dumps(changed).encode()), (b"IEND", b"")), "not a picture's settings"
        )
        with pytest.raises(ValueError, match="not a picture's settings"):
            png_bytes(PICTURE, changed)

    def test_what_is_asked_for_is_checked_by_validate(self):
        settings = make_settings()
        settings["request"]["steps"] = 10**6
        back = read_png(png_bytes(PICTURE, settings))
        with pytest.raises(ValueError, match="number of steps"):
            validate(**back["request"])

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(OSError):
            read_png(tmp_path / "none.png")


class TestSaving:
    def test_leaves_nothing_behind_when_it_fails(self, tmp_path, monkeypatch):
        path = tmp_path / "a.png"
        save_png(path, PICTURE, make_settings())
        before = path.read_bytes()

        def full(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(provenance.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            save_png(path, PICTURE, make_settings(seed=9))
        assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
        assert path.read_bytes() == before

    def test_settings_without_paths_or_sessions(self):
        assert not re.search(r"/(home|root|work|tmp)/", json.dumps(make_settings()))
