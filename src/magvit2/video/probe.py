"""Looking at a media file without reading it: `probe` gives its `MediaInfo`."""

import os

from magvit2.video.info import MediaInfo
from magvit2.video.reader import open_media
from magvit2.video.stretch import Stretch

__all__ = ["MediaInfo", "probe"]


def probe(path: str | os.PathLike[str] | Stretch) -> MediaInfo:
    """Return the facts of a video, image or folder of images (taken at 25 frames per second).

    A video's first frame is decoded, so one that gets through holds at least one picture. Raises MediaError.
    """
    with open_media(path) as reader:
        return reader.info
