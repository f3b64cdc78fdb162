"""The evaluation of a network on the test set, by all ranks of a run together."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_ablations.data.batches import Batches
from resnet_ablations.probe.responses import Response, recorded_responses, response_metrics
from resnet_ablations.sums import device_of_sums, in_float64
from resnet_ablations.training.ranks import Ranks
from resnet_ablations.training.step import loss_and_errors


class Evaluation(NamedTuple):
    """A network in evaluation mode, each rank's share of the test set, and the device on which it computes."""

    network: nn.Module
    batches: Batches
    ranks: Ranks
    device: torch.device

    def loss_and_error(self) -> tuple[float, float]:
        """Return cross-entropy and error (%)."""
        sums = summed_loss_and_errors(self.network, self.batches, self.device)
        self.ranks.all_reduce_sum(sums)
        loss, errors, count = sums.tolist()
        return loss / count, 100 * errors / count

    def metrics(self) -> tuple[dict[str, float], list[Response]]:
        """Return the metrics of a finished run, and the response of each layer."""
        with recorded_responses(self.network) as responses:
            _, top5_error = self._errors(([images[:, None]], labels) for images, labels in self.batches.test())
        for response in responses:
            response.totals = response.totals.to(device_of_sums(self.device))
            self.ranks.all_reduce_sum(response.totals)
        metrics = response_metrics(responses) | ({"top5_error": top5_error} if self.batches.top5 else {})
        for name, crops in self.batches.protocols().items():
            metrics[f"{name}_error"], metrics[f"{name}_top5_error"] = self._errors(crops())
        return metrics, responses

    def _errors(self, batches: Iterable[tuple[list[Tensor], Tensor]]) -> tuple[float, float]:
        """Return top-1 and top-5 error (%) by the mean softmax over all crops of an image."""
        wrong = torch.zeros(3, dtype=torch.float64, device=device_of_sums(self.device))
        for groups, labels in batches:
            logits = [self.network(crops.flatten(0, 1)).unflatten(0, crops.shape[:2]) for crops in groups]
            scores = torch.cat(logits, dim=1).float().softmax(2).mean(1)
            hits = scores.topk(min(5, scores.shape[1])).indices == labels[:, None]
            wrong[:2] += in_float64(torch.stack([(~hits[:, 0]).sum(), (~hits.any(1)).sum()]))
            wrong[2] += len(labels)
        self.ranks.all_reduce_sum(wrong)
        top1, top5 = (100 * wrong[:2] / wrong[2]).tolist()
        return top1, top5


def summed_loss_and_errors(network: nn.Module, batches: Batches, device: torch.device) -> Tensor:
    """Return the summed cross-entropy, the number of errors and the number of images of the test set, in float64."""
    sums = torch.zeros(3, dtype=torch.float64, device=device_of_sums(device))
    for images, labels in batches.test():
        logits = network(images)
        loss = F.cross_entropy(logits, labels, reduction="sum")
        sums[:2] += loss_and_errors(loss, logits, labels)
        sums[2] += len(labels)
    return sums
