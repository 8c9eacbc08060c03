"""What a broker or the network answered, in words and in what follows from it."""

import socket
import ssl

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from edgewise_agent.connection.deliveries import Refusal

CONNECT_TIMEOUT_S = 5.0
_NEVER = {0x90, 0x95, 0x99}
"""Topic name invalid, packet too large, payload format invalid (MQTT 5, 2.4): asking again changes nothing."""
_OTHER_VERSION = {0x84, 0x01}
"""Unsupported protocol version, as MQTT 5 and as MQTT 3.1.1 say it."""


def refusal_of(reason: ReasonCode) -> Refusal:
    """What a PUBACK with this reason code means for the record."""
    return Refusal(str(reason), is_final=reason.value in _NEVER)


def means_other_version(reason: ReasonCode) -> bool:
    """True when the broker does not speak this version of MQTT."""
    return reason.value in _OTHER_VERSION


def why(error: Exception) -> str:
    """Why a connection could not be made."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {error.verify_message}{_way_out(error)}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return f"name not found ({error.strerror})"
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT_S:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; is a broker running there?"
    return getattr(error, "strerror", None) or str(error)


def name_of(code: MQTTErrorCode) -> str:
    """Paho's word for it."""
    return mqtt.error_string(code).rstrip(".").lower()


def _way_out(error: ssl.SSLCertVerificationError) -> str:
    said = str(error.verify_message).lower()
    if "expired" in said:
        return "; renew the broker's certificate"
    if "not yet valid" in said:
        return "; is this device's clock right?"
    if "mismatch" in said or "not valid for" in said:
        return "; broker.url must name the broker as its certificate does"
    return "; name its issuer's file in broker.ca_file"
