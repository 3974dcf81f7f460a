"""LPIPS's backbones again, as plain function calls on a state dict."""

import torch
from torch import Tensor
from torch.nn import functional as F


def alexnet_slices(w: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    first = F.relu(F.conv2d(x, w["features.0.weight"], w["features.0.bias"], 4, 2))
    second = F.relu(F.conv2d(F.max_pool2d(first, 3, 2), w["features.3.weight"], w["features.3.bias"], 1, 2))
    third = F.relu(F.conv2d(F.max_pool2d(second, 3, 2), w["features.6.weight"], w["features.6.bias"], 1, 1))
    fourth = F.relu(F.conv2d(third, w["features.8.weight"], w["features.8.bias"], 1, 1))
    return [
        first,
        second,
        third,
        fourth,
        F.relu(F.conv2d(fourth, w["features.10.weight"], w["features.10.bias"], 1, 1)),
    ]


def alexnet_logits(w: dict[str, Tensor], x: Tensor) -> Tensor:
    x = F.adaptive_avg_pool2d(F.max_pool2d(alexnet_slices(w, x)[-1], 3, 2), (6, 6)).flatten(1)
    x = F.relu(F.linear(x, w["classifier.1.weight"], w["classifier.1.bias"]))
    x = F.relu(F.linear(x, w["classifier.4.weight"], w["classifier.4.bias"]))
    return F.linear(x, w["classifier.6.weight"], w["classifier.6.bias"])


def vgg_slices(w: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    outputs = []
    for block in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)):
        for index in block:
            x = F.relu(F.conv2d(x, w[f"features.{index}.weight"], w[f"features.{index}.bias"], 1, 1))
        outputs.append(x)
        x = F.max_pool2d(x, 2, 2)
    return outputs


def squeezenet_slices(w: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    def fire(x: Tensor, name: int) -> Tensor:
        x = F.relu(F.conv2d(x, w[f"features.{name}.squeeze.weight"], w[f"features.{name}.squeeze.bias"]))
        small = F.conv2d(x, w[f"features.{name}.expand1x1.weight"], w[f"features.{name}.expand1x1.bias"])
        large = F.conv2d(x, w[f"features.{name}.expand3x3.weight"], w[f"features.{name}.expand3x3.bias"], padding=1)
        return F.relu(torch.cat([small, large], 1))

    def pool(x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    outputs = [F.relu(F.conv2d(x, w["features.0.weight"], w["features.0.bias"], 2))]
    outputs.append(fire(fire(pool(outputs[0]), 3), 4))
    outputs.append(fire(fire(pool(outputs[1]), 6), 7))
    outputs.append(fire(pool(outputs[2]), 9))
    for name in (10, 11, 12):
        outputs.append(fire(outputs[-1], name))
    return outputs
