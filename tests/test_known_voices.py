"""Known voices in a job's options: embeddings, beside samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from src.errors import InvalidInput
from src.request.known_voices import EMBEDDING_MODEL, EMBEDDING_SIZE
from src.request.option_values import MAX_SAMPLES, MAX_VOICES
from src.request.options import Options
from src.request.validation import parse_input
from src.speakers.enrollment import to_embedding

URL = "https://example.com/a.mp3"
EMBEDDING = [0.0] * 190 + [0.28, 0.96]
FORM = "should be the 192 numbers of a speaker's embedding in an answer, whose length is 1"


def options(**speakers: Any) -> Options:
    return parse_input({"audio": URL, "options": {"diarize": True, "speakers": speakers}}).options


def test_a_voice_is_a_sample_or_an_embedding() -> None:
    given = options(
        Ada={"embedding": EMBEDDING}, Bob=URL, Eve={"embedding": EMBEDDING, "embedding_model": EMBEDDING_MODEL}
    )
    assert given.voice_embeddings == {"Ada": EMBEDDING, "Eve": EMBEDDING}
    assert {name: sample.url for name, sample in given.voice_samples.items()} == {"Bob": URL}
    assert "0.96" not in repr(given)


def test_rounding_is_undone() -> None:
    exact = np.random.default_rng(1).normal(size=EMBEDDING_SIZE)
    rounded = [round(float(value), 4) for value in exact / np.linalg.norm(exact)]
    (embedding,) = options(Ada={"embedding": rounded}).voice_embeddings.values()
    assert np.linalg.norm(to_embedding(embedding)) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("voice", "sentence"),
    [
        ({"embedding": EMBEDDING[1:]}, f"Ada.embedding: {FORM}"),
        ({"embedding": [*EMBEDDING, 0.0]}, f"Ada.embedding: {FORM}"),
        ({"embedding": [0.0] * 192}, f"Ada.embedding: {FORM}"),
        ({"embedding": [0.9, *EMBEDDING[1:]]}, f"Ada.embedding: {FORM}"),
        ({"embedding": [math.nan, *EMBEDDING[1:]]}, f"Ada.embedding: {FORM}"),
        ({"embedding": [math.inf, *EMBEDDING[1:]]}, f"Ada.embedding: {FORM}"),
        ({"embedding": [1e300] * 192}, f"Ada.embedding: {FORM}"),
        ({"embedding": [10**400] * 192}, f"Ada.embedding: {FORM}"),
        ({"embedding": [True, *[0.0] * 191]}, f"Ada.embedding: {FORM}"),
        ({"embedding": ["x"] * 192}, f"Ada.embedding: {FORM}"),
        ({"embedding": [EMBEDDING]}, f"Ada.embedding: {FORM}"),
        ({"embedding": "x"}, f"Ada.embedding: {FORM}"),
        ({"embedding": {}}, f"Ada.embedding: {FORM}"),
        ({"embedding": [0.0] * 6000}, f"Ada.embedding: {FORM}"),
        ({"embedding": None}, "Ada.embedding: missing"),
        ({"embedding_model": EMBEDDING_MODEL}, "Ada.embedding: missing"),
        (
            {"embedding": EMBEDDING, "embedding_model": "ecapa"},
            f'Ada.embedding_model: should be "{EMBEDDING_MODEL}": embeddings of other networks cannot be compared',
        ),
        ({"embedding": EMBEDDING, "url": URL}, 'Ada: give either a sample or "embedding"'),
        ({"embeddings": EMBEDDING}, 'Ada.embeddings: unknown key, did you mean "embedding"?'),
    ],
    ids=lambda value: str(value)[:60],
)
def test_another_embedding_is_one_sentence(voice: Any, sentence: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        options(Ada=voice)
    message = str(refused.value)
    assert message.startswith(f"options.speakers.{sentence}")
    assert ";" not in message.removeprefix(f"options.speakers.{sentence}") or "cannot be compared" in sentence


def test_there_may_be_more_embeddings_than_samples() -> None:
    embeddings = {f"Voice {number}": {"embedding": EMBEDDING} for number in range(MAX_VOICES)}
    assert len(options(**embeddings).voice_embeddings) == MAX_VOICES
    with pytest.raises(InvalidInput, match=f"options.speakers: should have at most {MAX_VOICES} voices"):
        options(**embeddings, Ada={"embedding": EMBEDDING})
    samples = {f"Voice {number}": URL for number in range(MAX_SAMPLES)}
    assert len(options(**samples, Ada={"embedding": EMBEDDING}).voice_samples) == MAX_SAMPLES
    with pytest.raises(InvalidInput, match=f"options.speakers: should have at most {MAX_SAMPLES} voices by samples"):
        options(**samples, Ada=URL)
