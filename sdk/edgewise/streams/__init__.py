"""Frames and sounds as they come: folders, videos, cameras, microphones; `Model.stream` answers each."""

from typing import TYPE_CHECKING

from edgewise.lazy_names import lazy_names

if TYPE_CHECKING:
    from edgewise.streams.camera import PicameraSource, VideoSource
    from edgewise.streams.choice import open_source
    from edgewise.streams.folder import FolderSource
    from edgewise.streams.frame import Block, Frame, SensorBlock
    from edgewise.streams.i2c_registers import I2CRegisters
    from edgewise.streams.live import Live
    from edgewise.streams.register_map import MPU_6050, RegisterMap
    from edgewise.streams.running import Stream, StreamResult
    from edgewise.streams.sensor import SensorSource
    from edgewise.streams.serial_lines import SerialLines
    from edgewise.streams.simulated import SimulatedI2C, SimulatedSensor, SimulatedSource
    from edgewise.streams.sound import MicrophoneSource, WavSource
    from edgewise.streams.source import Source

__all__ = [
    "MPU_6050",
    "Block",
    "FolderSource",
    "Frame",
    "I2CRegisters",
    "Live",
    "MicrophoneSource",
    "PicameraSource",
    "RegisterMap",
    "SensorBlock",
    "SensorSource",
    "SerialLines",
    "SimulatedI2C",
    "SimulatedSensor",
    "SimulatedSource",
    "Source",
    "Stream",
    "StreamResult",
    "VideoSource",
    "WavSource",
    "open_source",
]

__getattr__ = lazy_names(
    "edgewise.streams",
    {
        "camera": "PicameraSource VideoSource",
        "choice": "open_source",
        "folder": "FolderSource",
        "frame": "Block Frame SensorBlock",
        "i2c_registers": "I2CRegisters",
        "live": "Live",
        "register_map": "MPU_6050 RegisterMap",
        "running": "Stream StreamResult",
        "sensor": "SensorSource",
        "serial_lines": "SerialLines",
        "simulated": "SimulatedI2C SimulatedSensor SimulatedSource",
        "sound": "MicrophoneSource WavSource",
        "source": "Source",
    },
)
"""So a program with a camera loads nothing of microphones and sensors."""
