"""Running unattended: as a service, watched by systemd, telling how it is."""
