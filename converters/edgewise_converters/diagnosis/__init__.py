"""Why a quantized network is not as good as the original: which layers, why, and what helps."""

from edgewise_converters.diagnosis.findings import Cause, Diagnosis, Fix, LayerDiagnosis
from edgewise_converters.diagnosis.pair import diagnose_pair
from edgewise_converters.diagnosis.static import diagnose

__all__ = ["Cause", "Diagnosis", "Fix", "LayerDiagnosis", "diagnose", "diagnose_pair"]
