"""Let a model prove itself before an app relies on it: check_before_use.py MODEL."""

import sys

import edgewise

with edgewise.load(sys.argv[1]) as model:
    outcome = model.self_test()
    print(f"{model.name} on {model.backend_name}: {'fit for use' if outcome.passed else 'do not use it'}")
    sys.exit(0 if outcome.passed else 1)
