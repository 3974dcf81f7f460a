"""Media files in and out: the only door to PyAV and Pillow. Frames are RGB uint8 arrays [H, W, 3], the right way up.

    with open_media("clip.mp4") as reader:                  # video, GIF, animated WebP, image or folder of images
        with VideoWriter("copy.mp4", fps=reader.info.fps) as writer:
            for frame in reader:                            # one frame at a time: memory does not grow with length
                writer.write(frame)

Importing this package loads neither PyAV nor Pillow; the first file does. Whatever is wrong with a file is a
`MediaError` of one line.
"""

from magvit2.video.images import decode_image, read_image, write_image
from magvit2.video.paths import is_image, is_media
from magvit2.video.probe import MediaInfo, probe
from magvit2.video.reader import FrameReader, open_media, read_clip
from magvit2.video.stretch import Stretch
from magvit2.video.writer import VideoWriter

__all__ = [
    "FrameReader",
    "MediaInfo",
    "Stretch",
    "VideoWriter",
    "decode_image",
    "is_image",
    "is_media",
    "open_media",
    "probe",
    "read_clip",
    "read_image",
    "write_image",
]
