"""Frozen networks and what they see in frames: loaded from files that the caller has, never shipped, never fetched.

Every network is a plain module of ours whose parameters are called what the standard weight file calls them. A file
that is not there raises MissingNetworkError ("needs FILE in DIR"), and nothing takes its place: the substitutes have
names of their own.
"""

from magvit2.features.embeddings import (
    Embedding,
    InceptionNetwork,
    MobileNetEmbedding,
    PortedI3D,
    ScriptedI3D,
    load_inception,
    load_mobilenet_embedding,
    load_ported_i3d,
    load_scripted_i3d,
)
from magvit2.features.files import NO_NETWORKS, FoundFile, MissingNetworkError, NetworkFile, find_network, open_network
from magvit2.features.logits import LogitDistance, load_resnet50_logits
from magvit2.features.perceptual import (
    FrameDistance,
    LPIPSNet,
    load_lpips,
    load_psq,
    load_resnet50_v2_distance,
)
from magvit2.features.resnet import load_resnet50, load_resnet50_v2

__all__ = [
    "NO_NETWORKS",
    "Embedding",
    "FoundFile",
    "FrameDistance",
    "InceptionNetwork",
    "LPIPSNet",
    "LogitDistance",
    "MissingNetworkError",
    "MobileNetEmbedding",
    "NetworkFile",
    "PortedI3D",
    "ScriptedI3D",
    "find_network",
    "load_inception",
    "load_lpips",
    "load_mobilenet_embedding",
    "load_ported_i3d",
    "load_psq",
    "load_resnet50",
    "load_resnet50_logits",
    "load_resnet50_v2",
    "load_resnet50_v2_distance",
    "load_scripted_i3d",
    "open_network",
]
