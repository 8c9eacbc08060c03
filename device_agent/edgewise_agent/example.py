"""The settings file that `edgewise agent init` writes."""

EXAMPLE = """\
# Settings of the edgewise agent. `edgewise agent check --config agent.toml` says what is wrong with them.
# Relative paths start at the folder of this file. Keys that stand behind a # show their defaults.

[device]
id = "greenhouse-1"           # 1 to 64 of A-Z a-z 0-9 _ -
# group = "default"
state_dir = "edgewise-state"  # holds the outbox; one folder per agent

[model]
path = "model.tflite"         # made by `edgewise convert`

[source]
path = "photos"               # a folder, an image, or a list of both
# kind = "images"
# interval_s = 1.0            # between two inputs; 0 goes as fast as the model does
# loop = true                 # begin again at the end, and find new files; false stops there
# recursive = false           # also look into folders inside the folder

[broker]
url = "mqtt://127.0.0.1:1883" # or mqtts://host:8883
# username = ""
# password_file = "password.txt"  # not set by default; its first line is the password
# ca_file = "ca.pem"          # not set by default; for mqtts with a certificate authority of your own
# keepalive_s = 30
# reconnect_max_s = 60.0      # longest wait between two attempts to connect

[report]
# interval_s = 10.0           # between two telemetry records
# events = "none"             # "all" sends every prediction as an event

[outbox]
# max_mb = 64                 # when full, older records are thinned out
# commit_interval_s = 1.0     # most that a kill or power cut loses; longer spares the SD card

[drift]                       # compares inputs and answers with the baseline in the model's card
# enabled = true
# false_alarm_inputs = 10000  # at most one false alarm in so many independent inputs; more sees less
# every_s = 0.0               # inputs sooner than this after the last one compared are left out; for video some seconds

[status]                      # a page, /metrics, /healthz and /status.json on this device
# port = 9477                 # 0 turns it off
# address = "127.0.0.1"       # "0.0.0.0" lets everybody in the network read it

[logs]                        # a copy of stderr in the state folder
# to_file = true
# max_mb = 4.0                # all its files together

[power]                       # watts and millijoules per inference
# meter = "auto"              # or "none", "hwmon", "ina219", "ina226", "ina260"
# i2c_bus = 1
# i2c_address = 64            # 0x40
# shunt_milliohm = 100.0
# every_s = 2.0               # between two samples of a meter without a counter
"""
