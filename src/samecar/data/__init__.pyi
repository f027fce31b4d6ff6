# The names of this package, each where it stands. Type checkers read this file, and `__init__.py` loads from it what is
# used.

from .boxes.cropping import crop_boxes as crop_boxes
from .checking import CheckResult as CheckResult
from .checking import Finding as Finding
from .checking import SplitSummary as SplitSummary
from .checking import check as check
from .dataset import Batch as Batch
from .dataset import Delivery as Delivery
from .dataset import EvaluationLoader as EvaluationLoader
from .dataset import Failure as Failure
from .dataset import FailureLog as FailureLog
from .dataset import PictureDataset as PictureDataset
from .dataset import PictureLoader as PictureLoader
from .dataset import Sample as Sample
from .dataset import class_numbers as class_numbers
from .dataset import evaluation_loader as evaluation_loader
from .dataset import known_numbers as known_numbers
from .dataset import training_loader as training_loader
from .joining import join_sets as join_sets
from .manifest import COLUMNS as COLUMNS
from .manifest import SPLITS as SPLITS
from .manifest import Manifest as Manifest
from .pictures import UnreadablePictureError as UnreadablePictureError
from .pictures import read_picture as read_picture
from .sampling import Draw as Draw
from .sampling import IdentityBatches as IdentityBatches
from .sampling import plan_batches as plan_batches
from .sources.opening import SOURCES as SOURCES
from .sources.opening import as_manifest as as_manifest
from .sources.opening import open_source as open_source
from .splitting import hold_out_validation as hold_out_validation
from .splitting import make_test_set as make_test_set
from .splitting import split_by_identity as split_by_identity
from .transforms import PictureTransform as PictureTransform
from .transforms import evaluation_transform as evaluation_transform
from .transforms import training_transform as training_transform
