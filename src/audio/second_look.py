"""A second look for speech that the detector does not recognise in a recording as it is.

    pcm -> clean -> level -> the detector's network -> confirmation by pyannote's network

The network of `src/audio/vad.py` takes a voice for silence if a rumble drowns it or if it is much quieter than those
before it. It is asked again, about a copy in which steady noise is removed and all voices are equally loud. What it
adds counts only where the network of `src/audio/segmentation.py` finds speech in that copy as well.

Share of speech found in percent, padding included, over 12 read clips in 4 languages with the disturbance added, and in
meetings (single speakers): at the first look, and at either look.

    disturbance                                         first          either
    an engine's rumble at -10 dB / -15 dB / -20 dB  92 /  7 /  0   99 / 89 / 18
    hum of 50 Hz / 100 Hz at -10 dB                 83 /  6       100 /100
    everything at -40 dB / -50 dB                   89 / 37       100 /100
    second half 30 dB / 40 dB quieter               81 / 13       100 /100
    a telephone's band, 24 dB below a near voice    47             99
    two levels in turn, 30 dB / 40 dB apart         79 / 35       100 / 99
    AMI meeting EN2001a / EN2001e                   93 / 98        99 / 98

In 8 minutes of music, noise, animals, coughs and silence, and 13 minutes of synthetic noise, hum, wind and clicks, the
second look adds nothing. Without confirmation it adds 3 s there, and some 50 breaths and echoes to an hour of ordinary
speech. pyannote's network alone finds more in the strongest rumble (66% at -20 dB), but takes 48 s of the 5 minutes of
music and animals for speech. Of 328 windows of ordinary recordings the second look changes some 15.

Only long pauses are looked at, with `MARGIN` around them: 20% of long readings, 14% of short ones, 32% of spontaneous
speech and 30% of meetings and dialogues (100 s each). Time on one core of a busy machine: 2.6 ms per second of what is
looked at, 6 ms more per second that needs confirmation.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src.audio.levelling import apply_gain, loudness
from src.audio.pcm import SAMPLE_RATE, Pcm, Region, Samples, to_float
from src.audio.segmentation import speech_of_anyone
from src.audio.vad import CONTEXT, FRAME, Probabilities, SileroVad, load_vad

SPEECH = 0.5
"""Probability from which a frame is speech that should be looked into."""
MIN_NEW_FRAMES = 2
"""Frames of speech that a second look must add, 0.06 s, to be worth the other detector's time."""
MIN_PAUSE_FRAMES = 16
"""Frames of the shortest pause that is looked at, 0.5 s beyond the padding; shorter ones lie within a window."""
NEARBY = 2 * SAMPLE_RATE
"""Samples on both sides of new speech that the other detector takes with it, at least."""
MIN_CONFIRMATION = 5 * SAMPLE_RATE
"""Samples that the other detector takes at least."""
CONFIRMED = 0.4
"""Probability of the other detector that confirms speech. At 0.6, a telephone's voice is missed (92%)."""
CONFIRMED_FRAMES = 8
"""Frames around a confirmed one that count as confirmed, 0.25 s: the detectors differ about where a word begins."""

MARGIN = 32 * FRAME
"""Samples on both sides of a block that are looked at with it, 1 s: the network settles, and the loudness is known."""

FFT_SAMPLES = 512
HOP_SAMPLES = 256

LOWEST_HZ, LOWEST_FULL_HZ = 91.0, 169.0
"""Below the first no frequency passes, above the second all do."""
NOISE_QUANTILE = 0.15
"""Quantile of a frequency's magnitude over a block that is its steady noise: speech pauses at any frequency."""
NOISE_FACTOR = 2.0
"""Multiple of the steady noise that is attenuated by half: its loud moments are noise as well."""
MIN_ATTENUATION = 0.05
"""What is left of the noise: 26 dB less."""

TARGET_DB = -23.0
"""Loudness of all speech after levelling, relative to full scale: that of recordings the network is sure about."""
SILENCE_DB = -80.0
"""Quieter stretches are digital silence and dither; they are not amplified any further than this one."""
MAX_ATTENUATION_DB = 20.0


def probabilities_at_second_look(pcm: Pcm, start: int, first_look: Probabilities, reach: int) -> Probabilities:
    """Return the probability of speech for each frame of a block, at least that at the first look.

    They depend on nothing but the audio between `MARGIN` before and `MARGIN` after the block.

    Args:
        pcm: the recording.
        start: the block's first sample, a multiple of `FRAME`.
        first_look: the probabilities of the block's frames at the first look.
        reach: samples around speech in which further speech is of no interest, since padding covers them.
    """
    either: Probabilities = first_look.copy()
    uncovered = _spread(either, reach // FRAME) < SPEECH
    around = Region(max(0, start - MARGIN), min(len(pcm), start + len(either) * FRAME + MARGIN))
    for pause in find_pauses(uncovered):
        if found := _look(load_vad().network, pcm, start, around, pause, uncovered):
            frames, second = found
            either[frames] = np.maximum(either[frames], second)
    return either


def find_pauses(uncovered: NDArray[np.bool_]) -> list[slice]:
    """Return the frames of a block that deserve a second look; those close together are one pause."""
    edges = np.flatnonzero(np.diff(np.pad(uncovered, 1).astype(np.int8)))
    pauses: list[slice] = []
    for start, end in edges.reshape(-1, 2).tolist():
        if end - start < MIN_PAUSE_FRAMES:
            continue
        if pauses and (start - pauses[-1].stop) * FRAME <= 2 * MARGIN:
            start = pauses.pop().start
        pauses.append(slice(start, end))
    return pauses


def _look(
    network: SileroVad, pcm: Pcm, block: int, around: Region, pause: slice, uncovered: NDArray[np.bool_]
) -> tuple[slice, Probabilities] | None:
    """Look at a pause.

    Args:
        network: the detector's.
        pcm: the recording.
        block: the first sample of the pause's block.
        around: the samples that may be used.
        pause: in frames of the block.
        uncovered: the frames of the block in which speech counts as new.

    Returns:
        Frames of the block and their probabilities; None if there is no new speech.
    """
    first = max(around.start, block + pause.start * FRAME - MARGIN)
    samples = clean_and_level(to_float(pcm[first : min(around.end, block + pause.stop * FRAME + MARGIN)]))
    probabilities, _ = network(torch.from_numpy(np.pad(samples, (CONTEXT, -len(samples) % FRAME))), None)
    offset = (block - first) // FRAME
    frames = slice(max(0, -offset), min(len(uncovered), len(probabilities) - offset))
    second: Probabilities = probabilities.numpy()[frames.start + offset : frames.stop + offset].astype(np.float64)
    new = np.flatnonzero((second >= SPEECH) & uncovered[frames]) + frames.start
    if len(new) < MIN_NEW_FRAMES:
        return None
    anyone = _anyone_speaks(pcm, around, block + int(new[0]) * FRAME, block + int(new[-1] + 1) * FRAME, block, frames)
    return frames, np.where(_spread(anyone, CONFIRMED_FRAMES) >= CONFIRMED, second, 0.0)


def _anyone_speaks(pcm: Pcm, around: Region, start: int, end: int, block: int, frames: slice) -> Probabilities:
    """Return the other detector's probability for frames of a block; 0 for those further away than `NEARBY`."""
    missing = max(0, MIN_CONFIRMATION - (end - start)) // 2
    first = max(around.start, start - max(NEARBY, missing))
    samples = clean_and_level(to_float(pcm[first : min(around.end, end + max(NEARBY, missing))]))
    middles = block - first + FRAME // 2 + FRAME * np.arange(frames.start, frames.stop)
    near = (middles >= 0) & (middles < len(samples))
    found = np.zeros(len(middles))
    found[near] = speech_of_anyone(torch.from_numpy(samples), torch.from_numpy(middles[near])).numpy()
    return found


def _spread(probabilities: Probabilities, frames: int) -> Probabilities:
    """Return the highest probability within this many frames of each frame."""
    padded = np.pad(probabilities, frames, "edge")
    highest: Probabilities = np.lib.stride_tricks.sliding_window_view(padded, 2 * frames + 1).max(axis=1)
    return highest


def clean_and_level(samples: Samples) -> Samples:
    """Return the samples [n] in -1..1 without steady noise, with all stretches at `TARGET_DB`."""
    cleaned = _remove_steady_noise(samples)
    gain = TARGET_DB - np.maximum(loudness(cleaned), SILENCE_DB)
    return apply_gain(cleaned, np.maximum(gain, -MAX_ATTENUATION_DB))


def _remove_steady_noise(samples: Samples) -> Samples:
    """Attenuate each frequency where it is not louder than it mostly is (a Wiener filter with a constant noise)."""
    window = torch.hann_window(FFT_SAMPLES)
    padded = torch.from_numpy(np.pad(samples, (0, max(0, FFT_SAMPLES - len(samples)))))
    spectrum = torch.stft(padded, FFT_SAMPLES, HOP_SAMPLES, window=window, return_complex=True)
    power = spectrum.abs().square()
    rank = max(1, int(NOISE_QUANTILE * power.shape[1]))
    noise = NOISE_FACTOR**2 * power.kthvalue(rank, dim=1, keepdim=True).values + 1e-18
    gain = (power / (power + noise)).clamp_min(MIN_ATTENUATION)
    parts = torch.fft.irfft((spectrum * gain * _high_pass()).T) * window
    # Each half of a part overlaps with a half of its neighbour: `torch.istft` knows no such case, and takes longer.
    early, late = parts.tensor_split(2, dim=1)
    early_power, late_power = window.square().tensor_split(2)
    joined: Samples = torch.cat(((early[1:] + late[:-1]) / (early_power + late_power), late[-1:] / late_power)).numpy()
    return joined.reshape(-1)[: len(samples)]


def _high_pass() -> Tensor:
    """Return the gain [frequencies, 1] of the spectrum's frequencies."""
    frequencies = torch.arange(FFT_SAMPLES // 2 + 1) * (SAMPLE_RATE / FFT_SAMPLES)
    return ((frequencies - LOWEST_HZ) / (LOWEST_FULL_HZ - LOWEST_HZ)).clamp(0, 1).unsqueeze(1)
