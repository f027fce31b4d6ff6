# The public names, each where it stands. Type checkers read this file, and `__init__.py` loads from it what is used.

from .calibration import Calibration as Calibration
from .calibration import CalibrationOptions as CalibrationOptions
from .config import Recipe as Recipe
from .config import load_recipe as load_recipe
from .data import Manifest as Manifest
from .data import open_source as open_source
from .drawn import draw_set as draw_set
from .drawn import draw_twin as draw_twin
from .drawn import draw_vehicle as draw_vehicle
from .embedding.embeddings import Embeddings as Embeddings
from .embedding.encoder import Encoder as Encoder
from .embedding.frames import FrameEncoder as FrameEncoder
from .embedding.loading import load as load
from .errors import SamecarError as SamecarError
from .evaluation import Evaluation as Evaluation
from .evaluation import find_protocol as find_protocol
from .evaluation import score as score
from .experiment.calibrate import calibrate as calibrate
from .experiment.choosing import Choice as Choice
from .experiment.choosing import choose_recipe as choose_recipe
from .experiment.compare import compare as compare
from .experiment.composite import CompositeModel as CompositeModel
from .experiment.embed import bound_model as bound_model
from .experiment.embed import embed_with as embed_with
from .experiment.evaluate import evaluate as evaluate
from .experiment.export import Export as Export
from .experiment.export import export as export
from .experiment.exported import ExportedModel as ExportedModel
from .experiment.fuse import fuse as fuse
from .experiment.publish import save_pretrained as save_pretrained
from .experiment.reduce import reduce as reduce
from .experiment.train import train as train
from .experiment.trial import Trial as Trial
from .experiment.trial import train_and_evaluate as train_and_evaluate
from .experiment.tuning.tune import TuneOptions as TuneOptions
from .experiment.tuning.tune import tune as tune
from .films import YoloxDetector as YoloxDetector
from .films import ingest as ingest
from .hardware import machine as machine
from .models import Embedder as Embedder
from .models import build_embedder as build_embedder
from .retrieval.gallery import Gallery as Gallery
from .training import Run as Run

__version__: str
