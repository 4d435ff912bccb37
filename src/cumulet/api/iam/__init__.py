"""Identity and Access Management: importing this package registers its actions."""

from __future__ import annotations

import importlib
import pkgutil

MODULES = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
