"""What can go wrong with a model, its card, its runtime and its inputs.

EdgewiseError
├── ModelFileError (ValueError)        missing, empty, truncated, or not a model we can read
├── CardError (ValueError)             the card in a model file is malformed, or says too little for the call
├── BackendUnavailable (RuntimeError)  no runtime on this machine can run the file
│   └── DelegateUnavailable            the delegate asked for cannot be loaded here, or refuses the file
├── ModelCrashed (RuntimeError)        the file ends, hangs or fills the process that runs it
├── SourceError (RuntimeError)         a camera, microphone, folder or file cannot be read, or has gone away
└── InvalidInput (ValueError)          what was given to the model does not fit it
    ├── ShapeMismatch                  an array of another shape
    └── UnreadableImage                a picture that is missing, broken, or too large to be sensible
"""


class EdgewiseError(Exception):
    """Base of everything this package raises."""

    exit_code = 1
    """What the `edgewise` command ends with when it meets this error."""


class ModelFileError(EdgewiseError, ValueError):
    """A file that is missing, empty, truncated, or not a model that can be read. Get another file."""


class CardError(EdgewiseError, ValueError):
    """A model card with a wrong field, or one that lacks what a call needs."""


class BackendUnavailable(EdgewiseError, RuntimeError):
    """No runtime here can run the file. Install one; the message says which."""


class DelegateUnavailable(BackendUnavailable):
    """A delegate that cannot be loaded, refuses the file or computes it wrongly. Do without it, or repair it."""


class ModelCrashed(EdgewiseError, RuntimeError):
    """A model that killed its runtime, ran into its time limit or out of memory, in a process of its own."""


class SourceError(EdgewiseError, RuntimeError):
    """What a stream reads from is missing, broken or gone, or the library for it is not installed. Repair, retry."""


class InvalidInput(EdgewiseError, ValueError):
    """An input of the wrong name, type, or kind. Repair the input."""


class ShapeMismatch(InvalidInput):
    """An input array of another shape than the model's."""


class UnreadableImage(InvalidInput):
    """A picture that is missing, broken, or larger than is sensible. Skip it."""
