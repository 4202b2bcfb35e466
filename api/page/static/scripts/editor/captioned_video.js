// A video with its subtitles: asked of the server, which takes a while, then downloaded.

import { announce, element, iconButton, toast } from "../dom.js";
import { records } from "../server/records.js";
import { cancelVideo, makeVideo, videoAddress } from "../server/transcripts.js";
import { describeProblem, describeWarning } from "../text/problems.js";
import { download } from "./download.js";

/** What is seen while a video is made. It is empty otherwise. */
export class VideoProgress {
  #isAsked = false;
  #ended = new AbortController();

  /** @param {string} id of the transcript. */
  constructor(id) {
    this.id = id;
    this.bar = element("progress", { max: "1", "aria-label": "Making the video" });
    this.text = element("span", { class: "small" });
    const cancel = iconButton("Cancel the video", "close", () => this.#cancel());
    this.root = element("span", { class: "video-progress", hidden: true }, this.bar, this.text, cancel);
    const follow = ({ detail: { record } }) => { if (record?.id === id) this.#show(record.video); };
    records.addEventListener("change", follow, { signal: this.#ended.signal });
    this.#show(records.get(id)?.video ?? null);
  }

  unmount() {
    this.#ended.abort();
  }

  /**
   * Make a video, and download it when it is there.
   *
   * @param {"mux"|"burn"} captions as a track, or in the picture.
   * @param {Object<string, any>} layout of the subtitles.
   */
  async make(captions, layout) {
    try {
      this.#isAsked = true;
      records.put(await makeVideo(this.id, { captions, ...layout }));
    } catch (error) {
      this.#isAsked = false;
      toast(describeProblem(error).title);
    }
  }

  async #cancel() {
    this.#isAsked = false;
    try {
      records.put(await cancelVideo(this.id));
    } catch (error) {
      toast(describeProblem(error).title);
    }
  }

  #show(video) {
    const isWorking = video?.state === "working";
    this.root.hidden = !isWorking;
    if (isWorking) {
      const percent = Math.round(100 * (video.fraction ?? 0));
      this.bar.value = video.fraction ?? 0;
      this.text.textContent = `Making the video… ${percent}%`;
      return;
    }
    if (!this.#isAsked || !video) return;
    this.#isAsked = false;
    if (video.state === "done") {
      announce("The video is ready");
      download(videoAddress(this.id));
      for (const warning of video.warnings) toast(describeWarning(warning));
    } else {
      const reason = describeWarning(video.error ?? "try the other kind, or download the subtitles as a file");
      toast(`The video could not be made. ${reason}`);
    }
  }
}
