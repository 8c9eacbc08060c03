"""Subcommands of `edgewise`, one file each; they import what they need when they are called."""
