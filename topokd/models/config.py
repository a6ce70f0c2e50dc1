"""The shape of a Point Transformer V3."""

from __future__ import annotations

from dataclasses import dataclass

from topokd.errors import ParameterError
from topokd.models.serialization import CURVES
from topokd.options import flag, number, whole

LARGEST_PATCH = 1 << 16  # voxels: attention takes the square of it, and published networks have 1024
KINDS = ("both", "convolution", "attention")  # layers of a block


@dataclass(frozen=True)
class Config:
    """Depths, widths and options of a network. Decoder entries run from the finest stage to the coarsest.

    The paper does not state that order; see docs/paper_notes.md, row 9.

    Attributes:
        enc_depths: blocks of each encoder stage.
        enc_channels: channels of each encoder stage.
        enc_num_head: attention heads of each encoder stage.
        dec_depths: blocks of each decoder stage.
        dec_channels: channels of each decoder stage.
        dec_num_head: attention heads of each decoder stage.
        patch_size: voxels of an attention patch.
        stride: how many times larger the voxels of the next encoder stage are, powers of two.
        mlp_ratio: hidden width of the MLPs in multiples of the channels.
        drop_path: rate of stochastic depth of the deepest block; it rises linearly from 0.
        drop_path_per: "voxel" as published, or "cloud".
        orders: space-filling curves that the blocks follow, in turn.
        shuffle_orders: shuffle the curves at each stage in training mode.
        enc_blocks: layers of the blocks of each encoder stage: "both" (convolution, attention and MLP) as in PTv3,
            "convolution", or "attention" (attention and MLP); empty: both in every stage.
        rope_base: base of the rotary position embedding of the "attention" blocks, which have no convolution to encode
            positions; 0: none.
        patching: "per_cloud" (as flash-attention computes), or "batch": one patch size for all clouds, as the
            published code without flash-attention.

    Raises:
        ParameterError: for values that no network can be built from.

    Examples:
        >>> Config((1, 1), (16, 32), (2, 4), (1,), (16,), (2,), stride=(2,)).patch_size
        1024
    """

    enc_depths: tuple[int, ...]
    enc_channels: tuple[int, ...]
    enc_num_head: tuple[int, ...]
    dec_depths: tuple[int, ...]
    dec_channels: tuple[int, ...]
    dec_num_head: tuple[int, ...]
    patch_size: int = 1024
    stride: tuple[int, ...] = (2, 2, 2, 2)
    mlp_ratio: int = 4
    drop_path: float = 0.3
    drop_path_per: str = "voxel"
    orders: tuple[str, ...] = CURVES
    shuffle_orders: bool = True
    patching: str = "per_cloud"
    enc_blocks: tuple[str, ...] = ()
    rope_base: float = 0.0

    def __post_init__(self) -> None:
        for name, known in (("patching", ("per_cloud", "batch")), ("drop_path_per", ("voxel", "cloud"))):
            if getattr(self, name) not in known:
                raise ParameterError(f"{name} is {getattr(self, name)!r}: choose {' or '.join(known)}")
        for name in (
            "enc_depths",
            "enc_channels",
            "enc_num_head",
            "dec_depths",
            "dec_channels",
            "dec_num_head",
            "stride",
        ):
            values = getattr(self, name)
            if not isinstance(values, tuple | list):
                raise ParameterError(f"{name} is {values!r}: give a whole number per stage")
            for value in values:
                whole(value, name, least=0, most=1 << 20)
        whole(self.patch_size, "patch_size", most=LARGEST_PATCH), whole(self.mlp_ratio, "mlp_ratio", most=1024)
        flag(self.shuffle_orders, "shuffle_orders")
        number(self.drop_path, "drop_path"), number(self.rope_base, "rope_base", most=1e6)
        if self.drop_path >= 1:
            raise ParameterError(f"drop_path is {self.drop_path}: it must be below 1")
        if not self.orders:
            raise ParameterError(f"orders is empty: give at least one of {', '.join(CURVES)}")
        if unknown := [str(order) for order in self.orders if order not in CURVES]:
            raise ParameterError(f"orders holds unknown curves ({', '.join(unknown)}): choose from {', '.join(CURVES)}")
        for stride in self.stride:
            if stride < 2 or stride & (stride - 1):
                raise ParameterError(f"stride holds {stride}: each must be a power of two, at least 2")
        self._check_lengths()
        self._check_blocks()
        for side in ("enc", "dec"):
            for channels, heads in zip(
                getattr(self, f"{side}_channels"), getattr(self, f"{side}_num_head"), strict=True
            ):
                if heads < 1 or channels < 1 or channels % heads:
                    raise ParameterError(f"{side}_channels: {channels} channels cannot be split over {heads} heads")

    def blocks_of(self, stage: int) -> str:
        """Layers of the blocks of an encoder stage."""
        return self.enc_blocks[stage] if self.enc_blocks else "both"

    def _check_blocks(self) -> None:
        if self.enc_blocks and len(self.enc_blocks) != len(self.enc_depths):
            raise ParameterError(
                f"enc_blocks has {len(self.enc_blocks)} entries: give {len(self.enc_depths)}, as enc_depths"
            )
        if unknown := [str(kind) for kind in self.enc_blocks if kind not in KINDS]:
            raise ParameterError(f"enc_blocks holds {', '.join(unknown)}: choose from {', '.join(KINDS)}")
        for channels, heads, kind in zip(self.enc_channels, self.enc_num_head, self.enc_blocks, strict=False):
            if self.rope_base and kind == "attention" and channels // heads % 6:
                raise ParameterError(
                    f"enc_channels: {channels} channels are {channels // heads} for each of {heads} heads, but "
                    "rope_base needs a multiple of 6: a pair for each of x, y, z"
                )

    def _check_lengths(self) -> None:
        stages = len(self.enc_depths)
        for name in ("enc_channels", "enc_num_head", "stride", "dec_depths", "dec_channels", "dec_num_head"):
            needed = stages if name.startswith("enc") else stages - 1
            if len(getattr(self, name)) != needed:
                raise ParameterError(
                    f"{name} has {len(getattr(self, name))} entries, but enc_depths has {stages}: give {needed}"
                )
