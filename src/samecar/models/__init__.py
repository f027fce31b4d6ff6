"""Models: a picture becomes an embedding.

Names are loaded when they are first used, from where `__init__.pyi` says that they stand: finding a model's files does
not wait for torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
