"""From a source to answers: one thread for each model that a device runs. Knows no MQTT."""
