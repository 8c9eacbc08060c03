"""Addresses of brokers."""

import pytest

from edgewise_fleet.broker_url import BrokerUrl, NodeTurns, is_loopback, join_broker_urls, parse_broker_url
from edgewise_fleet.errors import InvalidBrokerUrl


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mqtt://127.0.0.1", BrokerUrl("127.0.0.1", 1883)),
        ("mqtt://pi.local:1999/", BrokerUrl("pi.local", 1999)),
        ("mqtts://broker.example", BrokerUrl("broker.example", 8883, tls=True)),
        ("mqtt://[::1]:1883", BrokerUrl("::1", 1883)),
        ("mqtt://ann:s%40fe@host", BrokerUrl("host", 1883, user="ann", password="s@fe")),
    ],
)
def test_an_address_is_read(text: str, expected: BrokerUrl) -> None:
    assert parse_broker_url(text) == expected


def test_a_password_is_never_shown() -> None:
    url = parse_broker_url("mqtt://ann:secret@host")
    assert "secret" not in f"{url} {url!r}"
    for wrong in ("tcp://ann:secret@host", "mqtt://ann:secret@host:none"):
        with pytest.raises(InvalidBrokerUrl) as caught:
            parse_broker_url(wrong)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "127.0.0.1:1883", "http://host", "mqtt://", "mqtt://host:none", "mqtt://h/topic"]
)
def test_another_form_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidBrokerUrl, match="expected mqtt://host:port, for example"):
        parse_broker_url(text)


def test_an_address_prints_as_it_is_written() -> None:
    assert str(parse_broker_url("mqtts://[fe80::1]:8883")) == "mqtts://[fe80::1]:8883"
    assert is_loopback("mqtt://localhost") and not is_loopback("mqtt://10.0.0.2")


def test_the_nodes_of_a_cluster_are_named_with_commas_or_one_by_one() -> None:
    url = parse_broker_url("mqtt://ann:a,b@one, mqtt://two:1999")
    assert url.nodes == (
        BrokerUrl("one", 1883, user="ann", password="a,b"),
        BrokerUrl("two", 1999),
    )
    assert str(url) == "mqtt://one:1883,mqtt://two:1999"
    assert parse_broker_url(join_broker_urls([str(one) for one in url.nodes])).nodes[1] == url.nodes[1]
    assert not is_loopback("mqtt://localhost,mqtt://two")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "mqtt://a:s@one,mqtts://two",
            "got mqtt://one:1883,mqtts://two:8883, expected mqtt:// for all nodes",
        ),
        ("mqtt://one,mqtt://two,mqtt://one:1883", "got mqtt://one:1883 twice"),
        ("mqtt://one,two", "of a cluster's nodes mqtt://a:1883,mqtt://b:1883"),
    ],
)
def test_nodes_that_cannot_be_are_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidBrokerUrl, match=words):
        parse_broker_url(text)


def test_a_node_that_failed_gives_way_to_the_next() -> None:
    turns = NodeTurns(parse_broker_url("mqtt://one,mqtt://two"))
    assert [turns.node.host, turns.next().host, turns.node.host, turns.next().host] == [
        "one",
        "two",
        "two",
        "one",
    ]
    alone = NodeTurns(parse_broker_url("mqtt://one"))
    assert alone.next() is alone.node
