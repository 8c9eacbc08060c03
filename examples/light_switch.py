"""Say "on" or "off": light_switch.py MODEL microphone:, or MODEL RECORDING.wav to try it.

MODEL is a keyword classifier whose card says how sound becomes its input and that has labels on and off, such as
examples/data/keywords.onnx (ten words, trained on synthetic voices) or what `edgewise convert` makes of it. On a
Raspberry Pi replace print by gpiozero's LED(17).on() and off().
"""

import sys
from contextlib import closing

import edgewise
from edgewise.preprocess.resample import Resampler
from edgewise.streams import Block, open_source

with edgewise.load(sys.argv[1]) as model:
    classifier = edgewise.AudioClassifier(model)
    spotter = edgewise.KeywordSpotter(classifier, step_s=0.05)
    resampler = None
    with closing(open_source(sys.argv[2])) as source:
        source.open()
        while isinstance(block := source.read(), Block):
            if resampler is None:
                resampler = Resampler(block.sample_rate_hz, classifier.rate_hz)
            for word in spotter.push(resampler.push(block.samples)):
                if word.label in ("on", "off"):
                    print(f"{word.time_s:.1f} s: light {word.label}")
