"""Still images, animated WebP and folders of images as streams of RGB frames, with the interface of `VideoSource`."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from magvit2.errors import InputError, MediaError
from magvit2.video.container_size import is_cut_short
from magvit2.video.doors import PillowImage, errors_as_media, load_pillow
from magvit2.video.images import NOT_AN_IMAGE, display_rotation, has_alpha, read_image, stored_bits, to_rgb
from magvit2.video.info import MediaInfo
from magvit2.video.paths import check_file, frame_files
from magvit2.video.stretch import Medium


class ImageSource:
    """A still image (one frame at time 0) or an animated WebP, from frame `start` on; pixels are read in `frames`."""

    def __init__(self, path: Medium, start: int = 0) -> None:
        """Open an image. Raises MediaError when it is none, is cut short, or has no frame number `start`."""
        check_file(path)
        self._path, self._start = path, start
        self._durations_s = webp_durations_s(path)
        num_frames = max(1, len(self._durations_s))
        if is_cut_short(path):
            raise MediaError(f"{path}: the image is cut short; copy or download it again")
        if start >= num_frames:
            raise MediaError(f"{path}: frame {start} was asked for; the last one is frame {num_frames - 1}")
        with errors_as_media(path, NOT_AN_IMAGE):
            self._image: PillowImage = load_pillow().Image.open(path if isinstance(path, Path) else path.open())
            try:
                self.info = self._info(num_frames)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close the file."""
        self._image.close()

    def frames(self) -> Iterator[tuple[Fraction, UInt8[np.ndarray, "H W 3"]]]:
        """Yield (presentation time in seconds, RGB frame)."""
        times_s = list(accumulate(self._durations_s, initial=Fraction(0)))
        for number in range(self._start, self.info.num_frames or 1):
            with errors_as_media(self._path, f"frame {number} cannot be decoded"):
                if number:
                    self._image.seek(number)
                frame = to_rgb(self._image)
            yield times_s[number], frame

    def _info(self, num_frames: int) -> MediaInfo:
        image, durations_s = self._image, self._durations_s
        bit_depth = stored_bits(image)  # before anything makes Pillow load the pixels and forget how they were stored
        rotation = display_rotation(image)
        width, height = image.size[::-1] if rotation in (90, 270) else image.size
        return MediaInfo(
            path=Path(str(self._path)),
            kind="video" if num_frames > 1 else "image",
            width=width,
            height=height,
            num_frames=num_frames,
            fps=num_frames / sum(durations_s, Fraction(0)) if num_frames > 1 else None,
            codec=str(image.format).lower(),
            pixel_format=image.mode,
            bit_depth=bit_depth,
            rotation=rotation,
            has_alpha=has_alpha(image),
            colour_matrix="rgb",
            colour_range="full",
            is_variable_rate=len(set(durations_s)) > 1,
        )


class FolderSource:
    """A folder of images of one size as a video of `fps`, in natural order, from frame `start` on."""

    def __init__(self, path: Path, fps: Fraction, start: int = 0) -> None:
        """List a folder. Raises MediaError when it has no images, or no frame number `start`."""
        if fps <= 0:
            raise InputError(f"got frames_fps={fps}; expected a rate above 0")
        self._files = frame_files(path)
        if start >= len(self._files):
            raise MediaError(f"{path}: frame {start} was asked for; the last one is frame {len(self._files) - 1}")
        self._fps, self._start = fps, start
        self.info = self._info(path)

    def close(self) -> None:
        """Nothing stays open between frames."""

    def frames(self) -> Iterator[tuple[Fraction, UInt8[np.ndarray, "H W 3"]]]:
        """Yield (presentation time in seconds, RGB frame). Raises MediaError at a frame of another size."""
        expected = self.info.height, self.info.width
        for number, file in enumerate(self._files[self._start :], self._start):
            frame = read_image(file)
            if frame.shape[:2] != expected:
                got, want = f"{frame.shape[1]}x{frame.shape[0]}", f"{expected[1]}x{expected[0]}"
                raise MediaError(f"{file}: is {got}, but {self._files[0].name} is {want}; expected frames of one size")
            yield number / self._fps, frame

    def _info(self, path: Path) -> MediaInfo:
        first = ImageSource(self._files[0])
        first.close()
        return replace(first.info, path=path, kind="frames", num_frames=len(self._files), fps=self._fps)


def webp_durations_s(path: Medium) -> list[Fraction]:
    """Return how long each frame of an animated WebP is shown, in seconds; an empty list for any other file.

    Chunk ANMF of the container: 12 bytes of position and size, then the duration in ms (24 bits). As in browsers, a
    duration of 10 ms or less counts as 100 ms.
    """
    durations_s = []
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WEBP":
            return []
        while len(header := file.read(8)) == 8:
            start, length = file.tell(), int.from_bytes(header[4:], "little")
            if header[:4] == b"ANMF":
                milliseconds = int.from_bytes(file.read(15)[12:], "little")
                durations_s.append(Fraction(milliseconds if milliseconds > 10 else 100, 1000))
            file.seek(start + length + length % 2)
    return durations_s
