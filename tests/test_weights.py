"""`load_weights`: both kinds of file yield the same model, and anything else is refused."""

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import whisper
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from whisper.model import ModelDimensions, Whisper

from src.errors import ModelUnavailable
from src.models.weights import has_alignment_heads, load_weights
from tests.support.properties import examples

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "models" / "tiny.en"
DIMS = ModelDimensions(
    n_mels=8,
    n_audio_ctx=10,
    n_audio_state=16,
    n_audio_head=2,
    n_audio_layer=2,
    n_vocab=64,  # far fewer than Whisper's, to be quick
    n_text_ctx=12,
    n_text_state=16,
    n_text_head=4,
    n_text_layer=3,
)
HEADS = [[0, 3], [2, 1]]
FLOAT32, INT8, INT16, FLOAT16, BFLOAT16 = 0, 1, 2, 4, 5
TYPES = {
    torch.float32: FLOAT32,
    torch.int8: INT8,
    torch.int16: INT16,
    torch.float16: FLOAT16,
    torch.bfloat16: BFLOAT16,
}

Variables = dict[str, Tensor]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """One thread: a model this small gains nothing from more, and waits for them on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# --- A small model, and writers for both kinds of file --------------------------------------------------------------


def random_model(dims: ModelDimensions = DIMS) -> Whisper:
    torch.manual_seed(0)
    model = Whisper(dims)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model.requires_grad_(False)


def logits(model: Whisper) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    mel = torch.randn(2, DIMS.n_mels, 2 * DIMS.n_audio_ctx, generator=generator)
    tokens = torch.randint(DIMS.n_vocab, (2, 5), generator=generator)
    return model(mel, tokens)


def save_checkpoint(model: Whisper, path: Path) -> Path:
    torch.save({"dims": asdict(model.dims), "model_state_dict": model.state_dict()}, path)
    return path


def ctranslate2_variables(model: Whisper) -> Variables:
    """The variables that CTranslate2's converter would write, from openai-whisper's modules."""
    variables: Variables = {}

    def put(name: str, module: nn.Module) -> None:
        keys = ("gamma", "beta") if isinstance(module, nn.LayerNorm) else ("weight", "bias")
        variables.update({f"{name}/{key}": value for key, value in zip(keys, module.parameters(), strict=True)})

    def put_fused(name: str, *linears: nn.Linear) -> None:
        biases = [torch.zeros(len(linear.weight)) if linear.bias is None else linear.bias for linear in linears]
        variables[f"{name}/weight"] = torch.cat([linear.weight for linear in linears])
        variables[f"{name}/bias"] = torch.cat([bias.to(linears[0].weight.dtype) for bias in biases])

    put("encoder/conv1", model.encoder.conv1)
    put("encoder/conv2", model.encoder.conv2)
    put("encoder/layer_norm", model.encoder.ln_post)
    put("decoder/layer_norm", model.decoder.ln)
    variables["decoder/embeddings/weight"] = model.decoder.token_embedding.weight
    for side in ("encoder", "decoder"):
        stack = getattr(model, side)
        variables[f"{side}/position_encodings/encodings"] = stack.positional_embedding
        for index, block in enumerate(stack.blocks):
            layer = f"{side}/layer_{index}"
            put(f"{layer}/self_attention/layer_norm", block.attn_ln)
            put_fused(f"{layer}/self_attention/linear_0", block.attn.query, block.attn.key, block.attn.value)
            put(f"{layer}/self_attention/linear_1", block.attn.out)
            put(f"{layer}/ffn/layer_norm", block.mlp_ln)
            put(f"{layer}/ffn/linear_0", block.mlp[0])
            put(f"{layer}/ffn/linear_1", block.mlp[2])
            if block.cross_attn:
                put(f"{layer}/attention/layer_norm", block.cross_attn_ln)
                put(f"{layer}/attention/linear_0", block.cross_attn.query)
                put_fused(f"{layer}/attention/linear_1", block.cross_attn.key, block.cross_attn.value)
                put(f"{layer}/attention/linear_2", block.cross_attn.out)
    variables["encoder/num_heads"] = torch.tensor(model.dims.n_audio_head, dtype=torch.int16)
    variables["decoder/num_heads"] = torch.tensor(model.dims.n_text_head, dtype=torch.int16)
    variables["decoder/pre_norm"] = torch.tensor(
        1, dtype=torch.int8
    )  # a setting that makes the data after it unaligned
    return dict(sorted(variables.items()))


def pack_string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def model_bin(variables: Variables, *, version: int = 6, specification: str = "WhisperSpec") -> bytes:
    parts = [struct.pack("<I", version), pack_string(specification), struct.pack("<II", 3, len(variables))]
    for name, value in variables.items():
        data = value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        parts += [pack_string(name), struct.pack(f"<B{value.dim()}I", value.dim(), *value.shape)]
        parts += [struct.pack("<BI", TYPES[value.dtype], len(data)), data]
    parts += [struct.pack("<I", 1), pack_string("decoder/projection/weight"), pack_string("decoder/embeddings/weight")]
    return b"".join(parts)


def save_conversion(folder: Path, data: bytes, config: object = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.bin").write_bytes(data)
    (folder / "config.json").write_text(json.dumps({"alignment_heads": HEADS} if config is None else config))
    return folder


def refusal(path: Path) -> str:
    """The error message for `path`: one sentence, without a library's text."""
    with pytest.raises(ModelUnavailable) as caught:
        load_weights(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 250
    return message


def aligned(model: Whisper) -> list[list[int]]:
    return model.alignment_heads.to_dense().nonzero().tolist()


# --- Loading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["pt", "folder", "model.bin"])
def test_a_loaded_model_computes_the_saved_ones_logits(tmp_path, kind, dtype):
    saved = random_model().to(dtype)
    if kind == "pt":
        path = save_checkpoint(saved, tmp_path / "finetuned.pt")
    else:
        path = save_conversion(tmp_path / "finetuned", model_bin(ctranslate2_variables(saved)))
    loaded = load_weights(path / "model.bin" if kind == "model.bin" else path)
    assert loaded.dims == saved.dims
    assert {value.dtype for key, value in loaded.state_dict().items() if "ln" not in key} == {dtype}
    assert torch.equal(logits(loaded.float()), logits(saved.float()))


def test_layer_norms_are_float32_so_that_half_precision_computes(tmp_path):
    loaded = load_weights(save_checkpoint(random_model().half(), tmp_path / "finetuned.pt"))
    norms = [module for module in loaded.modules() if isinstance(module, nn.LayerNorm)]
    assert len(norms) == 2 * DIMS.n_audio_layer + 3 * DIMS.n_text_layer + 2
    assert {parameter.dtype for norm in norms for parameter in norm.parameters()} == {torch.float32}
    assert logits(loaded).isfinite().all()


@pytest.mark.parametrize(("n_vocab", "languages"), [(51864, None), (51865, 99), (51866, 100)])
def test_the_vocabulary_determines_the_languages(tmp_path, n_vocab, languages):
    dims = ModelDimensions(**{**asdict(DIMS), "n_vocab": n_vocab})
    loaded = load_weights(save_conversion(tmp_path, model_bin(ctranslate2_variables(random_model(dims)))))
    assert loaded.is_multilingual == (languages is not None)
    assert languages is None or loaded.num_languages == languages


def test_loading_does_not_affect_random_initialisation(tmp_path):
    path = save_checkpoint(random_model(), tmp_path / "finetuned.pt")
    torch.manual_seed(5)
    before = nn.Linear(4, 4).weight
    torch.manual_seed(5)
    load_weights(path)
    assert torch.equal(nn.Linear(4, 4).weight, before)  # not patched, and no random number consumed


# --- Alignment heads ------------------------------------------------------------------------------------------------


def test_a_checkpoint_gets_the_alignment_heads_of_its_name(tmp_path):
    dims = ModelDimensions(
        **{**asdict(DIMS), "n_text_layer": 4, "n_text_head": 6, "n_text_state": 12, "n_audio_state": 12}
    )
    expected = random_model(dims)
    expected.set_alignment_heads(whisper._ALIGNMENT_HEADS["tiny.en"])
    loaded = load_weights(save_checkpoint(expected, tmp_path / "tiny.en.pt"))
    assert aligned(loaded) == aligned(expected)
    assert aligned(loaded) != aligned(random_model(dims))
    assert has_alignment_heads(loaded)


@pytest.mark.parametrize("name", ["custom.pt", "base.pt"])
def test_a_checkpoint_without_fitting_heads_keeps_the_default(tmp_path, name):
    loaded = load_weights(save_checkpoint(random_model(), tmp_path / name))
    assert aligned(loaded) == aligned(random_model())
    assert not has_alignment_heads(loaded)


def test_a_conversion_gets_the_alignment_heads_of_its_config(tmp_path):
    loaded = load_weights(save_conversion(tmp_path, model_bin(ctranslate2_variables(random_model()))))
    assert aligned(loaded) == HEADS
    assert loaded.alignment_heads.is_sparse  # as openai-whisper's timing.py expects
    assert has_alignment_heads(loaded)


@pytest.mark.parametrize(
    "config", [{}, [], {"alignment_heads": []}, {"alignment_heads": [[7, 0]]}, {"alignment_heads": 3}]
)
def test_a_conversion_without_usable_heads_keeps_the_default(tmp_path, config):
    loaded = load_weights(save_conversion(tmp_path, model_bin(ctranslate2_variables(random_model())), config))
    assert aligned(loaded) == aligned(random_model())
    assert not has_alignment_heads(loaded)


def test_a_model_bin_alone_keeps_the_default_heads(tmp_path):
    folder = save_conversion(tmp_path, model_bin(ctranslate2_variables(random_model())))
    (folder / "config.json").unlink()
    assert aligned(load_weights(folder)) == aligned(random_model())


# --- Refusals -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """Both kinds of file, intact, as bytes."""
    model = random_model().half()
    checkpoint = save_checkpoint(model, tmp_path_factory.mktemp("whole") / "finetuned.pt").read_bytes()
    return {"finetuned.pt": checkpoint, "model.bin": model_bin(ctranslate2_variables(model))}


@examples(80)
@given(share=st.floats(0, 1, exclude_max=True), name=st.sampled_from(["finetuned.pt", "model.bin"]))
def test_a_file_cut_off_anywhere_is_refused_by_name(tmp_path, whole, share, name):
    (tmp_path / name).write_bytes(whole[name][: int(share * len(whole[name]))])
    assert name in refusal(tmp_path / name)


@pytest.mark.parametrize("missing", [1, 2, 3, 4, 27, 53, 54, 60])
def test_a_model_bin_that_lacks_its_last_bytes_is_refused(tmp_path, whole, missing):
    (tmp_path / "model.bin").write_bytes(whole["model.bin"][:-missing])
    assert "cut off" in refusal(tmp_path / "model.bin")


@examples(80)
@given(data=st.data())
def test_a_damaged_header_raises_only_model_unavailable(tmp_path, whole, data):
    """model.bin has its lengths, types and shapes at the front and around each variable's name."""
    damaged = bytearray(whole["model.bin"])
    names = [damaged.find(name) for name in (b"decoder/embed", b"encoder/conv1", b"encoder/num_heads", b"decoder/proj")]
    at = data.draw(st.sampled_from([0, *names])) + data.draw(st.integers(0, 45))
    damaged[at % len(damaged)] ^= data.draw(st.integers(1, 255))
    (tmp_path / "model.bin").write_bytes(damaged)
    try:
        load_weights(tmp_path)
    except ModelUnavailable as error:
        assert "model.bin" in str(error)


@examples(60)
@given(
    content=st.binary(min_size=1, max_size=200),
    name=st.sampled_from(["finetuned.pt", "model.bin", "pytorch_model.bin"]),
)
def test_a_foreign_file_is_refused_by_name(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    assert name in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["finetuned.pt", "model.bin"])
def test_an_empty_file_is_refused_as_empty(tmp_path, name):
    (tmp_path / name).touch()
    assert "is empty" in refusal(tmp_path / name)


def test_a_missing_file_is_refused_by_name(tmp_path):
    assert "finetuned.pt" in refusal(tmp_path / "finetuned.pt")
    assert "model.bin" in refusal(tmp_path)
    assert "nowhere" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {"dims": {}},
        {"dims": asdict(DIMS), "model_state_dict": {"a": 1}},
        {"dims": asdict(DIMS)},
        torch.zeros(3),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "finetuned.pt")
    assert "finetuned.pt" in refusal(tmp_path / "finetuned.pt")


def test_a_checkpoint_that_would_run_code_is_refused_without_running_it(tmp_path):
    torch.save({"dims": asdict(DIMS), "model_state_dict": Touch(tmp_path / "ran")}, tmp_path / "finetuned.pt")
    assert "finetuned.pt" in refusal(tmp_path / "finetuned.pt")
    assert not (tmp_path / "ran").exists()


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_a_checkpoint_whose_dims_are_not_its_tensors_is_refused(tmp_path):
    model = random_model()
    model.dims = ModelDimensions(**{**asdict(DIMS), "n_text_layer": 10**9})
    assert "dims" in refusal(save_checkpoint(model, tmp_path / "finetuned.pt"))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16])
def test_a_quantised_conversion_is_refused_with_advice(tmp_path, dtype):
    variables = ctranslate2_variables(random_model())
    variables = {name: value.to(dtype) if value.dim() == 2 else value for name, value in variables.items()}
    message = refusal(save_conversion(tmp_path, model_bin(variables)))
    assert str(dtype).removeprefix("torch.") in message
    assert "float16 or float32" in message


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ctranslate2_variables(random_model()).keys() - {"decoder/pre_norm"}))
def test_a_conversion_that_lacks_a_variable_is_refused(tmp_path, name):
    variables = ctranslate2_variables(random_model())
    del variables[name]
    refusal(save_conversion(tmp_path, model_bin(variables)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoder/layer_1/ffn/linear_0/weight", torch.zeros(16, 64)),
        ("encoder/layer_1/self_attention/linear_0/weight", torch.zeros(47, 16)),
        ("encoder/layer_0/self_attention/linear_0/bias", torch.tensor(1.0)),
        ("encoder/conv1/weight", torch.zeros(16, 8)),
        ("decoder/position_encodings/encodings", torch.zeros(100_000, 16)),
        ("decoder/num_heads", torch.tensor(3, dtype=torch.int16)),
        ("decoder/num_heads", torch.tensor(0, dtype=torch.int16)),
        ("encoder/num_heads", torch.tensor(-2, dtype=torch.int16)),
    ],
)
def test_a_conversion_with_a_wrong_shape_is_refused(tmp_path, name, value):
    variables = {**ctranslate2_variables(random_model()), name: value}
    refusal(save_conversion(tmp_path, model_bin(variables)))


@pytest.mark.parametrize("header", [{"version": 5}, {"specification": "TransformerSpec"}])
def test_another_ctranslate2_model_is_refused(tmp_path, header):
    assert "no Whisper model" in refusal(save_conversion(tmp_path, model_bin({}, **header)))


def test_bytes_after_the_model_are_refused(tmp_path, whole):
    assert "longer" in refusal(save_conversion(tmp_path, whole["model.bin"] + b"\0"))


# --- Memory ---------------------------------------------------------------------------------------------------------


def test_fused_weights_are_views_of_one_mapping(tmp_path):
    model = load_weights(save_conversion(tmp_path, model_bin(ctranslate2_variables(random_model()))))
    attention = model.decoder.blocks[0].attn
    storages = {
        linear.weight.untyped_storage().data_ptr() for linear in (attention.query, attention.key, attention.value)
    }
    assert len(storages) == 1


def test_writing_to_a_loaded_model_does_not_change_its_file(tmp_path):
    folder = save_conversion(tmp_path, model_bin(ctranslate2_variables(random_model())))
    before = (folder / "model.bin").read_bytes()
    load_weights(folder).encoder.conv1.weight.fill_(1)
    assert (folder / "model.bin").read_bytes() == before


MEMORY_PROBE = """
import sys
from pathlib import Path
from src.models.weights import has_alignment_heads, load_weights

def private_bytes():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_Dirty"))

load_weights(Path(sys.argv[2]))  # torch's first-use allocations are not the model's
before = private_bytes()
model = load_weights(Path(sys.argv[1]))
print(private_bytes() - before)
"""


@pytest.mark.model
@pytest.mark.process
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's memory accounting")
@pytest.mark.parametrize("kind", ["pt", "model.bin"])
def test_loading_takes_a_fraction_of_the_files_size_in_memory(tmp_path, kind):
    warm_up = save_checkpoint(random_model(), tmp_path / "small.pt")
    path = TINY / "model.bin" if kind == "model.bin" else save_checkpoint(load_weights(TINY), tmp_path / "tiny.en.pt")
    probe = [sys.executable, "-c", MEMORY_PROBE, str(path), str(warm_up)]
    taken = int(subprocess.run(probe, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert taken < path.stat().st_size / 4


# --- A published model ----------------------------------------------------------------------------------------------


@pytest.mark.model
@pytest.mark.process
def test_the_published_tiny_en_is_intact_and_predicts_words():
    model = load_weights(TINY)
    assert (model.dims.n_audio_state, model.dims.n_text_layer, model.is_multilingual) == (384, 4, False)
    expected = Whisper(model.dims)
    expected.set_alignment_heads(whisper._ALIGNMENT_HEADS["tiny.en"])
    assert aligned(model) == aligned(expected)
    silence = torch.full((1, 80, 3000), -1.0)
    tokenizer = whisper.tokenizer.get_tokenizer(multilingual=False)
    start = torch.tensor([[*tokenizer.sot_sequence]])
    with torch.no_grad():
        chance = model.float()(silence, start).softmax(-1)[0, 0, tokenizer.no_speech]
    assert chance > 0.3  # random or misplaced weights give one in 51 864
