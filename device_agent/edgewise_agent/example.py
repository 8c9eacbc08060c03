"""The settings file that `edgewise agent init` writes."""

EXAMPLE = """\
# Settings of the edgewise agent. `edgewise agent check --config agent.toml` says what is wrong with them.
# Relative paths start at the folder of this file. Keys that stand behind a # show their defaults.

[device]
id = "greenhouse-1"           # 1 to 64 of A-Z a-z 0-9 _ -
# group = "default"
state_dir = "edgewise-state"  # holds the outbox; one folder per agent

[pipelines.main]              # one such section for each model; the metrics of `main` bear the plain names
model = "model.tflite"        # made by `edgewise convert`
source = "photos"             # a folder, pictures, a list of both; or a camera and more: docs/agent.md
# interval_s = 1.0            # between two pictures; 0 goes as fast as the model does
# loop = true                 # begin again at the end, and find new files; false stops there
# recursive = false           # also look into folders inside the folder
# schedule = ["mon-fri 07:00-19:00"]  # by default always
# events = "none"             # "all" sends every prediction as an event
# threads = 0                 # 0: all cores, shared with the other pipelines
# task = ""                   # for a model file that does not say it, like the next three
# head = ""
# labels = "labels.txt"       # not set by default
# score_threshold = 0.5       # not set by default

[pipelines.main.drift]        # compares inputs and answers with the baseline in the model's card
# enabled = true
# false_alarm_inputs = 10000  # at most one false alarm in so many independent inputs; more sees less
# every_s = 0.0               # inputs sooner than this after the last one compared are left out; for video some seconds

[broker]
url = "mqtt://127.0.0.1:1883" # or mqtts://host:8883
# username = ""
# password_file = "password.txt"  # not set by default; its first line is the password
# ca_file = "ca.pem"          # not set by default; for mqtts with a certificate authority of your own
# keepalive_s = 30
# reconnect_max_s = 60.0      # longest wait between two attempts to connect

[report]
# interval_s = 10.0           # between two telemetry records
# profile = "json"            # "sparkplug" speaks Sparkplug B to SCADA hosts instead
# format = "json"             # "msgpack", or "compact" with a quarter of the bytes; the fleet reads all three

[outbox]
# max_mb = 64                 # when full, older records are thinned out
# commit_interval_s = 1.0     # most that a kill or power cut loses; longer spares the SD card

[duty]                        # work less when it is hot or the battery is low
# slow_above_c = 80.0         # of the processor; pauses between inputs become longer
# pause_above_c = 90.0
# slow_below_battery_percent = 20.0
# pause_below_battery_percent = 5.0
# slow_factor = 4.0           # how many times longer from one input to the next

[sparkplug]                   # only with report.profile = "sparkplug"
# primary_host = ""           # send only while this host application is online
# rebirth_min_s = 5.0         # between two births that a host asked for

[home_assistant]              # makes the device appear in Home Assistant, beside the profile
# enabled = false
# prefix = "homeassistant"
"""
