"""Training: optimisers, one loop, and the run folder that it writes.

Names are loaded when they are first used, from where `__init__.pyi` says that they stand: reading a run's folder does
not wait for torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
