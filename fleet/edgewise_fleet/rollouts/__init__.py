"""Staged changes of models: a plan, a pure engine that decides, and a runner that sends what was decided."""
