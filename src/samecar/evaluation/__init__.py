"""Honest scores: protocols as data, metrics as pure functions, and a card beside every number.

Names are loaded when they are first used, from where `__init__.pyi` says that they stand: what may be
chosen is known without waiting for torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
