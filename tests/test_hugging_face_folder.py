"""Hugging Face folders: the logits are those of transformers, and anything else is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from src.engine.decoding_options import TokenSets
from src.engine.model import Model
from src.engine.placement import choose_placements
from src.errors import ModelUnavailable
from src.models.weights import embedding_of, has_alignment_heads, load_weights
from tests.support.properties import examples

if TYPE_CHECKING:  # seconds of imports, which `make test-fast` does without
    from transformers import WhisperForConditionalGeneration

pytestmark = pytest.mark.model

HEADS = [[0, 1], [2, 0]]
MAX_DIFFERENCE = 1e-4


def random_model(**changes: object) -> WhisperForConditionalGeneration:
    """A small Whisper of transformers with a full vocabulary, and fewer decoder than encoder layers."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(0)
    config: dict[str, Any] = {
        "vocab_size": 51865,
        "d_model": 128,
        "encoder_layers": 4,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 512,
        "decoder_layers": 3,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 512,
        "init_std": 0.2,
    } | changes
    model = WhisperForConditionalGeneration(WhisperConfig(**config)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bias" in name or "layer_norm" in name:  # they start as zeros and ones, which hide mix-ups
                parameter.add_(torch.randn_like(parameter) * 0.2)
    model.generation_config.alignment_heads = HEADS
    return model


@pytest.fixture(scope="module")
def model() -> WhisperForConditionalGeneration:
    return random_model()


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory) -> Path:
    """The model's folder, in one file."""
    folder = tmp_path_factory.mktemp("hub") / "whisper-custom"
    model.save_pretrained(folder)
    return folder


def inputs(n_mels: int = 80) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, n_mels, 3000, generator=generator), torch.randint(51000, (1, 7), generator=generator)


@torch.inference_mode()
def logits_of_transformers(model: WhisperForConditionalGeneration) -> Tensor:
    mel, tokens = inputs(model.config.num_mel_bins)
    return model(input_features=mel, decoder_input_ids=tokens).logits


@torch.inference_mode()
def logits_of_openai_whisper(folder: Path) -> Tensor:
    model = load_weights(folder).float()
    return model(*inputs(model.dims.n_mels))


@torch.inference_mode()
def logits_of_engine(folder: Path) -> Tensor:
    weights = load_weights(folder)
    model = Model(weights, choose_placements("float32")[0], embedding_of(weights))
    mel, tokens = inputs(weights.dims.n_mels)
    return model.decoder.logits(model.decoder.read(tokens, model.encoder(mel), lambda *_: None))


def assert_same_logits(model: WhisperForConditionalGeneration, folder: Path) -> None:
    expected = logits_of_transformers(model)
    assert expected.std() > 0.1
    for actual in (logits_of_openai_whisper(folder), logits_of_engine(folder)):
        assert (actual - expected[..., : actual.shape[-1]]).abs().max() < MAX_DIFFERENCE


# --- Logits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("most", ["50GB", "10MB"])
def test_logits_are_those_of_transformers(tmp_path, dtype, most):
    model = random_model().to(dtype)
    model.save_pretrained(tmp_path, max_shard_size=most)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (most == "10MB")
    assert load_weights(tmp_path).decoder.token_embedding.weight.dtype == dtype
    assert_same_logits(model.float(), tmp_path)


def test_a_model_like_large_v3_has_its_logits(tmp_path):
    model = random_model(vocab_size=51866, num_mel_bins=128)
    model.save_pretrained(tmp_path)
    assert load_weights(tmp_path).num_languages == 100
    assert_same_logits(model, tmp_path)


@pytest.mark.parametrize("declared", [True, False])
def test_an_untied_output_layer_is_kept(tmp_path, declared):
    model = random_model(tie_word_embeddings=False)
    assert not torch.equal(model.proj_out.weight, model.model.decoder.embed_tokens.weight)
    model.save_pretrained(tmp_path)
    change_config(tmp_path, tie_word_embeddings=declared)  # transformers decides by the weights, too
    assert_same_logits(model, tmp_path)


def test_a_tied_output_layer_may_be_saved_under_either_name(tmp_path, model, saved):
    state = load_file(saved / "model.safetensors")
    embedding = state.pop("model.decoder.embed_tokens.weight")
    rewrite(saved, tmp_path, state | {"proj_out.weight": embedding})
    assert_same_logits(model, tmp_path)


def test_the_older_format_and_names_without_their_prefix_are_read(tmp_path, model, saved):
    state = {name.removeprefix("model."): tensor for name, tensor in load_file(saved / "model.safetensors").items()}
    rewrite(saved, tmp_path, {})
    (tmp_path / "model.safetensors").unlink()
    torch.save(state, tmp_path / "pytorch_model.bin")
    assert_same_logits(model, tmp_path)


def test_tokens_added_by_fine_tuning_are_left_out(tmp_path, caplog):
    model = random_model(vocab_size=51872)
    model.save_pretrained(tmp_path)
    assert load_weights(tmp_path).dims.n_vocab == 51865
    assert "7 additional tokens" in caplog.text
    assert_same_logits(model, tmp_path)


# --- Alignment heads ------------------------------------------------------------------------------------------------


def test_alignment_heads_are_those_of_the_generation_config(saved):
    loaded = load_weights(saved)
    assert loaded.alignment_heads.to_dense().nonzero().tolist() == HEADS
    assert has_alignment_heads(loaded)


@pytest.mark.parametrize(
    "content", ["{}", '{"alignment_heads": [[9, 9]]}', "no JSON", '{"alignment_heads": "ab"}', None]
)
def test_without_usable_heads_all_of_the_upper_layers_are_used(tmp_path, saved, content):
    rewrite(saved, tmp_path, load_file(saved / "model.safetensors"))
    if content is None:
        (tmp_path / "generation_config.json").unlink()
    else:
        (tmp_path / "generation_config.json").write_text(content)
    loaded = load_weights(tmp_path)
    assert not has_alignment_heads(loaded)
    assert loaded.alignment_heads.to_dense().nonzero().tolist() == [[1, 0], [1, 1], [2, 0], [2, 1]]


# --- Refusals -------------------------------------------------------------------------------------------------------


def rewrite(saved: Path, folder: Path, state: dict[str, Tensor]) -> None:
    """The saved model's folder with other tensors."""
    for name in ("config.json", "generation_config.json"):
        (folder / name).write_bytes((saved / name).read_bytes())
    save_file(state, folder / "model.safetensors")


def change_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.fixture(scope="module")
def small(model) -> dict[str, Tensor]:
    """The model's tensors with a vocabulary of a few tokens, for speed; its `config.json` still fits."""
    state = {name: tensor for name, tensor in model.state_dict().items() if name != "proj_out.weight"}
    name = "model.decoder.embed_tokens.weight"
    return {**state, name: state[name][:64].clone()}


def refusal(folder: Path) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        load_weights(folder)
    message = str(caught.value)
    assert folder.name in message
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 250
    return message


@pytest.mark.parametrize(
    "name",
    [
        "model.encoder.conv1.weight",
        "model.encoder.embed_positions.weight",
        "model.decoder.embed_tokens.weight",
        "model.encoder.layers.0.self_attn.q_proj.weight",
        "model.decoder.layers.2.encoder_attn.v_proj.bias",
    ],
)
def test_a_missing_tensor_is_named(tmp_path, saved, small, name):
    rewrite(saved, tmp_path, {key: tensor for key, tensor in small.items() if key != name})
    assert "lacks" in refusal(tmp_path) or "not" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "tensor", "said"),
    [
        ("model.encoder.layers.0.fc1.weight", torch.zeros(3, 128), "shape"),
        ("model.encoder.conv1.weight", torch.zeros(128, 80), "dimensions"),
        ("model.decoder.embed_positions.weight", torch.zeros(9000, 128), "448"),
        ("model.decoder.layers.0.fc1.weight", torch.zeros(512, 128, dtype=torch.int8), "quantised"),
        ("model.decoder.layers.0.fc1.weight", torch.zeros(512, 128).to(torch.float8_e4m3fn), "quantised"),
        ("model.decoder.layers.0.fc1.lora_A.weight", torch.zeros(8, 128), "lora_A"),
        ("proj_out.weight", torch.zeros(63, 128), "proj_out"),
        ("model.decoder.layers.1000000000.fc1.weight", torch.zeros(1), "which a Whisper model has not"),
    ],
)
def test_a_wrong_tensor_is_named(tmp_path, saved, small, name, tensor, said):
    rewrite(saved, tmp_path, small | {name: tensor})
    assert said in refusal(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "wav2vec2"}, "wav2vec2"),
        ({"quantization_config": {"load_in_8bit": True}}, "quantised"),
        ({"scale_embedding": True}, "scales"),
        ({"activation_function": "relu"}, "relu"),
        ({"encoder_attention_heads": None}, "attention heads"),
        ({"decoder_attention_heads": 3}, "3 attention heads"),
        ({"decoder_attention_heads": 0}, "0 attention heads"),
    ],
)
def test_another_kind_of_model_is_refused(tmp_path, saved, small, changes, said):
    rewrite(saved, tmp_path, small)
    change_config(tmp_path, **changes)
    assert said in refusal(tmp_path)


@pytest.mark.parametrize("config", [b"", b"[]", b"\xff\xfe", b"[" * 100_000, b" " * (17 << 20)])
def test_an_invalid_config_is_refused(tmp_path, saved, small, config):
    rewrite(saved, tmp_path, small)
    (tmp_path / "config.json").write_bytes(config)
    assert "config.json" in refusal(tmp_path)


@pytest.mark.parametrize(
    "index",
    [
        "",
        "[]",
        '{"weight_map": {}}',
        '{"weight_map": {"a": "../../etc/passwd"}}',
        '{"weight_map": {"a": "/etc/x.safetensors"}}',
        '{"weight_map": {"a": "model-00001-of-00001.safetensors"}}',
    ],
)
def test_a_wrong_index_of_parts_is_refused(tmp_path, saved, small, index):
    rewrite(saved, tmp_path, small)
    (tmp_path / "model.safetensors").rename(tmp_path / "other.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(index)
    assert "fetch the model again" in refusal(tmp_path)


def test_an_older_file_that_would_run_code_is_refused_without_running_it(tmp_path, saved, small):
    rewrite(saved, tmp_path, small)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"model.encoder.conv1.weight": Touch(tmp_path / "ran")}, tmp_path / "pytorch_model.bin")
    assert "pytorch_model.bin" in refusal(tmp_path)
    assert not (tmp_path / "ran").exists()


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@examples(40)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_off_anywhere_is_refused(tmp_path, saved, small, share):
    rewrite(saved, tmp_path, small)
    file = tmp_path / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    assert "model.safetensors" in refusal(tmp_path)


@examples(60)
@given(data=st.data())
def test_a_damaged_header_raises_only_model_unavailable(tmp_path, saved, small, data):
    rewrite(saved, tmp_path, small)
    file = tmp_path / "model.safetensors"
    damaged = bytearray(file.read_bytes())
    length = struct.unpack_from("<Q", damaged)[0]
    damaged[data.draw(st.integers(0, 7 + length))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(damaged)
    try:
        load_weights(tmp_path)
    except ModelUnavailable as error:
        assert "\n" not in str(error)


def test_heads_and_vocabularies_that_are_not_whispers_are_refused_by_the_engine(tmp_path):
    model = random_model(vocab_size=50300, d_model=64, encoder_ffn_dim=256, decoder_ffn_dim=256)
    model.save_pretrained(tmp_path)
    weights = load_weights(tmp_path)
    with pytest.raises(ModelUnavailable, match="64 wide"):
        Model(weights, choose_placements("float32")[0], embedding_of(weights))
    with pytest.raises(ModelUnavailable, match="50300 tokens"):
        TokenSets(weights.dims, torch.device("cpu"))


# --- Memory ---------------------------------------------------------------------------------------------------------


def test_writing_to_a_loaded_model_does_not_change_its_file(saved):
    before = (saved / "model.safetensors").read_bytes()
    load_weights(saved).encoder.conv1.weight.fill_(1)
    assert (saved / "model.safetensors").read_bytes() == before
