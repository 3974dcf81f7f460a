"""Small sources of data: every frame is one grey level, which tells where it came from."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from magvit2.data.frames import Frames
from magvit2.video import VideoWriter, write_image


def grey_frames(num_frames: int, first: int, height: int = 16, width: int = 24, step: int = 1) -> Frames:
    """Frames [T, H, W, 3] of one level each: first, first + step, ..."""
    levels = first + step * np.arange(num_frames)
    return np.broadcast_to(levels[:, None, None, None], (num_frames, height, width, 3)).astype(np.uint8)


def write_video(path: Path, frames: Frames) -> Path:
    """Write frames so that the same pixels come back."""
    with VideoWriter(path, fps=25, lossless=True) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def write_strip(path: Path, frames: Frames) -> Path:
    """Write square frames side by side in one picture."""
    write_image(path, np.concatenate(list(frames), axis=1))
    return path


def write_tar(path: Path, levels: dict[str, int], mode: str = "w") -> Path:
    """Write a tar file of grey images by their names, and a text file beside them."""
    images = {name: png(level) for name, level in levels.items()}
    return write_members(path, {**images, "README.txt": b"not an image"}, mode)


def write_members(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    """Write a tar file of files by their names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            _add(archive, name, data)
    return path


def png(level: int) -> bytes:
    """Return a grey image of 16 x 24 pixels as the bytes of a file."""
    buffer = io.BytesIO()
    Image.fromarray(grey_frames(1, level)[0]).save(buffer, "png")
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def write_index(source: Path, rows: list[str], header: str = "path,kind,split,label,frames") -> None:
    """Write a source's index.csv."""
    (source / "index.csv").write_text("\n".join([header, *rows]) + "\n")


def make_source(source: Path) -> Path:
    """A source with an index and every kind of item: levels below 100 are train, from 100 val, from 200 test."""
    write_video(source / "clips" / "train.mkv", grey_frames(6, 10))
    write_video(source / "clips" / "val.mkv", grey_frames(6, 110))
    write_video(source / "clips" / "test.mkv", grey_frames(6, 210))
    write_image(source / "photos" / "train.png", grey_frames(1, 30, 20, 30)[0])
    write_image(source / "photos" / "test.png", grey_frames(1, 230, 20, 30)[0])
    write_strip(source / "strips" / "train.png", grey_frames(5, 40, 12, 12))
    write_tar(source / "tars" / "train.tar", {"cat/0.png": 60, "dog/1.png": 61})
    write_tar(source / "tars" / "val.tar", {"cat/2.png": 160})
    write_index(
        source,
        [
            "clips/train.mkv,video,train,walk,6",
            "clips/val.mkv,video,val,walk,6",
            "clips/test.mkv,video,test,run,",
            "photos/train.png,image,train,tree,1",
            "photos/test.png,image,test,tree,1",
            "strips/train.png,strip,train,jump,5",
            "tars/train.tar,tar,train,,",
            "tars/val.tar,tar,val,,",
        ],
    )
    return source
