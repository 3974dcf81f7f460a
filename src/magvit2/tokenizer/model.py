"""The tokenizer: clips in [-1, 1] to ids and back, exact in whatever way a clip is cut or batched.

`encode` and `decode` walk a clip in canonical chunks (frame 0, then groups of four) with convolution memories, one clip
at a time on a CPU. A model that is not causal walks in independent windows instead, without memories. Every computation
then has one shape, whatever the caller's batch or chunking, so ids agree bit for bit between an image, a clip, a batch
and a stream. `forward` is the training path: whole clips, gradients.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from magvit2.errors import InputError
from magvit2.geometry import Size, chunk_lengths
from magvit2.layers.memory import Memory
from magvit2.quantizers import BSQ, FSQ, LFQ, VQ, Quantized
from magvit2.store import Pretrained
from magvit2.tokenizer.config import TokenizerConfig
from magvit2.tokenizer.networks import Decoder, Encoder
from magvit2.tokenizer.tiling import Tiles, decoder_tiles, encoder_tiles
from magvit2.tokens import TokenSpace

Network = Callable[..., Tensor]
"""A chunk [b, c, t, h, w] and the keyword `memory` to what the encoder or the decoder makes of the chunk."""


class Reconstruction(NamedTuple):
    """What training looks at: decoded clips, unclamped, and what the quantizer returned, [b, t, h, w, k]."""

    clips: Float[Tensor, "b 3 T H W"]
    quantized: Quantized


class Tokenizer(Pretrained[TokenizerConfig], nn.Module):
    """Causal tokenizer of images and videos (MAGVIT-v2, section 3). Images are clips of one frame."""

    kind = "tokenizer"
    config_class = TokenizerConfig

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quantizer = make_quantizer(config)
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    @property
    def space(self) -> TokenSpace:
        """The space of the ids: radices and strides."""
        return self.config.space

    @property
    def dtype(self) -> torch.dtype:
        """The type that the networks compute in."""
        return self.encoder.stem.weight.dtype

    @property
    def device(self) -> torch.device:
        """The device that the networks compute on."""
        return self.encoder.stem.weight.device

    def forward(self, clips: Float[Tensor, "b 3 T H W"], num_bits: Int[Tensor, " b"] | None = None) -> Reconstruction:
        """Reconstruct whole clips for training; T, H and W must fill whole latent positions (else InputError).

        With `num_bits` the decoder sees only so many of the lowest bits of each clip's ids: the channels of the others
        are 0, as in `decode`. What the quantizer returned has all of them.
        """
        fits = self.space.valid_size(_size(clips))
        if _size(clips) != fits:
            raise InputError(
                f"clips of size {_size(clips)} do not fill latent positions, as training needs; {fits} would"
            )
        quantized = self.quantizer(self.encoder(clips).permute(0, 2, 3, 4, 1))
        codes = quantized.codes
        if num_bits is not None:
            kept = torch.arange(codes.shape[-1], device=codes.device) < num_bits[:, None]
            codes = codes * kept[:, None, None, None]
        return Reconstruction(self.decoder(codes.permute(0, 4, 1, 2, 3)), quantized)

    def encode(self, clips: Float[Tensor, "b 3 T H W"], *, tile: int | None = None) -> Int[Tensor, "b t h w"]:
        """Return int64 ids of clips in [-1, 1], any T, H, W >= 1, padded by replication at the end, bottom and right.

        With `tile`, frames are computed in squares of so many pixels a side (`tiling`), which bounds the memory. Raises
        InputError for anything but a floating-point [b, 3, T, H, W], for NaN or infinity (looked for where the clips
        lie in the host's memory; values beyond [-1, 1] are the caller's matter), or a tile that does not fill latent
        positions.
        """
        _check_clips(clips)
        tiles = self._encoder_tiles(clips, tile)
        return torch.cat([self._encode(part, tiles) for part in self._parts(clips)])

    def decode(
        self,
        ids: Int[Tensor, "b t h w"],
        size: Size | None = None,
        *,
        num_bits: int | None = None,
        tile: int | None = None,
    ) -> Float[Tensor, "b 3 T H W"]:
        """Return float32 clips in [-1, 1] of ids: [b, 3, 1 + 4(t - 1), 8h, 8w] for strides (4, 8, 8).

        `size` = (T, H, W) crops to the true size. `num_bits` decodes from the lowest bits of each id: the channels of
        the others are 0. `tile` is as in `encode`. Raises InputError for ids outside the space, a size or number of
        bits that they cannot have, or a tile that does not fill latent positions.
        """
        self._check_ids(ids, size, num_bits)
        tiles = self._decoder_tiles(ids[:, None], tile)
        clips = torch.cat([self._decode(part, num_bits, tiles) for part in self._parts(ids)])
        return clips if size is None else clips[:, :, : size[0], : size[1], : size[2]]

    def encode_stream(
        self, frames: Iterable[Float[Tensor, "3 H W"]], *, tile: int | None = None
    ) -> Iterator[Int[Tensor, "t h w"]]:
        """Yield int64 ids [1, h, w] as frames in [-1, 1] come in: after frame 0, then after every group of four.

        A model that works in windows yields [t, h, w] after each of them. Together they are what `encode` gives for the
        whole clip; memory does not grow with its length. Raises InputError for no frames, or for frames that are not
        floats [3, H, W] of one size, or hold NaN or infinity (as in `encode`).
        """
        groups = _grouped(_checked(frames), self._frame_groups())
        chunks = (
            self._filled(group, min(length, self.space.strides[0]))
            for group, length in zip(groups, self._frame_groups(), strict=False)
        )
        for latents in self._in_tiles(chunks, partial(self._encoder_tiles, tile=tile), self._encode_chunk):
            yield self._quantize(latents)[0]

    def decode_stream(
        self,
        chunks: Iterable[Int[Tensor, "_t h w"]],
        size: Size | None = None,
        *,
        num_bits: int | None = None,
        tile: int | None = None,
    ) -> Iterator[Float[Tensor, "3 H W"]]:
        """Yield float32 frames in [-1, 1] as ids [t, h, w] come in, as soon as each latent frame is there.

        Together they are what `decode` gives. `size` = (T, H, W) crops every frame and ends after T of them. Raises
        InputError for ids outside the space, and where the ids end before frame T.
        """
        frames = self._decoded_frames(chunks, num_bits, tile)
        if size is None:
            yield from frames
            return
        count = 0
        for frame in itertools.islice(frames, size[0]):
            yield frame[:, : size[1], : size[2]]
            count += 1
        if count < size[0]:
            raise InputError(f"the ids end after {count} frames; size says {size[0]}")

    def _decoded_frames(self, chunks: Iterable[Tensor], num_bits: int | None, tile: int | None) -> Iterator[Tensor]:
        groups = _grouped(self._latent_frames(chunks, num_bits), itertools.repeat(self._latent_group))
        latents = (torch.stack(group)[None, None] for group in groups)
        network = partial(self._decode_chunk, num_bits=num_bits)
        for clips in self._in_tiles(latents, partial(self._decoder_tiles, tile=tile), network):
            yield from clips.clamp_(-1, 1)[0].unbind(dim=1)

    def _in_tiles(
        self, chunks: Iterator[Tensor], tiles_of: Callable[[Tensor], Tiles], network: Network
    ) -> Iterator[Tensor]:
        """Yield what `network` makes of one chunk of a clip after another; every tile has a memory of its own."""
        tiles: Tiles | None = None
        networks: list[Callable[[Tensor], Tensor]] = []
        for chunk in chunks:
            if tiles is None:
                tiles = tiles_of(chunk)
                networks = [partial(network, memory=self._memory()) for _ in range(len(tiles))]
            yield tiles.map(chunk, networks)

    def _latent_frames(self, chunks: Iterable[Tensor], num_bits: int | None) -> Iterator[Tensor]:
        for chunk in chunks:
            self._check_ids(chunk[None], None, num_bits)
            yield from chunk.unbind()

    def _filled(self, group: list[Tensor], step: int) -> Tensor:
        """Return a canonical chunk [1, 3, T, H, W], padded; a clip's last one is filled up to a multiple of `step`."""
        clip = torch.stack(group, dim=1)[None]
        _, rows, columns = self.space.valid_size(_size(clip))
        length = -(-len(group) // step) * step
        return pad_to(clip, (length, rows, columns))

    def _encoder_tiles(self, clips: Tensor, tile: int | None) -> Tiles:
        return encoder_tiles(self.config, self.space.grid_for(_size(clips)), tile)

    def _decoder_tiles(self, ids: Tensor, tile: int | None) -> Tiles:
        return decoder_tiles(self.config, _size(ids), tile)

    def _memory(self) -> Memory | None:
        """Return what a clip's chunks hand on to each other; windows hand on nothing."""
        return Memory() if self.config.is_causal else None

    def _frame_groups(self) -> Iterator[int]:
        """Yield the lengths of the canonical chunks in frames, without end."""
        if self.config.window is not None:
            return itertools.repeat(self.config.window)
        return itertools.chain([1], itertools.repeat(self.space.strides[0]))

    @property
    def _latent_group(self) -> int:
        """The length of a canonical chunk in latent frames."""
        return 1 if self.config.window is None else self.config.window // self.space.strides[0]

    def _parts(self, batch: Tensor) -> Iterable[Tensor]:
        """Cut a batch into what is computed at once: single clips on a CPU, where another batch rounds differently."""
        return batch.split(1) if self.device.type == "cpu" else (batch,)

    def _encode(self, clips: Tensor, tiles: Tiles) -> Tensor:
        clips = pad_to(clips, self.space.valid_size(_size(clips)))
        lengths = chunk_lengths(clips.shape[2], self.space.strides[0], self.config.window)
        latents = tiles.map(clips, itertools.repeat(partial(self._chunk_by_chunk, self._encode_chunk, lengths)))
        return torch.cat([self._quantize(chunk) for chunk in latents.split(self._latent_group, dim=2)], dim=1)

    def _decode(self, ids: Tensor, num_bits: int | None, tiles: Tiles) -> Tensor:
        network = partial(self._decode_chunk, num_bits=num_bits)
        clips = tiles.map(ids[:, None], itertools.repeat(partial(self._chunk_by_chunk, network, self._latent_group)))
        return clips.clamp_(-1, 1)

    def _chunk_by_chunk(self, network: Network, lengths: int | list[int], x: Tensor) -> Tensor:
        """Return what `network` makes of x, cut along time; nothing is remembered where nothing follows."""
        chunks = x.split(lengths, dim=2)
        memory = self._memory() if len(chunks) > 1 else None
        return torch.cat([network(chunk, memory=memory) for chunk in chunks], dim=2)

    def _placed(self, x: Tensor) -> Tensor:
        return x.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last_3d)

    @torch.no_grad()
    def _encode_chunk(self, chunk: Tensor, memory: Memory | None) -> Tensor:
        latents: Tensor = self.encoder(self._placed(chunk), memory)
        return latents

    @torch.no_grad()
    def _quantize(self, latents: Tensor) -> Tensor:
        ids: Tensor = self.quantizer(latents.permute(0, 2, 3, 4, 1)).ids
        return ids

    @torch.no_grad()
    def _decode_chunk(self, ids: Tensor, memory: Memory | None, num_bits: int | None) -> Tensor:
        codes = self.quantizer.ids_to_codes(ids[:, 0].to(self.device), self.dtype)
        if num_bits is not None:
            codes[..., num_bits:] = 0
        clips: Tensor = self.decoder(self._placed(codes.permute(0, 4, 1, 2, 3)), memory)
        return clips.float()

    def _check_ids(self, ids: Tensor, size: Size | None, num_bits: int | None) -> None:
        if ids.ndim != 4 or ids.is_floating_point() or ids.numel() == 0:
            raise InputError(f"ids {tuple(ids.shape)} of {ids.dtype}: expected integers [b, t, h, w], none of them 0")
        self.space.check(ids)
        if num_bits is not None and not 1 <= num_bits <= self.space.num_bits:
            raise InputError(f"num_bits = {num_bits}: expected 1 to {self.space.num_bits}")
        grid = (ids.shape[1], ids.shape[2], ids.shape[3])
        if size is not None and self.space.grid_for(size) != grid:
            full = self.space.size_for(grid)
            raise InputError(f"size {size} does not belong to ids of grid {grid}, which decode to {full}")


Quantizer = LFQ | BSQ | FSQ | VQ
"""What all of them do: latents to `Quantized`, and ids back to codes."""


def make_quantizer(config: TokenizerConfig) -> Quantizer:
    """Build the quantizer that a configuration names."""
    makers: dict[str, Callable[[], Quantizer]] = {
        "lfq": lambda: LFQ(config.num_bits, normalize=config.normalize_latents),
        "bsq": lambda: BSQ(config.num_bits),
        "fsq": lambda: FSQ(config.levels),
        "vq": lambda: VQ(config.codebook_size, config.codebook_dim),
    }
    return makers[config.quantizer]()


def pad_to(clips: Float[Tensor, "b c T H W"], size: Size) -> Float[Tensor, "b c U Y X"]:
    """Replicate the last frame, row and column of clips until they have `size` = (T, H, W)."""
    frames, rows, columns = (want - have for want, have in zip(size, _size(clips), strict=True))
    if not (frames or rows or columns):
        return clips
    return functional.pad(clips, (0, columns, 0, rows, 0, frames), mode="replicate")


def _check_clips(clips: Tensor) -> None:
    if clips.ndim != 5 or clips.shape[1] != 3 or not clips.is_floating_point() or clips.numel() == 0:
        raise InputError(
            f"clips {tuple(clips.shape)} of {clips.dtype}: expected floats [b, 3, T, H, W] in [-1, 1]; "
            "an image is a clip of one frame"
        )
    _check_finite(clips, "clips hold")


def _grouped(items: Iterable[Tensor], lengths: Iterable[int]) -> Iterator[list[Tensor]]:
    """Yield the items in groups of the given lengths; the last one may be short."""
    rest = iter(items)
    for length in lengths:
        group = list(itertools.islice(rest, length))
        if not group:
            return
        yield group


def _checked(frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """Pass frames on, as long as they are what they should be; at least one."""
    shape: torch.Size | None = None
    for frame in frames:
        shape = shape or frame.shape
        _check_frame(frame, shape)
        yield frame
    if shape is None:
        raise InputError("no frames: expected at least one frame [3, H, W]")


def _check_frame(frame: Tensor, shape: torch.Size) -> None:
    if frame.ndim != 3 or frame.shape[0] != 3 or not frame.is_floating_point() or frame.shape != shape:
        raise InputError(f"frame {tuple(frame.shape)} of {frame.dtype}: expected floats [3, H, W], all of one size")
    _check_finite(frame, "a frame holds")


def _check_finite(pixels: Tensor, subject: str) -> None:
    """Refuse NaN and infinity in the host's memory; to look into a device's would be to wait for its stream."""
    if pixels.device.type == "cpu" and not (pixels.amin().isfinite() and pixels.amax().isfinite()):  # copies nothing
        raise InputError(f"{subject} NaN or infinity: expected finite numbers in [-1, 1]")


def _size(clips: Tensor) -> Size:
    return clips.shape[2], clips.shape[3], clips.shape[4]
