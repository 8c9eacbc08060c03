"""Which class a sample really is of: from the folder its picture lies in, or from an array beside the inputs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgewise.tensors import Array
from edgewise_converters.errors import InvalidSamples

TRUTH_ARRAYS = ("labels", "y")
"""Names under which an .npz file holds one class index a sample."""


def classes_by_folder(
    root: Path, files: Sequence[Path], labels: Sequence[str]
) -> tuple[list[int | None], str]:
    """The class of each file by the folder right below ``root`` that it lies in, and what to tell of it.

    A folder counts whose name is a label, or else one but for capitals. None where there is no such folder.
    """
    exact = {label: index for index, label in enumerate(labels)}
    folded = {label.casefold(): index for label, index in exact.items()}
    folders = [parts[0] if len(parts := file.relative_to(root).parts) > 1 else "" for file in files]
    known = {name: exact.get(name, folded.get(name.casefold())) for name in set(folders) if name}
    found = [name for name, index in known.items() if index is not None]
    strange = sorted(name for name, index in known.items() if index is None)
    said = ""
    if found and strange:
        said = f"samples: folders that are no label of --labels tell no class: {', '.join(strange[:5])}"
        said += f" and {len(strange) - 5} more" if len(strange) > 5 else ""
    return [known.get(name) for name in folders], said


def classes_in_archive(
    file: Path, arrays: Mapping[str, Array], taken: set[str], count: int
) -> list[int | None]:
    """The classes an .npz file holds for its ``count`` samples; None each without such an array.

    ``taken`` are the names of inputs. Raises InvalidSamples for an array that cannot be it.
    """
    name = next((name for name in TRUTH_ARRAYS if name in arrays and name not in taken), None)
    if name is None:
        return [None] * count
    truths = arrays[name]
    if truths.dtype.kind not in "iu" or truths.size != count:
        raise InvalidSamples(
            f"samples: {file.name}, '{name}': got {truths.dtype} {truths.shape}, expected {count} integers, "
            "the class of each sample"
        )
    return [int(truth) for truth in truths.reshape(-1)]
