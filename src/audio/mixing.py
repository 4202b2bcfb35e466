"""Mixes the channels of a recording into one so that nothing cancels.

ffmpeg's mix is a weighted sum. Sound that is in two channels with opposite phase (a balanced cable on a stereo input, a
microphone with swapped wires) is not in the sum; nor is sound in a channel whose weight is 0, such as the third of a
recorder's three tracks, which ffmpeg takes for a subwoofer.

    ffmpeg's mix, and samples of all channels -> CancellationProbe   is anything lost? hardly ever
    all channels                              -> Mixer               if so: the sum, and other sums where it loses sound

Where the sum loses sound, the channels are aligned before they are added: in each band of each stretch, their phases
are turned to that of the sum so far, which therefore can only grow. Elsewhere, samples are those of ffmpeg's mix.
"""

import struct
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from src.audio.pcm import SAMPLE_RATE

MAX_WEIGHTED_CHANNELS = 8
"""With more channels, a layout is a guess by ffmpeg: all channels are added with their full level."""

Floats = NDArray[np.float32]
Spectra = NDArray[np.complexfloating[Any, Any]]

# Weights of ffmpeg's mix to mono by the bits of WAV's channel mask, before they are scaled to a sum of at most 1
# (libswresample/rematrix.c); 0, so left out, for the subwoofer and for loudspeakers at the ceiling.
_FRONT, _CENTER, _SURROUND = 0.5**0.5, 1.0, 0.5
_WEIGHTS = {
    **{0: _FRONT, 1: _FRONT, 2: _CENTER, 4: _SURROUND, 5: _SURROUND},
    **{6: _FRONT, 7: _FRONT, 8: _SURROUND, 9: _SURROUND, 10: _SURROUND},
}

_LOST = 0.25
"""A band is lost in the sum if the sum has less than this share of the power of its channels."""

_LOST_SHARE = 0.3
"""Sound is lost in the sum if this share of it is in lost bands."""

_COHERENCE = 0.3
"""Channels have one sound in a band if they are coherent to this degree; independent sounds are to 0.1 by chance."""

_SPEECH_HZ = (200.0, 6000.0)
_BAND_BINS = 8
_SILENCE = 0.25
"""Power of samples that count as digital silence."""

_HALF = 256
_FRAME = 2 * _HALF
_STRETCH = 16 * _HALF  # 0.256 s, for which channels are aligned
_CONTEXT = 3
"""Stretches around a block that its samples depend on."""

_BLOCK_SAMPLES = 1 << 20  # of all channels together


class WavHeader(NamedTuple):
    """The header of a WAV stream."""

    channels: int
    rate: int
    mask: int
    """The loudspeakers of the channels, one bit for each; 0 if they are unknown."""


class Weights(NamedTuple):
    """How the channels of a recording are mixed."""

    plain: Floats
    """ffmpeg's weights [channels]."""
    full: Floats
    """Weights that leave no channel out [channels]."""


def read_wav_header(stream: IO[bytes]) -> WavHeader | None:
    """Read the header that ffmpeg writes to a pipe, up to the samples; None if there is none."""
    if len(stream.read(12)) < 12:
        return None
    header = WavHeader(0, 0, 0)
    while len(chunk := stream.read(8)) == 8:
        name, size = chunk[:4], int.from_bytes(chunk[4:], "little")
        if name == b"data":
            return header if header.channels else None
        body = stream.read(size + size % 2)
        if name == b"fmt ":
            _, channels, rate = struct.unpack_from("<HHI", body)
            default_mask = {1: 0b100, 2: 0b11}.get(channels, 0)
            header = WavHeader(channels, rate, int.from_bytes(body[20:24], "little") or default_mask)
    return None


def channel_weights(channels: int, mask: int) -> Weights:
    """Return the weights for channels with the loudspeakers of `mask`.

    Channels without loudspeakers, and more than `MAX_WEIGHTED_CHANNELS`, are added with their full level: an average
    would bury the one in which somebody speaks.
    """
    bits = [bit for bit in range(32) if mask >> bit & 1]
    if len(bits) != channels or channels > MAX_WEIGHTED_CHANNELS:
        ones = np.ones(channels, dtype=np.float32)
        return Weights(ones, ones)
    raw = np.array([_WEIGHTS.get(bit, 0.0) for bit in bits])
    plain = (raw / max(1.0, raw.sum())).astype(np.float32)
    return Weights(plain, np.where(plain > 0, plain, plain.max() or 1.0).astype(np.float32))


class CancellationProbe:
    """Finds out from samples of a recording whether its plain mix loses sound."""

    _RUN = 5
    _MIN_LOST_IN_RUN = 4

    def __init__(self) -> None:
        self.header: WavHeader | None = None
        self._found = False
        self._last = np.zeros(0, dtype=bool)  # whether the last audible frames are lost

    @property
    def loses_sound(self) -> bool:
        """True if the plain mix cannot be used."""
        if self.header is None:
            return False
        return self.header.channels > MAX_WEIGHTED_CHANNELS or self._found

    def read(self, stream: IO[bytes]) -> None:
        """Read parts of the recording, all channels of it, as a WAV stream to its end."""
        self.header = header = read_wav_header(stream)
        if header is None:
            return
        weights = channel_weights(header.channels, header.mask)
        frame = 1 << max(6, round(np.log2(header.rate * 0.025)))
        frames_in_block = max(1, _BLOCK_SAMPLES // (frame * header.channels))
        for block in _blocks(stream, header.channels, frame * frames_in_block):
            if header.channels > 1 and not self.loses_sound:
                frames = block[: len(block) // frame * frame].reshape(-1, frame, header.channels)
                self._look(_find_lost_frames(frames, weights, header.rate))

    def _look(self, lost: NDArray[np.bool_]) -> None:
        """Look for several lost frames in a row: by chance, channels cancel in single frames of any recording."""
        series = np.concatenate([self._last, lost])
        runs = np.convolve(series, np.ones(self._RUN), mode="valid") if len(series) >= self._RUN else np.zeros(1)
        self._found = self._found or bool(runs.max() >= self._MIN_LOST_IN_RUN)
        self._last = series[1 - self._RUN :]


class Mixer:
    """Mixes all channels of a recording, block by block."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        # Samples whose mix depends on what follows, after their context: at first silence before the recording.
        self._tail = np.zeros((_CONTEXT * _STRETCH, len(weights.plain)), dtype=np.int16)
        self.realigned_samples = 0
        """Samples of the recording, so far, whose plain mix would have lost sound."""

    def mix(self, block: NDArray[np.int16]) -> NDArray[np.int16]:
        """Return the mix as far as it is known after `block` [samples, channels], less what earlier calls returned."""
        samples = np.concatenate([self._tail, block])
        ready = (len(samples) // _STRETCH - 2 * _CONTEXT) * _STRETCH
        if ready <= 0:
            self._tail = samples
            return np.empty(0, dtype=np.int16)
        end = ready + 2 * _CONTEXT * _STRETCH
        mixed = self._mix_with_context(samples[:end])
        self._tail = samples[ready:]
        return mixed

    def finish(self) -> NDArray[np.int16]:
        """Return the rest of the mix."""
        length = len(self._tail) - _CONTEXT * _STRETCH
        silence = -len(self._tail) % _STRETCH + _CONTEXT * _STRETCH
        return self.mix(np.zeros((silence, self._tail.shape[1]), dtype=np.int16))[:length]

    def _mix_with_context(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Return the mix of whole stretches without the first and last `_CONTEXT` of them."""
        inner = slice(_CONTEXT * _STRETCH, len(samples) - _CONTEXT * _STRETCH)
        floats = samples.astype(np.float32)
        mixed = floats @ self._weights.plain
        if samples.shape[1] > 1:
            lost, aligned = _align(floats, self._weights)
            share = _fade(lost)
            mixed += share * (aligned - mixed)
            self.realigned_samples += int(np.count_nonzero(share[inner] > 0.5))
        return np.rint(_limit(mixed)[inner]).astype(np.int16)


def read_and_mix(stream: IO[bytes], pcm: IO[bytes], max_samples: int) -> float:
    """Read a WAV stream at `SAMPLE_RATE` with all channels, and write its mix.

    Reading ends after `max_samples`.

    Returns:
        The seconds whose plain mix would have lost sound.
    """
    header = read_wav_header(stream)
    if header is None:
        return 0.0
    mixer = Mixer(channel_weights(header.channels, header.mask))
    block_samples = max(_STRETCH, _BLOCK_SAMPLES // header.channels)
    left = max_samples
    for block in _blocks(stream, header.channels, block_samples):
        block = block[:left]
        pcm.write(mixer.mix(block).tobytes())
        left -= len(block)
        if not left:
            break
    pcm.write(mixer.finish().tobytes())
    return mixer.realigned_samples / SAMPLE_RATE


def _blocks(stream: IO[bytes], channels: int, samples: int) -> Iterator[NDArray[np.int16]]:
    """Yield blocks [samples, channels] to the stream's end; the last one may be shorter."""
    while data := stream.read(2 * channels * samples):
        whole = len(data) // (2 * channels) * channels
        yield np.frombuffer(data, dtype="<i2", count=whole).reshape(-1, channels)


def _find_lost_frames(frames: NDArray[np.int16], weights: Weights, rate: int) -> NDArray[np.bool_]:
    """Return for each audible one of the frames [frames, samples, channels] whether its plain mix loses sound."""
    # The difference of neighbouring samples weakens bass, which would hide voices. A quarter of a frame is enough to
    # find suspects, and only these are analysed further.
    steps = np.diff(frames[:, : frames.shape[1] // 4].astype(np.float32), axis=1)
    powers = np.einsum("fsc,fsc->fc", steps, steps) @ weights.full**2
    audible = powers > _SILENCE * steps.shape[1]
    sums = steps @ weights.plain
    lost = audible & (np.einsum("fs,fs->f", sums, sums) < 1.2 * powers)
    if lost.any():
        window = np.hanning(frames.shape[1]).astype(np.float32)
        spectra = np.fft.rfft(frames[lost].transpose(2, 0, 1) * window)  # [channels, frames, bins]
        lost[lost] = _lost(*_band_powers(spectra, weights), rate / frames.shape[1])
    found: NDArray[np.bool_] = lost[audible]
    return found


def _band_powers(spectra: Spectra, weights: Weights) -> tuple[Floats, Floats]:
    """Return the power of all channels, and that of their plain mix, both [frames, bands]."""
    power = np.einsum("c,cfb->fb", weights.full**2, _power(spectra))
    mixed = np.einsum("c,cfb->fb", weights.plain, spectra)
    starts = np.arange(0, power.shape[1], _BAND_BINS)
    return (
        np.add.reduceat(power, starts, axis=1),
        np.add.reduceat(_power(mixed), starts, axis=1),
    )


def _lost(power: Floats, mixed: Floats, bin_hz: float) -> NDArray[np.bool_]:
    """Return for each row of band powers [..., bands] whether the mix loses sound that matters for speech."""
    middles = (np.arange(power.shape[-1]) + 0.5) * _BAND_BINS * bin_hz
    # Speech is weaker in its higher bands, which matter as much.
    importance = np.where((middles > _SPEECH_HZ[0]) & (middles < _SPEECH_HZ[1]), middles**2, 0.0)
    total = (power * importance).sum(axis=-1)
    lost = np.where(mixed < _LOST * power, power * importance, 0.0).sum(axis=-1)
    return np.asarray(lost > _LOST_SHARE * total)


def _align(samples: Floats, weights: Weights) -> tuple[NDArray[np.bool_], Floats]:
    """Return which stretches of `samples` [samples, channels] lose sound in the plain mix, and a mix without loss."""
    stretches = len(samples) // _STRETCH
    window = np.sqrt(np.hanning(_FRAME + 1)[:-1]).astype(np.float32)
    padded = np.pad(samples, ((_HALF, _HALF), (0, 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME, axis=0)[::_HALF][
        :-1
    ]  # [frames, channels, samples]
    spectra = np.fft.rfft(frames.transpose(1, 0, 2) * window)  # [channels, frames, bins]
    power, mixed = (
        values.reshape(stretches, -1, values.shape[-1]).sum(axis=1) for values in _band_powers(spectra, weights)
    )
    audible = np.square(samples).reshape(stretches, _STRETCH, -1).mean(axis=1).max(axis=1) > _SILENCE
    lost = _lost(power, mixed, SAMPLE_RATE / _FRAME) & audible
    if not lost.any():
        return lost, np.zeros(len(samples), dtype=np.float32)
    total = weights.full[0] * spectra[0]
    for weight, spectrum in zip(weights.full[1:], spectra[1:], strict=True):
        total += _turned(weight * spectrum, total, stretches)
    parts = np.fft.irfft(total, axis=1).astype(np.float32) * window
    aligned = np.zeros(len(padded), dtype=np.float32)
    aligned[: len(parts) // 2 * _FRAME] += parts[::2].ravel()
    aligned[_HALF : _HALF + (len(parts) // 2) * _FRAME] += parts[1::2].ravel()
    return lost, aligned[_HALF:-_HALF]


def _turned(spectrum: Spectra, total: Spectra, stretches: int) -> Spectra:
    """Return a channel's spectrum [frames, bins], turned to the phase of `total` in bands where both have one sound."""

    def band_sums(values: NDArray[Any]) -> NDArray[Any]:
        by_stretch = values.reshape(stretches, -1, values.shape[-1]).sum(axis=1)
        return np.add.reduceat(by_stretch, np.arange(0, values.shape[-1], _BAND_BINS), axis=1)

    products = band_sums(total * spectrum.conj())
    powers = band_sums(_power(total)) * band_sums(_power(spectrum))
    is_same = _power(products) > _COHERENCE**2 * powers
    turns = np.where(is_same, products / np.where(is_same, np.abs(products), 1.0), 1.0).astype(np.complex64)
    turns = np.repeat(turns, _BAND_BINS, axis=1)[:, : spectrum.shape[1]]
    return spectrum * np.repeat(turns, len(spectrum) // stretches, axis=0)


def _power(spectrum: Spectra) -> Floats:
    return np.asarray(spectrum.real**2 + spectrum.imag**2, dtype=np.float32)


def _fade(lost: NDArray[np.bool_]) -> Floats:
    """Return the share of the aligned mix in each sample: 1 in lost stretches and their neighbours, with soft edges."""
    wide = lost.copy()
    wide[1:] |= lost[:-1]
    wide[:-1] |= lost[1:]
    share = np.repeat(wide.astype(np.float32), _STRETCH)
    edge = np.linspace(0.0, 1.0, _FRAME, dtype=np.float32)
    for start in np.flatnonzero(wide[1:] & ~wide[:-1]) + 1:
        share[start * _STRETCH - _FRAME : start * _STRETCH] = edge
    for end in np.flatnonzero(wide[:-1] & ~wide[1:]) + 1:
        share[end * _STRETCH : end * _STRETCH + _FRAME] = edge[::-1]
    return share


def _limit(samples: Floats) -> Floats:
    """Return the samples, softer where they would exceed int16: the gain changes from stretch to stretch, in lines."""
    peaks = np.abs(samples).reshape(-1, _STRETCH).max(axis=1)
    if peaks.max() <= np.iinfo(np.int16).max:
        return samples
    padded = np.pad(peaks, 1, mode="edge")
    around = np.maximum(np.maximum(padded[:-2], padded[2:]), peaks)
    gains = np.minimum(1.0, np.iinfo(np.int16).max / np.maximum(around, 1.0))
    middles = (np.arange(len(peaks)) + 0.5) * _STRETCH
    return np.asarray(samples * np.interp(np.arange(len(samples)), middles, gains), dtype=np.float32)
