from edgewise_messages.metrics import BY_NAME, STANDARD, Kind

SUFFIXES = {"%": "_percent", "ms": "_ms", "B": "_bytes", "s": "_s", "1/s": "_per_s", "°C": "_c"}


def test_every_standard_metric_has_a_name_of_its_own_and_a_meaning() -> None:
    assert len(BY_NAME) == len(STANDARD)
    assert all(metric.meaning and metric.kind in Kind for metric in STANDARD)


def test_a_metric_with_a_unit_says_it_in_its_name() -> None:
    for metric in STANDARD:
        if metric.unit in SUFFIXES:
            assert metric.name.endswith(SUFFIXES[metric.unit]), metric.name


def test_names_fit_the_schema() -> None:
    assert all(0 < len(metric.name) <= 128 for metric in STANDARD)
