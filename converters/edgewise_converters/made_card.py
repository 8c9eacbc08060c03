"""The card of a written model: what is known of the conversion, and what its maker says."""

from edgewise.detection_card import DetectionCard
from edgewise.model_card import OBJECT_DETECTION, POSE_ESTIMATION, ModelCard
from edgewise_converters import cards
from edgewise_converters.described import Description, feedback_of
from edgewise_converters.plan import Plan
from edgewise_converters.request import Request
from edgewise_converters.targets import Target


def made_card(
    request: Request,
    said: Description,
    plan: Plan,
    target: Target,
    precision: str,
    tensors: cards.Tensors,
) -> ModelCard:
    """Without what is measured. Raises ConversionError where what is said does not fit the model."""
    head = request.head
    inputs = said.with_inputs(tensors.inputs)
    detection, pose = said.detection, said.pose
    if head and plan.task == OBJECT_DETECTION:
        detection = DetectionCard(head)
    if head and plan.task == POSE_ESTIMATION:
        pose = cards.pose_card(head, tensors.outputs[0].shape, len(plan.labels))
    return ModelCard(
        name=request.source.stem,
        task=plan.task,
        detection=detection,
        pose=pose,
        anomaly=said.anomaly,
        text=said.text,
        feedback=feedback_of({**said.feedback, **request.feedback}, inputs, tensors.outputs),
        inputs=inputs,
        outputs=tensors.outputs,
        labels=plan.labels,
        target=target.name,
        precision=precision,
        runtimes=target.runtimes,
        source=cards.source_of(plan.source),
        tools=cards.tool_versions() | dict(plan.source.tools),
        command=request.command,
        licence=request.licence,
    )
