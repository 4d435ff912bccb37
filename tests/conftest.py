"""What all tests share: modules that are marked so run in a private host (`support/libvirtd.py`)."""

pytest_plugins = ["support.slow", "support.libvirtd", "support.rabbitmq", "support.databases"]
