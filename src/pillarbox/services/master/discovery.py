"""Which services there are: every ``pillarbox.services.<name>.service`` that offers SERVICE.

Folders are looked up by name rather than kept in a list, so a service is added by adding its
folder.  One that cannot be imported is reported and left out; it does not keep the others from
starting.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable

import pillarbox.services
from pillarbox.runtime.service import ServiceSpec


def find_services(complain: Callable[[str], None]) -> list[ServiceSpec]:
    """The specs of all services, in the order of stage and name."""
    specs = []
    for module in pkgutil.iter_modules(pillarbox.services.__path__):
        name = f"pillarbox.services.{module.name}.service"
        if not module.ispkg or importlib.util.find_spec(name) is None:
            continue
        try:
            found = getattr(importlib.import_module(name), "SERVICE", None)
        except Exception as error:
            complain(f"service {module.name}: {type(error).__name__}: {error}")
            continue
        if isinstance(found, ServiceSpec):
            specs.append(found)
    return sorted(specs, key=lambda spec: (spec.stage, spec.name))
