"""The visible loop: mini-batches, weighted loss, schedule, clipping, early stopping on the tune part, checkpoints.

The loop knows nothing of light curves: it gets a module that maps (values, lengths, extra) to (N, 1) or (N, 2),
tensors, and settings. One fresh optimiser and one fresh generator per call.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from photfeh.core.errors import BadInput, UnknownName
from photfeh.core.files import written
from photfeh.core.fingerprint import fingerprint
from photfeh.models.protocols import Penalised, Prepares

__all__ = ["Batch", "FitConfig", "FitResult", "fit_network", "predict_network", "seeded"]

CHECKPOINT_SECONDS = 30.0
"""Shortest time between two checkpoints."""


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Settings of :func:`fit_network`.

    ``batch_size``: stars a step at most; a sample of less than eight batches is cut into smaller ones.
    ``schedule``: ``one-cycle`` (linear warm-up over a tenth of the epochs, cosine to zero; Smith 2018) or ``constant``
    (the founding recipe). ``patience``: epochs without a new best tune loss before stopping. ``clip``: largest gradient
    norm. ``seed`` rules initial weights, dropout and batch order. ``precision``: ``float32``, or ``mixed`` (bfloat16
    matrix products where torch deems them safe). On a GPU torch rounds what goes into convolutions and recurrent layers
    to TF32, ten bits, also in ``float32``.
    """

    epochs: int = 80
    batch_size: int = 64
    learning_rate: float = 0.01
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    weight_decay: float = 0.0
    patience: int = 30
    min_delta: float = 1e-5
    clip: float = 1.0
    seed: int = 0
    device: str = "cpu"
    precision: Literal["float32", "mixed"] = "float32"

    def __post_init__(self) -> None:
        for name, known in (("schedule", ("one-cycle", "constant")), ("precision", ("float32", "mixed"))):
            if getattr(self, name) not in known:
                raise UnknownName(name, str(getattr(self, name)), known)
        usable_device(self.device)

    def rate(self, progress: float) -> float:
        """Learning rate when the fraction ``progress`` of all steps is done."""
        if self.schedule == "constant":
            return self.learning_rate
        warm = 0.1
        if progress < warm:
            return self.learning_rate * (0.04 + 0.96 * progress / warm)
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * (progress - warm) / (1.0 - warm)))


def usable_device(name: str) -> torch.device:
    """The torch device of this name.

    Raises
    ------
    BadInput
        if torch knows no such device, or the machine has none.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BadInput(f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); take cpu.") from error
    return device


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of torch from this seed within the block; afterwards the caller's go on, also those of GPUs."""
    gpus = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(seed)
        yield


def _autocast(device: str, precision: str) -> torch.autocast:
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "mixed")


@dataclass(frozen=True)
class Batch:
    """Tensors of N stars: values (N, T, C), lengths (N,), extra (N, E), target (N,), weight (N,)."""

    values: Tensor
    lengths: Tensor
    extra: Tensor
    target: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, index: Tensor) -> Batch:
        """The stars ``index``."""
        return Batch(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def to(self, device: str) -> Batch:
        """The same on another device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


@dataclass
class FitResult:
    """What :func:`fit_network` did: one history row per epoch, the best epoch, and whether it stopped early.

    ``tune_rmse`` of a row is that of the mean, in units of the target as given, also where the loss is a likelihood.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best_loss: float = math.inf
    stopped_early: bool = False


def loss_of(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted squared error for one output column; for two, mean and log sigma, Gaussian negative log-likelihood."""
    error = (output[:, 0] - target) ** 2
    if output.shape[1] == 2:
        log_sigma = output[:, 1].clamp(-5.0, 3.0)
        error = 0.5 * error * torch.exp(-2.0 * log_sigma) + log_sigma
    return (weight * error).sum() / weight.sum()


def fit_network(
    module: nn.Module,
    train: Batch,
    tune: Batch,
    config: FitConfig,
    *,
    augment: Callable[[Batch, torch.Generator], Batch] | None = None,
    checkpoint: Path | None = None,
    made_of: str = "",
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> FitResult:
    """Train ``module`` in place and leave it with the weights of the best tune loss.

    With ``checkpoint`` (a file) the state is written every half minute, and a later call with the same architecture,
    data and settings goes on from there; the result is the same as without the interruption. ``made_of`` tells fits
    apart that differ in nothing else, such as in their ``augment``.

    Raises
    ------
    BadInput
        if a part is empty, or the loss stops being finite.
    """
    if not len(train) or not len(tune):
        raise BadInput(f"training needs stars to train and to tune on, found {len(train)} and {len(tune)}.")
    train, tune = train.to(config.device), tune.to(config.device)
    module.to(config.device)
    optimiser = torch.optim.AdamW(
        module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    generator = torch.Generator().manual_seed(config.seed)
    result, best, prepared = FitResult(), _snapshot(module), dict[int, Tensor]()
    with seeded(config.seed + 1):
        identity, saved = "", time.monotonic()
        if checkpoint is not None:
            identity = _identity(module, optimiser, train, tune, config, made_of)
            result, best = _resume(checkpoint, module, optimiser, generator, config, identity)
        for epoch in range(len(result.history), config.epochs):
            if result.stopped_early:
                break
            row = _one_epoch(module, optimiser, train, tune, prepared, config, epoch, generator, augment)
            result.history.append(row)
            if not math.isfinite(row["tune_loss"]):
                raise BadInput(
                    f"the loss is not finite in epoch {epoch}: lower learning_rate ({config.learning_rate})."
                )
            if row["tune_loss"] < result.best_loss - config.min_delta:
                result.best_loss, result.best_epoch, best = row["tune_loss"], epoch, _snapshot(module)
            result.stopped_early = epoch - result.best_epoch >= config.patience
            if checkpoint is not None and time.monotonic() - saved >= CHECKPOINT_SECONDS:
                _save(checkpoint, module, optimiser, generator, result, best, identity)
                saved = time.monotonic()
            if on_epoch is not None:
                on_epoch(row)
    module.load_state_dict(best)
    return result


_CHUNK, _STEPS = 128, 16
"""Stars that are predicted at a time, and the multiple to which their numbers of steps are rounded up."""


def predict_network(
    module: nn.Module,
    batch: Batch,
    *,
    device: str = "cpu",
    precision: str = "float32",
    chunk: int = _CHUNK,
    prepared: dict[int, Tensor] | None = None,
) -> Tensor:
    """Outputs (N, 1) or (N, 2) on the CPU, in chunks of stars of like length, without gradients.

    The libraries behind a module round by the shape of what they get. So every chunk has one size, filled up by stars
    that are thrown away, and as many steps as the star itself decides, rounded up: its output is the same to the last
    bit alone, in any batch and in any order. ``prepared`` keeps, from one call to the next for the same batch, what
    the chunks are before anything trained sees them (:class:`Prepares`).
    """
    usable_device(device)
    module.to(device).eval()
    if not len(batch):
        return torch.zeros(0, 1)
    most = batch.values.shape[1]
    steps = (batch.lengths.clamp(min=1) + _STEPS - 1).div(_STEPS, rounding_mode="floor").mul(_STEPS).clamp(max=most)
    places, parts = list[Tensor](), list[Tensor]()
    with torch.inference_mode(), _autocast(device, precision):
        for n_steps in sorted(set(steps.tolist())):
            here = torch.nonzero(steps == n_steps)[:, 0]
            for rows in equal_chunks(len(here), chunk - 1):
                part = batch.rows(here[torch.cat([rows, rows[:1]])])
                lengths = part.lengths.clone()
                lengths[-1] = n_steps  # the last one is thrown away; modules cut at the longest star
                values = part.values[:, :n_steps].to(device)
                inputs = values, lengths.to(device), part.extra.to(device)
                parts.append(_of_chunk(module, len(parts), prepared, *inputs).float().cpu()[:-1])
            places.append(here.cpu())
            parts[-1] = parts[-1][: (len(here) - 1) % (chunk - 1) + 1]
    output = torch.cat(parts)
    return output[torch.argsort(torch.cat(places))]


def _of_chunk(
    module: nn.Module, number: int, prepared: dict[int, Tensor] | None, values: Tensor, lengths: Tensor, extra: Tensor
) -> Tensor:
    if prepared is None or not isinstance(module, Prepares):
        return torch.as_tensor(module(values, lengths, extra))
    if number not in prepared:
        prepared[number] = module.prepare(values, lengths)
    return module.read(prepared[number], extra)


def equal_chunks(n: int, size: int) -> Iterator[Tensor]:
    """The numbers 0..n - 1 in chunks of one size; the last chunk is filled up with its first number."""
    for begin in range(0, n, size):
        rows = torch.arange(begin, begin + size)
        yield torch.where(rows < n, rows, begin)


def _one_epoch(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    train: Batch,
    tune: Batch,
    prepared: dict[int, Tensor],
    config: FitConfig,
    epoch: int,
    generator: torch.Generator,
    augment: Callable[[Batch, torch.Generator], Batch] | None,
) -> dict[str, float]:
    started = time.perf_counter()
    module.train()
    losses, masses = list[Tensor](), list[Tensor]()  # where they are: nobody waits for a GPU within an epoch
    batches = list(_batches(len(train), config.batch_size, generator))
    for step, index in enumerate(batches):
        rate = config.rate((epoch + step / len(batches)) / config.epochs)
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch = train.rows(index.to(config.device))
        if augment is not None:
            batch = augment(batch, generator)
        optimiser.zero_grad(set_to_none=True)
        with _autocast(config.device, config.precision):
            output = module(batch.values, batch.lengths, batch.extra)
        loss = loss_of(output.float(), batch.target, batch.weight)
        penalty = module.penalty() if isinstance(module, Penalised) else 0.0
        (loss + penalty).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(module.parameters(), config.clip)
        optimiser.step()
        losses.append(loss.detach())
        masses.append(batch.weight.sum())
    loss, mass = (torch.stack(parts).cpu().double() for parts in (losses, masses))
    output = predict_network(module, tune, device=config.device, precision=config.precision, prepared=prepared)
    output = output.to(config.device)
    tune_loss = float(loss_of(output, tune.target, tune.weight))
    tune_mse = float(loss_of(output[:, :1], tune.target, tune.weight))
    return {
        "epoch": float(epoch),
        "train_loss": float((loss * mass).sum() / mass.sum()),
        "tune_loss": tune_loss,
        "tune_rmse": math.sqrt(tune_mse) if math.isfinite(tune_mse) else math.nan,
        "learning_rate": rate,
        "seconds": time.perf_counter() - started,
    }


def _batches(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Random order, batches of nearly equal size so that no tiny rest distorts a step.

    A small sample is cut into eight batches, as long as eight stars are in each: otherwise its few steps teach nothing.
    """
    order = torch.randperm(n, generator=generator)
    return iter(torch.tensor_split(order, max(1, round(n / size), min(8, n // 8))))


def _device_of(module: nn.Module) -> torch.device:
    """Where the parameters of a module are."""
    return next(module.parameters()).device


def _snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


# ---------------------------------------------------------------------- checkpoints: one safetensors file, no pickles
def _identity(
    module: nn.Module, optimiser: torch.optim.Optimizer, train: Batch, tune: Batch, config: FitConfig, made_of: str
) -> str:
    """Fingerprint of what a checkpoint belongs to: architecture, optimiser, recipe and data."""
    tensors = [getattr(part, name).cpu().numpy() for part in (train, tune) for name in Batch.__dataclass_fields__]
    shapes = {name: str(tuple(value.shape)) for name, value in module.state_dict().items()}
    return fingerprint(str(module), shapes, type(optimiser), config, tensors, made_of, torch.__version__)


def _save(
    path: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    result: FitResult,
    best: dict[str, Tensor],
    identity: str,
) -> None:
    """Write the state after an epoch, whole or not at all."""
    tensors = {f"module.{name}": value.cpu().clone() for name, value in module.state_dict().items()}
    tensors |= {f"best.{name}": value.cpu().clone() for name, value in best.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value).cpu().clone() for name, value in state.items()}
    tensors["rng.batches"], tensors["rng.dropout"] = generator.get_state(), torch.get_rng_state()
    if _device_of(module).type == "cuda":
        tensors["rng.gpu"] = torch.cuda.get_rng_state(_device_of(module))
    with written(path) as beside:
        beside.write_bytes(to_bytes(tensors, {"identity": identity, "result": json.dumps(asdict(result))}))


def _resume(
    path: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    config: FitConfig,
    identity: str,
) -> tuple[FitResult, dict[str, Tensor]]:
    """The state of an earlier call; a fresh one where there is none, or only that of another fit."""
    try:
        with safe_open(str(path), "pt") as opened:
            metadata = opened.metadata() or {}
            same = metadata.get("identity") == identity
            tensors = {name: opened.get_tensor(name) for name in opened.keys()} if same else {}  # noqa: SIM118
    except (OSError, SafetensorError):
        return FitResult(), _snapshot(module)
    if not same:
        return FitResult(), _snapshot(module)
    module.load_state_dict({name[7:]: value for name, value in tensors.items() if name.startswith("module.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    generator.set_state(tensors["rng.batches"])
    torch.set_rng_state(tensors["rng.dropout"])
    if "rng.gpu" in tensors:
        torch.cuda.set_rng_state(tensors["rng.gpu"], _device_of(module))
    best = {name[5:]: value.to(config.device) for name, value in tensors.items() if name.startswith("best.")}
    return FitResult(**json.loads(metadata["result"])), best
