#!/usr/bin/env bash
# Generates all audio files of this repository, their reference texts (clips.json, long.txt) and
# test_input.json. Only needed to regenerate them: the results are committed.
#
#     apt-get install flite        # Debian's flite, with the voices slt, awb and kal16 (CMU)
#     tests/data/make_clips.sh     # any ffmpeg with libopus, libmp3lame and libx264
#
# The same flite and ffmpeg give the same bytes every time; another release may give others.
# After changing a sentence, check that tiny.en still transcribes it word for word. The sentences were
# chosen for that: the clips show that the worker works, not how accurate a model is.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ffmpeg=$(command -v ffmpeg ||
    "$root/.venv/bin/python" -c "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())")

# No version, date, serial number or encoder name in the files.
exact=(-map_metadata -1 -fflags +bitexact -flags:a bitexact -flags:v bitexact)
# slt's output is 16 kHz mono with 2 bytes per sample: 32 bytes per millisecond.
pcm=(-f s16le -ar 16000 -ac 1)
bytes_per_ms=32
opus=(-c:a libopus -b:a 24k)

run_ffmpeg() { "$ffmpeg" -nostdin -v error -y "$@"; }

silence() { head -c $(($1 * bytes_per_ms)) /dev/zero; } # milliseconds

length() { echo $(($(stat -c %s "$1") / bytes_per_ms)); } # of a .pcm file, in milliseconds

seconds() { printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)); } # of milliseconds

# speak NAME: reads lines of "PAUSE SENTENCE" (PAUSE: ms of silence before it) and writes $work/NAME.pcm,
# $work/NAME.txt (one sentence per line) and $work/NAME.speech (its start and end, a JSON pair per line).
speak() {
    local name=$1 pause sentence start
    : >"$work/$name.pcm"
    while read -r pause sentence; do
        flite -voice slt -t "$sentence" -o "$work/sentence.wav"
        silence "$pause" >>"$work/$name.pcm"
        start=$(length "$work/$name.pcm")
        run_ffmpeg -i "$work/sentence.wav" "${pcm[@]}" - >>"$work/$name.pcm"
        echo "$sentence" >>"$work/$name.txt"
        echo "[$(seconds "$start"), $(seconds "$(length "$work/$name.pcm")")]" >>"$work/$name.speech"
    done
}

# encode FILE [OPTION...]: $work/FILE.pcm -> tests/data/FILE
encode() { run_ffmpeg "${pcm[@]}" -i "$work/$1.pcm" "${@:2}" "${exact[@]}" "$here/$1"; }

join_lines() { paste -sd "$1" "$2" 2>/dev/null || true; } # of a file, if it exists

# entry FILE: prints its line of clips.json. The sentences have no characters that JSON would escape.
entry() {
    printf '  "%s": {"text": "%s", "speech": [%s]}' \
        "$1" "$(join_lines ' ' "$work/$1.txt")" "$(join_lines ',' "$work/$1.speech" | sed 's/\],\[/], [/g')"
}

# Two sentences with a pause between them: the demo clip, also in test_input.json.
speak demo.ogg <<'END'
300 The quick brown fox jumps over the lazy dog.
900 Speech goes in, and text comes out.
END
encode demo.ogg "${opus[@]}"

speak numbers.mp3 <<'END'
200 There are twelve months in a year, and seven days in a week.
END
encode numbers.mp3 -c:a libmp3lame -b:a 32k

speak video.mp4 <<'END'
300 This short video shows a moving test pattern.
END
encode video.mp4 -f lavfi -i testsrc=size=160x90:rate=10 -t 4 -af apad \
    -map 1:v -map 0:a -c:v libx264 -preset veryslow -crf 35 -pix_fmt yuv420p -c:a aac -b:a 32k

silence 3000 >"$work/silence.flac.pcm"
encode silence.flac -c:a flac -metadata_header_padding 0

run_ffmpeg -f lavfi -i anoisesrc=color=pink:amplitude=0.2:seed=1:sample_rate=16000:duration=4 \
    "${opus[@]}" "${exact[@]}" "$here/noise.ogg"

# More than two windows of 30 s. At a lower bit rate than the others, to keep the repository small.
speak long.ogg <<'END'
400 Good morning, and welcome to the museum.
700 Our tour today begins in the garden behind the main building.
1200 The old house was built by a farmer and his family.
300 They carried every stone from the river with two horses.
900 In the winter, the water froze, and nobody could cross the bridge.
1500 The first room on the left is the kitchen.
400 There is a large wooden table in the middle of the floor.
600 The family ate bread, cheese, and soup almost every evening.
1000 Upstairs you will find four small bedrooms and a library.
800 Most of the books were written more than a hundred years ago.
350 One of them describes a long journey across the ocean.
1300 The youngest son became a doctor and moved to the city.
500 He sent a letter to his mother at the end of every month.
700 She kept all of his letters in a blue box under the window.
1100 Many years later, a teacher found the box by accident.
450 She read the letters to her students, and everybody asked for more.
900 That is how this museum was started.
1400 Before you leave, please visit the little shop near the gate.
1000 Thank you for listening, and have a wonderful afternoon.
END
encode long.ogg -c:a libopus -b:a 16k
cp "$work/long.ogg.txt" "$here/long.txt"

# A dialogue of three voices (flite's awb, slt and kal16), with their turns as RTTM.
(cd "$root" && .venv/bin/python -m benchmarks.dialogues "$work/dialogues")
run_ffmpeg -i "$work/dialogues/dialogue-1.wav" -c:a libopus -b:a 10k "${exact[@]}" "$here/dialogue.ogg"
sed 's/dialogue-1/dialogue/' "$work/dialogues/dialogue-1.rttm" >"$here/dialogue.rttm"

clips=(demo.ogg numbers.mp3 video.mp4 silence.flac noise.ogg long.ogg)
{
    echo "{"
    for clip in "${clips[@]}"; do
        entry "$clip"
        [ "$clip" = "${clips[-1]}" ] || echo -n ","
        echo
    done
    echo "}"
} >"$here/clips.json"

printf '{"input": {"audio": {"base64": "%s"}, "options": {"output_format": "all"}}}\n' \
    "$(base64 -w 0 "$here/demo.ogg")" >"$root/test_input.json"
