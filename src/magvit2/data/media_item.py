"""What is known of one video or image before it is opened."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from magvit2.video import Stretch

ItemKind = Literal["video", "image", "strip", "frames"]


@dataclass(frozen=True)
class MediaItem:
    """One clip or image. `strip` is a clip whose frames stand side by side in one picture, `frames` one in a shard.

    `member` is the (offset, length) in bytes of an image or a clip inside a tar file, and `frame_bytes` has the lengths
    of such a clip's frames, which lie one after another. `entry` is the member's name where its file is one of a
    WebDataset sample. `num_frames` is None until somebody looks.
    `group` is the top folder of the source that it came from, or what its row says; groups are what a training mixture
    balances.
    """

    path: Path
    kind: ItemKind
    group: str
    label: str = ""
    num_frames: int | None = None
    member: tuple[int, int] | None = None
    frame_bytes: tuple[int, ...] = ()
    entry: str = ""

    @property
    def is_clip(self) -> bool:
        """Whether it has frames in time."""
        return self.kind != "image"

    @property
    def name(self) -> str:
        """What messages call it: its path and, inside a tar file, its own name there or where it begins."""
        if self.entry:
            return f"{self.path}/{self.entry}"
        return str(self.path) if self.member is None else f"{self.path}@{self.member[0]}"

    @property
    def title(self) -> str:
        """What stands beside its picture: its file's name without the ending; in a tar file of images, its label."""
        if self.entry or self.member is None:
            return Path(self.entry or self.path).stem
        return self.label

    @property
    def medium(self) -> Path | Stretch:
        """The file that holds it, or the stretch of a tar file: what `open_media` and `probe` take."""
        return self.path if self.member is None else Stretch(self.path, *self.member, self.name)
