# The names of this package, each where it stands. Type checkers read this file, and `__init__.py` loads from it what is
# used.

from .journeys import Journey as Journey
from .journeys import Step as Step
from .linking import Linking as Linking
from .linking import link as link
from .settings import LinkSettings as LinkSettings
from .sightings import Sighting as Sighting
from .travel import TravelTimes as TravelTimes
