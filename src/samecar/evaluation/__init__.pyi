# The names of this package, each where it stands. Type checkers read this file, and `__init__.py` loads from it what is
# used.

from .options import Options as Options
from .protocols import PROTOCOLS as PROTOCOLS
from .protocols import Protocol as Protocol
from .protocols import Relevance as Relevance
from .protocols import default_protocol as default_protocol
from .protocols import find_protocol as find_protocol
from .protocols import with_junk as with_junk
from .records import compare_runs as compare_runs
from .records import save_evaluation as save_evaluation
from .results import Evaluation as Evaluation
from .results import ProtocolCard as ProtocolCard
from .results import Provenance as Provenance
from .scoring import score as score
