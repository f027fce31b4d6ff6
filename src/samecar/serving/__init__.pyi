# The names of this package, each where it stands. Type checkers read this file, and `__init__.py` loads from it what is
# used.

from .app import create_app as create_app
from .settings import ServiceSettings as ServiceSettings
