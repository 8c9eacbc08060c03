"""The subcommands of `edgewise` that the converter brings, one file each."""
