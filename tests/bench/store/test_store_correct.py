"""Packed bits of correct predictions: every array comes back, and no other text is taken."""

import base64
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from record_builder import make_record

from bench.store.correct import Correct
from bench.store.record import Record

FLAGS = st.lists(st.booleans(), min_size=1, max_size=70)


@given(FLAGS)
def test_every_array_comes_back_from_json(flags: list[bool]) -> None:
    line = Correct.pack(flags).model_dump_json()
    decoded = Correct.model_validate_json(line).decode()
    assert decoded.dtype == np.bool_
    assert decoded.tolist() == flags


@given(FLAGS)
def test_the_bits_are_those_of_packbits_in_base64(flags: list[bool]) -> None:
    packed = Correct.pack(np.array(flags))
    assert packed.images == len(flags)
    assert base64.b64decode(packed.bits) == np.packbits(flags).tobytes()


@given(FLAGS, st.integers(1, 100))
def test_another_number_of_images_is_refused_unless_it_fits_the_bits(flags: list[bool], images: int) -> None:
    bits = Correct.pack(flags).bits
    same_bytes = -(-images // 8) == -(-len(flags) // 8)
    if same_bytes and not any(flags[images:]):
        assert Correct(images=images, bits=bits).decode().sum() == sum(flags)
    else:
        with pytest.raises(ValidationError, match=r"bits (hold \d+ bytes for|are set after the last of) \d+ images"):
            Correct(images=images, bits=bits)


@given(st.text(max_size=12), st.integers(1, 40))
def test_a_text_is_refused_or_is_what_packing_gives(bits: str, images: int) -> None:
    with suppress(ValidationError):
        correct = Correct(images=images, bits=bits)
        assert Correct.pack(correct.decode()) == correct


@pytest.mark.parametrize(
    ("images", "bits"),
    [
        (8, "/w"),  # the padding of base64 is missing
        (8, "/x=="),  # bits beyond the last byte
        (8, " /w=="),
        (8, "_w=="),  # the alphabet of URLs
        (7, "/w=="),
        (9, "/w=="),
        (0, ""),
        (-1, ""),
        (8.0, "/w=="),
        (True, "gA=="),
        ("8", "/w=="),
        (8, None),
        (10**30, "/w=="),
    ],
)
def test_other_content_is_refused(images: Any, bits: Any) -> None:
    with pytest.raises(ValidationError):
        Correct.model_validate({"images": images, "bits": bits})


def test_no_image_is_refused() -> None:
    with pytest.raises(ValidationError, match="images"):
        Correct.pack([])


@pytest.mark.parametrize("when", ["last", "at_best_validation"])
def test_bits_that_contradict_the_accuracy_are_refused(when: str) -> None:
    record = make_record({"passes": ["accuracy"]}, correct=[True, False, True, True])
    assert record.accuracy is not None
    assert record.accuracy.test_last == record.accuracy.test_at_best_validation == 0.75
    content = record.model_dump(mode="json", by_alias=True)
    assert Record.parse(content) == record
    content["accuracy"][f"correct_{when}"] = Correct.pack([True, False, True, False]).model_dump()
    with pytest.raises(ValidationError, match=rf"test_{when} = 0.75, and correct_{when} holds 0.5"):
        Record.parse(content)
