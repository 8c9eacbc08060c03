"""From a path to a model, with everything that an app may say about it."""

import os
from collections.abc import Sequence
from pathlib import Path

from edgewise.anomaly_card import AnomalyCard
from edgewise.child_limits import ChildLimits
from edgewise.delegate import AnyDelegate, as_delegate
from edgewise.detection_card import DetectionCard
from edgewise.errors import EdgewiseError
from edgewise.model import Model
from edgewise.opening import Opening
from edgewise.pose_card import PoseCard
from edgewise.tasks.base import Options, task_of_head
from edgewise.tasks.reading import Asked, Preprocess
from edgewise.threads import ThreadBudget, ThreadShare


def load(
    path: str | os.PathLike[str],
    *,
    backend: str | None = None,
    threads: int | ThreadBudget | ThreadShare | None = None,
    delegate: AnyDelegate | None = None,
    fallback: bool = True,
    weight_cache: str | os.PathLike[str] | None = None,
    warm_up: int = 0,
    preprocess: Preprocess | None = None,
    labels: Sequence[str] | None = None,
    task: str | None = None,
    head: str | DetectionCard | PoseCard | None = None,
    score_threshold: float | None = None,
    overlap_threshold: float | None = None,
    mask_resample: str = "nearest",
    anomaly: AnomalyCard | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    near_tie: float = 0.0,
    sha256: str | None = None,
    probe: bool | ChildLimits | None = None,
) -> Model:
    """Open a .tflite or .onnx file in the first runtime here that can run it. Close the model when done.

    ``backend`` asks for one runtime: litert, tflite-runtime or onnxruntime. ``threads`` is by default the
    number of cores, at most 4; a `ThreadBudget`, or a share of it, is what several models use together. A large JPEG
    is read in as many threads, with a budget in one.
    ``warm_up`` is how often it is run before it is returned, see `Model.warm_up`.

    ``delegate`` computes what it can of the file: edgetpu, gpu, a shared library or, for .onnx, an execution
    provider; see `Delegate`. It is tried in a child process first, like a ``probe``, unless that is False. When it
    cannot be used the processor is, a warning is logged, and `Model.placement` says why; without ``fallback``
    DelegateUnavailable is raised. ``weight_cache`` is a folder in which XNNPACK keeps packed weights for the next
    start; processes that load the same file share them. It needs litert, and inputs and outputs of fixed sizes.

    ``preprocess`` and ``labels`` say about a foreign file what it does not say
    itself; they win over what it does say, and so does the rest. ``task`` is one of
    `edgewise.model_card.TASKS`. ``head`` says how the outputs of a detector (see `DetectionCard`) or pose network
    (`PoseCard`) are decoded, and that it is one: yolov8, which both may end in, means a detector without ``task``.
    The thresholds, 0 to 1, say which boxes count.
    ``mask_resample`` is how a segmentation reaches the picture's size: nearest, or bilinear from logits.
    ``anomaly`` says what is normal; ``tokenizer`` is the tokenizer.json of a text model. ``near_tie``, 0 to 1: a
    large JPEG whose two best categories are no further apart is decoded again, at its full size, and answered anew.

    ``sha256`` is the digest that the file must have, 64 hexadecimal digits. With ``probe`` the file is first
    run in a child process, on zeros and on its golden cases, within a minute and the memory that is free, or
    within the ChildLimits given; a file that crashes its runtime is then an error like others. It is no
    sandbox. Raises ModelFileError, also for another digest and in a probe for other answers than promised,
    ModelCrashed, CardError, BackendUnavailable, InvalidInput.
    """
    wanted = task_of_head(head) if task is None else task
    options = Options(
        wanted, head, score_threshold, overlap_threshold, mask_resample, anomaly, tokenizer, near_tie
    )
    cache = None if weight_cache is None else Path(weight_cache)
    opening = Opening(backend, threads, as_delegate(delegate), fallback, cache)
    opened = opening.open(path, sha256=sha256, probe=probe)
    try:
        model = Model._of(opened, opening, Asked(preprocess, labels, options))
        if warm_up:
            model.warm_up(warm_up)
        return model
    except EdgewiseError:
        opened.close()
        raise
