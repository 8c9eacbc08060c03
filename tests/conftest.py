"""What all tests share."""

pytest_plugins = ["real_data"]
