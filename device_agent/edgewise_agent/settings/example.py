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

[pipelines.main.sampling]     # tell single predictions so that rare classes are not drowned
# enabled = false
# keep_per_class = 20         # so many of a class in a period are all told, of more a share
# period_s = 3600.0
# max_per_minute = 60

# [[pipelines.main.rules.rule]]  # an event when something is seen; docs/agent/rules.md has all of it
# name = "cat"  # not set by default
# when = 'label == "cat" and score > 0.8'  # not set by default
# snapshot = true  # not set by default

[broker]
url = "mqtt://127.0.0.1:1883" # or mqtts://host:8883; a list of several goes to the nearest that answers
# username = ""
# password_file = "password.txt"  # not set by default; its first line is the password
# ca_file = "ca.pem"          # not set by default; for mqtts with a certificate authority of your own
# cert_file = "device.pem"    # not set by default; this device's certificate, for mutual TLS
# key_file = "device.key"     # not set by default; its key; both may be replaced at any time
# protocol = "auto"           # MQTT "5" or "3.1.1"; "auto" tries 5 first
# keepalive_s = 30
# reconnect_max_s = 60.0      # longest wait between two attempts to connect
# reconnect_spread_s = 10.0   # a fleet that lost its broker comes back over this time
# probe_every_s = 600.0       # with several brokers: how often the way to each is measured

[report]
# interval_s = 10.0           # between two telemetry records
# profile = "json"            # "sparkplug" speaks Sparkplug B to SCADA hosts instead
# format = "json"             # "msgpack", or "compact" with a quarter of the bytes; the fleet reads all three

[outbox]
# max_mb = 64                 # when full, older records are thinned out
# commit_interval_s = 1.0     # most that a kill or power cut loses; longer spares the SD card
# commit_interval_max_s = 10.0     # stretched up to this while more is written than the budget
# write_budget_mb_per_day = 1000   # beyond it an event says so; 0 means no budget
# replay_records_per_s = 500.0     # pace of what waited on disk, behind new records; 0 means no limit

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
[snapshots]                   # inputs that rules keep on the device: rules and all of this in docs/agent/rules.md
# max_mb = 256                # the oldest go when all together are larger
# max_count = 1000
# max_age_days = 30.0
# min_free_mb = 200           # none is kept when the disk would have less left
# jpeg_quality = 85

[privacy]                     # by default no input leaves the device
# raw_leaves = false
# allowed_brokers = ["mqtts://host:8883"]  # not set by default; where inputs may go to
# allowed_regions = ["eu"]    # not set by default; by a region that you give to urls
# regions = { "mqtts://host:8883" = "eu" }  # not set by default
# redact = ["faces", "audio"] # faces are blurred, sound does not leave
# face_model = "faces.onnx"   # not set by default; without it no picture leaves while faces are to be blurred
# names_leave = true          # names of input files, in events
# audit_mb = 16               # room for the record of what left

[offload]                     # ask an edge server about what the model here is not sure of
# enabled = false
# servers = [{ url = "https://host:8190", region = "home" }]  # not set by default
# below_confidence = 0.5
# max_latency_ms = 500.0      # a later answer does not count
# max_per_minute = 30
# probe_every_s = 30.0        # how often round trips are measured
# key_file = "offload.key"    # not set by default; its first line is the key that servers ask for
# ca_file = "ca.pem"          # not set by default

[status]                      # a page, /metrics, /healthz and /status.json on this device
# port = 9477                 # 0 turns it off
# address = "127.0.0.1"       # "0.0.0.0" lets everybody in the network read it

[logs]                        # a copy of stderr in the state folder
# to_file = true
# max_mb = 4.0                # all its files together

[protection]                  # from a model that hangs or crashes again and again: docs/agent/updates.md
# hang_s = 120.0              # one inference that takes longer hangs, and the agent starts itself again; 0: never
# failures = 3                # so many hangs and crashes in a row, and the model before runs, or none; 0: never
# good_run_s = 3600.0         # a run as long as this ends the row

[power]                       # watts and millijoules per inference
# meter = "auto"              # or "none", "hwmon", "ina219", "ina226", "ina260"
# i2c_bus = 1
# i2c_address = 64            # 0x40
# shunt_milliohm = 100.0
# every_s = 2.0               # between two samples of a meter without a counter
"""
