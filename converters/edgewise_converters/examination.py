"""What a conversion asks all samples, beside those it verifies on: accuracy, and what the device should expect."""

from edgewise.drift_baseline import DriftBaseline
from edgewise.model_card import IMAGE_EMBEDDING, ModelCard
from edgewise_converters.baseline import BaselineObserver
from edgewise_converters.plan import Plan
from edgewise_converters.progress import Progress
from edgewise_converters.reference import Reference
from edgewise_converters.survey import Accuracy, Survey
from edgewise_converters.verify import open_runtime


def begin_survey(
    plan: Plan, reference: Reference, max_drop: float | None, progress: Progress
) -> Survey | None:
    """The original's first answers to all samples, where accuracy or a largest drop is to be told.

    None for random inputs. Raises InvalidSamples where they are too few to show ``max_drop``.
    """
    if plan.held_out.is_noise:
        return None
    judge = plan.classifies and (bool(plan.samples.truths) or max_drop is not None)
    survey = Survey(plan.samples, plan.calibration, plan.held_out, judge=judge)
    progress.stage("Asking the original", len(survey.judged))
    survey.ask_original(reference, progress.tick)
    if max_drop is not None:
        survey.check_provable(max_drop)
    return survey


def examine(
    survey: Survey, network: bytes, runtime: str, plan: Plan, card: ModelCard, progress: Progress
) -> tuple[DriftBaseline | None, Accuracy | None]:
    """What a network does on all samples."""
    progress.stage("Asking all samples", len(survey.asked))
    activation = card.outputs[0].activation
    observer = BaselineObserver(
        classifies=plan.classifies,
        activation=activation,
        inputs=card.inputs,
        embeds=card.task == IMAGE_EMBEDDING,
    )
    backend = open_runtime(network, runtime)
    found = survey.of_network(backend, plan.layouts, observer, progress.tick)
    backend.close()
    return found


def too_much_lost(precision: str, accuracy: Accuracy | None, max_drop: float | None) -> str:
    """What to say where more may be lost than was allowed; "" where all is well."""
    if max_drop is None or accuracy is None or accuracy.drop_bound <= max_drop:
        return ""
    lost = "of top-1 accuracy" if accuracy.labelled else "of first answers"
    return (
        f"{precision}: up to {accuracy.drop_bound:.1%} {lost} may be lost (one-sided 95 % bound over "
        f"{accuracy.samples} samples), --max-drop allows {max_drop:.3g}"
    )
