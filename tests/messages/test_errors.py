import pytest

from edgewise_messages import InvalidTopic, MalformedMessage, MessageError, UnsupportedVersion


@pytest.mark.parametrize("kind", [InvalidTopic, MalformedMessage, UnsupportedVersion])
def test_every_error_is_a_message_error_and_a_value_error(kind: type[Exception]) -> None:
    assert issubclass(kind, MessageError)
    assert issubclass(kind, ValueError)
    assert MessageError.exit_code == 1
